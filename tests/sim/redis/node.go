package redis

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// node is what is kept of one server. It is replaced, never changed, but for
// what it shows, which is made when it is first asked for.
type node struct {
	name    cluster.Endpoint
	check   *cluster.LegacyCheck
	views   []view
	reports []*cluster.Report
	locked  []cluster.Account // sorted

	shownReports map[string]cluster.Report
	shownViews   map[string]cluster.Observation
	shownEnds    map[string]int64 // of shownViews
	shownIn      span             // when shownViews is what is there
}

type view struct {
	o    *cluster.Observation
	ends ends
}

// PublishPair writes the predecessor's static keys and lists the pair.
func (s *Store) PublishPair(p cluster.Pair) error {
	if p.Primary == "" || p.Secondary == "" {
		return fmt.Errorf("publish pair %s: primary %q and secondary %q must both be set", s.u, p.Primary, p.Secondary)
	}
	members := []cluster.Endpoint{p.Primary, p.Secondary}
	slices.Sort(members)
	members = slices.Compact(members)
	mode := strconv.Itoa(int(p.ServiceMode))
	s.write()
	s.listed, s.serviceMode, s.primary, s.secondary = true, mode, p.Primary, p.Secondary
	if !slices.Equal(members, s.members) {
		s.members = members
	}
	s.seeNodes()
	return nil
}

// Pairs lists the pair when it was published.
func (s *Store) Pairs() []cluster.UniqSign {
	if !s.listed {
		return []cluster.UniqSign{}
	}
	return []cluster.UniqSign{s.u}
}

// PublishObservation writes a monitor's view of a server, which is there for
// ttl, and with legacy the predecessor's check.
func (s *Store) PublishObservation(now time.Duration, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) ([]redisbus.Wake, error) {
	return s.publishObservation(now, &o, legacy, ttl, wake)
}

// publishObservation keeps o itself.
func (s *Store) publishObservation(now time.Duration, o *cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) ([]redisbus.Wake, error) {
	if o.Monitor == "" || o.Node == "" || ttl < time.Millisecond {
		return nil, fmt.Errorf("publish observation of %s by %s: want a monitor, a node and at least 1 ms to live, not %s", o.Node, o.Monitor, ttl)
	}
	o.Server.Users = own(o.Server.Users)
	v := view{o, after(now.Milliseconds(), ttl)}
	n := s.edit(o.Node)
	if i := slices.IndexFunc(n.views, func(v view) bool { return v.o.Monitor == o.Monitor }); i >= 0 {
		n.views = slices.Clone(n.views)
		n.views[i] = v
	} else {
		n.views = append(slices.Clip(n.views), v)
	}
	n.shownViews, s.views = nil, nil
	if legacy != nil {
		c := *legacy
		n.check, s.checks = &c, nil
	}
	if !wake {
		return nil, nil
	}
	return s.says.view, nil
}

// SaveReport replaces one agent's report of one server.
func (s *Store) SaveReport(r cluster.Report, wake bool) ([]redisbus.Wake, error) {
	return s.saveReport(&r, wake)
}

// saveReport keeps r itself.
func (s *Store) saveReport(r *cluster.Report, wake bool) ([]redisbus.Wake, error) {
	if r.Agent == "" || r.Node == "" {
		return nil, fmt.Errorf("save report of %s by %s: want an agent and a node", r.Node, r.Agent)
	}
	r.Steps, r.Locked, r.Notes, r.Remembers = own(r.Steps), own(r.Locked), own(r.Notes), ownRecord(r.Remembers)
	n := s.edit(r.Node)
	if i := n.reportOf(r.Agent); i >= 0 {
		n.reports = slices.Clone(n.reports)
		n.reports[i] = r
	} else {
		n.reports = append(slices.Clip(n.reports), r)
	}
	n.shownReports, s.reports = nil, nil
	if !wake {
		return nil, nil
	}
	return s.says.report, nil
}

// DropReport removes an agent's report of a server.
func (s *Store) DropReport(e cluster.Endpoint, agent string) {
	if old := s.find(e); old == nil || old.reportOf(agent) < 0 {
		return
	}
	n := s.edit(e)
	i := n.reportOf(agent)
	n.reports = slices.Delete(slices.Clone(n.reports), i, i+1)
	n.shownReports, s.reports = nil, nil
}

func (n *node) reportOf(agent string) int {
	return slices.IndexFunc(n.reports, func(r *cluster.Report) bool { return r.Agent == agent })
}

// Locked are the accounts of a server that agents have locked, sorted.
func (s *Store) Locked(e cluster.Endpoint) []cluster.Account {
	if n := s.find(e); n != nil {
		return slices.Clone(n.locked)
	}
	return nil
}

// NoteLocked adds accounts that are about to be locked.
func (s *Store) NoteLocked(e cluster.Endpoint, all []cluster.Account) {
	if len(all) == 0 {
		return
	}
	n := s.edit(e)
	n.locked = cluster.SortAccounts(slices.Concat(n.locked, all))
}

// DropLocked takes accounts out that were released, if the record is still that one.
func (s *Store) DropLocked(e cluster.Endpoint, under cluster.Order, all []cluster.Account) {
	if len(all) == 0 || len(s.Locked(e)) == 0 || under.Epoch != 0 && s.record.Order() != under {
		return
	}
	n := s.edit(e)
	n.locked = own(slices.DeleteFunc(slices.Clone(n.locked), func(a cluster.Account) bool { return slices.Contains(all, a) }))
}

func (s *Store) find(e cluster.Endpoint) *node {
	for _, n := range s.nodes {
		if n.name == e {
			return n
		}
	}
	return nil
}

// edit begins a write to what is kept of a server: it returns the copy to
// change. What of the cache shows the change is for the caller to clear.
func (s *Store) edit(e cluster.Endpoint) *node {
	s.write()
	at := slices.IndexFunc(s.nodes, func(n *node) bool { return n.name == e })
	nodes := make([]*node, max(len(s.nodes), at+1), len(s.nodes)+1)
	copy(nodes, s.nodes)
	fresh := node{name: e}
	if at < 0 {
		nodes = append(nodes, &fresh)
	} else {
		fresh = *nodes[at]
		nodes[at] = &fresh
	}
	s.nodes = nodes
	return &fresh
}

// seeNodes notes which servers a Snapshot shows: all that the static keys, the
// predecessor's mode and the record name.
func (s *Store) seeNodes() {
	var room [16]cluster.Endpoint
	known := append(room[:0], s.members...)
	a := s.record
	for _, e := range [...]cluster.Endpoint{s.primary, s.secondary, s.legacy.Active, s.legacy.Passive, a.Active, a.Passive, a.From, a.To} {
		if e != "" && !slices.Contains(known, e) {
			known = append(known, e)
		}
	}
	if !slices.Equal(known, s.knownNodes) {
		s.knownNodes, s.cache = slices.Clone(known), cache{}
	}
}

func (s *Store) expireViews(ms int64) {
	nodes := make([]*node, len(s.nodes))
	for i, n := range s.nodes {
		fresh := *n
		fresh.views = slices.DeleteFunc(slices.Clone(n.views), func(v view) bool { return v.ends.over(ms) })
		fresh.shownViews = nil
		nodes[i] = &fresh
	}
	s.nodes = nodes
}
