package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const (
	agentsAll, agentsLocal = "all", "local"
	loadIdle, load500      = "idle", "500"
	// roleMoves is how long is waited for a first write elsewhere.
	roleMoves = 15 * time.Second
	// jitter is the longest pause before a fault: it is to hit any moment between two pings.
	jitter = time.Second
	// mostFailed is how many runs of a cell may fail, for which the pair is then made anew.
	mostFailed = 3
	// visit is how many runs of each of its cells a stage sees at most before another has its turn.
	visit = 5
)

// matrix measures each cause with each kind of agents, load and durability.
type matrix struct {
	theatre
	version string
	product string
	runs    int
	quiet   float64   // a run begins when others use less than so many percent of the processors; at once when zero
	end     time.Time // no run begins after it; never when zero
	json    string    // file that gets each run; none when empty
	any     bool      // runs of other versions count for what the file lacks
	turns   *turns
	enough  int // runs of a cell in the file of runs, others' too, with which no further one begins; no bound when zero
	used    int // clients used so far: each run's rows have numbers of their own
	stage   *stage
	of      stageOf
}

// usual are the durabilities that are measured when none are asked for: one agent is what the predecessor's users
// have, agents on each host are for commits that wait, and for leases where they do not.
func usual(agent, cause string) []string {
	switch {
	case agent == agentsAll:
		return []string{string(cluster.Async)}
	case cause == causeCut:
		return []string{string(cluster.SemiSync), string(cluster.Async)}
	}
	return []string{string(cluster.SemiSync)}
}

// cells are the combinations asked for, those that share a stage side by side.
func cells(server string, causes, agents, loads, durabilities []string, timeout float64) []group {
	var all []group
	for _, agent := range agents {
		for _, cause := range causes {
			asked := durabilities
			if len(asked) == 0 {
				asked = usual(agent, cause)
			}
			for _, durability := range asked {
				for _, load := range loads {
					if cause == causeSwitchover && load != load500 {
						continue // time without writes is seen by those who write without a pause
					}
					all = append(all, group{server, cause, agent, load, cluster.Durability(durability), timeout})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b group) int { return strings.Compare(a.stage().key(), b.stage().key()) })
	return all
}

// stage is what a cell needs: one agent for both is measured on loopback where the cause allows it.
func (g group) stage() stageOf {
	return stageOf{hosts: g.Agents == agentsLocal || needsHosts(g.Cause), local: g.Agents == agentsLocal, planned: g.Cause == causeSwitchover, durability: g.Durability, timeout: g.Timeout}
}

func (o stageOf) key() string {
	return fmt.Sprintf("%v %v %v %s", o.planned, o.hosts, o.local, o.durability)
}

func (g group) String() string {
	return fmt.Sprintf("%s, %s, agents: %s, load: %s, %s", g.Server, g.Cause, g.Agents, g.Load, g.Durability)
}

// measure runs all cells, those that share a stage in turn, so that whatever else happens on the machine happens to all.
func (m *matrix) measure(ctx context.Context, all []group) (done []run, failures error) {
	defer m.clear()
	for len(all) > 0 {
		same := len(all)
		if i := slices.IndexFunc(all, func(g group) bool { return g.stage() != all[0].stage() }); i > 0 {
			same = i
		}
		if all[0].stage().hosts && m.freezer == nil {
			fmt.Fprintf(os.Stderr, "left out, hosts of their own need root: %v\n", all[:same])
		} else if err := m.inTurn(ctx, all[:same], &done); err != nil {
			failures = errors.Join(failures, err)
		}
		all = all[same:]
	}
	return done, failures
}

// fill measures what the file of runs lacks: the stage with the cell of fewest runs has the next turn. It goes on where an
// interrupted one ended, and others may fill the same file at the same time.
func (m *matrix) fill(ctx context.Context, all []group) (done []run, failures error) {
	defer m.clear()
	// Those that fill side by side begin with different ones: while one pair becomes well, the others have their turns.
	from := rand.N(max(1, len(all)))
	all = slices.Concat(all[from:], all[:from])
	for {
		if !m.end.IsZero() && time.Now().After(m.end) || ctx.Err() != nil {
			return done, errors.Join(failures, ctx.Err())
		}
		runs, err := load(m.json)
		if err != nil {
			return done, errors.Join(failures, err)
		}
		turn, times := lacking(all, slices.DeleteFunc(runs, m.old), m.runs)
		if len(turn) == 0 {
			return done, failures
		}
		now := *m
		now.runs, now.enough = times, m.runs
		if err := now.inTurn(ctx, turn, &done); err != nil {
			failures = errors.Join(failures, err)
			all = slices.DeleteFunc(all, func(g group) bool { return slices.Contains(turn, g) }) // it fails again and again
		}
		m.stage, m.of, m.used = now.stage, now.of, now.used
	}
}

// have counts a cell's runs with a result.
func (m *matrix) have(runs []run, g group) (n int) {
	for _, r := range runs {
		if r.group == g && r.Failed == "" && !m.old(r) {
			n++
		}
	}
	return n
}

// old reports whether a run is of other versions than are measured now.
func (m *matrix) old(r run) bool { return !m.any && (r.Product != m.product || r.Version != m.version) }

// lacking are the cells that have their turn next, and how often: those of the stage with the cell of fewest runs
// that are not ahead of it by a visit; none when all have enough.
func lacking(all []group, runs []run, enough int) (turn []group, times int) {
	have := map[group]int{}
	for _, r := range runs {
		if r.Failed == "" {
			have[r.group]++
		}
	}
	all = slices.DeleteFunc(slices.Clone(all), func(g group) bool { return have[g] >= enough })
	if len(all) == 0 {
		return nil, 0
	}
	fewest := slices.MinFunc(all, func(a, b group) int { return have[a] - have[b] })
	for _, g := range all {
		if g.stage() == fewest.stage() && have[g] < have[fewest]+visit {
			turn = append(turn, g)
		}
	}
	return turn, min(visit, enough-have[fewest])
}

func (m *matrix) inTurn(ctx context.Context, cells []group, done *[]run) (failures error) {
	failed := map[group]int{}
	for n := range m.runs {
		for _, g := range cells {
			for failed[g] < mostFailed {
				if !m.end.IsZero() && time.Now().After(m.end) || ctx.Err() != nil {
					return errors.Join(failures, ctx.Err())
				}
				if m.enough > 0 {
					if runs, err := load(m.json); err != nil || m.have(runs, g) >= m.enough {
						failures = errors.Join(failures, err)
						break
					}
				}
				r, err := m.once(ctx, g)
				if ctx.Err() != nil || errors.Is(err, errEnd) {
					return errors.Join(failures, ctx.Err())
				}
				if err != nil {
					m.clear()
					if !r.counted {
						r = r.failed(err)
					}
				}
				fmt.Fprintf(os.Stderr, "%s %d/%d: %s\n", g, n+1, m.runs, r.line())
				*done = append(*done, r)
				if m.json != "" {
					if err := add(m.json, r); err != nil {
						return err
					}
				}
				if err != nil && r.counted {
					fmt.Fprintf(os.Stderr, "%s %d/%d: after it: %v\n", g, n+1, m.runs, err)
				}
				if r.counted {
					break
				}
				if failed[g]++; failed[g] == mostFailed {
					failures = errors.Join(failures, fmt.Errorf("%s: %d runs could not be measured, the last: %w", g, mostFailed, err))
				}
			}
		}
	}
	return failures
}

// failed is the run with nothing but why it has no result.
func (r run) failed(err error) run {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	return run{group: r.group, Version: r.Version, Product: r.Product, Cores: r.Cores, Memory: r.Memory, Others: r.Others, Unix: r.Unix, Failed: reason}
}

func (r run) line() string {
	if r.Failed != "" {
		return "failed: " + r.Failed
	}
	if r.Stayed {
		return fmt.Sprintf("no write elsewhere within %s; %d of %d acknowledged rows lost", roleMoves, r.Lost, r.Acknowledged)
	}
	return fmt.Sprintf("%.1f ms, floor %.1f, %v %s; %d of %d acknowledged rows lost", r.First, r.Floor, r.Steps, r.Proof, r.Lost, r.Acknowledged)
}

func (m *matrix) clear() {
	if m.stage != nil {
		m.stage.close()
		m.stage = nil
	}
}

// errEnd says that the time for measuring was over before a run could begin.
var errEnd = errors.New("no time is left")

// begin waits for this benchmark's turn, and until others use little of the processors.
func (m *matrix) begin(ctx context.Context, alone bool) (release func(), err error) {
	if release, err = m.turns.take(ctx, alone); err != nil {
		return nil, err
	}
	if m.quiet > 0 {
		err = quiet(ctx, m.quiet, m.end)
	}
	if err == nil && !m.end.IsZero() && time.Now().After(m.end) {
		err = errEnd
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// raised has a stage of the kind that a cell needs: that of the run before, or a new one.
func (m *matrix) raised(ctx context.Context, o stageOf) error {
	if m.stage != nil && m.of == o {
		return nil
	}
	release, err := m.turns.take(ctx, false)
	if err != nil {
		return err
	}
	defer release()
	m.clear()
	m.stage, err = m.raise(ctx, o)
	m.of = o
	return err
}

// once has one cause happen to a pair that is well, and mends it.
func (m *matrix) once(ctx context.Context, g group) (r run, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	r = run{group: g, Version: m.version, Product: m.product, Steps: map[string]float64{}, Unix: time.Now().Unix()}
	r.Cores, r.Memory = machine()
	if err := m.raised(ctx, g.stage()); err != nil {
		return r, err
	}
	if _, _, _, err := m.stage.ready(ctx, g.Durability); err != nil {
		return r, err
	}
	if m.stage.since.IsZero() {
		m.stage.since = time.Now()
	}
	if g.leased() {
		// Of the leases of a pair that is younger than one, less is known.
		if err := wait(ctx, time.Until(m.stage.since.Add(leaseSeconds*time.Second))); err != nil {
			return r, err
		}
	}
	release, err := m.begin(ctx, g.brief())
	if err != nil {
		return r, err
	}
	defer release()
	active, passive, before, err := m.stage.ready(ctx, g.Durability) // while it waited for its turn
	if err != nil {
		return r, err
	}
	r.Unix = time.Now().Unix()
	if used, lookErr := readTicks(); lookErr == nil {
		defer func() {
			if now, err := readTicks(); err == nil {
				share := now.others(used)
				r.Others = &share
			}
		}()
	}
	writers, err := m.start(g.Load, active, passive)
	if err != nil {
		return r, err
	}
	for _, w := range writers {
		defer w.Stop()
	}
	if err := writers[0].WaitMore(ctx, 20); err != nil {
		return r, err
	}
	if err := wait(ctx, rand.N(jitter)); err != nil {
		return r, err
	}
	if g.Cause == causeSwitchover {
		err = m.switchover(ctx, &r, before.Epoch, passive, writers)
	} else {
		err = m.failover(ctx, &r, before.Epoch, active, passive, writers)
	}
	return r, err
}

// start starts those who write to the active, and one who tries the passive. Under load each of the crowd knows both servers.
func (m *matrix) start(load string, active, passive *harness.Server) ([]*harness.Writer, error) {
	both := []cluster.Endpoint{active.Addr(), passive.Addr()}
	all := []harness.WriterOptions{{Nodes: both[:1], Clients: 1, Every: probeEvery}}
	if load == load500 {
		all[0] = harness.WriterOptions{Nodes: both, Clients: crowd, Every: crowdEvery, Keep: true}
	}
	all = append(all, harness.WriterOptions{Nodes: both[1:], Clients: 1, Every: probeEvery})
	var writers []*harness.Writer
	for _, o := range all {
		// Clients that connect without a pause take the processor from what they wait for.
		o.First, o.Retry, o.At = m.used+1, o.Every, m.stage.client
		m.used += o.Clients
		w, err := m.lab.StartWriter(o)
		if err != nil {
			return writers, err
		}
		writers = append(writers, w)
	}
	return writers, nil
}

// failover breaks the active, waits for the first write elsewhere and counts what is missing there.
func (m *matrix) failover(ctx context.Context, r *run, above cluster.Epoch, active, passive *harness.Server, writers []*harness.Writer) (err error) {
	st := m.stage
	fl, err := st.newFloor(ctx, active.Addr(), r.Cause == causeKill)
	if err != nil {
		return err
	}
	defer fl.close()
	var began time.Time
	var heal func(context.Context) error
	err = m.turns.strike(ctx, func() (err error) {
		began = time.Now()
		heal, err = st.inject(ctx, r.Cause, active)
		return err
	})
	if err != nil {
		return err
	}
	after := func(at time.Time) float64 { return ms(at.Sub(began)) }
	limited, cancel := context.WithDeadline(ctx, began.Add(roleMoves))
	defer cancel()
	healed := false
	defer func() {
		if !healed {
			err = errors.Join(err, heal(ctx))
		}
	}()
	if ends(r.Cause) || r.Cause == causeReset {
		at, err := fl.wait(limited)
		if err != nil {
			return err
		}
		r.Floor = after(at)
	} else {
		r.Floor = r.group.configured()
	}
	first, err := firstOn(limited, writers, began, passive.Addr())
	switch {
	case err == nil:
		r.First = after(first)
		change, err := harness.WaitChange(ctx, st, above, passive)
		if err != nil {
			return err
		}
		if err := st.told(ctx, r, change, began, passive); err != nil {
			return err
		}
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		r.Stayed = true
	}
	for _, w := range writers {
		w.Stop()
	}
	if r.Stayed {
		healed = true
		if err := heal(ctx); err != nil {
			return err
		}
		return m.tally(ctx, r, active, writers)
	}
	if err := m.tally(ctx, r, passive, writers); err != nil {
		return err
	}
	healed = true
	if err := heal(ctx); err != nil {
		return err
	}
	return m.mend(ctx, active, passive)
}

// told notes what the audit trail and the agents tell of a change.
func (st *stage) told(ctx context.Context, r *run, change harness.Change, began time.Time, active *harness.Server) error {
	r.Proof = string(change.Record.Proof)
	for _, moment := range change.Moments {
		r.Steps[moment.Name] = ms(moment.At.Sub(began))
	}
	snap, err := st.Snapshot(ctx)
	if err != nil {
		return err
	}
	r.Deeds = map[string]float64{}
	for _, server := range st.pair.Servers() {
		who := "old: "
		if server == active {
			who = "new: "
		}
		for _, report := range snap.Reports[server.Addr()] {
			for _, step := range report.Steps {
				r.Deeds[who+step.Name] += step.MS
			}
		}
	}
	return nil
}

// configured is the floor of who does not answer: how long the configuration lets one be silent.
func (g group) configured() float64 {
	// Where commits wait, that nobody acknowledges any more is a proof as good as the lease.
	if g.leased() {
		return leaseSeconds * 1000
	}
	tries, _ := strconv.ParseFloat(settings["try_times"], 64)
	return 1000 * g.Timeout * tries
}

// leased reports whether the passive is opened only when the active's lease is over.
func (g group) leased() bool {
	return g.Cause == causeCut && g.Agents == agentsLocal && !g.Durability.Acknowledged()
}

func (m *matrix) tally(ctx context.Context, r *run, holder *harness.Server, writers []*harness.Writer) error {
	tally, err := holder.Tally(ctx, writers...)
	r.Acknowledged, r.Lost, r.counted = tally.Acknowledged, len(tally.Lost), err == nil
	return err
}

// firstOn is when the first write after the given time was acknowledged by the node, to any of the writers that try it.
func firstOn(ctx context.Context, writers []*harness.Writer, after time.Time, node cluster.Endpoint) (time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		at  time.Time
		err error
	}
	answers := make(chan answer, len(writers))
	for _, w := range writers {
		go func() {
			ack, err := w.WaitAck(ctx, after, node)
			answers <- answer{ack.At, err}
		}()
	}
	var err error
	for range writers {
		a := <-answers
		if a.err == nil {
			return a.at, nil
		}
		err = a.err
	}
	return time.Time{}, err
}

// mend waits until the old active is closed, and gives the pair up where it holds transactions of its own: one that is
// made anew from the active may not take over for a while.
func (m *matrix) mend(ctx context.Context, old, active *harness.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	// A woken server may still finish what it had begun before it is closed.
	err := harness.Until(ctx, "the old active is closed", func(ctx context.Context) (bool, string) {
		closed, err := old.ReadOnly(ctx)
		return err == nil && closed, fmt.Sprintf("open, %v", err)
	})
	if err != nil {
		return err
	}
	own, err := old.OwnTransactions(ctx, old)
	if err != nil {
		return err
	}
	known, err := active.OwnTransactions(ctx, old)
	if err == nil && own > known {
		m.clear()
	}
	return err
}

// switchover asks for one and measures for how long nobody had a write acknowledged.
func (m *matrix) switchover(ctx context.Context, r *run, above cluster.Epoch, passive *harness.Server, writers []*harness.Writer) error {
	// The one who tries the passive would make the new active's first write earlier than an application has it.
	writers[1].Stop()
	began := time.Now()
	out, err := m.stage.tool(ctx, "mmmctl", "switchover", "--yes", "--tag", harness.ServiceTag)
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return fmt.Errorf("mmmctl switchover: %s", out)
	}
	change, err := harness.WaitChange(ctx, m.stage, above, passive)
	if err != nil {
		return err
	}
	if err := m.stage.told(ctx, r, change, began, passive); err != nil {
		return err
	}
	if err := writers[0].WaitMore(ctx, 10*crowd); err != nil {
		return err
	}
	writers[0].Stop()
	r.First, r.Client = gaps(writers[0].Acks(), began)
	return m.tally(ctx, r, passive, writers)
}

// gaps are the longest time between two acknowledgements, to anybody and to one client, that ends after the given moment.
func gaps(acks []harness.Ack, since time.Time) (anybody, client float64) {
	slices.SortStableFunc(acks, func(a, b harness.Ack) int { return a.At.Compare(b.At) })
	last := map[int]time.Time{}
	var before time.Time
	for _, ack := range acks {
		if ack.At.After(since) {
			if !before.IsZero() {
				anybody = max(anybody, ms(ack.At.Sub(before)))
			}
			if was, ok := last[ack.Client]; ok {
				client = max(client, ms(ack.At.Sub(was)))
			}
		}
		before, last[ack.Client] = ack.At, ack.At
	}
	return anybody, client
}
