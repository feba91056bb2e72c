package reconcile_test

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

const (
	a = cluster.Endpoint("10.0.0.1:3306")
	b = cluster.Endpoint("10.0.0.2:3306")
	x = cluster.Endpoint("10.6.6.6:3306")

	u1 = "11111111-1111-1111-1111-111111111111"
	u2 = "22222222-2222-2222-2222-222222222222"
)

// given starts a situation: a healthy closed server b beside an open a, epoch
// 5.3 steady with a active, every sample read in order and just now.
func given(with ...func(*reconcile.Input)) reconcile.Input {
	in := reconcile.Input{
		Self: b, Peer: a, Known: true,
		Record: cluster.Assignment{Epoch: 5, Version: 3, Phase: cluster.PhaseSteady,
			Active: a, Passive: b, From: b, To: a, Proof: cluster.ProofFenced},
		OrderTick: 1,
		Mine:      sample(10, cluster.Yes, a),
		Theirs:    sample(20, cluster.No, b),
		Accounts:  reconcile.Accounts{Shared: true},
		Memory:    reconcile.Memory{Connected: true, Spare: true},
		Tries:     3,
		Now:       time.Minute,
	}
	for _, f := range with {
		f(&in)
	}
	return in
}

func sample(tick uint64, readOnly cluster.Tri, source cluster.Endpoint) reconcile.Sample {
	return reconcile.Sample{
		Began: tick, Ended: tick + 1, PosBegan: tick, PosEnded: tick + 1, At: time.Minute,
		Server: cluster.Server{
			Flavor: cluster.MySQL, ReadOnly: readOnly, GTIDMode: true,
			Executed: u1 + ":1-10",
			Channel: cluster.Channel{Configured: true, Source: source, GTID: true,
				IO: cluster.ThreadYes, SQL: cluster.ThreadYes},
		},
	}
}

type input = reconcile.Input

func onActive(in *input) {
	in.Self, in.Peer = a, b
	in.Mine, in.Theirs = sample(20, cluster.No, b), sample(10, cluster.Yes, a)
}

// asked: the other server was read since this one was seen as it is.
func asked(in *input) { in.Theirs.Began, in.Theirs.PosBegan, in.Theirs.PosEnded = 30, 30, 31 }

func phase(p cluster.Phase, from, to cluster.Endpoint) func(*input) {
	return func(in *input) {
		in.Record.Phase, in.Record.From, in.Record.To = p, from, to
		switch p {
		case cluster.PhaseRevoked:
			in.Record.Active, in.Record.Passive = "", ""
		case cluster.PhaseSwitching:
			in.Record.Active, in.Record.Passive = from, to
		default:
			in.Record.Active, in.Record.Passive = to, from
		}
	}
}

func proof(p cluster.Proof) func(*input)  { return func(in *input) { in.Record.Proof = p } }
func target(t string) func(*input)        { return func(in *input) { in.Record.Target = t } }
func executed(t string) func(*input)      { return func(in *input) { in.Mine.Server.Executed = t } }
func received(t string) func(*input)      { return func(in *input) { in.Mine.Server.Channel.Received = t } }
func mineRO(t cluster.Tri) func(*input)   { return func(in *input) { in.Mine.Server.ReadOnly = t } }
func theirsRO(t cluster.Tri) func(*input) { return func(in *input) { in.Theirs.Server.ReadOnly = t } }
func threads(io, sql cluster.Thread) func(*input) {
	return func(in *input) { in.Mine.Server.Channel.IO, in.Mine.Server.Channel.SQL = io, sql }
}
func fails(c cluster.Cause, n int) func(*input) {
	return func(in *input) { in.Mine.Cause, in.Mine.Failures, in.Memory.Connected = c, n, false }
}
func peerFails(c cluster.Cause, n int) func(*input) {
	return func(in *input) { in.Theirs.Cause, in.Theirs.Failures = c, n }
}
func remembers(o cluster.Order) func(*input) {
	return func(in *input) {
		in.Remembers = in.Record
		in.Remembers.Epoch, in.Remembers.Version = o.Epoch, o.Version
	}
}
func memory(f func(*reconcile.Memory)) func(*input) { return func(in *input) { f(&in.Memory) } }
func mode(active, passive cluster.Endpoint) func(*input) {
	return func(in *input) {
		in.Record = cluster.Assignment{}
		in.Legacy = cluster.LegacyMode{Active: active, Passive: passive}
	}
}
func suspected(set string, ago time.Duration) func(*input) {
	return func(in *input) {
		in.Memory.Suspect, in.Memory.SuspectAt, in.Memory.SuspectTick = set, in.Now-ago, 5
	}
}

// drained: nothing is received any more.
func drained(in *input) { in.Mine.Server.Channel.IO = cluster.ThreadNo }

// paused: an operator has paused the pair.
func paused(in *input) { in.Paused = true }
