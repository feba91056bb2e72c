package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

var (
	causeOrder = []string{causeKill, causeTerm, causeStop, causeCut, causeReset, causeFreeze, causeSwitchover}
	causeNames = map[string]string{
		causeKill: "SIGKILL", causeTerm: "SIGTERM", causeStop: "SIGSTOP", causeCut: "host cut off",
		causeReset: "host resets", causeFreeze: "disk frozen", causeSwitchover: "switchover",
	}
	stepOrder = []string{harness.Seen, harness.Decided, harness.Closed, harness.Drained, harness.Opened}
)

// sum is what the runs of one group come to; times are milliseconds.
type sum struct {
	group
	runs, stayed       int
	failed             int       // runs without a result
	first              []float64 // of the runs in which the role moved
	client, floor      []float64
	others             []float64 // percent
	steps, deeds       map[string][]float64
	acknowledged, lost int
	losing             int // runs that lost something
	proofs             []string
}

// summarize puts runs together by group, in the order of the tables.
func summarize(all []run) []*sum {
	by := map[group]*sum{}
	var sums []*sum
	for _, r := range all {
		s := by[r.group]
		if s == nil {
			s = &sum{group: r.group, steps: map[string][]float64{}, deeds: map[string][]float64{}}
			by[r.group] = s
			sums = append(sums, s)
		}
		if r.Failed != "" {
			s.failed++
			continue
		}
		s.runs++
		s.acknowledged, s.lost = s.acknowledged+r.Acknowledged, s.lost+r.Lost
		if r.Lost > 0 {
			s.losing++
		}
		if r.Others != nil {
			s.others = append(s.others, *r.Others)
		}
		if r.Floor > 0 {
			s.floor = append(s.floor, r.Floor)
		}
		if r.Stayed {
			s.stayed++
			continue
		}
		s.first = append(s.first, r.First)
		if r.Client > 0 {
			s.client = append(s.client, r.Client)
		}
		for name, at := range r.Steps {
			s.steps[name] = append(s.steps[name], at)
		}
		for name, took := range r.Deeds {
			s.deeds[name] = append(s.deeds[name], took)
		}
		if r.Proof != "" && !slices.Contains(s.proofs, r.Proof) {
			s.proofs = append(s.proofs, r.Proof)
		}
	}
	rank := func(g group) string {
		return fmt.Sprintf("%s %d %s %g %s %s", g.Server, slices.Index(causeOrder, g.Cause), g.Agents, -g.Timeout, g.Load, g.Durability)
	}
	slices.SortStableFunc(sums, func(a, b *sum) int { return strings.Compare(rank(a.group), rank(b.group)) })
	return sums
}

// figure is a quantile in words, nothing of nothing.
func figure(values []float64, q float64) string {
	if len(values) == 0 {
		return "-"
	}
	v := quantile(values, q)
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// name of a cause, with the setting that is not the default.
func (g group) name() string {
	if g.Timeout != 1 {
		return fmt.Sprintf("%s, connect_timeout=%g", causeNames[g.Cause], g.Timeout)
	}
	return causeNames[g.Cause]
}

// writeTables prints a table for each server, and for each which bounds hold.
func writeTables(out io.Writer, all []run) {
	sums := summarize(all)
	for _, server := range []string{string(harness.MariaDB), string(harness.MySQL)} {
		of := slices.DeleteFunc(slices.Clone(sums), func(s *sum) bool { return s.Server != server })
		if len(of) == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(r run) bool { return r.Server == server })
		fmt.Fprintf(out, "\n### %s\n\n%s\n\n", map[string]string{"mariadb": "MariaDB", "mysql": "MySQL"}[server], all[at].Version)
		fmt.Fprintln(out, "| cause | agents | load | durability | runs | floor | **p50** | p95 | max | seen | decided | closed | drained | opened | lost rows | others, % | proof |")
		fmt.Fprintln(out, "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|")
		for _, s := range of {
			fmt.Fprintln(out, s.row())
		}
		fmt.Fprintf(out, "\n| what agents did, median ms | cause | agents | load | durability |\n|---|---|---|---|---|\n")
		for _, s := range of {
			if words := s.longest(); words != "" {
				fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", words, s.name(), s.Agents, s.Load, s.Durability)
			}
		}
		fmt.Fprintf(out, "\n| bound | cause | agents | load | durability | measured | holds |\n|---|---|---|---|---|---:|---|\n")
		for _, s := range of {
			for _, b := range s.bounds() {
				fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s |\n", b.text, s.name(), s.Agents, s.Load, s.Durability, b.measured, map[bool]string{true: "yes", false: "**no**"}[b.holds])
			}
		}
	}
}

func (s *sum) row() string {
	cells := []string{s.name(), s.Agents, s.Load, string(s.Durability), s.count(), figure(s.floor, 0.5)}
	switch {
	case s.runs == 0:
		cells = append(cells, "-", "-", "-")
	case len(s.first) == 0:
		cells = append(cells, "stays", "", "")
	case s.stayed > 0:
		cells = append(cells, fmt.Sprintf("%s (stayed %d times)", figure(s.first, 0.5), s.stayed), figure(s.first, 0.95), figure(s.first, 1))
	default:
		cells = append(cells, "**"+figure(s.first, 0.5)+"**", figure(s.first, 0.95), figure(s.first, 1))
	}
	for _, name := range stepOrder {
		cells = append(cells, figure(s.steps[name], 0.5))
	}
	lost := fmt.Sprintf("%d of %d", s.lost, s.acknowledged)
	if s.lost > 0 {
		lost += fmt.Sprintf(" (%d runs)", s.losing)
	}
	cells = append(cells, lost, figure(s.others, 0.5), strings.Join(s.proofs, ", "))
	return "| " + strings.Join(cells, " | ") + " |"
}

// count is how many runs have a result, and how many failed.
func (s *sum) count() string {
	if s.failed > 0 {
		return fmt.Sprintf("%d, %d failed", s.runs, s.failed)
	}
	return fmt.Sprint(s.runs)
}

// mostDeeds is how many of the agents' deeds a table names.
const mostDeeds = 6

// longest names what took agents longest, of what was done in half of the runs at least.
func (s *sum) longest() string {
	var names []string
	for name, took := range s.deeds {
		if 2*len(took) >= len(s.first) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(quantile(s.deeds[b], 0.5), quantile(s.deeds[a], 0.5)), strings.Compare(a, b))
	})
	var words []string
	for _, name := range names[:min(len(names), mostDeeds)] {
		words = append(words, fmt.Sprintf("%s %s", name, figure(s.deeds[name], 0.5)))
	}
	return strings.Join(words, "; ")
}

// bound is something that must hold, of medians where nothing else is said.
type bound struct {
	text, measured string
	holds          bool
}

func (s *sum) bounds() []bound {
	var all []bound
	if s.runs == 0 {
		return nil
	}
	atMost := func(text string, q, most float64) {
		if len(s.first) == 0 {
			all = append(all, bound{text, "the role stayed", false})
			return
		}
		all = append(all, bound{text, figure(s.first, q), quantile(s.first, q) <= most})
	}
	switch s.Cause {
	case causeKill:
		least := 50.0
		if s.Server == string(harness.MySQL) {
			least = 180
		}
		most := max(3*quantile(s.floor, 0.5), least)
		atMost(fmt.Sprintf("max(3 x floor, %.0f ms) = %.0f ms", least, most), 0.5, most)
		if s.Server == string(harness.MySQL) && s.Agents == agentsLocal {
			atMost("100 ms", 0.5, 100)
		}
	case causeStop:
		if s.Timeout == 1 {
			atMost(fmt.Sprintf("connect_timeout x try_times + 300 ms = %.0f ms", s.configured()+300), 0.5, s.configured()+300)
		} else {
			atMost("1000 ms", 0.5, 1000)
		}
	case causeCut:
		if s.leased() {
			atMost(fmt.Sprintf("lease + 1 s = %.0f ms", s.configured()+1000), 0.5, s.configured()+1000)
		} else {
			atMost(fmt.Sprintf("connect_timeout x try_times + 300 ms = %.0f ms", s.configured()+300), 0.5, s.configured()+300)
		}
	case causeSwitchover:
		atMost("50 ms", 0.5, 50)
		atMost("p95 150 ms", 0.95, 150)
	}
	if s.Durability.Acknowledged() {
		all = append(all, bound{"no acknowledged row lost", fmt.Sprintf("%d of %d", s.lost, s.acknowledged), s.lost == 0})
	}
	return all
}

// writeRecord makes README.md and the plot from a file of runs.
func writeRecord(dir, file string) error {
	all, err := load(file)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("record: %q holds no run", file)
	}
	var text bytes.Buffer
	fmt.Fprintln(&text, "# How fast\n\nMade by `make bench RECORD=1`; "+
		"[failover.svg](failover.svg) is the same as a picture.\n\n![time to the first acknowledged write elsewhere, by cause](failover.svg)")
	fmt.Fprintln(&text)
	var machines, products []string
	for _, r := range all {
		if !slices.Contains(products, r.Product) {
			products = append(products, r.Product)
		}
		if name := fmt.Sprintf("%d cores, %d GB", r.Cores, r.Memory); !slices.Contains(machines, name) {
			machines = append(machines, name)
		}
	}
	fmt.Fprintf(&text, "Machine: %s; both servers, Redis, all daemons and all clients on it. mmm-manager %s.\n%s\n", strings.Join(machines, "; "), strings.Join(products, "; "), explained)
	writeTables(&text, all)
	if err := os.WriteFile(filepath.Join(dir, "README.md"), text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "failover.svg"), plot(summarize(all)), 0o644)
}

// explained is what the columns mean.
var explained = fmt.Sprintf(`
Milliseconds from the moment before the fault is made to happen (a signal, a packet filter, a frozen file system) to the first
write that the other server acknowledges to an ordinary user who tries every %v. Steps are medians, as the audit trail tells
them; of a switchover they count from the start of mmmctl, and p50, p95 and max are the longest time in which no client had a write acknowledged.

* **agents**: *all* is one agent for both servers: on loopback, but for the last three causes, which need hosts of their own (network
  namespaces joined by a bridge; the agent is far from both servers); *local* is one on each server's host, with leases. One monitor, one identify.
* **load**: *idle* is one client that writes every %v; *500* are %d clients that write 500 rows a second together and have a connection with both
  servers, as pools do: one on which a row is refused stays. A switchover is measured under load alone: who writes now and then does not see it.
* **floor**: what no manager can be faster than, measured in the same run as a client sees it: the port refuses and, for SIGKILL, an open connection ends.
  For a server that does not answer, what the configuration lets it be silent: connect_timeout x try_times since the *last good answer*, which is up to
  250 ms before the fault; where local agents' host is cut off and commits do not wait, the lease. There the pair is older than a lease: of a younger
  one mmm-identify knows less, and counts the lease from its decision.
* **host cut off**: packets from and to the active's host are dropped, clients' too; heartbeats of %g s. **host resets**: what comes to the host is rejected with a
  TCP reset, open connections and new ones. **disk frozen**: nothing is written to the active's disk any more; *stays*: no write elsewhere within %v.
* **runs**: *failed* are those without a result, mostly because the pair was not well before the fault or rolled a switchover back; the file of runs says why. Of fewer than 20 runs p95 is the longest.
* **lost rows**: acknowledged rows that the new active does not hold.
* **others**: what processes that are none of this benchmark's used of the machine while a run lasted, median. With -quiet a run begins when that is little;
  none is left out for what came of it.
* interval=%s, try_times=%s, connect_timeout=1 where nothing else is said, failover_block=%s, failback=manual, everything else as by default.`,
	probeEvery, probeEvery, crowd, heartbeat.Seconds(), roleMoves, settings["interval"], settings["try_times"], settings["failover_block"])

// shown are the groups of the plot: one bar for each server, cause and kind of agents, under load where that was measured, of the
// default durability where that was.
func shown(sums []*sum) []*sum {
	type key struct{ server, cause, agents string }
	best := map[key]*sum{}
	rank := func(s *sum) int {
		n := 0
		if s.Load == load500 {
			n++
		}
		if s.Durability == cluster.Async {
			n += 2
		}
		return n
	}
	for _, s := range sums {
		k := key{s.Server, s.Cause, s.Agents}
		if s.runs > 0 && s.Timeout == 1 && (best[k] == nil || rank(s) > rank(best[k])) {
			best[k] = s
		}
	}
	return slices.DeleteFunc(slices.Clone(sums), func(s *sum) bool { return best[key{s.Server, s.Cause, s.Agents}] != s })
}
