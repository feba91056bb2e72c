package reconcile

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// Tail is what s wrote itself and lacks, in gtid text, though other has it or has received it: it was lost in
// a crash, with a disk that did not keep what was synced, or is not told to (sync_binlog).
// What s writes next takes the same numbers, and replication, which knows transactions by these, never
// makes the two equal again. Empty where nothing was lost, and where positions cannot be read.
func Tail(s, other cluster.Server) string {
	if s.Identity == "" || s.Flavor != other.Flavor {
		return ""
	}
	has, err := gtid.Parse(s.Flavor, s.Executed)
	if err != nil {
		return ""
	}
	known, err := gtid.Parse(s.Flavor, other.Executed)
	if err != nil {
		return ""
	}
	if received, err := gtid.Parse(s.Flavor, other.Channel.Received); err == nil {
		known = known.Union(received)
	}
	lacks := known.Minus(has)
	return lacks.Minus(lacks.WithoutOrigin(s.Identity)).String()
}

// lostTail is why an active that was started anew is not opened.
func (in *Input) lostTail(p Plan) (Plan, bool) {
	switch {
	case in.Record.Phase != cluster.PhaseSteady || !in.Theirs.Answers():
		return p, false
	case in.Theirs.PosBegan < in.Memory.Since:
		p.AskPeer = true
		return p.because(ReasonComparing), true
	}
	switch tail := Tail(in.Mine.Server, in.Theirs.Server); {
	case tail == "":
		return p, false
	case in.Mine.PosBegan < in.Theirs.PosEnded: // it may have written that since it was read
		return p.with(step(Read, "", ReasonComparing)), true
	default:
		p.Tail = tail
		return p.because(reasonTail(tail, in.Peer)), true
	}
}

// reasonSkips has the code of what only a rebuild mends.
func reasonSkips(tail string) cluster.Reason {
	return cluster.Reason{Code: "rebuild",
		Text: fmt.Sprintf("it has lost %s, which it wrote itself: a replica skips what bears its own name, so that it must be rebuilt from the active", tail)}
}

func reasonTail(tail string, other cluster.Endpoint) cluster.Reason {
	return cluster.Reason{Code: "tail",
		Text: fmt.Sprintf("it has lost %s, which it wrote and %s has: whatever it wrote now would bear the same numbers", tail, other)}
}
