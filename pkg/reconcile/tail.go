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
	p, lost, sure := in.surelyLost(p)
	if sure && lost != "" {
		p.Tail = lost
		p = p.because(reasonTail(lost, in.Peer))
	}
	return p, lost != "" || !sure
}

// surelyLost is the tail once nothing that the server was still writing can be taken for it: a commit that
// waits for its disk, or for an acknowledgement, the other may have before the server shows it as its own. Until then the
// plan says what is looked at next.
func (in *Input) surelyLost(p Plan) (with Plan, lost string, sure bool) {
	switch tail := Tail(in.Mine.Server, in.Theirs.Server); {
	case tail == "" || tail == in.Memory.Lost:
		p.Lost = tail
		return p, tail, true
	case in.Memory.Idle < in.Theirs.PosEnded:
		return p.with(step(Settle, "", ReasonComparing)), "", false
	case in.Mine.PosBegan < in.Memory.Idle:
		return p.with(step(Read, "", ReasonComparing)), "", false
	default:
		p.Lost = tail
		return p, tail, true
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
