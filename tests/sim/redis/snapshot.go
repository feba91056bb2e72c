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
	ends    map[cluster.Endpoint]map[string]int64 // of views
	viewsIn span                                  // when views are those that are there
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
		Request: s.Request(now), Pause: s.pause, RedisMS: ms, ViewEnds: s.ends,
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
		s.views, s.ends, s.viewsIn = make(map[cluster.Endpoint]map[string]cluster.Observation, most), nil, always()
		for n := range s.shown() {
			if views := n.showViews(ms); len(views) > 0 {
				if s.ends == nil {
					s.ends = make(map[cluster.Endpoint]map[string]int64, most)
				}
				s.views[n.name], s.ends[n.name] = views, n.shownEnds
			}
			s.viewsIn = s.viewsIn.and(n.shownIn)
		}
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
		n.shownViews, n.shownEnds, n.shownIn = make(map[string]cluster.Observation, len(n.views)), make(map[string]int64, len(n.views)), always()
		for _, v := range n.views {
			if n.shownIn.with(v.ends, ms) {
				n.shownViews[v.o.Monitor], n.shownEnds[v.o.Monitor] = *v.o, int64(v.ends)
			}
		}
	}
	return n.shownViews
}
