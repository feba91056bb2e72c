package check

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// OneWriter finds rows that one server took while another was the active.
//
// What it rests on: the epoch row is on a server before that is opened, replicates, and
// never falls, and a row carries what the epoch row said in the statement that wrote it.
// So when a row of epoch 8 has been acknowledged, whoever writes epoch 7 into one that was
// invoked later does not know of epoch 8 and is not its active. A row invoked before is
// no fault, however late it is told: it may have been written before. A row whose outcome is
// unknown was written after its invocation all the same, and counts when it is there.
//
// An acknowledged row that is on no server says nothing of its epoch. It counts when
// it was invoked and told between two acknowledged rows of another server of one and the
// same epoch: that server then was the active before and after, by the same right,
// or it is itself the one that wrote beside another.
//
// The milliseconds of a lower epoch are those from the first acknowledgement of a higher one on
// another server to the last return of such a row (to its invocation, when the outcome is
// unknown). They are a finding unless the trail says that the higher epoch's active was
// named by a risk, or does not know that epoch. Two servers in one epoch are a finding unless
// it says so: who hangs and wakes may receive the epoch row before it is closed.
// An epoch that falls on one server is a finding unless an operator has forced something.
func OneWriter(r Round) ([]Finding, Sums) {
	w := writers{round: r, byEpoch: map[cluster.Epoch][]written{}}
	w.collect()
	w.identities()
	for _, e := range w.epochs {
		w.shared(e)
		w.late(e)
	}
	w.rowless()
	return w.found, w.sums
}

// written is a row that is there, with the operation that wrote it.
type written struct {
	op  history.Op
	row history.Row
}

type writers struct {
	round   Round
	byEpoch map[cluster.Epoch][]written
	epochs  []cluster.Epoch
	gone    []history.Op // acknowledged, and on no server
	found   []Finding
	sums    Sums
}

func (w *writers) find(format string, args ...any) {
	w.found = append(w.found, Finding{"one writer", fmt.Sprintf(format, args...)})
}

func (w *writers) collect() {
	rows := map[id]history.Row{}
	for _, e := range w.round.servers() {
		for _, row := range w.round.Tables[e].Rows {
			i := idOf(row)
			if was, ok := rows[i]; ok && was != row {
				w.find("row %s is of epoch %d and server %d, and elsewhere of epoch %d and server %d", i, was.Epoch, was.Server, row.Epoch, row.Server)
			}
			rows[i] = row
		}
	}
	for _, op := range w.round.Ops {
		if !op.IsRow() {
			continue
		}
		row, ok := rows[id{op.Client, op.Seq}]
		switch {
		case ok && row.Epoch > 0:
			w.byEpoch[row.Epoch] = append(w.byEpoch[row.Epoch], written{op, row})
		case !ok && op.Outcome == history.OK:
			w.gone = append(w.gone, op)
		}
	}
	w.epochs = slices.Sorted(maps.Keys(w.byEpoch))
}

// identities judges that who was asked is who wrote.
func (w *writers) identities() {
	ids := map[cluster.Endpoint]uint32{}
	for _, e := range w.epochs {
		for _, x := range w.byEpoch[e] {
			if was, ok := ids[x.op.Server]; ok && was != x.row.Server {
				w.find("row %s was written to %s by server %d, which was server %d before", idOf(x.row), x.op.Server, x.row.Server, was)
			}
			ids[x.op.Server] = x.row.Server
		}
	}
}

// shared judges that one server wrote in an epoch.
func (w *writers) shared(e cluster.Epoch) {
	by := map[uint32][]id{}
	for _, x := range w.byEpoch[e] {
		by[x.row.Server] = append(by[x.row.Server], idOf(x.row))
	}
	if len(by) < 2 {
		return
	}
	if risk, known := w.round.Trail.risk(e, w.round.Weak); known && risk {
		return
	}
	text := ""
	for _, server := range slices.Sorted(maps.Keys(by)) {
		text += fmt.Sprintf("; server %d wrote %s", server, some(by[server]))
	}
	w.find("epoch %d has %d servers%s", e, len(by), text)
}

// late judges the rows of an epoch that were written after a higher one had begun.
func (w *writers) late(e cluster.Epoch) {
	for server, rows := range group(w.byEpoch[e], func(x written) uint32 { return x.row.Server }) {
		higher, since, own, sinceOwn := w.beyond(e, server)
		var dual, fell []id
		var until time.Time
		for _, x := range rows {
			if !since.IsZero() {
				switch {
				case x.op.Invoke.After(since):
					dual = append(dual, idOf(x.row))
					until = latest(until, ended(x.op))
				case x.op.Outcome == history.OK && x.op.Return.After(since):
					w.sums.ToldLate++
				}
			}
			if !sinceOwn.IsZero() && x.op.Invoke.After(sinceOwn) {
				fell = append(fell, idOf(x.row))
			}
		}
		if len(fell) > 0 && !w.round.Trail.forced() {
			w.find("server %d wrote %s in epoch %d after it had acknowledged rows of epoch %d", server, some(fell), e, own)
		}
		if len(dual) > 0 {
			w.dual(fmt.Sprintf("server %d wrote %s in epoch %d", server, some(dual), e), len(dual), higher, until.Sub(since))
		}
	}
}

// dual counts rows of two writers, and finds fault with them unless the record named a risk.
func (w *writers) dual(text string, rows int, higher cluster.Epoch, d time.Duration) {
	w.sums.DualRows += rows
	w.sums.Dual += d
	if risk, known := w.round.Trail.risk(higher, w.round.Weak); known && !risk {
		w.find("%s, up to %s after epoch %d had acknowledged its first on another server, and no record names a risk", text, ms(d), higher)
	}
}

// beyond finds the higher epoch that another server was the first to acknowledge a row
// in, and the one that the same server was.
func (w *writers) beyond(e cluster.Epoch, server uint32) (other cluster.Epoch, since time.Time, own cluster.Epoch, sinceOwn time.Time) {
	for _, higher := range w.epochs {
		if higher <= e {
			continue
		}
		for _, x := range w.byEpoch[higher] {
			switch {
			case x.op.Outcome != history.OK:
			case x.row.Server == server:
				if sinceOwn.IsZero() || x.op.Return.Before(sinceOwn) {
					own, sinceOwn = higher, x.op.Return
				}
			case since.IsZero() || x.op.Return.Before(since):
				other, since = higher, x.op.Return
			}
		}
	}
	return other, since, own, sinceOwn
}

// rowless judges acknowledged rows that are on no server.
func (w *writers) rowless() {
	for _, e := range w.epochs {
		for holder, rows := range group(w.byEpoch[e], func(x written) cluster.Endpoint { return x.op.Server }) {
			var first, last, until time.Time // from the first return to the last invocation
			for _, x := range rows {
				if x.op.Outcome != history.OK {
					continue
				}
				if first.IsZero() || x.op.Return.Before(first) {
					first = x.op.Return
				}
				last = latest(last, x.op.Invoke)
			}
			by := map[cluster.Endpoint][]id{}
			for _, op := range w.gone {
				if !first.IsZero() && op.Server != holder && op.Invoke.After(first) && op.Return.Before(last) {
					by[op.Server] = append(by[op.Server], id{op.Client, op.Seq})
					until = latest(until, op.Return)
				}
			}
			for server, ids := range by {
				w.dual(fmt.Sprintf("%s acknowledged %s that are on no server", server, some(ids)), len(ids), e, until.Sub(first))
			}
		}
	}
}

// ended is when an operation was over for certain.
func ended(op history.Op) time.Time {
	if op.Outcome == history.OK {
		return op.Return
	}
	return op.Invoke
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func group[K comparable, V any](of []V, key func(V) K) map[K][]V {
	m := map[K][]V{}
	for _, v := range of {
		m[key(v)] = append(m[key(v)], v)
	}
	return m
}
