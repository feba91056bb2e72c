package world

import (
	"fmt"
	"strings"
)

// Counter numbers one thing that must happen sometimes: where it never does in
// a large run, the search is blind there.
type Counter int

// The things that must happen sometimes. The judge counts those that it can see
// in what it is told, up to countedByJudge; the world counts the others.
const (
	SawFailoverFenced Counter = iota
	SawLeaseOver
	SawAcksOver
	SawProcessEnded
	SawFailoverEnded
	SawFailoverStalled
	SawFailoverFull
	SawRelaxed
	SawAwaited
	SawDurabilityAsked
	SawDurabilityConfigured
	SawStrict
	SawPromiseBack
	SawFailoverRefused
	SawFailoverHung
	SawFailoverHungUnasked
	SawFailoverSilent
	SawFailoverWaited
	SawFirstStart
	SawOverridden
	SawOverriddenForced
	SawSwitchoverDone
	SawSwitchoverRolledBack
	SawSwitchoverThenFailover
	SawFailbackDone
	SawGivenBack
	SawOpeningLost
	SawOpeningRepeated
	SawRebuilt
	SawRebuiltRevoked
	SawBlocked
	SawUnblocked
	SawTakenOut
	SawLossCounted
	SawLossKnown
	SawBothOpenByRisk
	SawClosedAfterRisk
	SawRowsLost
	SawRelayLost
	SawOpenedBySomebodyElse
	SawClosedByCrash
	SawEligibleAgain
	SawLeaderChanged
	SawQuarantinedAtTheEnd
	SawHeldAtTheEnd
	SawHeldForAPerson
	countedByJudge

	SawActiveKilled Counter = iota - 1
	SawPassiveKilled
	SawBothDown
	SawPowerLost
	SawActiveHung
	SawHungWokenAfterPromotion
	SawLeaderPaused
	SawLeaderRefused
	SawAnswerLost
	SawAnswerLostAfterChange
	SawIdentifyKilledSteady
	SawIdentifyKilledSwitching
	SawIdentifyKilledRevoked
	SawIdentifyKilledOpening
	SawAgentKilledSteady
	SawAgentKilledSwitching
	SawAgentKilledRevoked
	SawAgentKilledOpening
	SawAgentPaused
	SawOpenerRefused
	SawRecordRefused
	SawRedisDown
	SawRedisEmptied
	SawRedisSetBack
	SawRedisForked
	SawDrainWaited
	SawFailoverBlocked
	SawContradictionHeld
	SawMessageRepeated
	SawMessageForged
	SawMemoryFailed
	SawCutOneWay
	SawCutBothWays
	SawSlowLink
	SawReadOnlyHeldBack
	SawClockLeapt
	SawPausedByOperator
	SawRequestRefused
	SawRequestWithdrawn
	SawClosedAlone
	SawKeptByLock
	SawKeptByGrant
	SawOpenedAgainByGrant
	SawLockHeldBack
	SawAckWaited
	countersEnd
)

// Counters are how often each thing has happened.
type Counters [countersEnd]uint32

var counterNames = [countersEnd]string{
	SawFailoverFenced:          "a failover had the proof that the old active was closed",
	SawAcksOver:                "a failover had the proof that the old active can acknowledge nothing",
	SawProcessEnded:            "a failover had the proof that the old active's process had ended and starts closed",
	SawFailoverStalled:         "a failover from an active whose writes stall",
	SawFailoverFull:            "a failover from an active whose disk is full",
	SawFailoverEnded:           "a failover took the risk of an old active whose process had ended and may start open",
	SawRelaxed:                 "commits were let go since the passive acknowledged nothing",
	SawAwaited:                 "a passive became eligible for which commits wait",
	SawDurabilityAsked:         "an operator had another durability promised",
	SawDurabilityConfigured:    "mmm.conf had another durability promised",
	SawStrict:                  "an agent saw to it that commits wait under a strict promise",
	SawPromiseBack:             "what was promised for acknowledged writes came back after a heal",
	SawLeaseOver:               "a failover had the proof that the leases of the old active were over",
	SawFailoverRefused:         "a failover took the risk of a refusing port",
	SawFailoverHung:            "a failover took the risk of a hung server with the closing order queued",
	SawFailoverHungUnasked:     "a failover took the risk of a hung server that was left no order",
	SawFailoverSilent:          "a failover took the risk of a silent server whose replica stood still",
	SawFailoverWaited:          "a failover took the risk after the waiting time",
	SawFirstStart:              "a first start elected somebody",
	SawOverridden:              "an operator overrode",
	SawOverriddenForced:        "an operator overrode by force",
	SawSwitchoverDone:          "a switchover was committed",
	SawSwitchoverRolledBack:    "a switchover was rolled back",
	SawSwitchoverThenFailover:  "the active died during a switchover",
	SawFailbackDone:            "the role returned to the primary host by itself",
	SawGivenBack:               "the role was given back since nobody else was left",
	SawOpeningLost:             "the role was taken back from a server that was never opened",
	SawOpeningRepeated:         "the active was opened again in its epoch",
	SawRebuilt:                 "a record was rebuilt in phase steady",
	SawRebuiltRevoked:          "a record was rebuilt in the middle of a change",
	SawBlocked:                 "a failover left a block behind",
	SawUnblocked:               "a block was lifted",
	SawTakenOut:                "a passive that was away was taken out of the eligible",
	SawLossCounted:             "a record told of a loss",
	SawLossKnown:               "an old active was back, and what was left behind on it was known",
	SawBothOpenByRisk:          "both servers were open by a risk on record",
	SawClosedAfterRisk:         "an old active was closed after the new one was open",
	SawRowsLost:                "acknowledged rows were left behind by a failover",
	SawRelayLost:               "a crash destroyed received transactions",
	SawOpenedBySomebodyElse:    "a server was opened by its option file or a person",
	SawClosedByCrash:           "an open server crashed",
	SawEligibleAgain:           "a passive became eligible",
	SawLeaderChanged:           "another identify took the lease",
	SawQuarantinedAtTheEnd:     "a schedule ended with a server rightly in quarantine",
	SawHeldAtTheEnd:            "a schedule ended with two divergent servers and nobody active",
	SawHeldForAPerson:          "a schedule ended with nobody active, for what a person had broken",
	SawActiveKilled:            "the active was killed",
	SawPassiveKilled:           "the passive was killed",
	SawBothDown:                "both servers were down",
	SawPowerLost:               "a host lost power",
	SawActiveHung:              "the active hung",
	SawHungWokenAfterPromotion: "a hung server woke after the other was promoted",
	SawLeaderPaused:            "the leading identify was paused beyond its lease",
	SawLeaderRefused:           "a script refused a late leader",
	SawAnswerLost:              "an answer of Redis was lost",
	SawAnswerLostAfterChange:   "the answer was lost after a change of the record",
	SawIdentifyKilledSteady:    "an identify was killed in phase steady",
	SawIdentifyKilledSwitching: "an identify was killed in phase switching",
	SawIdentifyKilledRevoked:   "an identify was killed in phase revoked",
	SawIdentifyKilledOpening:   "an identify was killed in phase opening",
	SawAgentKilledSteady:       "an agent was killed in phase steady",
	SawAgentKilledSwitching:    "an agent was killed in phase switching",
	SawAgentKilledRevoked:      "an agent was killed in phase revoked",
	SawAgentKilledOpening:      "an agent was killed in phase opening",
	SawAgentPaused:             "an agent was paused",
	SawOpenerRefused:           "a paused opener found its session ended",
	SawRecordRefused:           "an agent refused a record that was older than its memory",
	SawRedisDown:               "Redis was down",
	SawRedisEmptied:            "Redis came back empty",
	SawRedisSetBack:            "Redis came back older",
	SawRedisForked:             "there were two Redis masters",
	SawDrainWaited:             "a drain waited for the applier",
	SawFailoverBlocked:         "failover_block held a failover back",
	SawContradictionHeld:       "a replica that still received held a failover back",
	SawMessageRepeated:         "a message was repeated",
	SawMessageForged:           "a message with an old or a strange order was sent",
	SawMemoryFailed:            "an agent's disk failed",
	SawCutOneWay:               "a link was cut in one direction",
	SawCutBothWays:             "a link was cut in both directions",
	SawSlowLink:                "a link was slow",
	SawReadOnlyHeldBack:        "a lock or a transaction held a closing back",
	SawClockLeapt:              "a clock leapt",
	SawPausedByOperator:        "an operator paused the pair",
	SawRequestRefused:          "a request was refused",
	SawRequestWithdrawn:        "a request was withdrawn",
	SawClosedAlone:             "an active closed itself for want of a lease",
	SawKeptByLock:              "an active stayed open by the lock alone",
	SawKeptByGrant:             "an active stayed open by the grant alone",
	SawOpenedAgainByGrant:      "an active that had closed itself was opened again with a new grant",
	SawLockHeldBack:            "the lock of the old active held a promotion back",
	SawAckWaited:               "a write waited for the passive's acknowledgement",
}

// Count counts c.
func (s *Counters) Count(c Counter) { s[c]++ }

// Add adds what o has counted.
func (s *Counters) Add(o *Counters) {
	for i, n := range o {
		s[i] += n
	}
}

// Zero names what has never happened.
func (s *Counters) Zero() []Counter {
	var zero []Counter
	for i, n := range s {
		if n == 0 {
			zero = append(zero, Counter(i))
		}
	}
	return zero
}

// String names c in a sentence.
func (c Counter) String() string {
	if c < 0 || c >= countersEnd {
		return fmt.Sprintf("counter %d", int(c))
	}
	return counterNames[c]
}

// String is a table, the zeros marked.
func (s *Counters) String() string {
	var b strings.Builder
	for i, n := range s {
		mark := " "
		if n == 0 {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %9d  %s\n", mark, n, Counter(i))
	}
	return b.String()
}
