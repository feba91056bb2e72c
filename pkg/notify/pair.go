package notify

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// pair is what is remembered of one pair.
type pair struct {
	u           cluster.UniqSign
	tag         cluster.Tag
	incarnation string
	cursor      string // the last entry of the audit trail that was read
	freshMS     int64  // entries before it are told only if somebody owes them
	active      cluster.Endpoint
	story       []cluster.Event // of the change under way
	steps       map[stepsOf][]cluster.Step
	ongoing     map[string]*ongoing
	reasons     map[string]struct{} // for which the hold under way was told, by code
	reason      string              // another one, since reasonOn
	reasonOn    time.Time
}

// stepsOf names what one agent did to one node under one order.
type stepsOf struct {
	order cluster.Order
	node  cluster.Endpoint
	agent string
}

// lookAt reads what is new of one pair and posts what is to be told.
func (s *Service) lookAt(ctx context.Context, u cluster.UniqSign) error {
	p := s.m.pairs[u]
	if p == nil {
		p = &pair{u: u, steps: map[stepsOf][]cluster.Step{}, ongoing: map[string]*ongoing{}, reasons: map[string]struct{}{}}
		s.m.pairs[u] = p
	}
	for {
		// The events first: the reports that belong to them are older.
		var events []cluster.Event
		if p.cursor != "" {
			var err error
			if events, err = bounded(ctx, func(ctx context.Context) ([]cluster.Event, error) {
				return s.o.Bus.EventsAfter(ctx, u, p.cursor, mostEvents)
			}); err != nil {
				return err
			}
		}
		snap, err := bounded(ctx, func(ctx context.Context) (cluster.Snapshot, error) { return s.o.Bus.Snapshot(ctx, u) })
		if err != nil {
			return err
		}
		if snap.Verdict != nil && snap.Verdict.Tag != "" {
			p.tag = snap.Verdict.Tag
		}
		p.keepSteps(snap)
		if p.begin(snap) {
			continue
		}
		for _, e := range events {
			p.cursor = e.ID
			s.event(p, e)
		}
		if len(events) == mostEvents {
			continue
		}
		s.conditions(ctx, p, snap)
		return nil
	}
}

// begin sets where to read the audit trail from, when that is not known or the
// trail is another one than before.
func (p *pair) begin(snap cluster.Snapshot) bool {
	other := snap.Incarnation != "" && p.incarnation != "" && snap.Incarnation != p.incarnation
	p.incarnation = cmp.Or(snap.Incarnation, p.incarnation)
	if p.cursor != "" && !other {
		return false
	}
	now := snap.RedisMS
	if now == 0 {
		now = time.Now().UnixMilli()
	}
	p.cursor = strconv.FormatInt(max(0, now-GiveUp.Milliseconds()), 10) + "-0"
	p.freshMS = now - Window.Milliseconds()
	p.story = nil
	return true
}

// keepSteps notes what agents did, before a later deed of theirs takes its place.
func (p *pair) keepSteps(snap cluster.Snapshot) {
	for node, byAgent := range snap.Reports {
		for agent, r := range byAgent {
			k := stepsOf{r.StepsOrder, node, agent}
			if k.order.Epoch > 0 && len(r.Steps) >= len(p.steps[k]) && len(r.Steps) > 0 {
				p.steps[k] = r.Steps
			}
		}
	}
	now := snap.Assignment.Epoch
	maps.DeleteFunc(p.steps, func(k stepsOf, _ []cluster.Step) bool { return k.order.Epoch+1 < now })
}

// event takes in one entry of the audit trail; one that ends a change is told.
func (s *Service) event(p *pair, e cluster.Event) {
	if e.Tag != "" {
		p.tag = e.Tag
	}
	a := e.Assignment
	if e.Kind == "switching" || len(p.story) >= mostStory {
		p.story = nil
	}
	before := p.active
	if a.Phase == cluster.PhaseSteady {
		p.active = a.Active
	}
	switch e.Kind {
	case "replaced":
		s.replaced(p, e)
		return
	case "eligible", "ineligible", "loss known", "unblocked", "announced again", "unreadable":
		return
	case "rebuilt", "first start", "rolled back", "failover", "steady":
	default:
		if a.Phase != cluster.PhaseSteady {
			p.story = append(p.story, e)
			return
		}
		if before == "" || before == a.Active {
			return
		}
	}
	c := change{tag: p.name(), event: e, story: p.story, steps: p.stepsIn(e)}
	p.story = nil
	s.postEvent(p, e, "change "+e.ID, c.subject(), c.body())
}

// postEvent posts the mail that tells of e.
func (s *Service) postEvent(p *pair, e cluster.Event, name, subject, body string) {
	ms, _, _ := strings.Cut(e.ID, "-")
	at, _ := strconv.ParseInt(ms, 10, 64)
	s.post(&letter{
		u: p.u, tag: p.name(),
		notice: Notice{Name: name, Fresh: at >= p.freshMS, Keep: keepChange},
		mail:   s.compose(p, subject, body, e.Assignment.Epoch, at),
	})
}

// stepsIn are the agents' steps within the change that e ends, in their order.
func (p *pair) stepsIn(e cluster.Event) []done {
	first := cluster.Order{Epoch: e.Assignment.Epoch}
	if len(p.story) > 0 {
		first = p.story[0].Assignment.Order()
	}
	var all []done
	for k, steps := range p.steps {
		if !k.order.Before(first) && !e.Assignment.Order().Before(k.order) {
			all = append(all, done{k, steps})
		}
	}
	slices.SortFunc(all, func(a, b done) int {
		return cmp.Or(cmp.Compare(a.order.Epoch, b.order.Epoch), cmp.Compare(a.order.Version, b.order.Version),
			cmp.Compare(a.node, b.node), cmp.Compare(a.agent, b.agent))
	})
	return all
}

// name is the tag, or what stands for it.
func (p *pair) name() cluster.Tag {
	if p.tag == "" {
		return cluster.Tag(p.u)
	}
	return p.tag
}

// compose makes a mail of what is to be said; at is a time of Redis's clock in
// unix milliseconds, 0 for now.
func (s *Service) compose(p *pair, subject, body string, epoch cluster.Epoch, at int64) Mail {
	date := time.Now()
	if at > 0 {
		date = time.UnixMilli(at)
	}
	body += fmt.Sprintf("\nMore: mmm-status --tag %[1]s; mmmctl history --tag %[1]s\nUniqsign %s, told by mmm-agent %s.\n", p.name(), p.u, s.o.ID)
	return Mail{
		Subject: fmt.Sprintf("[mmm] %s: %s (epoch %d)", p.name(), subject, epoch),
		Body:    body, Date: date,
		Headers: map[string]string{"X-MMM-Tag": string(p.name()), "X-MMM-Uniqsign": string(p.u), "X-MMM-Epoch": strconv.FormatUint(uint64(epoch), 10)},
	}
}
