package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/fault"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
	"github.com/mmm-manager/mmm-manager/tests/lab/workload"
)

const (
	// convergeWithin is how long a pair may take to be well after all is healed, and again after a
	// person has done what the programs asked for.
	convergeWithin = 30 * time.Second
	roundWithin    = 4 * time.Minute
	// keptCopies is in how many rounds one copy of Redis's data is made.
	keptCopies = 4
	// linearizeWithin bounds the search for an order of a register's operations.
	linearizeWithin = 10 * time.Second
)

// run lets one plan happen to a pair that is well, and judges it.
func (r *seedRun) run(ctx context.Context, n int, plan fault.Plan, rng *rand.Rand) ([]check.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, roundWithin+plan.Lasts())
	defer cancel()
	r.notes = nil
	began := time.Now()
	if err := harness.Until(ctx, "the pair is well", r.site.Well); err != nil {
		return nil, err
	}
	var cast *fault.Cast
	if err := harness.Until(ctx, "everybody has a role", func(ctx context.Context) (bool, string) {
		var err error
		cast, err = fault.NewCast(ctx, r.site)
		return err == nil, fmt.Sprint(err)
	}); err != nil {
		return nil, err
	}
	cast.Previous = harness.Programs{Dir: r.previous}
	keep := rng.IntN(keptCopies) == 0 || !cast.Store.HasCopy()
	if r.script != nil {
		keep = !plan.Has("redis old") // which is then as old as a script can say
	}
	if keep {
		if err := cast.Store.Keep(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.site.Sync(ctx); err != nil {
		return nil, err
	}
	events := len(r.trail.Events())
	ops, err := r.load.Begin(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := r.load.WaitAck(ctx, time.Now(), ""); err != nil {
		return nil, err
	}
	if r.usage == nil {
		if r.usage, err = r.sample(ctx); err != nil {
			return nil, err
		}
	}
	happened := r.happen(ctx, cast, plan)
	c := r.converge(ctx)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("not over within %s, or interrupted: %w", roundWithin, ctx.Err())
	}
	findings := c.findings
	if len(findings) == 0 {
		if err := r.load.WaitAck(ctx, time.Now(), ""); err != nil {
			findings = append(findings, check.Finding{Checker: "convergence", Text: "the pair is well and no write is acknowledged: " + err.Error()})
		}
	}
	if err := r.load.End(ctx); err != nil {
		return findings, err
	}
	judged, s, err := r.judge(ctx, cast, plan, ops, events)
	findings = append(findings, judged...)
	if err != nil {
		if len(findings) == 0 {
			return nil, err
		}
		r.note("not judged: %v", err)
	}
	for _, f := range happened {
		s.Faults[f.Kind]++
	}
	s.Rounds, s.Slowest = 1, c.took
	s.Discarded, s.Rebuilt = r.person.Discarded, r.person.Rebuilt
	for _, why := range r.person.Refused {
		r.note("discard refused: %s", strings.TrimSpace(why))
	}
	r.person.Discarded, r.person.Rebuilt, r.person.Refused = 0, 0, nil
	fmt.Fprintf(r.log, "seed %d round %d  %s\n    %s; well after %.1f s%s; %.0f s in all\n", r.seed, n, plan, s.line(), c.took.Seconds(), c.person, time.Since(began).Seconds())
	for _, note := range r.notes {
		fmt.Fprintln(r.log, "    "+note)
	}
	r.total.add(s)
	if len(findings) > 0 {
		return findings, r.saveHistory(n, ops)
	}
	if n%keptRounds == 0 {
		if err := r.tidy(ctx, n); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// keptRounds is how many rounds' rows stay on the servers' small disks.
const keptRounds = 3

// tidy removes what was judged, and the binary logs that both servers have.
func (r *seedRun) tidy(ctx context.Context, n int) error {
	if err := r.load.Forget(ctx, n); err != nil {
		return err
	}
	if n%(5*keptRounds) != 0 {
		return nil
	}
	if err := harness.Until(ctx, "both servers hold the same", r.site.Equal); err != nil {
		return err
	}
	for _, db := range r.site.DB {
		// Two switches, so that what is purged was sent before the last one.
		if err := errors.Join(db.Exec(ctx, "FLUSH BINARY LOGS"), db.Exec(ctx, "PURGE BINARY LOGS BEFORE NOW() - INTERVAL 60 SECOND")); err != nil {
			return err
		}
	}
	return nil
}

func (r *seedRun) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// happen has the faults of a plan happen, heals them, and returns those that did happen.
func (r *seedRun) happen(ctx context.Context, cast *fault.Cast, plan fault.Plan) (happened fault.Plan) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, f := range plan {
		wait.Go(func() {
			pause(ctx, f.After)
			heal, err := cast.Inject(ctx, f)
			mu.Lock()
			if err != nil {
				r.note("did not happen: %v", err)
			} else {
				happened = append(happened, f)
			}
			mu.Unlock()
			if err != nil {
				return
			}
			if strings.HasPrefix(f.Kind, "redis ") {
				r.trail.Anew(f.Kind == "redis with two masters")
			}
			pause(ctx, f.Lasts)
			if err := heal(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				r.note("heal %s %s: %v", f.Kind, f.Target, err)
			}
			if f.Kind == "redis with two masters" || r.site.Sentinels() {
				r.trail.Anew(false) // the other master's records are gone
			}
		})
	}
	wait.Wait()
	return happened
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// convergence is how a pair came to be well again.
type convergence struct {
	took     time.Duration // until it was well, or the programs asked a person for something
	person   string
	findings []check.Finding
}

// patience is how long a state that asks for a person has to last; what replication itself
// complains of may mend itself.
var patience = map[bool]time.Duration{false: 4 * time.Second, true: 8 * time.Second}

// converge waits until the pair is well, restarts what has ended as systemd does, and does as a person what the
// programs ask for.
func (r *seedRun) converge(ctx context.Context) (c convergence) {
	healed := time.Now()
	deadline := healed.Add(convergeWithin)
	var asked string
	var since time.Time
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	nextLook := healed.Add(2 * time.Second)
	for {
		ended, err := r.site.Revive(ctx)
		for _, text := range ended {
			c.findings = append(c.findings, check.Finding{Checker: "daemons", Text: text})
		}
		if err != nil {
			r.note("%v", err)
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		well, state := r.site.Well(short)
		cancel()
		if well {
			if c.person == "" {
				c.took = time.Since(healed)
			}
			return c
		}
		if ctx.Err() != nil {
			return c // the round's end says why
		}
		if time.Now().After(deadline) {
			c.took = time.Since(healed)
			c.findings = append(c.findings, check.Finding{Checker: "convergence", Text: fmt.Sprintf("not well %.0f s after all was healed: %s", time.Since(healed).Seconds(), state)})
			return c
		}
		if time.Now().After(nextLook) {
			nextLook = time.Now().Add(time.Second)
			db, state, err := r.person.Needed(ctx)
			switch {
			case err != nil || state == "":
				asked = ""
			case state != asked:
				asked, since = state, time.Now()
			case time.Since(since) >= patience[strings.HasSuffix(state, "-error")]:
				if c.person == "" {
					c.took = time.Since(healed)
				}
				c.person += ", and a person mended: " + state
				if err := r.person.Mend(ctx, db, state); err != nil {
					r.note("mend %s: %v", state, err)
				}
				asked, deadline = "", time.Now().Add(convergeWithin)
			}
		}
		<-look.C
	}
}

// judge compares what clients saw with what is there.
func (r *seedRun) judge(ctx context.Context, cast *fault.Cast, plan fault.Plan, ops *history.History, events int) ([]check.Finding, sums, error) {
	s := sums{Faults: map[string]int{}}
	same, cancel := context.WithTimeout(ctx, convergeWithin)
	defer cancel()
	var findings []check.Finding
	if err := harness.Until(same, "both servers hold the same", r.site.Equal); err != nil {
		return append(findings, check.Finding{Checker: "convergence", Text: err.Error()}), s, nil
	}
	tables, err := r.tables(ctx, ops.Round())
	if err != nil {
		return findings, s, err
	}
	round := check.Round{Ops: ops.Ops(), Tables: tables, Promises: r.trail.Promises(), Trail: r.trail.trail}
	for _, f := range plan {
		if strings.HasPrefix(f.Kind, "stop") {
			round.Weak = []cluster.Proof{cluster.ProofLease}
		}
	}
	round.Durability, round.Down = r.mode.Durability(), cast.Down()
	round.Undisturbed = plan.SparesServers() && r.mode != site.Classic // whose agent is on mo3
	round.Loose = slices.ContainsFunc([]string{"redis old", "opened by hand", "previous version"}, plan.Has)
	strangers, err := errant(ctx, cast)
	if err != nil {
		return findings, s, err
	}
	findings = append(findings, strangers...)
	if by := cast.ByHand(); len(by) > 0 {
		r.note("%d rows were taken by a server that a person had opened", withoutThoseOfPeople(&round, by))
	}
	trail, err := r.trail.Check(ctx)
	if err != nil {
		return findings, s, err
	}
	found, counted := check.Check(round, linearizeWithin)
	s.Sums = counted
	if counted.Acknowledged == 0 {
		findings = append(findings, check.Finding{Checker: "workload", Text: "no row at all was acknowledged: " + lastError(round.Ops)})
	}
	s.Duals = append(s.Duals, counted.Dual)
	s.Switches, s.Reported = r.changes(events)
	if counted.LostUnpromised > s.Reported {
		findings = append(findings, check.Finding{Checker: "loss", Text: fmt.Sprintf("%d acknowledged rows are lost, and %d transactions were reported as left behind", counted.LostUnpromised, s.Reported)})
	}
	if still := r.stoodStill(events, round.Ops); plan.SparesActive() && s.Switches > 0 && still > standsStill && r.plan != planBusy {
		r.note("the active had acknowledged nothing for %s when it was given up: its replica received nothing either", still.Round(time.Millisecond))
	} else if plan.SparesActive() && s.Switches > 0 {
		findings = append(findings, check.Finding{Checker: "false failover", Text: fmt.Sprintf("%d changes of role while a majority of the monitors reached the active, or its replica received from it", s.Switches)})
	}
	return append(append(findings, trail...), found...), s, nil
}

// lastError is what the last client that failed to insert a row was told.
func lastError(ops []history.Op) string {
	for _, o := range slices.Backward(ops) {
		if o.IsRow() && o.Error != "" {
			return fmt.Sprintf("%s of %s: %s", o.Kind, o.Server, o.Error)
		}
	}
	return "nobody tried"
}

// visibleWithin is how long a server may take to show rows of a transaction that its position has already:
// a transaction is in a binary log before its rows can be seen.
const visibleWithin = 3 * time.Second

// tables reads what both servers hold, again while they differ.
func (r *seedRun) tables(ctx context.Context, round int) (map[cluster.Endpoint]history.Tables, error) {
	within, cancel := context.WithTimeout(ctx, visibleWithin)
	defer cancel()
	var shown map[cluster.Endpoint]history.Tables
	differ := harness.Until(within, "both servers show the same rows", func(ctx context.Context) (bool, string) {
		read, err := r.read(ctx, round)
		if err != nil {
			return false, err.Error()
		}
		shown = read
		a, b := shown[r.site.DB[0].Addr()], shown[r.site.DB[1].Addr()]
		return reflect.DeepEqual(a, b), fmt.Sprintf("%d and %d rows", len(a.Rows), len(b.Rows))
	})
	if differ != nil {
		r.note("%v", differ)
	}
	if shown == nil {
		return r.read(ctx, round)
	}
	return shown, nil
}

// read reads what each server holds of a round.
func (r *seedRun) read(ctx context.Context, round int) (map[cluster.Endpoint]history.Tables, error) {
	all := map[cluster.Endpoint]history.Tables{}
	for _, db := range r.site.DB {
		held, err := workload.Read(ctx, db.Admin(), round)
		if err != nil {
			return nil, err
		}
		all[db.Addr()] = held
	}
	return all, nil
}

// errant finds rows that a person wrote to the closed server and that the other one has taken over.
func errant(ctx context.Context, cast *fault.Cast) (found []check.Finding, err error) {
	for _, e := range cast.Errant() {
		var n int
		query := fmt.Sprintf("SELECT COUNT(*) FROM %s.entry WHERE client = 2 AND seq = %d", harness.AppDB, e.Seq)
		if err := e.Other.Admin().QueryRowContext(ctx, query).Scan(&n); err != nil {
			return nil, fmt.Errorf("look for an errant row: %w", err)
		}
		if n > 0 {
			found = append(found, check.Finding{Checker: "errant", Text: fmt.Sprintf("%s holds a row that a person wrote to %s while that was closed and nobody received from it", e.Other.Addr(), e.Server.Addr())})
		}
	}
	return found, nil
}

// withoutThoseOfPeople leaves out the rows that a server took while a person had it open; it counts them.
func withoutThoseOfPeople(round *check.Round, by []fault.ByHand) (n int) {
	type row struct {
		client int
		seq    int64
	}
	gone := map[row]bool{}
	round.Ops = slices.DeleteFunc(round.Ops, func(o history.Op) bool {
		mine := o.IsRow() && slices.ContainsFunc(by, func(w fault.ByHand) bool {
			return o.Server == w.Server && o.Return.After(w.From) && o.Invoke.Before(w.To)
		})
		if mine && o.Outcome != history.Refused {
			gone[row{o.Client, o.Seq}] = true
			n++
		}
		return mine
	})
	for server, tables := range round.Tables {
		tables.Rows = slices.DeleteFunc(tables.Rows, func(r history.Row) bool { return gone[row{r.Client, r.Seq}] })
		round.Tables[server] = tables
	}
	return n
}

// changes counts the changes of role since so many events, and the transactions that were reported as left behind.
func (r *seedRun) changes(since int) (switches, reported int) {
	events := r.trail.Events()
	active := cluster.Endpoint("")
	for i, e := range events {
		a := e.Assignment
		if a.Active != "" && a.Phase == cluster.PhaseSteady {
			if active != "" && active != a.Active && i >= since {
				switches++
			}
			active = a.Active
		}
		if i >= since && a.Loss != "" {
			reported = max(reported, countIn(a.Loss), countIn(e.Reason))
		}
	}
	return switches, reported
}

// standsStill is how long an active under load that takes writes never acknowledges nothing.
const standsStill = time.Second

// stoodStill is for how long the active had acknowledged nothing when an event from since on took its role away.
func (r *seedRun) stoodStill(since int, ops []history.Op) time.Duration {
	for _, e := range r.trail.Events()[since:] {
		if e.Assignment.Phase != cluster.PhaseRevoked {
			continue
		}
		revoked := time.UnixMilli(e.Assignment.SinceMS)
		var last time.Time
		for _, o := range ops {
			if o.Wrote() && o.Server == e.Assignment.From && o.Return.Before(revoked) && o.Return.After(last) {
				last = o.Return
			}
		}
		return revoked.Sub(last)
	}
	return 0
}

func countIn(words string) int {
	var n int
	if i := strings.Index(words, " transaction"); i > 0 {
		fields := strings.Fields(words[:i])
		_, _ = fmt.Sscan(fields[len(fields)-1], &n)
	}
	return n
}

func (r *seedRun) serverHosts() map[cluster.Endpoint]string {
	hosts := map[cluster.Endpoint]string{}
	for _, db := range r.site.DB {
		hosts[db.Addr()] = db.Host.Name()
	}
	return hosts
}

// last judges what the whole run of a seed left.
func (r *seedRun) last(ctx context.Context) error {
	if r.usage == nil || ctx.Err() != nil {
		return nil
	}
	end, err := r.sample(ctx)
	if err != nil {
		return err
	}
	findings := check.Growth(r.usage, end, mostGrowth)
	logs, err := r.site.Logs()
	if err != nil {
		return err
	}
	for _, path := range logs {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		findings = append(findings, check.Secrets(file, filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), []string{harness.Password})...)
		_ = file.Close()
	}
	for _, d := range r.site.Daemons {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.Process().PID()))
		if err != nil {
			return err
		}
		findings = append(findings, check.Secrets(strings.NewReader(string(line)), "command line of "+d.String(), []string{harness.Password})...)
	}
	if len(findings) > 0 {
		return r.tell(ctx, 0, nil, findings)
	}
	return nil
}

func (r *seedRun) saveHistory(n int, ops *history.History) error {
	file, err := os.Create(filepath.Join(r.keep, fmt.Sprintf("%s-%s-seed-%d-round-%d.history", r.lab.Flavor(), r.mode, r.seed, n)))
	if err != nil {
		return err
	}
	return errors.Join(ops.WriteJSON(file), file.Close())
}

// redisAway has Redis be away for as long as -minutes says, under load: no role may change, and
// nothing may be lost.
func (r *seedRun) redisAway(ctx context.Context) error {
	d := time.Duration(cmp.Or(r.minutes, 10) * float64(time.Minute))
	plan := fault.Plan{}
	for _, kind := range []string{"kill"} {
		plan = append(plan, fault.Fault{Kind: kind, Target: "all redis", Lasts: d})
	}
	ctx, cancel := context.WithTimeout(ctx, d+roundWithin)
	defer cancel()
	findings, err := r.run(ctx, 1, plan, rand.New(rand.NewPCG(r.seed, 1)))
	if err != nil {
		return err
	}
	if r.total.Switches > 0 {
		findings = append(findings, check.Finding{Checker: "false failover", Text: fmt.Sprintf("%d changes of role while Redis was away", r.total.Switches)})
	}
	if len(findings) > 0 {
		return r.tell(ctx, 1, plan, findings)
	}
	return nil
}
