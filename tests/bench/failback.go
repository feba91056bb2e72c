package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const (
	failbackAfter = 2 * time.Second
	// appClients write in each application, every appEvery.
	appClients = 2
	appEvery   = 20 * time.Millisecond
)

// ways are the kinds of fail-back, with what the two files then hold.
var ways = map[string]struct {
	text       string
	tag, agent map[string]string
}{
	"follow": {"failback=follow", map[string]string{"failback": "follow"}, nil},
	"auto":   {"failback=auto", map[string]string{"failback": "auto"}, nil},
	"blocked": {"failback=auto, `block_user` locks the applications and the check on the passive",
		map[string]string{"failback": "auto"}, map[string]string{"block_user": "^(app|mmm_check)$", "block_host": "^%$"}},
}

// way is how an application finds the active.
type way struct {
	name string
	opts harness.AppOptions
}

// failbacks is the site of one kind of fail-back.
type failbacks struct {
	lab  *harness.Lab
	site *harness.Site
	bin  harness.Programs
	kind string
	ways []way
	used int // clients used so far: each run's rows have numbers of their own
}

// returned is one fail-back: what each application noticed, in the order of the ways.
type returned struct {
	switched                   float64 // milliseconds from the decision to the opening
	away                       float64 // from the restart to the opening
	seen                       []harness.Return
	acknowledged, lost, double int
}

// measureFailbacks makes fail-backs of one kind and prints their table.
func measureFailbacks(ctx context.Context, lab *harness.Lab, bin harness.Programs, kind string, runs int, out io.Writer) error {
	if _, ok := ways[kind]; !ok {
		return fmt.Errorf("no such fail-back: %s", kind)
	}
	f := &failbacks{lab: lab, bin: bin, kind: kind}
	if err := f.raise(ctx); err != nil {
		return err
	}
	defer f.site.Close()
	var all []returned
	for n := range runs {
		r, err := f.measure(ctx)
		if err != nil {
			return fmt.Errorf("fail-back %s, run %d: %w", kind, n+1, err)
		}
		fmt.Fprintf(os.Stderr, "fail-back %s %d/%d: open %.1f ms after the decision, %d of %d acknowledged rows lost, %d doubled\n",
			kind, n+1, runs, r.switched, r.lost, r.acknowledged, r.double)
		all = append(all, r)
	}
	f.table(out, all)
	return nil
}

// raise makes a site with running daemons and proxies.
func (f *failbacks) raise(ctx context.Context) error {
	kind := ways[f.kind]
	tag := maps.Clone(settings)
	maps.Copy(tag, kind.tag)
	tag["interval"] = "1"
	tag["failback_after"] = fmt.Sprint(int(failbackAfter.Seconds()))
	var err error
	if f.site, err = f.lab.NewSite(ctx, harness.SiteOptions{Programs: f.bin, Tag: tag, Agent: kind.agent}); err != nil {
		return err
	}
	if err := f.site.StartAll(); err != nil {
		return err
	}
	pair := f.site.Pair
	if err := f.home(ctx); err != nil {
		return err
	}
	if err := pair.A.MakeLedger(ctx); err != nil {
		return err
	}
	writable, err := pair.A.PrepareCheck(ctx)
	if err != nil {
		return err
	}
	both := []cluster.Endpoint{pair.A.Addr(), pair.B.Addr()}
	f.ways = []way{
		{"Connector/J, `queriesBeforeRetrySource=0`, `secondsBeforeRetrySource=60`", harness.AppOptions{Hosts: both, JDBC: harness.JDBC{SecondsBeforeRetry: time.Minute}}},
		{"Connector/J, the driver's defaults", harness.AppOptions{Hosts: both, JDBC: harness.DriverDefaults()}},
		{"Connector/J, the predecessor's URL", harness.AppOptions{Hosts: both, JDBC: harness.PredecessorURL()}},
	}
	examples := []string{"tcp.cfg", writable}
	if f.kind == "blocked" {
		examples = []string{writable}
		if writable == harness.WritableMariaDB {
			examples = []string{"mysql-check.cfg"}
		}
	}
	for _, example := range examples {
		proxy, err := pair.StartProxy(ctx, filepath.Join("etc", "haproxy", example))
		if err != nil {
			return err
		}
		if err := proxy.WaitState(ctx, "primary", "UP"); err != nil {
			return err
		}
		hosts := []cluster.Endpoint{proxy.Addr()}
		f.ways = append(f.ways,
			way{"HAProxy, `" + example + "`", harness.AppOptions{Hosts: hosts}},
			way{"HAProxy, `" + example + "`, a connection per row", harness.AppOptions{Hosts: hosts, PerRow: true}})
	}
	return nil
}

// home waits until the primary host is the active of a whole pair.
func (f *failbacks) home(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	pair := f.site.Pair
	if _, err := f.site.WaitWhole(ctx, pair.A); err != nil {
		return err
	}
	return f.site.WaitReady(ctx, pair.B)
}

// measure kills the primary host, lets it return and waits until the role has
// followed. The applications are paused for the kill, so that it leaves nothing
// behind: losses would be the fail-back's.
func (f *failbacks) measure(ctx context.Context) (r returned, err error) {
	if err := f.home(ctx); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	a, b := f.site.Pair.A, f.site.Pair.B
	var apps []*harness.App
	for _, way := range f.ways {
		o := way.opts
		o.First, o.Clients, o.Every, o.Retry = f.used+1, appClients, appEvery, appEvery
		f.used += appClients
		app := f.lab.StartApp(o)
		defer app.Stop()
		apps = append(apps, app)
	}
	allOn := func(server *harness.Server, after time.Time) error {
		for i, app := range apps {
			if err := app.WaitAck(ctx, appClients, server.Addr(), after); err != nil {
				return fmt.Errorf("%s: %w", f.ways[i].name, err)
			}
		}
		return nil
	}
	if err := allOn(a, time.Time{}); err != nil {
		return r, err
	}
	for _, app := range apps {
		app.Pause()
	}
	err = harness.Caught(ctx, a, b)
	killed := time.Now()
	a.Kill()
	for _, app := range apps {
		app.Resume()
	}
	if err != nil {
		return r, err
	}
	if err := allOn(b, killed); err != nil {
		return r, err
	}
	before, err := f.site.WaitOpen(ctx, b)
	if err != nil {
		return r, err
	}
	restarted := time.Now()
	if err := a.Start(ctx); err != nil {
		return r, err
	}
	change, err := f.site.WaitChange(ctx, before.Epoch, a)
	if err != nil {
		return r, err
	}
	if change.Record.Cause != cluster.CauseFailback {
		return r, fmt.Errorf("the role returned by %q", change.Record.Cause)
	}
	decided, _ := change.Moment(harness.Decided)
	opened, _ := change.Moment(harness.Opened)
	if err := allOn(a, opened.At); err != nil {
		return r, err
	}
	r.switched = float64(opened.At.Sub(decided.At).Microseconds()) / 1000
	r.away = float64(opened.At.Sub(restarted).Microseconds()) / 1000
	for _, app := range apps {
		app.Stop()
		r.seen = append(r.seen, app.Return(restarted, decided.At, b.Addr(), a.Addr()))
	}
	tally, err := a.TallyApps(ctx, apps...)
	r.acknowledged, r.lost, r.double = tally.Acknowledged, len(tally.Lost), len(tally.Doubled)
	return r, err
}

// table prints the fail-backs of one kind.
func (f *failbacks) table(out io.Writer, all []returned) {
	fmt.Fprintf(out, "\nFail-back after SIGKILL and restart of the primary host, %s, failback_after=%d, interval=1, %d runs; milliseconds, of each run the client that waited longest\n\n",
		ways[f.kind].text, int(failbackAfter.Seconds()), len(all))
	fmt.Fprintln(out, "| clients | runs with clients on the active | no row taken at the switch: median | p95 | max | runs with clients gone early | refused until the switch: median | max |")
	fmt.Fprintln(out, "|---|---:|---:|---:|---:|---:|---:|---:|")
	var longest []float64
	for i, way := range f.ways {
		var pauses, early []float64
		for _, r := range all {
			if p := r.seen[i].Pauses; len(p) > 0 {
				pauses = append(pauses, ms(harness.Longest(p)))
			}
			if e := r.seen[i].Early; len(e) > 0 {
				early = append(early, ms(harness.Longest(e)))
			}
		}
		longest = append(longest, pauses...)
		fmt.Fprintf(out, "| %s | %d | %s | %s | %s | %d | %s | %s |\n", way.name,
			len(pauses), of(pauses, 0.5), of(pauses, 0.95), of(pauses, 1), len(early), of(early, 0.5), of(early, 1))
	}
	fmt.Fprintf(out, "| all on the active | %d | **%s** | %s | %s | | | |\n", len(longest), of(longest, 0.5), of(longest, 0.95), of(longest, 1))
	var switched, away []float64
	acknowledged, lost, double := 0, 0, 0
	for _, r := range all {
		switched, away = append(switched, r.switched), append(away, r.away)
		acknowledged, lost, double = acknowledged+r.acknowledged, lost+r.lost, double+r.double
	}
	fmt.Fprintf(out, "\nFrom the decision to the opening: median %s, p95 %s, max %s. From the restart to the opening: median %s, max %s.\n",
		of(switched, 0.5), of(switched, 0.95), of(switched, 1), of(away, 0.5), of(away, 1))
	fmt.Fprintf(out, "Acknowledged rows lost: %d of %d; rows doubled: %d.\n", lost, acknowledged, double)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// of is a quantile in words, nothing of nothing.
func of(values []float64, q float64) string {
	if len(values) == 0 {
		return "-"
	}
	if q == 1 {
		return fmt.Sprintf("%.0f", slices.Max(values))
	}
	return fmt.Sprintf("%.0f", quantile(values, q))
}
