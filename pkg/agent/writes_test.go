package agent_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

var errNoRoom = errors.New("no room")

func noRoom(o *agent.Options) { o.NoRoom = func(err error) bool { return errors.Is(err, errNoRoom) } }

// probed is a steady record by which writes are tried on a.
func probed(limit time.Duration) cluster.Assignment {
	rec := steady(5, 3, hostA, hostB)
	rec.EpochTable, rec.WriteLimitMS = "mmm_meta.epoch", limit.Milliseconds()
	return rec
}

// writes begins with a pair whose active's writes are tried.
func writes(t *testing.T, f func(s *stage), with ...func(*agent.Options)) {
	t.Helper()
	play(t, func(s *stage) {
		s.bus.put(probed(2 * time.Second))
		s.agent("one", append(with, noRoom)...)
		s.pass(5 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Writes != cluster.WritesTaken {
			t.Fatalf("writes %q", r.Writes)
		}
		if n := s.w.a().beaten(); n < 3 || n > 6 || s.w.b().beaten() != 0 {
			t.Fatalf("%d rows written in 5 s, %d on the passive", n, s.w.b().beaten())
		}
		f(s)
	})
}

func (s *stage) wantWrites(want cluster.Writes, note string) {
	s.Helper()
	r := s.bus.report(s.T, hostA, "one")
	if r.Writes != want {
		s.Errorf("writes %q, want %q", r.Writes, want)
	}
	found := ""
	for _, n := range r.Notes {
		found += n.Code
	}
	if found != note {
		s.Errorf("notes %v, want %q", r.Notes, note)
	}
}

func (s *stage) stall(shows agent.Session) {
	s.w.a().change(func(a *fakeServer) { a.stalls, a.shows = make(chan struct{}), shows })
}

func (s *stage) flow() {
	s.w.a().change(func(a *fakeServer) { close(a.stalls); a.stalls = nil })
}

// A write that stands still is told as soon as it has been seen to for as long as the record says, and what ends it too.
func TestAStalledWriteIsTold(t *testing.T) {
	writes(t, func(s *stage) {
		s.stall(agent.Session{Command: "Query"})
		s.pass(2400 * time.Millisecond)
		s.wantWrites(cluster.WritesUnknown, "")
		s.pass(1300 * time.Millisecond) // the next write began within a second, the first look was half a second later
		s.wantWrites(cluster.WritesStalled, cluster.NoteWritesFail)
		if r := s.bus.report(s.T, hostA, "one"); r.WritesMS < 2000 || r.WritesMS > 2700 {
			t.Errorf("for %d ms", r.WritesMS)
		}
		s.pass(30 * time.Second)
		s.wantWrites(cluster.WritesStalled, cluster.NoteWritesFail)
		if n := s.w.a().underWay(); n != 1 {
			t.Errorf("%d writes are under way", n)
		}
		s.flow()
		s.pass(1100 * time.Millisecond)
		s.wantWrites(cluster.WritesTaken, "")
	})
}

// Whoever waits for a lock, or commits behind one that waits for the passive, says nothing of the disk.
func TestAWriteThatWaitsForOthersIsNoStall(t *testing.T) {
	for name, shows := range map[string]agent.Session{
		"a lock":                    {Command: "Query", Held: true},
		"a lock of the server":      {Command: "Query", Queues: true},
		"an acknowledgement":        {Command: "Query", Awaits: true},
		"an answer that is unread":  {Command: "Sleep"},
		"another's acknowledgement": {Command: "Query"},
	} {
		t.Run(name, func(t *testing.T) {
			writes(t, func(s *stage) {
				if name == "another's acknowledgement" {
					s.w.a().change(func(a *fakeServer) {
						a.clients[7], a.awaiting = agent.Session{ID: 7, User: "app", Command: "Query", Kind: agent.SessionApplication}, []uint64{7}
					})
				}
				note := cluster.NoteWrites
				if shows.Command == "Sleep" {
					note = ""
				}
				s.stall(shows)
				s.pass(20 * time.Second)
				s.wantWrites(cluster.WritesUnknown, note)
				// From when it waits for nobody any more it counts.
				s.w.a().change(func(a *fakeServer) {
					a.awaiting = nil
					for id := range a.beating {
						a.beating[id] = agent.Session{Command: "Query"}
					}
				})
				s.pass(1900 * time.Millisecond)
				s.wantWrites(cluster.WritesUnknown, note)
				s.pass(800 * time.Millisecond)
				s.wantWrites(cluster.WritesStalled, cluster.NoteWritesFail)
				s.flow()
			})
		})
	}
}

// What the server says of a full disk counts when it has said so for as long; any other error is a note alone.
func TestAWriteThatFails(t *testing.T) {
	writes(t, func(s *stage) {
		fails := func(err error) { s.w.a().change(func(a *fakeServer) { a.beatErr = err }) }
		fails(errors.New("INSERT command denied"))
		s.pass(20 * time.Second)
		s.wantWrites(cluster.WritesUnknown, cluster.NoteWrites)
		fails(errNoRoom)
		s.pass(2 * time.Second)
		s.wantWrites(cluster.WritesUnknown, cluster.NoteWrites)
		s.pass(2100 * time.Millisecond)
		s.wantWrites(cluster.WritesDiskFull, cluster.NoteWritesFail)
		fails(nil)
		s.pass(1100 * time.Millisecond)
		s.wantWrites(cluster.WritesTaken, "")
	})
}

// The agent of the host sees that there is no room. That alone is a note; a write that stalls has a cause then.
func TestNoRoomIsTold(t *testing.T) {
	var full atomic.Bool
	h := &processHost{}
	writes(t, func(s *stage) {
		full.Store(true)
		s.pass(2100 * time.Millisecond)
		s.wantWrites(cluster.WritesTaken, cluster.NoteDiskFull)
		if r := s.bus.report(t, hostA, "one"); !r.NoRoom {
			t.Error("the report does not say so")
		}
		s.stall(agent.Session{Command: "Query"})
		s.pass(5 * time.Second)
		s.wantWrites(cluster.WritesDiskFull, cluster.NoteDiskFull+cluster.NoteWritesFail)
		full.Store(false)
		s.flow()
		s.pass(2100 * time.Millisecond)
		s.wantWrites(cluster.WritesTaken, "")
		if r := s.bus.report(t, hostA, "one"); r.NoRoom {
			t.Error("the report still says so")
		}
	}, h.on, func(o *agent.Options) { o.Room = func(string) (bool, error) { return !full.Load(), nil } })
}

// Nothing is written to who is not the active of the record in force, and an agent ends with a write under way.
func TestWritesEndWithTheRole(t *testing.T) {
	writes(t, func(s *stage) {
		s.bus.put(switching(5, 4, hostA, hostB))
		s.pass(time.Second)
		n := s.w.a().beaten()
		s.pass(5 * time.Second)
		if now := s.w.a().beaten(); now != n {
			t.Errorf("%d rows written to a server that is being closed", now-n)
		}
		s.wantWrites(cluster.WritesUnknown, "")
	})
	writes(t, func(s *stage) {
		rec := probed(0)
		rec.Version++
		s.bus.put(rec)
		s.pass(time.Second)
		n := s.w.a().beaten()
		s.pass(5 * time.Second)
		if now := s.w.a().beaten(); now != n {
			t.Errorf("%d rows written though none is wanted", now-n)
		}
	})
	writes(t, func(s *stage) {
		s.stall(agent.Session{Command: "Query"})
		s.pass(5 * time.Second)
		s.stop[0]()
		s.stop = nil
	})
}
