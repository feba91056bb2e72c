package reconcile

import "github.com/mmm-manager/mmm-manager/pkg/cluster"

const (
	riskUnreachable = "opened although the other server could not be reached"
	riskNotBehind   = "opened although it was not replicating from the other server"
)

// legacy obeys the predecessor's identify, which writes a mode and no record:
// its passive is closed, what its active still receives from there is applied,
// its active is opened.
func (in *Input) legacy() Plan {
	mode := in.Legacy
	if mode.Active == "" || mode.Passive == "" || mode.Active == mode.Passive {
		return Plan{}.because(ReasonNoRecord)
	}
	if e := in.stranger(mode.Active, mode.Passive); e != "" {
		return Plan{}.because(reasonStranger(e))
	}
	if in.Self == mode.Passive {
		p, ok := in.closing(Close, false, whyPassive)
		if !ok {
			return p
		}
		return in.tend(in.repairPassive(p), false)
	}
	if wait, busy := in.waiting(); busy {
		return wait
	}
	if in.Mine.Open() {
		return in.tend(in.repairActive(Plan{Deed: cluster.DeedOpen}), true)
	}
	return in.legacyOpen()
}

func (in *Input) legacyOpen() Plan {
	p := Plan{}
	ch := in.Mine.Channel()
	receives := ch.Configured && ch.Source == in.Peer && ch.GTID
	if in.Theirs.Cause != cluster.CauseNone {
		switch {
		case in.Theirs.Failures < in.Tries:
			return p.because(ReasonPeerTrying)
		case !in.Theirs.Cause.MayBeDead() && in.Theirs.Cause != cluster.CauseUnreachable:
			return p.because(reasonPeerAlive(in.Theirs.Cause))
		}
		p.Risk = riskUnreachable
		if receives {
			p = p.with(step(Drain, "", whyDrain))
		}
		return p.with(step(Open, "", whyActive))
	}
	switch {
	case !in.Theirs.answersNow(in.Now):
		return p.because(ReasonPeerTrying)
	case !in.Theirs.Closed():
		return p.because(ReasonPeerOpen)
	case !receives || !ch.Replicates(in.Peer):
		p.Risk = riskNotBehind
		if receives {
			p = p.with(step(Drain, "", whyDrain))
		}
		return p.with(step(Open, "", whyActive))
	case !in.Theirs.positionCurrent():
		p.AskPeer = true
		return p.because(ReasonComparing)
	}
	return p.with(
		step(CatchUp, in.Theirs.Server.Executed, whyDrain),
		step(Open, in.Theirs.Server.Executed, whyActive))
}

// WantsLegacy is Wants where there is no record.
func WantsLegacy(k Kind, e cluster.Endpoint, then, now cluster.LegacyMode) bool {
	switch k {
	case Close, QueueClose:
		return now.Active != e && now.Active != ""
	}
	return now.Active == then.Active && now.Passive == then.Passive
}
