package daemon

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Manager is the service manager that started the process, told by sd_notify(3)
// how the process is. Where there is none, nothing is told.
//
// Its watchdog is told that all is well only as long as every loop that works
// has come round lately: see Loop.
type Manager struct {
	send  func(message string) // nil: no manager
	every time.Duration        // the watchdog's time; 0: no watchdog
	began time.Time
	log   zerolog.Logger
	done  chan struct{}
	end   sync.Once
	pings sync.WaitGroup

	mu     sync.Mutex
	loops  map[*loop]struct{}
	status string
	stuck  string // the loop for which the watchdog is not told
}

// loop is a part of the process that must not stand still.
type loop struct {
	name   string
	within time.Duration
	beaten atomic.Int64 // when, as nanoseconds since Manager.began
}

// NewManager finds the service manager in the environment and takes it out of
// there, so that no child process speaks for this one.
func NewManager(log zerolog.Logger) *Manager {
	env := map[string]string{}
	for _, key := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		env[key] = os.Getenv(key)
		_ = os.Unsetenv(key)
	}
	addr, every := parseManager(env, os.Getpid())
	if addr == nil {
		return newManager(nil, 0, log)
	}
	return newManager(func(message string) {
		if err := sendTo(addr, message); err != nil {
			log.Warn().Err(err).Msg("service manager not told")
		}
	}, every, log)
}

// parseManager is where the manager of process pid listens, nil for nowhere,
// and the time of its watchdog, 0 for none.
func parseManager(env map[string]string, pid int) (*net.UnixAddr, time.Duration) {
	name := env["NOTIFY_SOCKET"]
	if name == "" {
		return nil, 0
	}
	// A name that begins with @ is in the abstract name space, here as there.
	addr := &net.UnixAddr{Name: name, Net: "unixgram"}
	usec, err := strconv.ParseInt(env["WATCHDOG_USEC"], 10, 64)
	if watched := env["WATCHDOG_PID"]; err != nil || usec <= 0 || watched != "" && watched != strconv.Itoa(pid) {
		return addr, 0
	}
	return addr, time.Duration(usec) * time.Microsecond
}

func sendTo(addr *net.UnixAddr, message string) error {
	conn, err := net.DialUnix(addr.Net, nil, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// A manager that is busy must not hold the process up.
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

func newManager(send func(string), every time.Duration, log zerolog.Logger) *Manager {
	m := &Manager{send: send, every: every, began: time.Now(), log: log, done: make(chan struct{}), loops: map[*loop]struct{}{}}
	if every > 0 {
		m.pings.Go(m.watch)
	}
	return m
}

// Ready says that the process has begun its work, or has done with a reload;
// status is for people.
func (m *Manager) Ready(status string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = line(status)
	m.tell("READY=1\nSTATUS=" + m.status)
}

// Reloading says that the configuration is being read again; Ready ends it.
func (m *Manager) Reloading() { m.tell("RELOADING=1") }

// Stopping says that the process is coming to its end.
func (m *Manager) Stopping() { m.tell("STOPPING=1\nSTATUS=stopping") }

// Loop watches over one loop until end is called. It must call beat more often
// than within, or than the watchdog's time if that is longer.
func (m *Manager) Loop(name string, within time.Duration) (beat, end func()) {
	if m.every == 0 {
		return func() {}, func() {}
	}
	l := &loop{name: name, within: max(within, m.every)}
	beat = func() { l.beaten.Store(int64(time.Since(m.began))) }
	beat()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loops[l] = struct{}{}
	return beat, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.loops, l)
	}
}

// Close ends the pings of the watchdog.
func (m *Manager) Close() {
	m.end.Do(func() { close(m.done) })
	m.pings.Wait()
}

func (m *Manager) tell(message string) {
	if m.send != nil {
		m.send(message)
	}
}

// watch tells the watchdog twice in its time that all is well. What has stood
// still is looked at more often: it may come round before the time is over.
func (m *Manager) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.done:
			return
		case <-timer.C:
		}
		if m.well() {
			m.tell("WATCHDOG=1")
			timer.Reset(m.every / 2)
		} else {
			timer.Reset(m.every / 10)
		}
	}
}

// well reports whether every loop has come round, and tells when that changes.
func (m *Manager) well() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	stuck, longest := "", time.Duration(0)
	for l := range m.loops {
		still := time.Since(m.began) - time.Duration(l.beaten.Load())
		if still > l.within && still > longest {
			stuck, longest = l.name, still
		}
	}
	switch {
	case stuck == m.stuck:
	case stuck == "":
		m.log.Warn().Msg("every loop comes round again")
		m.tell("STATUS=" + m.status)
	default:
		m.log.Error().Str("loop", stuck).Dur("still", longest).Str("hint", "the service manager will start the program anew").Msg("a loop stands still")
		m.tell(fmt.Sprintf("STATUS=%s stands still for %s", line(stuck), longest.Round(time.Second)))
	}
	m.stuck = stuck
	return stuck == ""
}

// line keeps a text from being taken for several assignments.
func line(text string) string { return strings.ReplaceAll(text, "\n", " ") }
