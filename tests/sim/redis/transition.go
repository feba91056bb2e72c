package redis

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Transition changes the assignment with all that belongs to it, or nothing; it
// returns the record as written. nonce names this history of Redis when it has no name yet.
func (s *Store) Transition(now time.Duration, id string, token uint64, t cluster.Transition, nonce uint64) (cluster.Assignment, []redisbus.Wake, error) {
	said, err := s.transition(now.Milliseconds(), id, token, t, nonce)
	if err != nil {
		return cluster.Assignment{}, nil, fmt.Errorf("change assignment of %s from %s to %s: %w", s.u, t.Expect, t.Next.Order(), err)
	}
	written := t.Next.Clone()
	written.SinceMS = s.record.SinceMS
	return written, said, nil
}

func (s *Store) transition(ms int64, id string, token uint64, t cluster.Transition, nonce uint64) ([]redisbus.Wake, error) {
	message, err := s.checkTransition(id, token, t)
	if err != nil {
		return nil, err
	}
	if err := s.notLeader(ms, id, token); err != nil {
		return nil, err
	}
	if t.Expect != s.record.Order() {
		if !s.record.Exists() {
			return nil, fmt.Errorf("%w: there is no record", redisbus.ErrStale)
		}
		return nil, fmt.Errorf("%w: found %s %s", redisbus.ErrStale, s.record.Order(), s.record.Phase)
	}
	if t.Request != nil && t.Request.State == cluster.RequestRunning {
		if filed := s.Request(time.Duration(ms) * time.Millisecond); filed == nil || filed.State != cluster.RequestFiled {
			return nil, fmt.Errorf("%w: the request is no longer filed", redisbus.ErrStale)
		}
	}

	before := s.record
	s.write()
	s.addEvent(ms, t)
	next := ownRecord(t.Next)
	next.SinceMS = ms
	s.record = &next
	if s.incarnation == "" {
		s.incarnation = strconv.FormatUint(nonce, 16)
	}
	said := s.says.assignment
	if t.Request != nil {
		s.putRequest(ms, *t.Request)
		said = s.says.both
	}
	if t.Announce {
		s.legacy = cluster.LegacyMode{Active: t.Next.Active, Passive: t.Next.Passive, Master: t.Next.Active}
		said = append(slices.Clip(said), redisbus.Wake{UniqSign: s.u, Kind: redisbus.KindMessage, Message: message})
	}
	s.seeNodes()
	if s.Changed != nil {
		s.Changed(*before, next, *s.events[len(s.events)-1])
	}
	return said, nil
}

// checkTransition refuses what pkg/redisbus does not even send; it returns the
// message to announce.
func (s *Store) checkTransition(id string, token uint64, t cluster.Transition) (string, error) {
	a := t.Next
	if id == "" || token == 0 {
		return "", fmt.Errorf("%w: no id or no token is given", redisbus.ErrNotLeader)
	}
	if !t.Expect.Before(a.Order()) {
		return "", fmt.Errorf("the new order is not after the expected one")
	}
	if err := checkRecord(a); err != nil {
		return "", err
	}
	if !t.Announce {
		return "", nil
	}
	text := fmt.Sprintf("active: %s, passive: %s, uniqsign: %s, epoch: %d", a.Active, a.Passive, s.u, a.Epoch)
	active, passive, u, epoch, err := redisbus.ParseMessage(text)
	if err == nil && (active != a.Active || passive != a.Passive || u != s.u || epoch != a.Epoch) {
		err = fmt.Errorf("%q does not say what it should", text)
	}
	if err != nil {
		return "", fmt.Errorf("make message of assignment %s: %w", a.Order(), err)
	}
	return text, nil
}

func checkRecord(a cluster.Assignment) error {
	switch {
	case a.Epoch == 0:
		return fmt.Errorf("epoch is 0")
	case a.Epoch > cluster.MaxEpoch || a.Version > uint64(cluster.MaxEpoch):
		return fmt.Errorf("epoch %d, version %d: no pair gets beyond %d", a.Epoch, a.Version, cluster.MaxEpoch)
	case a.From != "" && a.From == a.To:
		return fmt.Errorf("from and to are both %s", a.From)
	case a.LeaseMS < 0 || a.LeaseMS > redisbus.LongestLease.Milliseconds():
		return fmt.Errorf("lease_ms %d is not between 0 and %s", a.LeaseMS, redisbus.LongestLease)
	}
	switch a.Phase {
	case cluster.PhaseRevoked:
		if a.Active != "" || a.Passive != "" {
			return fmt.Errorf("phase is revoked, yet active is %q and passive is %q", a.Active, a.Passive)
		}
	case cluster.PhaseSteady, cluster.PhaseOpening, cluster.PhaseSwitching:
		if a.Active == "" {
			return fmt.Errorf("phase is %s, yet there is no active", a.Phase)
		}
		if a.Active == a.Passive {
			return fmt.Errorf("active and passive are both %s", a.Active)
		}
	default:
		return fmt.Errorf("phase %q is unknown", a.Phase)
	}
	for _, f := range []struct {
		name  string
		value cluster.Endpoint
	}{{"active", a.Active}, {"passive", a.Passive}, {"from", a.From}, {"to", a.To}} {
		if f.value != "" {
			if err := checkAddress(f.name, f.value); err != nil {
				return err
			}
		}
	}
	for _, e := range a.Eligible {
		if err := checkAddress("eligible", e); err != nil {
			return err
		}
	}
	return nil
}

func checkAddress(field string, value cluster.Endpoint) error {
	e, err := cluster.ParseEndpoint(string(value))
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if e != value {
		return fmt.Errorf("%s: address %q is not written as %q", field, value, e)
	}
	return nil
}

func (s *Store) addEvent(ms int64, t cluster.Transition) {
	s.entry = s.entry.next(ms)
	e := t.Event
	e.ID = s.entry.String()
	if !e.Assignment.Exists() {
		e.Assignment = t.Next
	}
	e.Assignment = ownRecord(e.Assignment)
	if e.Assignment.SinceMS == 0 {
		e.Assignment.SinceMS = s.entry.ms
	}
	e.Steps = own(e.Steps)
	s.events = append(slices.Clip(s.events), &e)
}

// Events are the newest n entries of the audit trail, the newest first.
func (s *Store) Events(n int) []cluster.Event {
	if n <= 0 {
		return nil
	}
	all := make([]cluster.Event, 0, min(n, len(s.events)))
	for i := len(s.events) - 1; i >= 0 && len(all) < n; i-- {
		all = append(all, *s.events[i])
	}
	return all
}

// Trail is the whole audit trail, the oldest first, as it is kept.
func (s *Store) Trail() []*cluster.Event { return s.events }

// Assignment is the record; a zero one when there is none.
func (s *Store) Assignment() cluster.Assignment { return *s.record }
