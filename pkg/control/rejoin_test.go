package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4350f323-7565-4e59-8763-4b1b83a0ce0e"
)

// fakeReturning is nodeB, which returns with two transactions that nodeA lacks.
type fakeReturning struct {
	node, active cluster.Server
	logs         []cluster.Transaction
	complete     bool
	kept         int
	unread       error
	undoable     error
	noted        [2]string
	undone       []cluster.Transaction
	forgot       string
	undoes       error
	committed    bool  // though Undo has an error
	lost         error // whoever asks after that
	unseen       error
	forgets      error
}

func newReturning() *fakeReturning {
	table := cluster.Table{Schema: "app", Name: "t"}
	tx := func(gtid, value string) cluster.Transaction {
		return cluster.Transaction{GTID: gtid, Changes: []cluster.Change{{Table: table, Kind: cluster.Insert, After: []cluster.Value{{Text: value}, {Null: true}}}}}
	}
	return &fakeReturning{
		node: cluster.Server{Flavor: cluster.MySQL, Identity: uuidB, GTIDMode: true, ReadOnly: cluster.Yes, Executed: uuidA + ":1-9," + uuidB + ":1-7",
			Channel: cluster.Channel{Configured: true, Source: nodeA, GTID: true, IO: cluster.ThreadNo, SQL: cluster.ThreadNo}},
		active: cluster.Server{Flavor: cluster.MySQL, Identity: uuidA, GTIDMode: true, ReadOnly: cluster.No, Executed: uuidA + ":1-20," + uuidB + ":1-5"},
		logs:   []cluster.Transaction{tx(uuidB+":5", "5"), tx(uuidB+":6", "6"), tx(uuidB+":7", "7")}, complete: true,
	}
}

func (f *fakeReturning) Sample(_ context.Context, node cluster.Endpoint) (cluster.Server, error) {
	if node == nodeA {
		return f.active, nil
	}
	return f.node, nil
}

func (f *fakeReturning) Transactions(_ context.Context, known func(string) (bool, error), each func(cluster.Transaction) (bool, error)) (bool, error) {
	if ok, err := known(uuidB + ":1-4"); !ok || err != nil {
		return false, errors.New("the active has what is before the logs, and it was said not to")
	}
	for _, t := range f.logs {
		kept, err := each(t)
		if err != nil {
			return false, err
		}
		if kept {
			f.kept++
		}
	}
	return f.complete, f.unread
}

func (f *fakeReturning) Table(_ context.Context, t cluster.Table) (cluster.TableInfo, error) {
	return cluster.TableInfo{Columns: []cluster.Column{{Name: "id", Type: "int"}, {Name: "v", Type: "int"}}, Engine: "InnoDB", Cascades: t.Name == "parent"}, f.unseen
}

func (f *fakeReturning) Unfinished(context.Context) (errant, keep string, err error) {
	if f.undone != nil && f.lost != nil {
		return "", "", f.lost
	}
	return f.noted[0], f.noted[1], nil
}

func (f *fakeReturning) Undoable(context.Context, cluster.Transaction) error { return f.undoable }

func (f *fakeReturning) Undo(_ context.Context, errant, keep string, all []cluster.Transaction) error {
	f.undone = all
	if f.undoes == nil || f.committed {
		f.noted = [2]string{errant, keep}
	}
	return f.undoes
}

func (f *fakeReturning) Forget(_ context.Context, _, keep string) error {
	if f.forgets != nil {
		return f.forgets
	}
	f.forgot, f.node.Executed = keep, keep
	f.node.Channel.IO, f.node.Channel.SQL = cluster.ThreadYes, cluster.ThreadYes
	return nil
}

// quarantined is a bus on which nodeB is in quarantine.
func quarantined() *fakeBus {
	b := newBus()
	b.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{nodeB: {
		"agent": {Order: b.snap.Assignment.Order(), Deed: cluster.DeedQuarantine, Errant: uuidB + ":6-7"},
		"late":  {Order: b.snap.Assignment.Order(), Deed: cluster.DeedWorking},
	}}
	return b
}

func TestRejoinDiscards(t *testing.T) {
	bus, with := quarantined(), newReturning()
	s := New(Options{Bus: bus})
	q, err := s.Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with})
	if err != nil || q.State != "errant" || q.Errant != uuidB+":6-7" || q.Count != 2 || with.kept != 2 || q.Refused != "" || with.undone != nil || with.forgot != "" {
		t.Fatalf("looking: %v, %+v", err, q)
	}
	if f := q.Transactions[1].Changes[0].After; len(f) != 2 || f[0].Name != "id" || *f[0].Value != "7" || f[1].Value != nil {
		t.Errorf("the row: %+v", f)
	}
	asked := 0
	q, err = s.Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with, Discard: true, Confirm: func(Quarantine) error { asked++; return nil }})
	if err != nil || !q.Done || q.State != "replicates" || asked != 1 || len(with.undone) != 2 || with.forgot != uuidA+":1-9,"+uuidB+":1-5" {
		t.Fatalf("discarding: %v, asked %d times, %d undone, kept %s: %+v", err, asked, len(with.undone), with.forgot, q)
	}
}

func TestRejoinGoesOn(t *testing.T) {
	bus, with := quarantined(), newReturning()
	with.noted = [2]string{uuidB + ":6-7", uuidB + ":1-5"}
	// A server without a position is in no quarantine any more.
	with.node.Executed = ""
	bus.snap.Reports[nodeB] = nil
	s := New(Options{Bus: bus})
	q, err := s.Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with, Discard: true})
	if err != nil || with.undone != nil || with.forgot != uuidB+":1-5" || !q.Done {
		t.Errorf("%v, undone %v, kept %q: %+v", err, with.undone, with.forgot, q)
	}
}

// A note that was left behind by a discard that was done is no discard.
func TestRejoinKnowsADiscardThatIsDone(t *testing.T) {
	bus, with := quarantined(), newReturning()
	with.noted = [2]string{uuidB + ":6-7", uuidB + ":1-5"}
	with.node.Executed, with.node.Channel.IO, with.node.Channel.SQL = uuidA+":1-9,"+uuidB+":1-5", cluster.ThreadYes, cluster.ThreadYes
	q, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with})
	if err != nil || q.State != "replicates" {
		t.Errorf("%v: %+v", err, q)
	}
	with.node.Channel.GTID = false
	if q, err = New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with}); err != nil || q.State != "unfinished" {
		t.Errorf("%v: %+v", err, q)
	}
}

func TestRejoinRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakeBus, *fakeReturning)
		exit   int
		says   string
	}{
		{"the active itself", func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Active = nodeB }, ExitRefused, "is the active"},
		{"nobody is active", func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Active = "" }, ExitRefused, "nothing to compare with"},
		{"a change of role", func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Phase = cluster.PhaseOpening }, ExitRefused, "nothing to compare with"},
		{"nothing is errant", func(_ *fakeBus, f *fakeReturning) { f.node.Executed = uuidB + ":1-5" }, ExitRefused, "nothing is to be discarded"},
		{"its agent knows of no quarantine", func(b *fakeBus, _ *fakeReturning) { delete(b.snap.Reports[nodeB], "agent") }, ExitRefused, "does not hold the server in quarantine"},
		{"an agent that is away knew of one", func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Version++ }, ExitRefused, "does not hold the server in quarantine"},
		{"the server is open", func(_ *fakeBus, f *fakeReturning) { f.node.ReadOnly = cluster.No }, ExitRefused, "the server is open"},
		{"nobody knows whether it is open", func(_ *fakeBus, f *fakeReturning) { f.node.ReadOnly = cluster.Unknown }, ExitRefused, "the server is open"},
		{"it replicates", func(_ *fakeBus, f *fakeReturning) { f.node.Channel.SQL = cluster.ThreadYes }, ExitRefused, "replicates"},
		{"the logs begin too late", func(_ *fakeBus, f *fakeReturning) { f.complete = false }, ExitRefused, "do not hold all of them"},
		{"the logs are not read", func(_ *fakeBus, f *fakeReturning) { f.unread = errors.New("no privilege") }, ExitRefused, "no privilege"},
		{"something cannot be undone", func(_ *fakeBus, f *fakeReturning) { f.undoable = errors.New("it holds DDL") }, ExitRefused, "it holds DDL"},
		{"a later transaction of both changed the table", func(_ *fakeBus, f *fakeReturning) {
			f.logs = append(f.logs, f.logs[0])
		}, ExitRefused, "came after them"},
		{"a later transaction of both may have changed the table by a foreign key", func(_ *fakeBus, f *fakeReturning) {
			f.logs = append(f.logs, later(cluster.Delete, "parent"))
		}, ExitRefused, "hand changes on"},
		{"whether it has is not to be seen", func(_ *fakeBus, f *fakeReturning) {
			f.logs, f.unseen = append(f.logs, later(cluster.Update, "other")), errors.New("no privilege")
		}, ExitRefused, "hand changes on"},
		{"the logs never had one of them", func(_ *fakeBus, f *fakeReturning) { f.logs = f.logs[:2] }, ExitRefused, "do not hold all of them"},
		{"a later transaction of both is not known", func(_ *fakeBus, f *fakeReturning) {
			f.logs = append(f.logs, cluster.Transaction{GTID: uuidA + ":9", Statements: []string{"CREATE TABLE x (i INT)"}})
		}, ExitRefused, "is not known"},
		{"the active has received some", func(_ *fakeBus, f *fakeReturning) { f.active.Channel.Received = uuidB + ":1-6" }, ExitRefused, "has received some"},
		{"undoing fails", func(_ *fakeBus, f *fakeReturning) { f.undoes = errors.New("0 rows") }, ExitRefused, "0 rows"},
		{"the answer to the commit is lost", func(_ *fakeBus, f *fakeReturning) { f.undoes, f.committed = errors.New("gone away"), true }, ExitUnknown, "gone away"},
		{"the server is lost while it commits", func(_ *fakeBus, f *fakeReturning) { f.undoes, f.lost = errors.New("gone away"), errors.New("refused") }, ExitUnknown, "gone away"},
		{"an unfinished discard, and more was written since", func(_ *fakeBus, f *fakeReturning) {
			f.noted = [2]string{uuidB + ":6", uuidA + ":1-9," + uuidB + ":1-5"}
		}, ExitRefused, "other transactions"},
		{"an unfinished discard beside another active", func(_ *fakeBus, f *fakeReturning) {
			f.noted = [2]string{uuidB + ":6-7", uuidA + ":1-9," + uuidB + ":1-5"}
			f.active.Executed = uuidA + ":1-8"
		}, ExitRefused, "lacks what"},
		{"forgetting fails", func(_ *fakeBus, f *fakeReturning) { f.forgets = errors.New("gone away") }, ExitUnknown, "gone away"},
		{"a copy of the active", func(_ *fakeBus, f *fakeReturning) { f.node.Identity = uuidA }, ExitRefused, "server_uuid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus, with := quarantined(), newReturning()
			c.change(bus, with)
			_, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with, Discard: true})
			var e *Error
			if !errors.As(err, &e) || e.Exit != c.exit || !strings.Contains(e.Message, c.says) {
				t.Fatalf("%v (%+v), want exit %d and %q", err, e, c.exit, c.says)
			}
			if with.forgot != "" || with.undone != nil && with.undoes == nil && with.forgets == nil {
				t.Errorf("something was changed: %d undone, kept %q", len(with.undone), with.forgot)
			}
		})
	}
}

// later is a transaction that the active has, too.
func later(kind cluster.ChangeKind, table string) cluster.Transaction {
	return cluster.Transaction{GTID: uuidA + ":9", Changes: []cluster.Change{{Table: cluster.Table{Schema: "app", Name: table}, Kind: kind}}}
}

// What both have, and touches nothing of it, holds a discard up no more than it must.
func TestRejoinDiscardsBeforeLaterTransactions(t *testing.T) {
	bus, with := quarantined(), newReturning()
	with.logs = append(with.logs, later(cluster.Update, "other"), later(cluster.Insert, "parent"))
	with.logs = append([]cluster.Transaction{later(cluster.Delete, "parent")}, with.logs...)
	q, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with})
	if err != nil || q.Refused != "" {
		t.Errorf("%v: refused %q", err, q.Refused)
	}
}

// A person takes a while to answer; what was judged before must still be so.
func TestRejoinLooksAgain(t *testing.T) {
	for name, change := range map[string]func(*fakeBus, *fakeReturning){
		"the server was opened":   func(_ *fakeBus, f *fakeReturning) { f.node.ReadOnly = cluster.No },
		"the server replicates":   func(_ *fakeBus, f *fakeReturning) { f.node.Channel.IO = cluster.ThreadYes },
		"the server has more":     func(_ *fakeBus, f *fakeReturning) { f.node.Executed = uuidA + ":1-9," + uuidB + ":1-8" },
		"another one is active":   func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Active = nodeB },
		"a change of role begins": func(b *fakeBus, _ *fakeReturning) { b.snap.Assignment.Phase = cluster.PhaseSwitching },
		"the bus is not there":    func(b *fakeBus, _ *fakeReturning) { b.down = errors.New("refused") },
		"the person says no then": nil,
	} {
		for state, noted := range map[string][2]string{
			"errant": {}, "unfinished": {uuidB + ":6-7", uuidA + ":1-9," + uuidB + ":1-5"},
		} {
			t.Run(name+", "+state, func(t *testing.T) {
				bus, with := quarantined(), newReturning()
				with.noted = noted
				_, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with, Discard: true, Confirm: func(q Quarantine) error {
					if q.State != state {
						t.Errorf("state %q", q.State)
					}
					if change == nil {
						return errors.New("no")
					}
					change(bus, with)
					return nil
				}})
				if err == nil || with.undone != nil || with.forgot != "" {
					t.Errorf("%v, %d undone, kept %q", err, len(with.undone), with.forgot)
				}
			})
		}
	}
}

func TestRejoinTellsWhatHoldsAServerUp(t *testing.T) {
	for _, c := range []struct {
		name       string
		change     func(*fakeReturning)
		state, way string
	}{
		{"it replicates", func(f *fakeReturning) { f.node.Channel.IO, f.node.Channel.SQL = cluster.ThreadYes, cluster.ThreadYes }, "replicates", ""},
		{"its agent starts it", func(*fakeReturning) {}, "waiting", "nothing is to be done"},
		{"purged", func(f *fakeReturning) { f.active.Purged = uuidA + ":1-12" }, "rebuild", "rebuild it"},
		{"what it wrote itself is lost", func(f *fakeReturning) { f.node.Executed = uuidA + ":1-9," + uuidB + ":1-4" }, "rebuild", "rebuild it"},
		{"another flavour", func(f *fakeReturning) { f.active.Flavor, f.active.Executed = cluster.MariaDB, "0-1-1" }, "flavor", "rebuild it"},
		{"emptied", func(f *fakeReturning) { f.node.Executed = "" }, "empty", "rebuild it"},
		{"no channel", func(f *fakeReturning) { f.node.Channel = cluster.Channel{} }, "no-channel", "point it to"},
		{"the receiving thread", func(f *fakeReturning) { f.node.Channel.IOErrno = 1045 }, "io-error", "mend"},
		{"the applying thread", func(f *fakeReturning) { f.node.Channel.SQLErrno = 1062 }, "sql-error", "rebuild it"},
		{"MariaDB's own position", func(f *fakeReturning) {
			f.node.Flavor, f.active.Flavor = cluster.MariaDB, cluster.MariaDB
			f.node.Executed, f.active.Executed = "0-1-9,0-2-5", "0-1-9,0-2-12"
			f.node.Channel.IOErrno = 1236
		}, "position-refused", "gtid_slave_pos = '0-1-9'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus, with := newBus(), newReturning()
			bus.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{nodeB: {"agent": {Order: bus.snap.Assignment.Order()}}}
			with.node.Executed = uuidA + ":1-9," + uuidB + ":1-5"
			c.change(with)
			q, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with})
			if err != nil || q.State != c.state || !strings.Contains(q.WayOut, c.way) || q.Reason == "" {
				t.Errorf("%v: %+v, want %s and %q", err, q, c.state, c.way)
			}
		})
	}
}

func TestRejoinNotes(t *testing.T) {
	bus := quarantined()
	bus.snap.Assignment.Known = map[cluster.Endpoint]string{nodeB: uuidB}
	for _, c := range []struct {
		name   string
		change func(*fakeReturning)
		want   string
	}{
		{"nothing", func(*fakeReturning) {}, ""},
		{"another server than the record knows", func(f *fakeReturning) { f.node.Identity = "y" }, "its server_uuid is y, and was " + uuidB},
		{"the server that was known", func(f *fakeReturning) {
			f.active.Channel = cluster.Channel{Configured: true, Source: nodeB, SourceIdentity: strings.ToUpper(uuidB)}
		}, ""},
		{"another server behind the address", func(f *fakeReturning) {
			f.active.Channel = cluster.Channel{Configured: true, Source: nodeB, SourceIdentity: "x"}
			bus.snap.Assignment.Known = nil
		}, "another server than before"},
		{"the active replicates from elsewhere", func(f *fakeReturning) {
			f.active.Channel = cluster.Channel{Configured: true, Source: "10.0.21.9:3308", SourceIdentity: "x"}
		}, ""},
		{"an older release", func(f *fakeReturning) { f.node.Version, f.active.Version = "8.4.9", "9.7.4" }, "older than the active"},
		{"another patch of one release", func(f *fakeReturning) { f.node.Version, f.active.Version = "9.7.3", "9.7.4-2" }, ""},
		{"a newer release", func(f *fakeReturning) { f.node.Version, f.active.Version = "10.11.2", "10.5.30" }, ""},
		{"another active than the record knows", func(f *fakeReturning) {
			bus.snap.Assignment.Known = map[cluster.Endpoint]string{nodeA: "x"}
		}, "find out first which of both has the data; of " + string(nodeA) + ", the active: another server than before is behind this address: its server_uuid is " + uuidA + ", and was x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := newReturning()
			c.change(with)
			q, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with})
			if got := strings.Join(q.Notes, ";"); err != nil || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%v: %q, want %q", err, got, c.want)
			}
		})
	}
}

func TestRejoinWaitsForTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, with := quarantined(), &slowReturning{newReturning()}
		q, err := New(Options{Bus: bus}).Rejoin(t.Context(), Rejoin{Pair: pair, Node: nodeB, With: with, Discard: true})
		var e *Error
		if !errors.As(err, &e) || e.Code != "not-replicating" || !q.Done {
			t.Errorf("%v: %+v", err, q)
		}
	})
}

// slowReturning is a server whose agent is away.
type slowReturning struct{ *fakeReturning }

func (*slowReturning) Forget(context.Context, string, string) error { return nil }
