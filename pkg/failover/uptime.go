package failover

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

const (
	// startSlack is by how much the start of a server, worked out from whole seconds of its
	// uptime and from samples that arrive late, may seem to move while it is the same.
	startSlack = 2 * time.Second
	// leaderGap is for how long nobody may have looked when another process becomes the leader,
	// unseenGap when none was there: longer than a host takes to start again.
	leaderGap = 10 * time.Second
	unseenGap = 10 * time.Minute
)

// start is when a server was started, and whether it comes up closed.
type start struct {
	at     time.Duration
	closed cluster.Tri
}

// restarted reports whether m was started anew since it, or its peer, was found to hold all.
func (s *situation) restarted(m *member) bool {
	at := s.startedAt(m)
	return s.st.vouchedAt != 0 && at != 0 && at > s.st.vouchedAt
}

// startedAt is when m was started, or up to a second later; 0 when that is not known.
func (s *situation) startedAt(m *member) time.Duration {
	if i := slices.Index(s.p.Pair.Members(), m.node); i >= 0 {
		return s.st.startedAt[i]
	}
	return 0
}

// startsClosed reports whether m is known to come up closed: somebody has asked it
// before read_only was set, and nobody has been told otherwise.
func (s *situation) startsClosed(m *member) bool {
	i := slices.Index(s.p.Pair.Members(), m.node)
	return safeguard.Off(safeguard.StartsClosed) || i >= 0 && s.st.starts[i].closed == cluster.Yes
}

// dateStarts keeps when each server was started, and since when both are known to hold
// what was acknowledged: since the samples by which the passive was made eligible, or
// since before another process can have been the last that looked.
func (s *situation) dateStarts() {
	for i, e := range s.p.Pair.Members() {
		newest, known, closed := time.Duration(0), false, cluster.Unknown
		for _, by := range s.st.views.of(e) {
			o := s.v.Snapshot.Observations[e][by.voice.name]
			if o.FullMS == 0 || !s.p.counts(by.voice.name) {
				continue
			}
			at := by.value.at - milliseconds(o.EndedMS-o.FullMS) - time.Duration(o.Server.UptimeS)*time.Second
			if !known || at > newest {
				newest, known = at, true
			}
			told := o.Server.StartsClosed
			if safeguard.Off(safeguard.ToldStart) {
				told = o.ReadOnlyAtStart
			}
			if told == cluster.No || told == cluster.Yes && closed == cluster.Unknown {
				closed = told
			}
		}
		for _, by := range s.st.reports.of(e) {
			told := s.v.Snapshot.Reports[e][by.voice.name].StartsClosed
			if s.now-by.value.at <= AgentAway && (told == cluster.No || told == cluster.Yes && closed == cluster.Unknown) {
				closed = told
			}
		}
		if !known {
			continue
		}
		newest = notZero(newest)
		s.st.startedAt[i] = newest
		// A monitor that was started since cannot be told any more.
		if was := s.st.starts[i]; closed != cluster.Unknown || newest > was.at+startSlack {
			s.st.starts[i] = start{newest, closed}
		}
	}
	gap := unseenGap
	if s.st.watched {
		gap = leaderGap
	}
	s.st.watched = s.st.watched || s.rec.Exists()
	switch {
	case !s.rec.Durability.Acknowledged():
		s.st.vouchedAt, s.st.vouching = 0, 0
	case len(s.rec.Eligible) == 0:
		s.st.vouchedAt = 0
	case s.st.vouchedAt != 0:
	case s.st.vouching != 0:
		s.st.vouchedAt = s.st.vouching
	default:
		s.st.vouchedAt = notZero(s.now - gap)
	}
}

// notZero is an instant that is not taken for none; one before this process began is below zero.
func notZero(at time.Duration) time.Duration {
	if at == 0 {
		return 1
	}
	return at
}
