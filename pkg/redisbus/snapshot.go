package redisbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A pair has two servers and a handful of monitors; more than these are not read.
const (
	mostNodes    = 16
	mostMonitors = 64
)

// Snapshot reads everything that Redis holds about u at one instant. What cannot be read is absent and named in Faults; an assignment
// record that is there and cannot be read is told from none by AssignmentFault.
func (b *Bus) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	op := "read everything of " + string(u)
	all, ok, err := b.plain(ctx, u)
	if err == nil && !ok {
		if all, err = b.script(ctx, u); err == nil {
			b.remember(u, all)
		}
	}
	if err != nil {
		return cluster.Snapshot{}, b.wrap(op, err)
	}
	return snapshotOf(u, all), nil
}

func snapshotOf(u cluster.UniqSign, all []answered) cluster.Snapshot {
	r := reader{keys: keysOf(u), s: cluster.Snapshot{
		UniqSign:     u,
		Checks:       map[cluster.Endpoint]cluster.LegacyCheck{},
		Observations: map[cluster.Endpoint]map[string]cluster.Observation{},
		Reports:      map[cluster.Endpoint]map[string]cluster.Report{},
	}}
	for _, a := range all {
		r.row(a.what, a.name, a.second, a.value)
	}
	return r.s
}

// script reads all of u, whatever it is and whoever is named there.
func (b *Bus) script(ctx context.Context, u cluster.UniqSign) ([]answered, error) {
	k := keysOf(u)
	said, err := b.evalTogether(ctx, snapshotScript, nil, k.old, k.new, mostNodes, mostMonitors)
	if err != nil {
		return nil, err
	}
	rows, err := said.Slice()
	if err != nil {
		return nil, err
	}
	all := make([]answered, len(rows))
	for i, row := range rows {
		cells, _ := row.([]any)
		if len(cells) != 4 {
			return nil, fmt.Errorf("the script answered a row %v", row)
		}
		all[i] = answered{text(cells[0]), text(cells[1]), text(cells[2]), cells[3]}
	}
	return all, nil
}

// reader turns rows of the script into a Snapshot.
type reader struct {
	keys keys
	s    cluster.Snapshot
}

func text(cell any) string {
	s, _ := cell.(string)
	return s
}

func list(cell any) []string {
	cells, _ := cell.([]any)
	all := make([]string, len(cells))
	for i, c := range cells {
		all[i] = text(c)
	}
	return all
}

func hash(cell any) map[string]string {
	all := list(cell)
	h := make(map[string]string, len(all)/2)
	for i := 0; i+1 < len(all); i += 2 {
		h[all[i]] = all[i+1]
	}
	return h
}

func (r *reader) row(what, name, second string, value any) {
	node := cluster.Endpoint(name)
	s, k := &r.s, r.keys
	switch what {
	case "servicemode":
		s.ServiceMode = text(value)
	case "members":
		for _, m := range list(value) {
			if e, ok := r.address(k.members(), m); ok {
				s.Members = append(s.Members, e)
			}
		}
		slices.Sort(s.Members)
	case "primary":
		s.Primary, _ = r.address(k.primary(), text(value))
	case "secondary":
		s.Secondary, _ = r.address(k.secondary(), text(value))
	case "mode":
		h := hash(value)
		s.Legacy.Active, _ = r.address(k.mode(), h["active"])
		s.Legacy.Passive, _ = r.address(k.mode(), h["passive"])
	case "master":
		s.Legacy.Master, _ = r.address(k.master(), hash(value)["host"])
	case "assignment":
		a, err := decodeAssignment(hash(value))
		if r.good(k.assignment(), err) {
			s.Assignment = a
		}
	case "incarnation":
		s.Incarnation = text(value)
	case "leader":
		s.Leader.ID = text(value)
	case "token":
		n, err := strconv.ParseUint(text(value), 10, 64)
		if r.good(k.token(), err) {
			s.Leader.Token = n
		}
	case "grant":
		r.grant(hash(value))
	case "grant left":
		r.grantLeft(text(value))
	case "request":
		q, err := decodeRequest(text(value))
		if r.good(k.request(), err) {
			s.Request = q
		}
	case "pause":
		r.good(k.pause(), decodeJSON(text(value), &s.Pause))
	case "verdict":
		r.good(k.verdict(), decodeJSON(text(value), &s.Verdict))
	case "monitors": // read by the script for the views alone
	case "check":
		c, err := decodeCheck(hash(value))
		if r.good(k.check(node), err) {
			s.Checks[node] = c
		}
	case "view":
		r.view(node, second, text(value))
	case "time":
		s.RedisMS, _ = strconv.ParseInt(text(value), 10, 64)
	case "ttl":
		r.ttl(node, second, text(value))
	case "reports":
		r.reports(node, hash(value))
	case "fault":
		r.unreadable(name, second, text(value))
	case "many":
		s.Faults = append(s.Faults, fmt.Sprintf("key %s lists %s %s: not all are read; remove those that are none with redis-cli SREM", quoteKey(name), text(value), second))
	}
}

func (r *reader) view(node cluster.Endpoint, monitor, value string) {
	var o *cluster.Observation
	err := decodeJSON(value, &o)
	if err == nil && (o.Node != node || o.Monitor != monitor) {
		err = fmt.Errorf("it says that it is the view of %s by %q", o.Node, o.Monitor)
	}
	if !r.good(r.keys.view(monitor, node), err) {
		return
	}
	if r.s.Observations[node] == nil {
		r.s.Observations[node] = map[string]cluster.Observation{}
	}
	r.s.Observations[node][monitor] = *o
}

// ttl notes when a view's life ends; that of one that was put there by hand does not.
func (r *reader) ttl(node cluster.Endpoint, monitor, value string) {
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil || ms < 0 {
		return
	}
	if r.s.ViewEnds == nil {
		r.s.ViewEnds = map[cluster.Endpoint]map[string]int64{}
	}
	if r.s.ViewEnds[node] == nil {
		r.s.ViewEnds[node] = map[string]int64{}
	}
	r.s.ViewEnds[node][monitor] = r.s.RedisMS + ms // which the script gives first
}

func (r *reader) reports(node cluster.Endpoint, h map[string]string) {
	agents := make([]string, 0, len(h))
	for agent := range h {
		agents = append(agents, agent)
	}
	slices.Sort(agents)
	for _, agent := range agents {
		var rep *cluster.Report
		err := decodeJSON(h[agent], &rep)
		if err == nil && (rep.Node != node || rep.Agent != agent) {
			err = fmt.Errorf("it says that it is the report of %s by %q", rep.Node, rep.Agent)
		}
		if err == nil {
			err = checkLease(rep.LeaseMS)
		}
		if err != nil {
			r.s.Faults = append(r.s.Faults, fmt.Sprintf("field %q of key %s cannot be read: %v; remove it with redis-cli HDEL", agent, quoteKey(r.keys.report(node)), err))
			continue
		}
		if r.s.Reports[node] == nil {
			r.s.Reports[node] = map[string]cluster.Report{}
		}
		r.s.Reports[node][agent] = *rep
	}
}

// unreadable notes a key that Redis did not give.
func (r *reader) unreadable(key, found, answer string) {
	fault := fmt.Sprintf("key %s cannot be read: %s", quoteKey(key), answer)
	if isCode(answer, "WRONGTYPE") {
		fault = (&WrongTypeError{Key: key, Found: found}).Error()
	}
	if isDenied(answer) || isCode(answer, "NOPERM") {
		fault += " (" + rulesHint + ")"
	}
	r.fault(key, fault)
}

// good notes err as a fault of key; it reports whether there was none.
func (r *reader) good(key string, err error) bool {
	if err != nil {
		r.fault(key, (&ValueError{Key: key, Text: err.Error()}).Error())
	}
	return err == nil
}

func (r *reader) fault(key, fault string) {
	r.s.Faults = append(r.s.Faults, fault)
	if key == r.keys.assignment() {
		r.s.AssignmentFault = fault
	}
	if key == r.keys.pause() { // whoever wrote it meant to hold the pair
		r.s.Pause = &cluster.Pause{Actor: "somebody", Reason: "the record of the pause cannot be read"}
	}
}

func (r *reader) address(key, value string) (cluster.Endpoint, bool) {
	if value == "" {
		return "", false
	}
	e, err := cluster.ParseEndpoint(value)
	return e, r.good(key, err)
}

// decodeJSON reads one JSON object into a pointer; null is no object.
func decodeJSON[T any](text string, into **T) error {
	var v *T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	if v == nil {
		return errors.New("it holds null")
	}
	*into = v
	return nil
}
