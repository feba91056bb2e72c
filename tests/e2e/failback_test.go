package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// clientsOf are the applications of a fail-back by name. All write the same table.
type clientsOf map[string]*harness.App

const (
	// perApp is how many clients one application has.
	perApp = 2
	// rowEvery is the pause of one client, and after a refused row.
	rowEvery = 20 * time.Millisecond
	// looseSwitch bounds what a fail-back may cost a client that is on the active,
	// on a machine busy with other tests; the benchmark measures it.
	looseSwitch = 5 * time.Second
)

// stays never looks at the primary host by itself before a minute is over.
var stays = harness.JDBC{SecondsBeforeRetry: time.Minute}

// returnsEarly looks at it every 50 rows, which is the driver's default and true of
// the URL in the predecessor's documentation.
var returnsEarly = harness.PredecessorURL()

// app starts an application that connects to the pair by itself.
func (s *stage) app(apps clientsOf, name string, jdbc harness.JDBC) {
	s.Helper()
	s.run(apps, name, harness.AppOptions{Hosts: []cluster.Endpoint{s.a.Addr(), s.b.Addr()}, JDBC: jdbc})
}

func (s *stage) run(apps clientsOf, name string, o harness.AppOptions) {
	s.Helper()
	o.First, o.Clients, o.Every, o.Retry = 1+len(apps)*perApp, perApp, rowEvery, rowEvery
	apps[name] = lab.StartApp(o)
	s.Cleanup(apps[name].Stop)
}

// proxied starts an HAProxy with an example file.
func (s *stage) proxied(example string) *harness.Proxy {
	s.Helper()
	if err := harness.MissingProxy(); err != nil {
		if os.Getenv("CI") == "true" {
			s.Fatal(err)
		}
		s.Skip(err)
	}
	proxy, err := s.Pair.StartProxy(s.short(), filepath.Join("..", "..", "etc", "haproxy", example))
	s.must(err)
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("-- haproxy with %s:\n%s", example, proxy.Log(20))
		}
		proxy.Kill()
	})
	s.await(10*time.Second, func(ctx context.Context) error { return proxy.WaitState(ctx, "primary", "UP") })
	return proxy
}

// behind starts two applications behind a proxy: one with a pool and one that
// connects for each row.
func (s *stage) behind(proxy *harness.Proxy, apps clientsOf) {
	s.Helper()
	s.run(apps, "pool", harness.AppOptions{Hosts: []cluster.Endpoint{proxy.Addr()}})
	s.run(apps, "each row connects", harness.AppOptions{Hosts: []cluster.Endpoint{proxy.Addr()}, PerRow: true})
}

// raiseForApps makes what applications and the checks of proxies need, and names
// the example for a proxy that asks who is writable.
func raiseForApps(t *testing.T, o options) (s *stage, writable string) {
	t.Helper()
	s = raise(t, o)
	s.must(s.a.MakeLedger(s.short()))
	writable, err := s.a.PrepareCheck(s.short())
	s.must(err)
	return s, writable
}

// allOn waits until every client of the applications has written to the server.
func (s *stage) allOn(apps clientsOf, server *harness.Server, after time.Time) {
	s.Helper()
	s.await(30*time.Second, func(ctx context.Context) error {
		for name, app := range apps {
			if err := app.WaitAck(ctx, perApp, server.Addr(), after); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

// lost kills the primary host and lets it return, closed and whole. It gives the
// record before the fail-back and the time of the restart. The applications are
// paused for the kill, so that it leaves nothing behind: losses would be the
// fail-back's.
func (s *stage) lost(apps clientsOf) (before cluster.Assignment, restarted time.Time) {
	s.Helper()
	s.allOn(apps, s.a, time.Time{})
	for _, app := range apps {
		app.Pause()
	}
	s.await(10*time.Second, func(ctx context.Context) error { return harness.Caught(ctx, s.a, s.b) })
	before, killed := s.record(), time.Now()
	s.a.Kill()
	for _, app := range apps {
		app.Resume()
	}
	s.moved(before, s.b)
	s.allOn(apps, s.b, killed)
	before, restarted = s.record(), time.Now()
	s.must(s.a.Start(s.short()))
	return before, restarted
}

// returned waits for the role's planned return to the primary host and tells what
// each application noticed of it.
func (s *stage) returned(apps clientsOf, before cluster.Assignment, restarted time.Time, cause string) map[string]harness.Return {
	s.Helper()
	change := s.moved(before, s.a)
	if change.Record.Cause != cause || change.Record.Proof != cluster.ProofFenced {
		s.Errorf("the role returned by cause %q with proof %q, want %q and %q", change.Record.Cause, change.Record.Proof, cause, cluster.ProofFenced)
	}
	decided, _ := change.Moment(harness.Decided)
	opened, _ := change.Moment(harness.Opened)
	s.allOn(apps, s.a, opened.At)
	s.Logf("open %v after the decision, %v after the restart", opened.At.Sub(decided.At), opened.At.Sub(restarted))
	seen := map[string]harness.Return{}
	for name, app := range apps {
		r := app.Return(restarted, decided.At, s.b.Addr(), s.a.Addr())
		s.Logf("%s: paused for %v; refused before the switch for %v", name, r.Pauses, r.Early)
		if d := harness.Longest(r.Pauses); d > looseSwitch {
			s.Errorf("%s: no row was taken for %v at the switch", name, d)
		}
		seen[name] = r
	}
	return seen
}

// settleApps ends the applications and compares their rows with those on the server.
func (s *stage) settleApps(active *harness.Server, apps clientsOf) {
	s.Helper()
	var all []*harness.App
	for _, app := range apps {
		app.Stop()
		all = append(all, app)
	}
	tally, err := active.TallyApps(s.short(), all...)
	s.must(err)
	s.Logf("rows: %s", tally)
	if len(tally.Lost)+len(tally.Doubled)+len(tally.Invented) > 0 {
		s.Errorf("lost %v, doubled %v, invented %v", tally.Lost, tally.Doubled, tally.Invented)
	}
}

func failback(how, after string) map[string]string {
	return map[string]string{"failback": how, "failback_after": after}
}

// Clients that return to the primary host by themselves bring the role back.
func TestFailbackFollows(t *testing.T) {
	s, _ := raiseForApps(t, options{tag: failback("follow", "2")})
	apps := clientsOf{}
	s.app(apps, "predecessor's URL", returnsEarly)
	s.app(apps, "stays for a minute", stays)
	before, restarted := s.lost(apps)
	seen := s.returned(apps, before, restarted, cluster.CauseFailback)
	early := seen["predecessor's URL"].Early
	if len(early) == 0 {
		t.Error("no client with the driver's defaults went to the closed primary host")
	} else if d := harness.Longest(early); d < 2*time.Second || d > 10*time.Second {
		t.Errorf("the first client that had returned was refused for %v; failback_after is 2 s", d)
	}
	if n := len(seen["stays for a minute"].Early); n > 0 {
		t.Errorf("%d clients went to the closed primary host that should have stayed", n)
	}
	s.whole(s.a)
	s.settleApps(s.a, apps)
}

// Without a client on the primary host the role stays; it comes with the client.
func TestFailbackFollowsOnlyClients(t *testing.T) {
	s, _ := raiseForApps(t, options{tag: failback("follow", "1")})
	apps := clientsOf{}
	s.app(apps, "stays for a minute", stays)
	before, restarted := s.lost(apps)
	s.whole(s.b)
	s.told("fail-back-waits")
	stranger := s.client(s.a, harness.StrangerUser)
	s.unmoved(5*time.Second, before)
	if err := stranger.PingContext(s.short()); err != nil {
		t.Errorf("the stranger's session did not last: %v", err)
	}
	s.client(s.a, harness.AppUser)
	s.returned(apps, before, restarted, cluster.CauseFailback)
	s.settleApps(s.a, apps)
}

// failback=auto, behind proxies that ask who is writable: nobody is sent to the
// closed primary host, and the role returns by itself.
func TestFailbackAutoBehindHAProxy(t *testing.T) {
	s, writable := raiseForApps(t, options{tag: failback("auto", "3")})
	apps := clientsOf{}
	proxy := s.proxied(writable)
	s.behind(proxy, apps)
	before, restarted := s.lost(apps)
	seen := s.returned(apps, before, restarted, cluster.CauseFailback)
	for name, r := range seen {
		if len(r.Early) > 0 {
			t.Errorf("%s: the proxy sent clients to the closed primary host, refused for %v", name, r.Early)
		}
		if len(r.Pauses) != perApp {
			t.Errorf("%s: %d clients were on the active until it closed, want %d", name, len(r.Pauses), perApp)
		}
	}
	s.await(10*time.Second, func(ctx context.Context) error { return proxy.WaitState(ctx, "secondary", "DOWN") })
	s.settleApps(s.a, apps)
}

// failback=follow behind the simplest proxy: new sessions, which it opens on the
// closed primary host, bring the role back; those that it has on the other stay until then.
func TestFailbackFollowsHAProxy(t *testing.T) {
	s, _ := raiseForApps(t, options{tag: failback("follow", "2")})
	apps := clientsOf{}
	proxy := s.proxied("tcp.cfg")
	s.run(apps, "old sessions", harness.AppOptions{Hosts: []cluster.Endpoint{proxy.Addr()}})
	before, restarted := s.lost(apps)
	s.await(10*time.Second, func(ctx context.Context) error { return proxy.WaitState(ctx, "primary", "UP") })
	s.run(apps, "new sessions", harness.AppOptions{Hosts: []cluster.Endpoint{proxy.Addr()}})
	seen := s.returned(apps, before, restarted, cluster.CauseFailback)
	if n := len(seen["old sessions"].Pauses); n != perApp {
		t.Errorf("%d old sessions stayed with the active, want %d", n, perApp)
	}
	if n := len(seen["new sessions"].Early); n != perApp {
		t.Errorf("%d new sessions were on the closed primary host, want %d", n, perApp)
	}
	s.settleApps(s.a, apps)
}

// failback=manual: nothing moves until an operator moves it.
func TestFailbackManual(t *testing.T) {
	s, _ := raiseForApps(t, options{tag: failback("manual", "0")})
	apps := clientsOf{}
	s.app(apps, "predecessor's URL", returnsEarly)
	before, restarted := s.lost(apps)
	s.whole(s.b)
	s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	s.unmoved(5*time.Second, before)
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl switchover: %s", out)
	}
	s.returned(apps, before, restarted, cluster.CauseSwitchover)
	s.settleApps(s.a, apps)
}

// With block_user no client gets into the passive: the driver that tries the
// primary host stays where it is, the proxy's check cannot log in there, and
// nobody can be followed.
func TestFailbackWithBlockedUsers(t *testing.T) {
	blocked := map[string]string{"block_user": "^(" + harness.AppUser + "|mmm_check)$", "block_host": "^%$"}
	s, writable := raiseForApps(t, options{tag: failback("follow", "1"), agent: blocked})
	apps := clientsOf{}
	s.app(apps, "predecessor's URL", returnsEarly)
	s.app(apps, "driver's defaults", harness.DriverDefaults())
	if writable == harness.WritableMariaDB {
		s.behind(s.proxied("mysql-check.cfg"), apps)
	}
	before, restarted := s.lost(apps)
	s.whole(s.b)
	s.told("fail-back-locked")
	// A server that was killed while it was open returns with its accounts open: who
	// got in before they were locked has to leave first.
	s.allOn(apps, s.b, time.Now())
	locked := time.Now()
	s.unmoved(4*time.Second, before)
	// At the switch itself accounts are released before the server is opened.
	asked := time.Now()
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl switchover: %s", out)
	}
	s.returned(apps, before, restarted, cluster.CauseSwitchover)
	s.settleApps(s.a, apps)
	for name, app := range apps {
		if i := slices.IndexFunc(app.Refusals(), func(r harness.Refusal) bool {
			return r.Node == s.a.Addr() && r.At.After(locked) && r.At.Before(asked)
		}); i >= 0 {
			t.Errorf("%s: a row was refused by the primary host: %v", name, app.Refusals()[i].Err)
		}
	}
}
