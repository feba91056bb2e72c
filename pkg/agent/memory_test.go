package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Redis comes back empty, or with an older record, while the agent was away too.
func TestAnAgentThatIsStartedAgainRemembersFromDisk(t *testing.T) {
	for name, rec := range map[string]cluster.Assignment{
		"empty": {}, "older": steady(4, 9, hostB, hostA), "contradicting": steady(5, 3, hostB, hostA),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				d := &fakeStore{}
				stop := s.agent("one", on(d))
				s.pass(2 * time.Second)
				stop()
				s.bus.put(rec)
				s.bus.putMode(hostB, hostA)
				s.bus.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
				s.agent("two", on(d))
				s.pass(5 * time.Second)
				s.wantOpen(true, false)
				if r := s.bus.report(s.T, hostA, "two"); r.Remembers.Order() != (cluster.Order{Epoch: 5, Version: 3}) {
					s.Errorf("remembers %s, want 5.3", r.Remembers.Order())
				}
				s.put(steady(6, 1, hostB, hostA))
				s.pass(time.Second)
				s.wantOpen(false, true)
			})
		})
	}
}

func TestAnEpochIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		d := &fakeStore{}
		s.agent("one", on(d))
		s.pass(2 * time.Second)
		slow := func(map[cluster.UniqSign]cluster.Memory) { <-time.After(300 * time.Millisecond) }
		d.onSave = slow
		s.put(revoked(6, hostA, hostB))
		s.pass(200 * time.Millisecond)
		s.wantOpen(false, false) // the work goes on side by side
		if r := s.bus.report(s.T, hostA, "one"); r.Closed.Epoch == 6 {
			s.Error("acknowledged a closing under an epoch that is not on disk")
		}
		s.pass(200 * time.Millisecond)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 || d.memory().Record.Epoch != 6 {
			s.Errorf("closed under %s, on disk %s", r.Closed, d.memory().Record.Order())
		}
		s.put(steady(7, 1, hostB, hostA))
		s.pass(200 * time.Millisecond)
		s.wantOpen(false, false)
		s.pass(200 * time.Millisecond)
		s.wantOpen(false, true)
		// Nor is a server acknowledged that is closed or open already.
		s.put(steady(8, 1, hostB, hostA))
		s.pass(200 * time.Millisecond)
		if a, b := s.bus.report(s.T, hostA, "one"), s.bus.report(s.T, hostB, "one"); a.Closed.Epoch == 8 || b.Opened.Epoch == 8 {
			s.Errorf("acknowledged under an epoch that is not on disk: closed %s, opened %s", a.Closed, b.Opened)
		}
		s.pass(200 * time.Millisecond)
		if a, b := s.want(hostA, "one", cluster.DeedClosed), s.want(hostB, "one", cluster.DeedOpen); a.Closed.Epoch != 8 || b.Opened.Epoch != 8 {
			s.Errorf("closed under %s, opened under %s; want epoch 8", a.Closed, b.Opened)
		}
		// Versions within the epoch are not waited for.
		s.put(steady(8, 2, hostB, hostA))
		s.pass(100 * time.Millisecond)
		if r := s.want(hostB, "one", cluster.DeedOpen); r.Opened.Version != 2 {
			s.Errorf("open under %s, want 8.2", r.Opened)
		}
		s.pass(2 * time.Second)
		if got := d.memory().Record.Order(); got != (cluster.Order{Epoch: 8, Version: 2}) {
			s.Errorf("on disk %s, want 8.2", got)
		}
	})
}

func TestADiskThatFailsOrHangsStopsNothing(t *testing.T) {
	for name, spoil := range map[string]func(*fakeStore){
		"fails": func(d *fakeStore) { d.fail(errors.New("no space left on device")) },
		"hangs": func(d *fakeStore) { d.hung = make(chan struct{}) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				d := &fakeStore{}
				s.agent("one", on(d))
				s.pass(2 * time.Second)
				spoil(d)
				s.put(revoked(6, hostA, hostB))
				s.pass(2 * time.Second)
				if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 || !hasNote(r, cluster.NoteStateFile) {
					s.Errorf("closed under %s, notes %v", r.Closed, r.Notes)
				}
				s.put(opening(6, 2, hostB, hostA, ""))
				s.pass(2 * time.Second)
				s.wantOpen(false, true)
				// There is room again.
				if d.hung != nil {
					hung := d.hung
					d.mu.Lock()
					d.hung = nil
					d.mu.Unlock()
					close(hung)
				} else {
					d.fail(nil)
				}
				s.pass(4 * time.Second)
				if r := s.want(hostB, "one", cluster.DeedOpen); len(r.Notes) != 0 || d.memory().Record.Epoch != 6 {
					s.Errorf("notes %v, on disk %s", r.Notes, d.memory().Record.Order())
				}
			})
		})
	}
}

// Two agents have one file: the second reads it, and takes it over with what the
// first has written when that one is gone.
func TestTheStoreIsTakenOverFromAnotherProcess(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		d := &fakeStore{kept: map[cluster.UniqSign]cluster.Memory{uniq: {Record: steady(4, 1, hostA, hostB)}}}
		d.fail(agent.ErrStoreBusy)
		s.agent("two", blocks, on(d))
		s.pass(3 * time.Second)
		if r := s.bus.report(s.T, hostB, "two"); !hasNote(r, cluster.NoteStateFile) {
			s.Errorf("notes: %v", r.Notes)
		}
		s.bus.locked = map[cluster.Endpoint][]cluster.Account{}
		d.mu.Lock()
		d.kept[uniq] = cluster.Memory{Record: steady(9, 1, hostA, hostB), Locked: map[cluster.Endpoint][]cluster.Account{hostB: {account("app7@%")}}}
		d.mu.Unlock()
		d.fail(nil)
		s.w.account(s.w.a(), "app7@%", nil)
		s.w.b().change(func(b *fakeServer) { b.accounts[account("app7@%")].locked = true })
		s.pass(3 * time.Second)
		if r := s.bus.report(s.T, hostB, "two"); r.Remembers.Epoch != 9 || hasNote(r, cluster.NoteStateFile) {
			s.Errorf("remembers %s, notes %v; want 9.1 and none", r.Remembers.Order(), r.Notes)
		}
		s.put(steady(10, 1, hostB, hostA))
		s.pass(time.Second)
		s.wantLogIn(s.w.b(), "app7@%", true)
		if m := d.memory(); m.Record.Epoch != 10 {
			s.Errorf("on disk %s, want 10.1", m.Record.Order())
		}
	})
}

const table = "mmm_meta.epoch"

func withTable(rec cluster.Assignment) cluster.Assignment {
	rec.EpochTable = table
	return rec
}

func TestTheEpochRowIsWrittenBeforeTheFirstClientWrites(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(withTable(steady(5, 3, hostA, hostB)))
		s.agent("one")
		s.pass(time.Second)
		if got := s.w.a().mark; got != (cluster.Mark{Epoch: 5, Active: hostA}) || s.w.a().marks != 1 {
			s.Errorf("epoch row of the active: %v, written %d times", got, s.w.a().marks)
		}
		if got := s.w.b().mark.Epoch; got != 5 {
			s.Errorf("epoch row of the passive: %d", got)
		}
		s.w.a().kill()
		s.put(withTable(revoked(6, hostA, hostB)))
		s.pass(100 * time.Millisecond)
		s.w.b().beforeWritable = func() {
			if b := s.w.b(); b.mark.Epoch != 6 || b.super || !b.readOnly {
				s.Errorf("before it is opened: epoch row %v, super_read_only %v, read_only %v", b.mark, b.super, b.readOnly)
			}
		}
		s.put(withTable(opening(6, 2, hostB, hostA, "")))
		s.pass(100 * time.Millisecond)
		s.wantOpen(false, true)
		s.put(withTable(steady(6, 3, hostB, hostA)))
		s.w.a().start(true)
		s.pass(150 * time.Second)
		s.wantOpen(false, true)
		if got := s.w.b().marks; got != 1 {
			s.Errorf("the epoch row was written %d times on the new active", got)
		}
		if a, b := s.w.a(), s.w.b(); a.marks != 1 || a.mark.Epoch != 6 || a.executed != b.executed {
			s.Errorf("the passive wrote %d epoch rows, has %v, and %s of %s", a.marks, a.mark, a.executed, b.executed)
		}
		if !s.w.a().super {
			s.Error("the passive is not sealed")
		}
	})
}

func TestWithoutATableNoRowIsWritten(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(time.Second)
		if s.w.a().marks+s.w.b().marks != 0 {
			s.Error("an epoch row was written")
		}
	})
}

// A table of ours that is broken delays an opening and does not prevent it; in
// between the server is sealed again.
func TestABrokenEpochTableDoesNotKeepEverybodyOut(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(withTable(steady(5, 3, hostA, hostB)))
		s.agent("one")
		s.pass(time.Second)
		s.w.a().kill()
		s.put(withTable(revoked(6, hostA, hostB)))
		s.pass(100 * time.Millisecond)
		s.w.b().change(func(b *fakeServer) { b.broken["mark"] = true })
		s.put(withTable(opening(6, 2, hostB, hostA, "")))
		s.wantOpen(false, false)
		if !s.w.b().sealed() {
			s.Error("a server that was not opened is not sealed again")
		}
		s.pass(2 * time.Second)
		s.wantOpen(false, true)
		if r := s.want(hostB, "one", cluster.DeedOpen); !hasNote(r, cluster.NoteEpochRow) {
			s.Errorf("notes: %v", r.Notes)
		}
	})
}

func TestANewerEpochRowIsTold(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(withTable(steady(5, 3, hostA, hostB)))
		s.agent("one")
		s.pass(time.Second)
		s.w.a().change(func(a *fakeServer) { a.mark = cluster.Mark{Epoch: 9, Active: hostB} })
		s.pass(65 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedOpen); !hasNote(r, cluster.NoteEpochRow) || s.w.a().mark.Epoch != 9 {
			s.Errorf("notes %v, epoch row %v", r.Notes, s.w.a().mark)
		}
	})
}

// Redis went back while this agent was away: others know better than the record.
func TestWhatOtherAgentsRememberShutsAnOlderRecordOut(t *testing.T) {
	play(t, func(s *stage) {
		newer := cluster.Report{Agent: "two", Seq: 1, Node: hostA, Remembers: opening(6, 2, hostB, hostA, "")}
		if err := s.bus.SaveReport(s.Context(), "", newer, false); err != nil {
			s.Fatal(err)
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		// No pair ever comes to such an epoch.
		newer.Seq, newer.Remembers.Epoch = 2, cluster.MaxEpoch
		if err := s.bus.SaveReport(s.Context(), "", newer, true); err != nil {
			s.Fatal(err)
		}
		s.pass(10 * time.Second)
		s.wantOpen(true, false)
	})
}

// Redis went back: the server itself knows better than the record.
func TestAServerIsNotOpenedUnderAnOlderRecordThanItsEpochRow(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(withTable(steady(5, 3, hostA, hostB)))
		s.agent("one")
		s.pass(time.Second)
		s.w.a().kill()
		s.put(withTable(revoked(6, hostA, hostB)))
		s.pass(100 * time.Millisecond)
		s.w.b().change(func(b *fakeServer) { b.mark = cluster.Mark{Epoch: 9, Active: hostA} })
		s.put(withTable(opening(6, 2, hostB, hostA, "")))
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		if r := s.bus.report(s.T, hostB, "one"); !strings.Contains(r.Reason, "newer than the record") {
			s.Errorf("reason %q", r.Reason)
		}
		if !s.w.b().sealed() {
			s.Error("it is not sealed again")
		}
		s.put(withTable(opening(10, 1, hostB, hostA, "")))
		s.pass(2 * time.Second)
		s.wantOpen(false, true)
	})
}

// What the other server wrote as the active of a later epoch this one has not received.
func TestAServerIsNotOpenedUnderAnOlderRecordThanTheEpochRowOfTheOther(t *testing.T) {
	fenced := opening(5, 3, hostA, hostB, "")
	fenced.Proof = cluster.ProofFenced
	for name, rec := range map[string]cluster.Assignment{"a pair at rest": steady(5, 3, hostA, hostB), "after a closing that was acknowledged": fenced} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.w.a().change(func(a *fakeServer) { a.ch, a.readOnly, a.super = cluster.Channel{}, true, true })
				s.w.b().change(func(b *fakeServer) { b.mark = cluster.Mark{Epoch: 9, Active: hostB} })
				s.bus.put(withTable(rec))
				s.agent("one")
				s.pass(10 * time.Second)
				s.wantOpen(false, false)
				if r := s.bus.report(s.T, hostA, "one"); !strings.Contains(r.Reason, "newer than the record") {
					s.Errorf("reason %q", r.Reason)
				}
				if a := s.w.a(); a.marks != 0 || !a.sealed() {
					s.Errorf("its own row was written %d times, sealed: %t", a.marks, a.sealed())
				}
				s.w.b().kill() // nobody is left to ask
				s.pass(3 * time.Second)
				s.wantOpen(true, false)
			})
		})
	}
}

// The other server may hang by then.
func TestAnOpeningAtARiskAsksForNoEpochRowOfTheOther(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.ch, a.readOnly, a.super = cluster.Channel{}, true, true })
		s.w.b().change(func(b *fakeServer) { b.mark = cluster.Mark{Epoch: 9, Active: hostB} })
		s.bus.put(withTable(opening(5, 3, hostA, hostB, "")))
		s.agent("one")
		s.pass(time.Second)
		s.wantOpen(true, false)
	})
}

// Nor is one closed that was opened by a newer record.
func TestAServerIsNotClosedUnderAnOlderRecordThanItsEpochRow(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.readOnly, a.super = true, true })
		s.w.b().change(func(b *fakeServer) {
			b.readOnly, b.super, b.mark = false, false, cluster.Mark{Epoch: 9, Active: hostB}
		})
		s.bus.put(withTable(steady(5, 3, hostA, hostB)))
		s.agent("one")
		s.pass(10 * time.Second)
		s.wantOpen(false, true)
		if r := s.bus.report(s.T, hostB, "one"); !strings.Contains(r.Reason, "newer than the record") {
			s.Errorf("reason %q", r.Reason)
		}
		s.put(withTable(steady(10, 1, hostA, hostB)))
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
	})
}

func TestAPassiveIsSealed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.b().change(func(b *fakeServer) { b.super = false })
		s.pass(6 * time.Second)
		if !s.w.b().sealed() {
			s.Error("the passive is not sealed")
		}
		if s.w.a().super {
			s.Error("the active is sealed")
		}
	})
}
