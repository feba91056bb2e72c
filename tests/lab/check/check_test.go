package check

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

const (
	a = cluster.Endpoint("db1:3306")
	b = cluster.Endpoint("db2:3306")
)

var zero = time.Now()

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// story builds a round: the role goes from a, epoch 1, to b, epoch 2.
type story struct {
	Round
	next int64
	rows map[cluster.Endpoint][]history.Row
}

func newStory() *story {
	s := &story{rows: map[cluster.Endpoint][]history.Row{a: nil, b: nil}}
	s.Promises = []Promise{{From: at(-1000), To: at(100000), Waits: true}}
	s.Trail = NewTrail()
	s.Trail.Add(1, event(1, 1, 1, cluster.PhaseSteady, a, cluster.ProofGone), event(2, 2, 1, cluster.PhaseSteady, b, cluster.ProofFenced))
	return s
}

func event(id uint64, epoch cluster.Epoch, version uint64, phase cluster.Phase, active cluster.Endpoint, proof cluster.Proof) cluster.Event {
	text := zero.Add(time.Duration(id) * time.Millisecond).UnixMilli()
	return cluster.Event{ID: strconv.FormatInt(text, 10) + "-0", Kind: "test", Assignment: cluster.Assignment{Epoch: epoch, Version: version, Phase: phase, Active: active, Proof: proof}}
}

// op adds an operation and returns it to be changed.
func (s *story) op(kind history.Kind, server cluster.Endpoint, from, to int, outcome history.Outcome) *history.Op {
	s.next++
	s.Ops = append(s.Ops, history.Op{Client: 1, Seq: s.next, Kind: kind, Server: server, Invoke: at(from), Return: at(to), Outcome: outcome})
	return &s.Ops[len(s.Ops)-1]
}

// insert adds an insert that a server took in an epoch; it is on both servers.
func (s *story) insert(server cluster.Endpoint, epoch cluster.Epoch, from, to int, outcome history.Outcome) id {
	op := s.op(history.Insert, server, from, to, outcome)
	row := history.Row{Client: op.Client, Seq: op.Seq, Epoch: epoch, Server: map[cluster.Endpoint]uint32{a: 1, b: 2}[server]}
	s.rows[a], s.rows[b] = append(s.rows[a], row), append(s.rows[b], row)
	return idOf(row)
}

func (s *story) remove(i id, from ...cluster.Endpoint) {
	for _, e := range from {
		s.rows[e] = slices.DeleteFunc(s.rows[e], func(r history.Row) bool { return idOf(r) == i })
	}
}

// usual is a failover with nothing wrong in it.
func (s *story) usual() {
	for n := range 20 {
		s.insert(a, 1, n*10, n*10+5, history.OK)
	}
	s.remove(s.insert(a, 1, 200, 1200, history.Unknown), a, b)
	s.insert(a, 1, 201, 1201, history.Unknown)
	s.op(history.Insert, b, 210, 211, history.Refused)
	for n := range 20 {
		s.insert(b, 2, 300+n*10, 300+n*10+5, history.OK)
	}
	s.insert(a, 1, 203, 400, history.OK) // written before, told late
	s.op(history.Total, a, 10, 12, history.OK).Value = 800
	s.op(history.Total, b, 310, 312, history.Unknown).Value = 5
	s.op(history.Transfer, b, 320, 322, history.OK).Value = 7
	swap := s.op(history.CAS, a, 20, 22, history.OK)
	swap.Key, swap.Old, swap.New, swap.Swapped = 3, 0, 77, true
	s.op(history.Read, b, 330, 331, history.OK).Key = 3
	s.Ops[len(s.Ops)-1].Value = 77
}

func (s *story) check() ([]Finding, Sums) {
	s.Tables = map[cluster.Endpoint]history.Tables{}
	for e, rows := range s.rows {
		t := history.Tables{Rows: rows, Registers: map[int64]int64{}, Accounts: map[int64]int64{}}
		for k := range int64(history.Registers) {
			t.Registers[k] = 0
		}
		t.Registers[3] = 77
		for k := range int64(history.Accounts) {
			t.Accounts[k] = history.Balance
		}
		s.Tables[e] = t
	}
	return Check(s.Round, 10*time.Second)
}

func TestGoodRound(t *testing.T) {
	s := newStory()
	s.usual()
	found, sums := s.check()
	if len(found) > 0 {
		t.Errorf("findings of a good round: %v", found)
	}
	want := Sums{Acknowledged: 41, Unknown: 2, UnknownPresent: 1, Refused: 1, ToldLate: 1, Registers: history.Registers, Totals: 1, Transfers: 1}
	if sums != want {
		t.Errorf("sums are %+v, want %+v", sums, want)
	}
}

// wants tells what each broken history is to be found out for.
type wants struct {
	name    string
	tell    func(*story)
	finding string // part of one; empty for none at all
	sums    func(Sums) bool
}

func TestRowsAndWriters(t *testing.T) {
	for _, c := range []wants{
		{"an acknowledged row that was promised is on one server alone", func(s *story) { s.remove(s.insert(b, 2, 900, 905, history.OK), a) },
			"db1:3306 lacks 1 rows", func(s Sums) bool { return s.LostPromised == 1 && s.LostUnpromised == 0 }},
		{"and on neither", func(s *story) { s.remove(s.insert(b, 2, 900, 905, history.OK), a, b) },
			"promised that both", func(s Sums) bool { return s.LostPromised == 1 }},
		{"one that was not promised is on neither", func(s *story) {
			s.Promises = []Promise{{at(-1000), at(902), true}, {at(902), at(5000), false}}
			s.remove(s.insert(b, 2, 900, 905, history.OK), a, b)
		}, "", func(s Sums) bool { return s.LostPromised == 0 && s.LostUnpromised == 1 && s.RegistersSkipped == 1 }},
		{"a row whose outcome is unknown is on one server alone", func(s *story) { s.remove(s.insert(b, 2, 900, 905, history.Unknown), a) }, "db1:3306 lacks", nil},
		{"a row that nobody has written", func(s *story) {
			s.rows[a] = append(s.rows[a], history.Row{Client: 9, Seq: 9, Epoch: 2, Server: 2})
			s.rows[b] = append(s.rows[b], history.Row{Client: 9, Seq: 9, Epoch: 2, Server: 2})
		}, "nobody has written", nil},
		{"a row that was refused", func(s *story) { s.insert(b, 2, 900, 905, history.Refused) }, "were refused", nil},
		{"a row that is there twice", func(s *story) { s.rows[a] = append(s.rows[a], s.rows[a][0]) }, "twice", nil},
		{"a row that is of two epochs", func(s *story) { s.rows[a][0].Epoch = 7 }, "elsewhere of epoch", nil},

		{"the old active writes after the new one", func(s *story) { s.insert(a, 1, 340, 345, history.OK) }, "no record names a risk",
			func(s Sums) bool { return s.DualRows == 1 && s.Dual == 40*time.Millisecond }},
		{"and its client was not told", func(s *story) { s.insert(a, 1, 340, 1345, history.Unknown) }, "no record names a risk",
			func(s Sums) bool { return s.DualRows == 1 && s.Dual == 35*time.Millisecond }},
		{"and the record named a risk", func(s *story) {
			s.insert(a, 1, 340, 345, history.OK)
			s.Trail = NewTrail()
			s.Trail.Add(1, event(2, 2, 1, cluster.PhaseOpening, b, cluster.RiskHung))
		}, "", func(s Sums) bool { return s.DualRows == 1 && s.Dual == 40*time.Millisecond }},
		{"and an agent named a risk", func(s *story) {
			s.insert(a, 1, 340, 345, history.OK)
			s.Trail.Opened(Opening{Agent: "x", Server: b, Order: cluster.Order{Epoch: 2, Version: 1}, At: at(299), Risk: "it did not answer"})
		}, "", func(s Sums) bool { return s.DualRows == 1 }},
		{"and its proof is weak in this round", func(s *story) {
			s.insert(a, 1, 340, 345, history.OK)
			s.Weak = []cluster.Proof{cluster.ProofFenced}
		}, "", func(s Sums) bool { return s.DualRows == 1 }},
		{"and there is no trail", func(s *story) {
			s.insert(a, 1, 340, 345, history.OK)
			s.Trail = nil
		}, "", func(s Sums) bool { return s.DualRows == 1 }},
		{"invoked before the new one has acknowledged", func(s *story) { s.insert(a, 1, 304, 390, history.OK) }, "",
			func(s Sums) bool { return s.DualRows == 0 && s.ToldLate == 2 }},
		{"two servers in one epoch", func(s *story) { s.insert(a, 2, 600, 605, history.OK) }, "epoch 2 has 2 servers", nil},
		{"two servers in one epoch by a risk", func(s *story) {
			s.insert(a, 2, 600, 605, history.OK)
			s.Trail = NewTrail()
			s.Trail.Add(1, event(2, 2, 1, cluster.PhaseOpening, b, cluster.RiskHung))
		}, "", nil},
		{"the epoch falls", func(s *story) { s.insert(b, 3, 600, 605, history.OK); s.insert(b, 2, 606, 610, history.OK) }, "after it had acknowledged rows of epoch 3", nil},
		{"the epoch rises and the active stays", func(s *story) { s.insert(b, 3, 600, 605, history.OK) }, "", nil},
		{"another server writes than the one that was asked", func(s *story) {
			i := s.insert(b, 3, 600, 605, history.OK)
			for _, e := range []cluster.Endpoint{a, b} {
				for n := range s.rows[e] {
					if idOf(s.rows[e][n]) == i {
						s.rows[e][n].Server = 9
					}
				}
			}
		}, "which was server 2 before", nil},
		{"the old active acknowledges what is on no server", func(s *story) {
			s.Promises = nil
			s.remove(s.insert(a, 1, 340, 345, history.OK), a, b)
		}, "that are on no server", func(s Sums) bool { return s.DualRows == 1 && s.LostUnpromised == 1 }},
		{"that may have been before the switch", func(s *story) {
			s.Promises = nil
			s.remove(s.insert(a, 1, 302, 345, history.OK), a, b)
		}, "", func(s Sums) bool { return s.DualRows == 0 && s.LostUnpromised == 1 }},
		{"that may have been the active again", func(s *story) {
			s.Promises = nil
			s.remove(s.insert(a, 3, 600, 605, history.OK), a, b)
			s.insert(b, 4, 700, 705, history.OK)
		}, "", func(s Sums) bool { return s.DualRows == 0 && s.LostUnpromised == 1 }},
	} {
		s := newStory()
		s.usual()
		c.tell(s)
		found, sums := s.check()
		expect(t, c.name, found, c.finding)
		if c.sums != nil && !c.sums(sums) {
			t.Errorf("%s: sums are %+v", c.name, sums)
		}
	}
}

// expect wants one finding with the text, or none.
func expect(t *testing.T, name string, found []Finding, text string) {
	t.Helper()
	has := slices.ContainsFunc(found, func(f Finding) bool { return strings.Contains(f.String(), text) })
	if text == "" && len(found) > 0 || text != "" && !has {
		t.Errorf("%s: findings are %v, want %q", name, found, text)
	}
}

func TestRegisters(t *testing.T) {
	type op struct {
		kind     history.Kind
		from, to int
		outcome  history.Outcome
		value    int64 // of a read
		old, new int64
		swapped  bool
	}
	const read, cas = history.Read, history.CAS
	for _, c := range []struct {
		name  string
		ops   []op
		final [2]int64
		legal bool
	}{
		{"one after the other", []op{{cas, 0, 5, history.OK, 0, 0, 1, true}, {read, 6, 9, history.OK, 1, 0, 0, false}, {cas, 10, 15, history.OK, 0, 1, 2, true}}, [2]int64{2, 2}, true},
		{"side by side", []op{{cas, 0, 50, history.OK, 0, 0, 1, true}, {read, 6, 9, history.OK, 0, 0, 0, false}, {read, 10, 15, history.OK, 1, 0, 0, false}}, [2]int64{1, 1}, true},
		{"a committed read is stale", []op{{cas, 0, 5, history.OK, 0, 0, 1, true}, {read, 6, 9, history.OK, 0, 0, 0, false}}, [2]int64{1, 1}, false},
		{"a value comes back", []op{{read, 0, 1, history.OK, 0, 0, 0, false}, {cas, 2, 50, history.OK, 0, 0, 1, true}, {read, 6, 9, history.OK, 1, 0, 0, false}, {read, 10, 15, history.OK, 0, 0, 0, false}}, [2]int64{1, 1}, false},
		{"an acknowledged one is lost in the end", []op{{cas, 0, 5, history.OK, 0, 0, 1, true}}, [2]int64{1, 0}, false},
		{"two swap the same value", []op{{cas, 0, 5, history.OK, 0, 0, 1, true}, {cas, 6, 9, history.OK, 0, 0, 2, true}}, [2]int64{2, 2}, false},
		{"what swapped nothing tells nothing", []op{{cas, 0, 5, history.OK, 0, 0, 1, true}, {cas, 6, 9, history.OK, 0, 1, 2, false}}, [2]int64{1, 1}, true},
		{"an unknown one has happened", []op{{cas, 0, 5, history.Unknown, 0, 0, 1, false}, {read, 6, 9, history.OK, 1, 0, 0, false}}, [2]int64{1, 1}, true},
		{"an unknown one happens later", []op{{cas, 0, 5, history.Unknown, 0, 0, 1, false}, {read, 6, 9, history.OK, 0, 0, 0, false}, {read, 10, 11, history.OK, 1, 0, 0, false}}, [2]int64{1, 1}, true},
		{"an unknown one happens never", []op{{cas, 0, 5, history.Unknown, 0, 0, 1, false}, {read, 6, 9, history.OK, 0, 0, 0, false}}, [2]int64{0, 0}, true},
		{"an unknown one happens twice", []op{{cas, 0, 5, history.Unknown, 0, 0, 1, false}, {cas, 6, 7, history.OK, 0, 1, 0, true}, {read, 8, 9, history.OK, 1, 0, 0, false}}, [2]int64{1, 1}, false},
		{"an unknown one happens before it was asked for", []op{{read, 0, 1, history.OK, 1, 0, 0, false}, {cas, 2, 5, history.Unknown, 0, 0, 1, false}}, [2]int64{1, 1}, false},
		{"a refused one has happened", []op{{cas, 0, 5, history.Refused, 0, 0, 1, false}}, [2]int64{1, 1}, false},
	} {
		r := Round{Tables: map[cluster.Endpoint]history.Tables{a: {Registers: map[int64]int64{5: c.final[0]}}, b: {Registers: map[int64]int64{5: c.final[1]}}}}
		for n, o := range c.ops {
			r.Ops = append(r.Ops, history.Op{Client: n, Kind: o.kind, Key: 5, Server: a, Invoke: at(o.from), Return: at(o.to), Outcome: o.outcome,
				Old: o.old, New: o.new, Swapped: o.swapped, Value: o.value})
		}
		found, sums := Registers(r, time.Second)
		if (len(found) == 0) != c.legal || sums.RegistersUnknown > 0 {
			t.Errorf("%s: findings %v, sums %+v; legal is to be %v", c.name, found, sums, c.legal)
		}
	}
}

// Many clients of one register, many of whom do not know what became of theirs: the time is bounded.
func TestRegistersAreBounded(t *testing.T) {
	r := Round{Tables: map[cluster.Endpoint]history.Tables{a: {Registers: map[int64]int64{1: 1}}}}
	for n := range 40 {
		r.Ops = append(r.Ops, history.Op{Client: n, Kind: history.CAS, Key: 1, Invoke: at(0), Return: at(1), Outcome: history.Unknown, Old: int64(n % 7), New: int64((n*n + 1) % 7)})
	}
	for n := range 60 {
		r.Ops = append(r.Ops, history.Op{Client: n, Kind: history.Read, Key: 1, Invoke: at(2 + n), Return: at(30 + n), Outcome: history.OK, Value: int64(n * 3 % 7)})
	}
	r.Ops = append(r.Ops, history.Op{Kind: history.Read, Key: 1, Invoke: at(200), Return: at(201), Outcome: history.OK, Value: 99})
	began := time.Now()
	found, sums := Registers(r, 200*time.Millisecond)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
	if sums.RegistersUnknown+len(found) != 1 {
		t.Errorf("findings %v, sums %+v; want one that is illegal, or for which time was too short", found, sums)
	}
}

func TestRegistersOnlyWherePromised(t *testing.T) {
	stale := func(s *story) { s.op(history.Read, b, 400, 401, history.OK).Key = 3 }
	s := newStory()
	s.usual()
	stale(s)
	found, _ := s.check()
	expect(t, "promised", found, "explains register 3")
	s.Promises = nil
	found, sums := s.check()
	expect(t, "not promised", found, "")
	if sums.RegistersSkipped != 1 {
		t.Errorf("sums are %+v, want registers skipped", sums)
	}
}

func TestTransfers(t *testing.T) {
	for _, c := range []struct {
		name    string
		tell    func(*Round)
		finding string
	}{
		{"all is there", func(*Round) {}, ""},
		{"a read sum is wrong", func(r *Round) { r.Ops[0].Value = 799 }, "read a sum of 799"},
		{"one that was not committed says nothing", func(r *Round) { r.Ops[0].Value, r.Ops[0].Outcome = 799, history.Unknown }, ""},
		{"money is lost on one server", func(r *Round) { r.Tables[b].Accounts[2]-- }, "db2:3306 has 799"},
		{"an account is lost", func(r *Round) { delete(r.Tables[b].Accounts, 2); r.Tables[b].Accounts[3] += 100 }, "in 7 accounts"},
		{"an account is below nothing", func(r *Round) { r.Tables[b].Accounts[2] -= 200; r.Tables[b].Accounts[3] += 200 }, "-90 in account 2"},
	} {
		r := Round{Ops: []history.Op{{Kind: history.Total, Outcome: history.OK, Value: 800}}, Tables: map[cluster.Endpoint]history.Tables{}}
		for _, e := range []cluster.Endpoint{a, b} {
			r.Tables[e] = history.Tables{Accounts: map[int64]int64{0: 100, 1: 90, 2: 110, 3: 100, 4: 100, 5: 100, 6: 100, 7: 100}}
		}
		c.tell(&r)
		found, _ := Transfers(r)
		expect(t, c.name, found, c.finding)
	}
}

func TestSecrets(t *testing.T) {
	secrets := []string{"s3cret#1", "", "hunter2"}
	long := strings.Repeat("x", 64<<10-4)
	for _, c := range []struct {
		name, text, finding string
	}{
		{"none", "all is well\ns3cret#2 hunter\n2", ""},
		{"one", "all is well\npassword=s3cret#1\n", "log, line 2, holds secret 1 of 3"},
		{"at the end, without a newline", "a\nb\nhunter2", "line 3, holds secret 3"},
		{"over the end of a buffer", long + "hunter2", "line 1, holds secret 3"},
	} {
		found := Secrets(strings.NewReader(c.text), "log", secrets)
		expect(t, c.name, found, c.finding)
		for _, f := range found {
			if strings.Contains(f.Text, "s3cret") || strings.Contains(f.Text, "hunter") {
				t.Errorf("%s: the finding tells the secret: %s", c.name, f)
			}
		}
	}
	if n := len(Secrets(strings.NewReader("hunter2 hunter2\nhunter2"), "log", secrets)); n != 1 {
		t.Errorf("one secret in several places is %d findings, want 1", n)
	}
}

func TestGrowth(t *testing.T) {
	most := Sample{Threads: 5, FDs: 5, RSS: 10 << 20}
	start := map[string]Sample{"agent": {20, 30, 40 << 20}, "monitor": {20, 30, 40 << 20}}
	for _, c := range []struct {
		name    string
		end     map[string]Sample
		finding string
	}{
		{"within bounds", map[string]Sample{"agent": {25, 35, 50 << 20}, "monitor": {1, 1, 1}, "new": {1000, 1, 1}}, ""},
		{"threads", map[string]Sample{"agent": {26, 30, 40 << 20}, "monitor": {}}, "agent has gone from 20 to 26 threads"},
		{"open files", map[string]Sample{"agent": {20, 36, 40 << 20}, "monitor": {}}, "open files"},
		{"memory", map[string]Sample{"agent": {20, 30, 51 << 20}, "monitor": {}}, "bytes of memory"},
		{"gone", map[string]Sample{"agent": {}}, "monitor has no sample"},
	} {
		expect(t, c.name, Growth(start, c.end, most), c.finding)
	}
}
