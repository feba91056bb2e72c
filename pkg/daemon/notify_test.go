package daemon

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// told collects what a manager is told.
type told struct {
	mu  sync.Mutex
	all []string
}

func (t *told) send(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, message)
}

// take returns what came since the last call.
func (t *told) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.all
	t.all = nil
	return all
}

func TestManagerIsToldOverItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, name := range []string{path, "@mmm-notify-test-" + filepath.Base(filepath.Dir(path))} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", name)
		t.Setenv("WATCHDOG_USEC", "3600000000")
		t.Setenv("WATCHDOG_PID", "")
		var log bytes.Buffer
		m := NewManager(zerolog.New(&log))
		if v, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
			t.Errorf("a child would speak for us on %s", v)
		}
		read := func() string {
			buf := make([]byte, 4096)
			if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			return string(buf[:n])
		}
		if got := read(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
		m.Reloading()
		m.Ready("serving\nMAINPID=1")
		m.Stopping()
		for _, want := range []string{"RELOADING=1", "READY=1\nSTATUS=serving MAINPID=1", "STOPPING=1\nSTATUS=stopping"} {
			if got := read(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		_ = socket.Close()
		m.Ready("nobody listens any more")
		m.Close()
		if !strings.Contains(log.String(), "service manager not told") {
			t.Errorf("log: %s", log.String())
		}
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "1000")
	var log bytes.Buffer
	m := NewManager(zerolog.New(&log))
	beat, end := m.Loop("a", time.Second)
	m.Reloading()
	m.Ready("x")
	beat()
	end()
	m.Stopping()
	m.Close()
	if log.Len() > 0 || len(m.loops) > 0 {
		t.Error(log.String())
	}
}

func TestManagersEnvironment(t *testing.T) {
	for _, c := range []struct {
		socket, usec, pid string
		every             time.Duration
	}{
		{"/run/x", "30000000", "", 30 * time.Second},
		{"/run/x", "30000000", "42", 30 * time.Second},
		{"/run/x", "30000000", "43", 0}, // meant for another process
		{"/run/x", "", "", 0},
		{"/run/x", "0", "", 0},
		{"/run/x", "-5", "", 0},
		{"/run/x", "soon", "", 0},
		{"", "30000000", "", 0},
	} {
		addr, every := parseManager(map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}, 42)
		if every != c.every || (addr != nil) != (c.socket != "") {
			t.Errorf("%+v: %v %s", c, addr, every)
		}
	}
}

func TestWatchdog(t *testing.T) {
	const every = 20 * time.Second
	pings := func(n int) []string { return slices.Repeat([]string{"WATCHDOG=1"}, n) }
	for _, c := range []struct {
		name string
		do   func(t *testing.T, m *Manager, s *told)
	}{
		{"is told twice in its time when nothing is watched over", func(t *testing.T, _ *Manager, s *told) {
			time.Sleep(3*every - time.Nanosecond)
			if got := s.take(); !slices.Equal(got, pings(6)) {
				t.Errorf("got %q", got)
			}
		}},
		{"is told nothing any more when one of two loops stands still", func(t *testing.T, m *Manager, s *told) {
			time.Sleep(time.Second)
			busy, _ := m.Loop("busy", 0)
			m.Loop("stuck", 0)
			m.Ready("serving")
			s.take()
			for range 60 { // seconds; told at 10 and 20, not at 30
				busy()
				time.Sleep(time.Second)
			}
			got := s.take()
			if n := strings.Count(strings.Join(got, "\n"), "WATCHDOG=1"); n != 2 {
				t.Errorf("%d pings: %q", n, got)
			}
			if last := got[len(got)-1]; last != "STATUS=stuck stands still for 29s" {
				t.Errorf("the last word is %q", last)
			}
		}},
		{"is told again as soon as the loop comes round, within its time", func(t *testing.T, m *Manager, s *told) {
			beat, _ := m.Loop("slow", 0)
			m.Ready("serving")
			time.Sleep(every + every/2 + time.Nanosecond)
			if got := s.take(); got[len(got)-1] != "STATUS=slow stands still for 30s" {
				t.Errorf("got %q", got)
			}
			beat()
			time.Sleep(every / 10)
			if got := s.take(); !slices.Equal(got, []string{"STATUS=serving", "WATCHDOG=1"}) {
				t.Errorf("got %q", got)
			}
		}},
		{"does not mind a loop that has ended", func(t *testing.T, m *Manager, s *told) {
			_, end := m.Loop("gone", 0)
			end()
			time.Sleep(3*every - time.Nanosecond)
			if got := s.take(); !slices.Equal(got, pings(6)) {
				t.Errorf("got %q", got)
			}
		}},
		{"gives a loop the time that it needs", func(t *testing.T, m *Manager, s *told) {
			m.Loop("patient", time.Minute)
			time.Sleep(time.Minute + time.Nanosecond)
			if got := s.take(); !slices.Equal(got, pings(7)) {
				t.Errorf("got %q", got)
			}
			time.Sleep(every)
			if got := s.take(); slices.Contains(got, "WATCHDOG=1") {
				t.Errorf("got %q", got)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s told
				m := newManager(s.send, every, zerolog.Nop())
				defer m.Close()
				c.do(t, m, &s)
			})
		})
	}
}

func TestWatchdogSaysWhatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := newManager(func(string) {}, 10*time.Second, zerolog.New(&log))
		beat, _ := m.Loop("mysql3308 127.0.0.1:3308", 0)
		time.Sleep(15*time.Second + time.Nanosecond)
		beat()
		time.Sleep(5 * time.Second)
		m.Close()
		for _, want := range []string{`"loop":"mysql3308 127.0.0.1:3308","still":15000,`, `"message":"a loop stands still"`, `"message":"every loop comes round again"`} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("want %s once: %s", want, log.String())
			}
		}
	})
}
