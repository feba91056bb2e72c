package redis

import (
	"iter"
	"math"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// cache keeps what the last Snapshot showed as long as it is true; nil is to be
// made anew.
type cache struct {
	checks  map[cluster.Endpoint]cluster.LegacyCheck
	reports map[cluster.Endpoint]map[string]cluster.Report
	views   map[cluster.Endpoint]map[string]cluster.Observation
	viewsIn span // when views are those that are there
	// ttl was made of views at the millisecond ttlAt.
	ttl   map[cluster.Endpoint]map[string]time.Duration
	ttlAt int64
	// grantShown is granted with what was left of it.
	grantShown, granted *cluster.Grant
}

// span is the time in which the same views are there: after the last one that is
// over has ended, until the first other one ends. A node is shared by copies of a
// Redis whose clocks differ, so that time may also be earlier than before.
type span struct{ past, until ends }

func always() span { return span{math.MinInt64, math.MaxInt64} }

func (s span) holds(ms int64) bool { return s.past.over(ms) && !s.until.over(ms) }

func (s span) and(o span) span { return span{max(s.past, o.past), min(s.until, o.until)} }

// with narrows it by a view that ends at e; it reports whether that is there.
func (s *span) with(e ends, ms int64) bool {
	if e.over(ms) {
		s.past = max(s.past, e)
		return false
	}
	s.until = min(s.until, e)
	return true
}

// Snapshot is everything that is there now. Nobody may change what it holds.
func (s *Store) Snapshot(now time.Duration) cluster.Snapshot {
	ms := now.Milliseconds()
	s.show(ms)
	snap := cluster.Snapshot{
		UniqSign: s.u, Members: s.members, Primary: s.primary, Secondary: s.secondary, ServiceMode: s.serviceMode,
		Assignment: *s.record, Incarnation: s.incarnation, Leader: cluster.Leader{ID: s.leaderAt(ms), Token: s.token},
		Grant: s.showGrant(ms), Legacy: s.legacy, Checks: s.checks, Observations: s.views, Reports: s.reports,
		Request: s.Request(now), Pause: s.pause, RedisMS: ms, ViewTTL: s.ttl,
	}
	if !s.verdictEnds.over(ms) {
		snap.Verdict = s.verdict
	}
	return snap
}

// show brings the cache up to date.
func (s *Store) show(ms int64) {
	most := len(s.knownNodes)
	if s.checks == nil {
		s.checks = make(map[cluster.Endpoint]cluster.LegacyCheck, most)
		for n := range s.shown() {
			if n.check != nil {
				s.checks[n.name] = *n.check
			}
		}
	}
	if s.reports == nil {
		s.reports = make(map[cluster.Endpoint]map[string]cluster.Report, most)
		for n := range s.shown() {
			if len(n.reports) > 0 {
				s.reports[n.name] = n.showReports()
			}
		}
	}
	if s.views == nil || !s.viewsIn.holds(ms) {
		s.views, s.viewsIn, s.ttl, s.ttlAt = make(map[cluster.Endpoint]map[string]cluster.Observation, most), always(), nil, -1
		for n := range s.shown() {
			if views := n.showViews(ms); len(views) > 0 {
				s.views[n.name] = views
			}
			s.viewsIn = s.viewsIn.and(n.shownIn)
		}
	}
	if s.ttlAt != ms {
		s.ttl, s.ttlAt = s.ttls(ms), ms
	}
}

// shown gives the nodes that a Snapshot shows.
func (s *Store) shown() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for _, n := range s.nodes {
			if slices.Contains(s.knownNodes, n.name) && !yield(n) {
				return
			}
		}
	}
}

func (n *node) showReports() map[string]cluster.Report {
	if n.shownReports == nil {
		n.shownReports = make(map[string]cluster.Report, len(n.reports))
		for _, r := range n.reports {
			n.shownReports[r.Agent] = *r
		}
	}
	return n.shownReports
}

func (n *node) showViews(ms int64) map[string]cluster.Observation {
	if n.shownViews == nil || !n.shownIn.holds(ms) {
		n.shownViews, n.shownIn = make(map[string]cluster.Observation, len(n.views)), always()
		for _, v := range n.views {
			if n.shownIn.with(v.ends, ms) {
				n.shownViews[v.o.Monitor] = *v.o
			}
		}
	}
	return n.shownViews
}

// ttls is what is left of the life of each view; one in its last millisecond has nothing left.
func (s *Store) ttls(ms int64) map[cluster.Endpoint]map[string]time.Duration {
	var all map[cluster.Endpoint]map[string]time.Duration
	for n := range s.shown() {
		var of map[string]time.Duration
		for _, v := range n.views {
			if left := int64(v.ends) - ms; left > 0 {
				if of == nil {
					of = make(map[string]time.Duration, len(n.views))
				}
				of[v.o.Monitor] = time.Duration(left) * time.Millisecond
			}
		}
		if of == nil {
			continue
		}
		if all == nil {
			all = make(map[cluster.Endpoint]map[string]time.Duration, len(s.nodes))
		}
		all[n.name] = of
	}
	return all
}
