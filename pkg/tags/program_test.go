package tags

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

var stamp = regexp.MustCompile(`"time":"[^"]*",`)

// site is a program at work in a directory of its own, with services that only
// note what becomes of them.
type site struct {
	t       *testing.T
	dir     string
	o       Options
	signals chan os.Signal
	lag     time.Duration // that a service takes to end

	mu       sync.Mutex
	made     []Making
	ended    []cluster.Tag
	working  map[cluster.Tag]bool
	seen     struct{ made, ended int }
	unusable cluster.Tag // no service can be made for it

	stop context.CancelFunc
	done chan error
}

// fake is the service of one tag.
type fake struct {
	s *site
	m Making
}

func (f *fake) Run(ctx context.Context) {
	f.m.Log.Info().Str("tag", string(f.m.Tag.Tag)).Msg("at work")
	<-ctx.Done()
	<-time.After(f.s.lag)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.ended = append(f.s.ended, f.m.Tag.Tag)
	delete(f.s.working, f.m.Tag.Tag)
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), signals: make(chan os.Signal), working: map[cluster.Tag]bool{}, done: make(chan error, 1)}
	s.o = Options{Program: "mmm-test", Flags: &daemon.Flags{Conf: s.path("mmm.conf"), Tags: []string{"all"}, Redis: daemon.DefaultRedis},
		LogFile: func(t config.Tag) string { return t.MonitorLog }, source: s.signals,
		New: func(m Making) (Service, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if m.Tag.Tag == s.unusable {
				return nil, errors.New("make the service: no")
			}
			if s.working[m.Tag.Tag] {
				t.Errorf("%s is served twice", m.Tag.Tag)
			}
			s.working[m.Tag.Tag] = true
			s.made = append(s.made, m)
			return &fake{s, m}, nil
		}}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// pair is a section with a log of its own; edit adds lines to it.
func (s *site) pair(n int, edit string) string {
	return fmt.Sprintf(`[t%d]
primaryhost=127.0.0.1:%d
secondaryhost=127.0.0.1:%d
user=mmm
password=canary
uniqsign=sign%d
monitor_logfile=%s
%s
`, n, 2*n, 2*n+1, n, s.path(fmt.Sprintf("t%d.log", n)), edit)
}

// shared are the sections beside the tags.
func (s *site) shared(redis, log string) string {
	return fmt.Sprintf("[redis]\nhost=%s\n[log]\nlogfile=%s/%s\n", redis, s.dir, log)
}

func (s *site) conf(sections ...string) {
	s.t.Helper()
	if err := os.WriteFile(s.path("mmm.conf"), []byte(strings.Join(sections, "\n")), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// log is what a log says, without the times.
func (s *site) log(name string) string {
	text, _ := os.ReadFile(s.path(name))
	return stamp.ReplaceAllString(string(text), "")
}

func (s *site) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(s.path(from), s.path(to)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) start() {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(s.t.Context())
	go func() { s.done <- Run(ctx, s.o) }()
	synctest.Wait()
}

// end stops the program and looks whether it left a service at work.
func (s *site) end() {
	s.t.Helper()
	s.stop()
	s.ends()
}

// ends waits for a program that something else has stopped.
func (s *site) ends() {
	s.t.Helper()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.working) > 0 {
		s.t.Errorf("the program has ended and left %v", s.working)
	}
}

// hup has the file read again.
func (s *site) hup() {
	s.signals <- syscall.SIGHUP
	<-time.After(10 * s.lag)
	synctest.Wait()
}

// want checks whose services began and ended since the last call.
func (s *site) want(began, ended string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	names := func(tags []cluster.Tag) string {
		slices.Sort(tags)
		return strings.Trim(fmt.Sprint(tags), "[]")
	}
	var made []cluster.Tag
	for _, m := range s.made[s.seen.made:] {
		made = append(made, m.Tag.Tag)
	}
	b, e := names(made), names(slices.Clone(s.ended[s.seen.ended:]))
	if b != began || e != ended {
		s.t.Errorf("%q began and %q ended, want %q and %q", b, e, began, ended)
	}
	s.seen.made, s.seen.ended = len(s.made), len(s.ended)
}

// newest is what the last service of a tag was made of.
func (s *site) newest(tag cluster.Tag) Making {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.made) {
		if m.Tag.Tag == tag {
			return m
		}
	}
	s.t.Fatalf("no service was made for %s", tag)
	return Making{}
}

func (s *site) says(name, text string, times int) {
	s.t.Helper()
	if n := strings.Count(s.log(name), text); n != times {
		s.t.Errorf("%s says %q %d times, want %d:\n%s", name, text, n, times, s.log(name))
	}
}

// each runs test in virtual time on a site that works for tags t1 and t2.
func each(t *testing.T, test func(s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.lag = time.Second
		s.conf(s.pair(1, ""), s.pair(2, ""), s.shared("127.0.0.1:1", "mmm.log"))
		test(s)
	})
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	each(t, func(s *site) {
		s.start()
		s.want("t1 t2", "")
		s.hup()
		s.want("", "")
		s.conf(s.pair(1, ""), s.pair(2, "interval=7"), s.pair(3, ""), s.shared("127.0.0.1:1", "mmm.log"))
		s.hup()
		if got := s.newest("t2").Tag.Interval; got != 7*time.Second {
			t.Errorf("the new service has interval %s", got)
		}
		s.want("t2 t3", "t2")
		s.conf(s.pair(2, "interval=7"), s.pair(3, ""), s.shared("127.0.0.1:1", "mmm.log"))
		s.hup()
		s.want("", "t1")
		s.says("mmm.log", `"tags":2,"message":"configuration reloaded"`, 2)
		s.says("mmm.log", `"tags":3,"message":"configuration reloaded"`, 1)
		s.end()
		s.want("", "t2 t3")
	})
}

func TestReloadLeavesAServiceAloneThatNeedsNothingOfTheChange(t *testing.T) {
	each(t, func(s *site) {
		s.o.Needs = func(t config.Tag) any { return t.Interval }
		s.start()
		s.want("t1 t2", "")
		s.conf(strings.Replace(s.pair(1, ""), "t1.log", "other.log", 1), s.pair(2, "interval=7"), s.shared("127.0.0.1:1", "mmm.log"))
		first := s.log("t1.log")
		s.hup()
		s.want("t2", "t2")
		if _, err := os.Stat(s.path("other.log")); err != nil || s.log("t1.log") != first {
			t.Errorf("the log did not move: %v", err)
		}
		s.end()
	})
}

func TestFileThatCannotBeUsedChangesNothing(t *testing.T) {
	good := func(s *site) string { return s.pair(1, "") }
	for name, broken := range map[string]func(s *site) []string{
		"nothing in it": func(*site) []string { return nil },
		"a fault in every tag": func(s *site) []string {
			return []string{s.pair(1, "interval=soon"), s.shared("127.0.0.1:9", "new.log")}
		},
		"a fault in the Redis":     func(s *site) []string { return []string{good(s), s.shared("127.0.0.1:redis", "new.log")} },
		"a fault in the log":       func(s *site) []string { return []string{good(s), s.shared("127.0.0.1:9", "new.log/")} },
		"the tag asked for is out": func(s *site) []string { return []string{s.pair(2, ""), s.shared("127.0.0.1:9", "new.log")} },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *site) {
				s.o.Flags.Tags = []string{"t1"}
				s.start()
				s.want("t1", "")
				s.rename("mmm.log", "mmm.log.1")
				s.rename("t1.log", "t1.log.1")
				s.conf(broken(s)...)
				s.hup()
				s.want("", "")
				s.says("mmm.log", "configuration not reloaded, the old one stays", 1)
				s.says("mmm.log", "configuration reloaded", 0)
				if _, err := os.Stat(s.path("t1.log")); err != nil {
					t.Errorf("the log of the tag was not reopened: %v", err)
				}
				if _, err := os.Stat(s.path("new.log")); err == nil {
					t.Error("a file that cannot be used has moved the log")
				}
				s.signals <- syscall.SIGTERM
				synctest.Wait()
				s.says("mmm.log", "signal ignored", 1)

				s.conf(good(s), s.shared("127.0.0.1:1", "mmm.log"))
				s.hup()
				s.want("", "")
				s.end()
			})
		})
	}
}

func TestBadTagBesideAGoodOne(t *testing.T) {
	each(t, func(s *site) {
		s.unusable = "t3"
		s.conf(s.pair(1, "interval=soon"), s.pair(2, ""), s.pair(3, ""), s.shared("127.0.0.1:1", "mmm.log"))
		s.start()
		s.want("t2", "")
		s.says("mmm.log", "[t1] interval: ", 1)
		s.says("mmm.log", `"message":"configuration"`, 1)
		s.says("t3.log", `"error":"make the service: no","tag":"t3","message":"tag not started"`, 1)

		s.conf(s.pair(1, ""), s.pair(2, "interval=soon"), s.pair(3, ""), s.shared("127.0.0.1:1", "mmm.log"))
		s.hup()
		s.want("t1", "t2")
		s.unusable = ""
		s.hup()
		s.want("t3", "")
		s.end()
		s.says("mmm.log", "canary", 0)
	})
}

func TestLogsAreReopenedAfterARename(t *testing.T) {
	each(t, func(s *site) {
		common := strings.Replace(s.pair(2, ""), "monitor_logfile", "#", 1)
		s.conf(s.pair(1, ""), common, s.pair(3, "interval=soon"), s.shared("127.0.0.1:1", "mmm.log"))
		s.start()
		s.want("t1 t2", "")
		s.says("mmm.log", `"message":"started"`, 1)
		s.says("t1.log", `"tag":"t1","message":"at work"`, 1)
		s.says("mmm.log", `"tag":"t2","message":"at work"`, 1)
		say := func(text string) {
			for _, tag := range []cluster.Tag{"t1", "t2"} {
				m := s.newest(tag)
				m.Log.Info().Msg(text)
			}
		}
		for _, name := range []string{"mmm.log", "t1.log"} {
			s.rename(name, name+".1")
		}
		say("before")
		s.hup()
		say("after")
		s.want("", "")
		for _, name := range []string{"mmm.log", "t1.log"} {
			s.says(name+".1", "before", 1)
			s.says(name+".1", "after", 0)
			s.says(name, "before", 0)
			s.says(name, "after", 1)
		}
		for _, text := range []string{"[t3] interval: ", "configuration reloaded"} {
			s.says("mmm.log", text, 1) // a reload's own words are in the new file
		}

		s.conf(s.pair(1, ""), common, s.shared("127.0.0.1:1", "new.log"))
		s.hup()
		say("moved")
		s.want("", "")
		s.says("t1.log", "moved", 1)
		s.says("new.log", "moved", 1)
		s.says("new.log", "configuration reloaded", 1)
		s.end()
	})
}

func TestLogThatCannotBeOpenedStopsNoTag(t *testing.T) {
	each(t, func(s *site) {
		s.conf(strings.Replace(s.pair(1, ""), "t1.log", "later/t1.log", 1), s.shared("127.0.0.1:1", "mmm.log"))
		s.start()
		s.want("t1", "")
		s.says("mmm.log", `"tag":"t1","message":"log not opened"`, 1)
		s.says("mmm.log", `"tag":"t1","message":"at work"`, 1)
		if err := os.Mkdir(s.path("later"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.hup()
		s.want("", "")
		m := s.newest("t1")
		m.Log.Info().Msg("at home")
		s.says("later/t1.log", "at home", 1)
		s.says("mmm.log", "at home", 0)
		s.end()
	})
}

func TestAnotherRedisStartsEveryTagAnew(t *testing.T) {
	each(t, func(s *site) {
		s.start()
		s.want("t1 t2", "")
		old := s.newest("t1").Bus
		for _, redis := range []string{"127.0.0.1:9", "127.0.0.1:9\npassword=canary", "127.0.0.1:9\npassword=canary\ntopic=other"} {
			s.conf(s.pair(1, ""), s.pair(2, ""), s.shared(redis, "mmm.log"))
			s.hup()
			s.want("t1 t2", "t1 t2")
			now := s.newest("t1").Bus
			if now == old || s.newest("t2").Bus != now {
				t.Errorf("%q: the tags do not share the new Redis", redis)
			}
			old = now
		}
		s.end()
	})
}

func TestSignals(t *testing.T) {
	each(t, func(s *site) {
		s.start()
		s.signals <- syscall.SIGTERM
		synctest.Wait()
		s.says("mmm.log", `"signal":"TERM","hint":"QUIT stops","message":"signal ignored"`, 1)
		s.conf(s.pair(1, "signals=graceful"), s.pair(2, "signals=graceful"), s.shared("127.0.0.1:1", "mmm.log"))
		s.hup()
		s.signals <- syscall.SIGTERM
		s.ends()
		s.says("mmm.log", `"message":"stopped"`, 1)
	})
	each(t, func(s *site) {
		s.start()
		s.signals <- syscall.SIGQUIT
		s.ends()
	})
}

func TestWhatCannotRun(t *testing.T) {
	each(t, func(s *site) {
		for _, c := range []struct {
			tags []string
			conf []string
			code int
		}{
			{nil, []string{s.pair(1, "")}, daemon.ExitUsage},
			{[]string{"none"}, []string{s.pair(1, ""), s.shared("127.0.0.1:1", "mmm.log")}, daemon.ExitNotFound},
			{[]string{"t1"}, []string{s.pair(1, "interval=soon"), s.shared("127.0.0.1:1", "mmm.log")}, daemon.ExitConfig},
			{[]string{"t1"}, []string{s.pair(1, ""), s.shared("127.0.0.1:1", "no/such/mmm.log")}, daemon.ExitConfig},
		} {
			s.conf(c.conf...)
			s.o.Flags.Tags = c.tags
			if err := Run(t.Context(), s.o); daemon.CodeOf(err) != c.code {
				t.Errorf("%v: got %v, want exit code %d", c.tags, err, c.code)
			}
		}
		s.want("", "")
	})
}

func TestWakeUps(t *testing.T) {
	r := miniredis.RunT(t)
	s := newSite(t)
	s.o.Listen = true
	made := make(chan Making, 2)
	s.o.New = func(m Making) (Service, error) {
		made <- m
		return &fake{s, m}, nil
	}
	s.conf(s.pair(1, ""), s.pair(2, ""), s.shared(r.Addr(), "mmm.log"))
	ctx, stop := context.WithCancel(t.Context())
	go func() { s.done <- Run(ctx, s.o) }()
	first, second := <-made, <-made
	for _, m := range []Making{first, second} {
		m.Wake.Wait(ctx, -1) // the subscription stands
	}
	writer := redisbus.New(redisbus.Options{Addr: r.Addr(), Name: "writer"})
	defer func() { _ = writer.Close() }()
	o := cluster.Observation{Node: first.Tag.Primary, Monitor: "m", Run: "r", Seq: 1}
	if _, err := writer.PublishObservation(ctx, first.Tag.UniqSign, o, nil, time.Minute, true); err != nil {
		t.Fatal(err)
	}
	first.Wake.Wait(ctx, -1)
	if second.Wake.Wait(ctx, 0) == sched.Set {
		t.Error("another tag's service is woken")
	}
	stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// systemd listens where the program tells how it is, until the test ends.
func systemd(t *testing.T, watchdog time.Duration) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(watchdog.Microseconds()))
	return func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("nothing more is told: %v", err)
		}
		return string(buf[:n])
	}
}

// Nothing answers on port 1: a Redis that is away keeps nobody from being ready.
func TestServiceManagerIsTold(t *testing.T) {
	next := systemd(t, 0)
	s := newSite(t)
	s.conf(s.pair(1, ""), s.pair(2, ""), s.shared("127.0.0.1:1", "mmm.log"))
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	go func() { s.done <- Run(ctx, s.o) }()
	want := func(message string) {
		t.Helper()
		if got := next(); got != message {
			t.Fatalf("got %q, want %q", got, message)
		}
	}
	want("READY=1\nSTATUS=t1 t2 over redis 127.0.0.1:1")
	s.signals <- syscall.SIGHUP
	want("RELOADING=1")
	want("READY=1\nSTATUS=t1 t2 over redis 127.0.0.1:1")
	s.conf("broken")
	s.signals <- syscall.SIGHUP
	want("RELOADING=1")
	want("READY=1\nSTATUS=t1 t2 over redis 127.0.0.1:1; configuration not reloaded, see the log")
	s.signals <- syscall.SIGQUIT
	want("STOPPING=1\nSTATUS=stopping")
	s.ends()
	s.says("mmm.log", `"program":"mmm-test","message":"stopped"`, 1)
	s.says("t1.log", `"program":"mmm-test","tag":"t1","message":"at work"`, 1)
}

// Of two tags one stands still: the watchdog is told no more.
func TestWatchdogMindsEveryTag(t *testing.T) {
	next := systemd(t, time.Second)
	s := newSite(t)
	s.o.New = func(m Making) (Service, error) { return beating{m, m.Tag.Tag == "t2"}, nil }
	s.conf(s.pair(1, ""), s.pair(2, ""), s.shared("127.0.0.1:1", "mmm.log"))
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	go func() { s.done <- Run(ctx, s.o) }()
	for {
		message := next()
		if strings.HasPrefix(message, "STATUS=t2 work stands still for ") {
			break
		}
		if strings.Contains(message, "stands still") {
			t.Fatal(message)
		}
	}
	// Nothing but the end comes after that.
	time.AfterFunc(300*time.Millisecond, s.stop)
	if got := next(); got != "STOPPING=1\nSTATUS=stopping" {
		t.Errorf("got %q", got)
	}
	s.ends()
	s.says("mmm.log", `"loop":"t2 work"`, 1)
}

// beating is a service that comes round all the time, or never.
type beating struct {
	m     Making
	still bool
}

func (b beating) Run(ctx context.Context) {
	beat, end := b.m.Loop("work")
	defer end()
	for ctx.Err() == nil {
		if !b.still {
			beat()
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}
