// Package fault draws what breaks from a seed, breaks it, and heals it again.
package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault is one thing that breaks for a while.
type Fault struct {
	// Kind says what happens, Target to whom: names by role (active, passive) mean who has it
	// when the round begins.
	Kind, Target string
	// After is when, since the beginning of the round's faults; Lasts for how long.
	After, Lasts time.Duration
	// Amount is a number that the kind needs: percent of loss, milliseconds of delay.
	Amount int
}

// String tells it in one line, which Parse reads.
func (f Fault) String() string {
	text := f.Kind
	if f.Target != "" {
		text += " " + f.Target
	}
	if f.Amount != 0 {
		text += fmt.Sprintf(" (%d)", f.Amount)
	}
	if f.After != 0 {
		text += " at " + f.After.String()
	}
	return text + " for " + f.Lasts.String()
}

// Plan is what happens in one round.
type Plan []Fault

// String tells all in one line, which Parse reads.
func (p Plan) String() string {
	var all []string
	for _, f := range p {
		all = append(all, f.String())
	}
	return strings.Join(all, separator)
}

// Lasts is when the last fault of the plan is over.
func (p Plan) Lasts() (end time.Duration) {
	for _, f := range p {
		end = max(end, f.After+f.Lasts)
	}
	return end
}

// Has reports whether a fault of that kind is in the plan.
func (p Plan) Has(kind string) bool {
	return slices.ContainsFunc(p, func(f Fault) bool { return f.Kind == kind })
}

// SparesActive reports whether nothing in the plan allows for a failover: monitors are cut off, and the
// replica goes on receiving, or at most one of them is and a majority reaches the active.
func (p Plan) SparesActive() bool {
	cut, replica := map[string]bool{}, false
	for _, f := range p {
		of, monitor, _ := strings.Cut(f.Target, "-")
		switch {
		case f.Kind == busy:
		case !slices.Contains([]string{"cut", "cut to", "cut from", "reset"}, f.Kind):
			return false
		case f.Target == "active-passive":
			replica = true
		case !slices.Contains(MonitorLinks, f.Target):
			return false
		case of == "active":
			cut[monitor] = true
		}
	}
	return !replica || len(cut) == 0 || len(cut) == 1 && !cut["managers"]
}

// SparesServers reports whether nothing in the plan happens to servers, agents and clients, or to the
// links between them.
func (p Plan) SparesServers() bool {
	kinds := []string{"kill", "stop", "kill host", "stop host"}
	targets := []string{"redis", "leader", "other identify", "monitor of mo1", "monitor of mo2", "monitor of mo3", "mo1", "mo2", "mo3"}
	return !slices.ContainsFunc(p, func(f Fault) bool {
		return f.Kind != "redis empty" && f.Kind != "redis old" && !(slices.Contains(kinds, f.Kind) && slices.Contains(targets, f.Target))
	})
}

// Setup is what the drawing has to know of a site.
type Setup struct {
	// Sentinels: there are three Redis.
	Sentinels bool
	// Classic: there is one agent, far from the servers.
	Classic bool
	// Previous: there are programs of a previous version.
	Previous bool
}

// kind is one kind of fault with those to whom it may happen.
type kind struct {
	name    string
	targets []string
	weight  int
	amounts []int
	fits    func(Setup) bool
}

// processes are those that can be killed and stopped alone.
var processes = []string{"server of active", "server of passive", "agent of active", "agent of passive", "redis", "leader", "other identify", "monitor of mo1", "monitor of mo2", "monitor of mo3"}

var hosts = []string{"active", "passive", "redis", "mo1", "mo2", "mo3"}

// links are pairs of hosts, or a host and all others.
var links = []string{"active-passive", "active-redis", "passive-redis", "active-mo1", "active-mo2", "passive-mo1", "mo1-redis", "mo2-redis",
	"active-managers", "passive-managers", "redis-managers", "active-clients", "active-all", "passive-all", "redis-all", "mo1-all", "mo2-all"}

// MonitorLinks are those that concern nobody but monitors and the servers.
var MonitorLinks = []string{"active-mo1", "active-mo2", "active-mo3", "passive-mo1", "passive-mo2", "passive-mo3", "active-managers", "passive-managers"}

// busy is that each processor has more to do than it can, which no plan but its own draws.
const busy = "processors busy"

// allRedis are all processes of Redis, which no plan but that of their absence kills.
const allRedis = "all redis"

var both = []string{"active", "passive"}

func always(Setup) bool { return true }

// kinds are all kinds of faults.
var kinds = []kind{
	{name: "kill", targets: processes, weight: 8, fits: always},
	{name: "stop", targets: processes, weight: 8, fits: always},
	{name: "kill host", targets: hosts, weight: 3, fits: always},
	{name: "stop host", targets: hosts, weight: 3, fits: always},
	{name: "cut", targets: links, weight: 6, fits: always},
	{name: "cut to", targets: links, weight: 3, fits: always},
	{name: "cut from", targets: links, weight: 3, fits: always},
	{name: "reset", targets: links, weight: 3, fits: always},
	{name: "loss", targets: links, weight: 2, amounts: []int{1, 2, 5}, fits: always},
	{name: "slow", targets: hosts, weight: 3, amounts: []int{20, 60, 200}, fits: always},
	{name: "redis empty", weight: 2, fits: always},
	{name: "redis old", weight: 2, fits: always},
	{name: "redis with two masters", weight: 3, fits: func(s Setup) bool { return s.Sentinels }},
	{name: "disk full", targets: both, weight: 2, fits: always},
	{name: "disk frozen", targets: both, weight: 2, fits: always},
	{name: "disk aborted", targets: both, weight: 2, fits: always},
	{name: "lock tables", targets: both, weight: 1, fits: always},
	{name: "long write", targets: []string{"active"}, weight: 1, fits: always},
	{name: "huge transaction", targets: []string{"active"}, weight: 1, fits: always},
	{name: "too many connections", targets: both, weight: 1, fits: always},
	{name: "ddl behind a lock", targets: []string{"active"}, weight: 1, fits: always},
	{name: "opened by hand", targets: []string{"passive"}, weight: 1, fits: always},
	{name: "errant write", targets: []string{"passive"}, weight: 1, fits: always},
	{name: "replica stopped by hand", targets: both, weight: 1, fits: always},
	{name: "replica reset by hand", targets: []string{"passive"}, weight: 1, fits: always},
	{name: "switchover", weight: 2, fits: always},
	{name: "two switchovers", weight: 2, fits: always},
	{name: "reload during a failover", weight: 1, fits: always},
	{name: "previous version", targets: []string{"leader", "other identify", "agent of active", "agent of passive", "monitor of mo1"}, weight: 2, fits: func(s Setup) bool { return s.Previous }},
}

// Kinds are the names of all kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

const (
	shortest, longest = time.Second, 8 * time.Second
	// pairs is how many rounds in a hundred have a second fault.
	pairs = 35
)

// Draw draws the plan of one round; with only, none but faults whose text begins with that.
func Draw(rng *rand.Rand, setup Setup, only string) Plan {
	plan := Plan{draw(rng, setup, only)}
	if rng.IntN(100) < pairs {
		second := draw(rng, setup, only)
		second.After = time.Duration(rng.Int64N(int64(plan[0].Lasts + time.Second))).Round(time.Millisecond)
		if second.Kind != plan[0].Kind || second.Target != plan[0].Target {
			plan = append(plan, second)
		}
	}
	return plan
}

func draw(rng *rand.Rand, setup Setup, only string) Fault {
	var fitting []kind
	total := 0
	for _, k := range kinds {
		k.targets = slices.DeleteFunc(slices.Clone(k.targets), func(target string) bool {
			return setup.Classic && target == "agent of passive" || !strings.HasPrefix(k.name+" "+target, only)
		})
		if k.fits(setup) && (len(k.targets) > 0 || strings.HasPrefix(k.name, only)) {
			fitting = append(fitting, k)
			total += k.weight
		}
	}
	at := rng.IntN(total)
	for _, k := range fitting {
		if at -= k.weight; at >= 0 {
			continue
		}
		f := Fault{Kind: k.name, Lasts: (shortest + time.Duration(rng.Int64N(int64(longest-shortest)))).Round(time.Millisecond)}
		if len(k.targets) > 0 {
			f.Target = k.targets[rng.IntN(len(k.targets))]
		}
		if len(k.amounts) > 0 {
			f.Amount = k.amounts[rng.IntN(len(k.amounts))]
		}
		return f
	}
	panic("weights do not add up")
}

// Busy is that all processors have other work, for so long that an hour is 24 rounds.
func Busy() Plan { return Plan{{Kind: busy, Lasts: 150 * time.Second}} }

// Cuts draws a cut of monitors alone.
func Cuts(rng *rand.Rand) Plan {
	how := []string{"cut", "cut to", "cut from", "reset"}
	return Plan{{Kind: how[rng.IntN(len(how))], Target: MonitorLinks[rng.IntN(len(MonitorLinks))],
		Lasts: (shortest + time.Duration(rng.Int64N(int64(longest-shortest)))).Round(time.Millisecond)}}
}
