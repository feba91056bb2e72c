package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, o := range map[string]Options{
		"no port":              {Addr: "db1"},
		"charset with a quote": {Addr: "db1:3306", Charset: "utf8'"},
		"negative timeout":     {Addr: "db1:3306", ConnectTimeout: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// errPacket is an error that a server sends in place of its greeting.
func errPacket(number int, text string) []byte {
	body := append([]byte{0xff, byte(number), byte(number >> 8)}, text...)
	return append([]byte{byte(len(body)), 0, 0, 0}, body...)
}

func TestConnectNamesTheCause(t *testing.T) {
	refused := cluster.Endpoint(fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	answers := func(packet []byte) func(net.Conn) {
		return func(c net.Conn) { _, _ = c.Write(packet) }
	}
	for _, tt := range []struct {
		name  string
		addr  cluster.Endpoint
		cause cluster.Cause
	}{
		{"nobody listens", refused, cluster.CauseRefused},
		{"the host drops packets", fullBacklog(t), cluster.CauseConnectTimeout},
		{"the server hangs", fakeServer(t, silent), cluster.CauseAnswerTimeout},
		{"the server hangs up", fakeServer(t, func(net.Conn) {}), cluster.CauseReset},
		{"the server resets", fakeServer(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }), cluster.CauseReset},
		{"the host is blocked", fakeServer(t, answers(errPacket(1129, "Host is blocked"))), cluster.CauseHostBlocked},
		{"no slot is free", fakeServer(t, answers(errPacket(1040, "Too many connections"))), cluster.CauseTooMany},
		{"the host has no account", fakeServer(t, answers(errPacket(1130, "Host is not allowed"))), cluster.CauseAccessDenied},
		{"something else answers", fakeServer(t, answers([]byte{2, 0, 0, 0, 9, 0})), cluster.CauseOther},
		{"the name does not resolve", "no-such-host.invalid:3306", cluster.CauseUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := New(Options{Addr: tt.addr, User: "u", Password: "secret-of-ours", ConnectTimeout: 300 * time.Millisecond})
			must(t, err)
			began := time.Now()
			_, err = n.Connect(t.Context())
			want(t, err, tt.cause)
			if took := time.Since(began); took > 600*time.Millisecond {
				t.Errorf("took %s", took)
			}
		})
	}
}

// fullBacklog is an address whose kernel no longer answers a SYN.
func fullBacklog(t *testing.T) cluster.Endpoint {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	must(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	must(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 3 {
		d := net.Dialer{Timeout: 100 * time.Millisecond}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	return cluster.Endpoint(addr)
}

func TestNetworkCauseOfWhatTheKernelSays(t *testing.T) {
	for err, cause := range map[error]cluster.Cause{
		syscall.EHOSTUNREACH:     cluster.CauseConnectTimeout,
		syscall.ENETUNREACH:      cluster.CauseUnreachable,
		syscall.EPERM:            cluster.CauseUnreachable,
		syscall.ECONNREFUSED:     cluster.CauseRefused,
		syscall.EPIPE:            cluster.CauseReset,
		syscall.ETIMEDOUT:        cluster.CauseConnectTimeout,
		syscall.EMFILE:           cluster.CauseOther,
		context.Canceled:         cluster.CauseOther,
		context.DeadlineExceeded: cluster.CauseConnectTimeout,
	} {
		wrapped := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}
		if got := networkCause(wrapped); got != cause {
			t.Errorf("%v: %q, want %q", err, got, cause)
		}
	}
	for number, cause := range map[uint16]cluster.Cause{
		1045: cluster.CauseAccessDenied, 1698: cluster.CauseAccessDenied, 1862: cluster.CauseAccessDenied, 3118: cluster.CauseAccessDenied,
		4151: cluster.CauseAccessDenied, 1044: cluster.CauseAccessDenied, 1130: cluster.CauseAccessDenied, 1040: cluster.CauseTooMany,
		1203: cluster.CauseTooMany, 1129: cluster.CauseHostBlocked, 1064: cluster.CauseOther,
	} {
		if got := numberCause(number); got != cause {
			t.Errorf("%d: %q, want %q", number, got, cause)
		}
	}
}

func TestAnEndedContextIsNoEvidence(t *testing.T) {
	n, err := New(Options{Addr: fakeServer(t, silent), User: "u"})
	must(t, err)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = n.Connect(ctx)
	want(t, err, cluster.CauseOther)
}

func TestLogInFaultsOfARealServer(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1, "--max-connections=10")
		n, err := New(Options{Addr: s.addr(), User: appUser, Password: "secret-of-ours"})
		must(t, err)
		_, err = n.Connect(t.Context())
		want(t, err, cluster.CauseAccessDenied)

		s.quietly("ALTER USER poor@'127.0.0.1' ACCOUNT LOCK")
		_, err = s.node(poorUser).Connect(t.Context())
		want(t, err, cluster.CauseAccessDenied)

		// Sessions that just ended may still hold places.
		for err = nil; err == nil; {
			var c *Conn
			if c, err = s.node(appUser).Connect(t.Context()); err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
		}
		want(t, err, cluster.CauseTooMany)
		// The agent has CONNECTION ADMIN and gets the spare slot, once the server has
		// let go of the session that it just refused.
		c, err := s.node(agentUser).Connect(t.Context())
		for end := time.Now().Add(5 * time.Second); CauseOf(err) == cluster.CauseTooMany && time.Now().Before(end); {
			c, err = s.node(agentUser).Connect(t.Context())
		}
		must(t, err)
		must(t, c.Close())
	})
}

func TestAHungServerAndAKilledOne(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c, idle := s.connect(monitorUser), s.connect(monitorUser)
		s.freeze()
		want(t, c.Ping(within(t, 200*time.Millisecond)), cluster.CauseAnswerTimeout)
		if !c.Gone() || idle.Gone() {
			t.Errorf("gone: %v, and the idle one: %v", c.Gone(), idle.Gone())
		}
		if err := c.Ping(within(t, time.Second)); err == nil {
			t.Error("a session whose context ended went on")
		}
		n := s.node(monitorUser)
		n.opts.ConnectTimeout = 200 * time.Millisecond
		_, err := n.Connect(t.Context())
		want(t, err, cluster.CauseAnswerTimeout)
		s.signal(syscall.SIGCONT)
		// A context that had ended before says nothing about the server, and costs nothing.
		ended, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		want(t, idle.Ping(ended), cluster.CauseOther)
		must(t, idle.Ping(within(t, time.Second)))
		select {
		case <-c.Broken():
			t.Error("Broken reports a connection that we closed ourselves")
		case <-idle.Broken():
			t.Error("Broken reports a connection that lives")
		default:
		}

		s.kill()
		<-idle.Broken()
		want(t, idle.Ping(within(t, time.Second)), cluster.CauseReset)
		_, err = n.Connect(t.Context())
		want(t, err, cluster.CauseRefused)
	})
}

func TestBrokenIsNoticedWhileIdle(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		var worst time.Duration
		for range 3 {
			c := s.connect(monitorUser)
			must(t, c.Ping(t.Context()))
			began := time.Now()
			s.signal(syscall.SIGKILL)
			select {
			case <-c.Broken():
			case <-time.After(5 * time.Second):
				t.Fatal("not noticed")
			}
			took := time.Since(began)
			worst = max(worst, took)
			t.Logf("noticed %s after SIGKILL", took)
			<-s.ended
			s.start()
		}
		if worst > time.Second {
			t.Errorf("it took %s", worst)
		}
	})
}

func TestAKilledSessionIsBrokenAndNotDialledAgain(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		victim, killer := s.connect(agentUser), s.connect(agentUser)
		list, err := killer.Sessions(t.Context())
		must(t, err)
		var found bool
		for _, v := range list {
			if v.ID == victim.ID() {
				found = v.Kind == KindOwnUser && v.User == agentUser
			}
			if v.ID == killer.ID() {
				t.Error("the list holds our own session")
			}
		}
		if !found {
			t.Fatalf("session %d is not listed as our own user's: %+v", victim.ID(), list)
		}
		must(t, killer.Kill(t.Context(), victim.ID()))
		select {
		case <-victim.Broken():
		case <-time.After(5 * time.Second):
			t.Fatal("not noticed")
		}
		must(t, killer.Kill(t.Context(), victim.ID()))
		// One that is gone keeps none behind it alive.
		others := []*Conn{s.connect(agentUser), s.connect(agentUser)}
		must(t, killer.Kill(t.Context(), others[0].ID(), victim.ID(), others[1].ID()))
		for _, c := range others {
			select {
			case <-c.Broken():
			case <-time.After(5 * time.Second):
				t.Fatal("one of several was not ended")
			}
		}
		for range 2 {
			if err := victim.SetWritable(within(t, time.Second)); err == nil {
				t.Fatal("a killed session opened the server")
			}
		}
		if s.value("SELECT @@global.read_only") != "1" {
			t.Error("the server is open")
		}
	})
}

func TestSessionsLeaveNothingBehind(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		n := s.node(monitorUser)
		s.connect(monitorUser)
		ignore := goleak.IgnoreCurrent()
		before := openFiles(t)
		for i := range 30 {
			c, err := n.Connect(t.Context())
			must(t, err)
			switch i % 3 {
			case 0:
				must(t, c.Ping(t.Context()))
			case 1:
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if _, err := c.query(ctx, "sleep on", "SELECT SLEEP(5)"); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("slept: %v", err)
				}
				cancel()
			case 2:
				s.do(fmt.Sprintf("KILL %d", c.ID()))
				<-c.Broken()
			}
			must(t, c.Close())
			must(t, c.Close())
		}
		for range 5 {
			wrong := s.node(monitorUser)
			wrong.config.Passwd = "no"
			if _, err := wrong.Connect(t.Context()); err == nil {
				t.Fatal("logged in")
			}
		}
		eventually(t, 5*time.Second, "no descriptor is left open", func() bool { return openFiles(t) <= before })
		goleak.VerifyNone(t, ignore)
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(list)
}

func TestLastWordsDoNotHideTheEnd(t *testing.T) {
	addr := fakeServer(t, func(c net.Conn) { _, _ = c.Write([]byte("goodbye")) })
	raw, err := net.Dial("tcp", string(addr))
	must(t, err)
	l, err := newLink(raw.(*net.TCPConn))
	must(t, err)
	defer l.Close()
	select {
	case <-l.broken:
	case <-time.After(5 * time.Second):
		t.Fatal("the end was not noticed")
	}
	// Watching took nothing from the reader.
	text, _ := io.ReadAll(l)
	if string(text) != "goodbye" {
		t.Errorf("read %q", text)
	}
}

func TestTheEndOfALinkIsToldOnce(t *testing.T) {
	hang := make(chan struct{})
	addr := fakeServer(t, func(net.Conn) { <-hang })
	open := func() *link {
		raw, err := net.Dial("tcp", string(addr))
		must(t, err)
		l, err := newLink(raw.(*net.TCPConn))
		must(t, err)
		return l
	}
	told := make(chan string, 10)
	lost, ours := open(), open()
	lost.onEnd(func() { told <- "lost" })
	ours.onEnd(func() { told <- "ours" })
	must(t, ours.Close())
	if _, err := ours.Read(make([]byte, 1)); err == nil {
		t.Error("read from a closed link")
	}
	close(hang)
	<-lost.broken
	if got := <-told; got != "lost" {
		t.Errorf("told %q", got)
	}
	if _, err := io.ReadAll(lost); err != nil { // the driver finds it too
		t.Error(err)
	}
	lost.onEnd(func() { told <- "late" })
	must(t, lost.Close())
	close(told)
	var all []string
	for s := range told {
		all = append(all, s)
	}
	if !slices.Equal(all, []string{"late"}) {
		t.Errorf("told %q", all)
	}
}

func TestAnAnswerThatLayUnreadIsNoHang(t *testing.T) {
	addr := fakeServer(t, func(c net.Conn) { _, _ = c.Write([]byte("x")); silent(c) })
	raw, err := net.Dial("tcp", string(addr))
	must(t, err)
	l, err := newLink(raw.(*net.TCPConn))
	must(t, err)
	eventually(t, 5*time.Second, "the byte is there", func() bool { return unread(l.TCPConn) })
	must(t, l.Close())
	e := sessionError(addr, "ping", l, context.DeadlineExceeded)
	if e.Cause != cluster.CauseOther || !strings.Contains(e.Error(), "too late") {
		t.Errorf("%q: %v", e.Cause, e)
	}
}

func TestLogInFaultsOfMySQL(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	idle, kept := s.connect(appUser), s.connect(agentUser)
	s.quietly("CREATE USER old@'127.0.0.1' IDENTIFIED BY 'pw' PASSWORD EXPIRE", "SET GLOBAL offline_mode = 1")
	select {
	case <-idle.Broken():
	case <-time.After(5 * time.Second):
		t.Error("offline_mode left an ordinary session")
	}
	must(t, kept.Ping(within(t, time.Second)))
	_, err := s.node(appUser).Connect(t.Context())
	if e := want(t, err, cluster.CauseAccessDenied); e.Number != errOfflineMode {
		t.Error(err)
	}
	s.do("SET GLOBAL offline_mode = 0")
	s.connect(appUser)
	_, err = s.node("old").Connect(t.Context())
	want(t, err, cluster.CauseAccessDenied)
}
