package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// count counts what a change shows.
func (j *Judge) count(before, after cluster.Assignment, ev cluster.Event) {
	saw := j.Seen.Count
	switch ev.Kind {
	case kindFirstStart:
		saw(SawFirstStart)
	case kindRebuilt:
		if after.Phase == cluster.PhaseSteady {
			saw(SawRebuilt)
		} else {
			saw(SawRebuiltRevoked)
		}
	case "durability":
		saw(SawDurabilityAsked)
	case "configured":
		saw(SawDurabilityConfigured)
	case kindGivenBack:
		saw(SawGivenBack)
	case kindUnblocked:
		saw(SawUnblocked)
	case "eligible":
		saw(SawEligibleAgain)
	case "ineligible":
		saw(SawTakenOut)
	case "rolled back":
		saw(SawSwitchoverRolledBack)
	case "revoked":
		switch {
		case before.Phase == cluster.PhaseSwitching:
			saw(SawSwitchoverThenFailover)
		case before.Phase == cluster.PhaseOpening && !overridden(after):
			saw(SawOpeningLost)
		}
	case kindPromoted:
		j.countPromotion(after)
	}
	if after.Loss != "" && before.Loss == "" {
		saw(SawLossCounted)
	}
	if after.Blocked && !before.Blocked {
		saw(SawBlocked)
	}
}

func (j *Judge) countPromotion(after cluster.Assignment) {
	saw := j.Seen.Count
	switch after.Cause {
	case cluster.CauseSwitchover:
		saw(SawSwitchoverDone)
		return
	case cluster.CauseFailback:
		saw(SawFailbackDone)
		return
	case causeForced:
		saw(SawOverriddenForced)
		return
	case causeOverride:
		saw(SawOverridden)
		return
	}
	switch after.Cause {
	case cluster.CauseWritesStalled:
		saw(SawFailoverStalled)
	case cluster.CauseWritesDiskFull:
		saw(SawFailoverFull)
	}
	switch after.Proof {
	case cluster.ProofFenced:
		saw(SawFailoverFenced)
	case cluster.ProofLease:
		saw(SawLeaseOver)
	case cluster.ProofAcks:
		saw(SawAcksOver)
	case cluster.ProofEnded:
		saw(SawProcessEnded)
	case cluster.RiskEnded:
		saw(SawFailoverEnded)
	case cluster.RiskRefused:
		saw(SawFailoverRefused)
	case cluster.RiskHung:
		saw(SawFailoverHung)
	case cluster.RiskHungUnasked:
		saw(SawFailoverHungUnasked)
	case cluster.RiskSilent:
		saw(SawFailoverSilent)
	case cluster.RiskWaited:
		saw(SawFailoverWaited)
	}
}
