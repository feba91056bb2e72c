package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// protect says in one line which protection the pair has now, and what is
// missing for an automatic failover.
func (t *Tag) protect(sub Subject, s cluster.Snapshot) {
	p := t.Protection
	p.Missing = t.missing(sub.Pair, s)
	var parts []string
	switch {
	case t.ServiceMode == "active-active":
		p.Line = "none: servicemode=0 is observed and reported only"
		return
	case t.Source == FromPredecessor && s.Leader.ID == "":
		p.Line = "none of this version: the predecessor's identify decides"
		return
	case len(p.Missing) > 0:
		parts = append(parts, "no automatic failover now: "+strings.Join(p.Missing, ", "))
	}
	switch p.Durability {
	case cluster.SemiSync:
		parts = append(parts, p.acknowledged("semi-synchronous"))
	case cluster.SemiSyncStrict:
		parts = append(parts, p.acknowledged("semi-synchronous and strict"))
	default:
		parts = append(parts, "asynchronous, a failover may lose what the passive has not received")
	}
	lease, held := t.lease(s)
	if lease != "" {
		parts = append(parts, lease)
	}
	if !held {
		parts = append(parts, t.fencing(p.Unfenced))
	}
	p.Line = plain(strings.Join(parts, "; "))
}

// acknowledged says what a promise that commits wait for the passive is worth now.
func (p *Protection) acknowledged(promise string) string {
	switch {
	case p.Acknowledged:
		return promise + ", a failover loses no acknowledged write"
	case p.Waits:
		return promise + ": commits wait for the passive, which does not hold all yet and may not take over"
	}
	return promise + ": the passive is away, commits do not wait for it, and it may not take over"
}

// fencing is how it is known that the old active takes no more writes.
func (t *Tag) fencing(unfenced string) string {
	agents := slices.ContainsFunc(t.Servers, func(s Server) bool { return len(s.Agents) > 0 })
	switch {
	case !agents:
		return "no agent reports, so no closing of the old active is waited for"
	case unfenced == "wait":
		return "the other is opened only when the old active is proved closed (unfenced=wait)"
	case unfenced == "risk":
		return "the old active is proved closed where it answers, else risk at once (unfenced=risk)"
	}
	return "the old active is proved closed where it answers, else risk after 10 s at most (unfenced=auto)"
}

// lease is what keeps the active open; held reports that it closes itself when it
// is cut off. It is empty where there are no leases.
func (t *Tag) lease(s cluster.Snapshot) (words string, held bool) {
	active := t.server(t.Active)
	if active == nil {
		return "", false
	}
	for _, a := range active.Agents {
		r := s.Reports[active.Node][a.Name]
		if a.Heard != nil && !*a.Heard || r.Lease == cluster.LeaseUnused {
			continue
		}
		lasts := inSeconds(time.Duration(r.LeaseMS) * time.Millisecond)
		switch r.Lease {
		case cluster.LeaseBoth:
			return fmt.Sprintf("the active gives up by itself within %s of losing Redis and its partner", lasts), true
		case cluster.LeaseRedis:
			return fmt.Sprintf("the active gives up by itself within %s of losing Redis (it has no lock on its partner)", lasts), true
		case cluster.LeaseLock:
			return fmt.Sprintf("the active gives up by itself within %s of losing its partner (it has no lease from Redis)", lasts), true
		}
		return "the active has no lease left and is closing itself", true
	}
	return "", false
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

// missing names what keeps an automatic failover from happening now, in the
// fewest words; the verdict's blockers say more.
func (t *Tag) missing(p cluster.Pair, s cluster.Snapshot) []string {
	if t.refused != nil {
		return []string{"the bus takes no writes"}
	}
	if s.Leader.ID == "" {
		return []string{"no identify leads"}
	}
	if t.Verdict == nil {
		return []string{"identify has given no verdict yet"}
	}
	var all []string
	add := func(words string) {
		if !slices.Contains(all, words) {
			all = append(all, words)
		}
	}
	if t.Pause != nil {
		add("paused by " + t.Pause.Actor)
	}
	switch {
	case s.Assignment.Exists() && s.Assignment.Phase != cluster.PhaseSteady:
		add("a change of role is under way")
	case !s.Assignment.Exists() || s.AssignmentFault != "":
		add("nobody is known to be active")
	}
	for _, b := range t.Verdict.Blockers {
		if b.Code == failover.Paused && t.Pause != nil {
			continue
		}
		add(lacking(p, t.passiveOf(p), b.Code))
	}
	return all
}

func (t *Tag) passiveOf(p cluster.Pair) string {
	if t.Active == "" {
		return "the passive"
	}
	return string(p.Other(t.Active))
}

// lacking is a blocker in a few words.
func lacking(p cluster.Pair, passive, code string) string {
	switch code {
	case failover.Blocked:
		return "blocked since the last one (" + failover.AcknowledgeCommand(p.Tag) + ")"
	case failover.CandidateDown:
		return passive + " does not answer"
	case failover.NotEligible:
		return passive + " is not eligible yet"
	case failover.NoAgent:
		return "no agent on " + passive
	case failover.FewMonitors:
		return "no majority of the monitors"
	case failover.Breaker:
		return "many pairs are silent, which looks like the manager's own network"
	case failover.Errant:
		return passive + " has transactions of its own"
	case failover.ReplicationBroken:
		return passive + " cannot apply what it received"
	case failover.MaxLoss:
		return "more than max_loss would be lost"
	case failover.NoGTID:
		return "no GTIDs"
	case failover.Unreadable:
		return "a position cannot be read"
	}
	return code
}
