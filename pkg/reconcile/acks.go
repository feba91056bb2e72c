package reconcile

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// awaiting has the open active's commits wait for the passive or not, as the record
// says. While the passive may not take over yet that is made sure of under each record:
// whoever decides rests on it. Nothing is let go that the record does not let go.
func (in *Input) awaiting(p Plan) Plan {
	rec := in.Record
	switch acks := in.Mine.Server.Acks; {
	case in.Now < in.Memory.AcksAfter:
		return p
	case rec.Waits && !in.Theirs.Answers() && acks.Source == cluster.Yes && safeguard.Off(safeguard.RecordFirst):
		return p.with(step(LetGo, "", whyWaitsNot))
	case rec.Waits && (acks.Source != cluster.Yes || !rec.IsEligible(in.Peer) && in.Memory.Awaited != rec.Order()):
		return p.with(step(Await, "", whyWaits))
	case rec.Waits:
		return p
	}
	return in.lettingGo(p)
}

// lettingGo ends what an earlier record had commits wait for. Of a
// server whose pair promises nothing of the kind only what agents set up is undone. One
// that does not know how to wait yet is taught: a receiver acknowledges to no other.
func (in *Input) lettingGo(p Plan) Plan {
	source, fresh := in.Mine.Server.Acks.Source, in.Record.Active == in.Self && in.Record.Durability.Acknowledged()
	if source != cluster.Yes && !(source == cluster.Unknown && fresh) || in.Memory.LetGo == in.Record.Order() || in.Now < in.Memory.AcksAfter {
		return p
	}
	return p.with(step(LetGo, "", whyWaitsNot))
}

// acknowledging has the closed passive's commits wait for nobody, since what it applies
// would wait for the active, and its receiver acknowledge before the active's commits wait.
func (in *Input) acknowledging(p Plan) Plan {
	p = in.lettingGo(p)
	if !in.Record.Durability.Acknowledged() || p.Deed == cluster.DeedQuarantine || in.Paused || in.Now < in.Memory.AcksAfter {
		return p
	}
	ch := in.Mine.Channel()
	if in.Mine.Server.Acks.Replica == cluster.Yes || ch.Source != in.Peer || ch.IO != cluster.ThreadYes || ch.SQL != cluster.ThreadYes {
		return p
	}
	if in.Theirs.Server.Acks.Source == cluster.Unknown || safeguard.Off(safeguard.AcksAnew) {
		return p // it has no such plugin yet, and would not listen
	}
	if !p.Verified {
		p.AskPeer = true
		return p
	}
	return p.with(step(Acknowledge, "", whyWaits))
}
