package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// subject is a pair on which the daemons' own calls are made.
type subject struct {
	*testing.T
	name    string
	members [2]cluster.Endpoint
	kill    func(i int)
	start   func(i int) error
	trail   []string // what every call gave, a line each
}

var (
	at      = mysqlnode.EpochAt{Table: "mmm_meta.epoch", UniqSign: "contract"}
	numbers = regexp.MustCompile(`:[0-9][0-9:-]*`)
)

// A stand-in gives what MySQL gives, call by call, through a life of a pair: at rest, opened, stopped, its source dead and back.
func TestContract(t *testing.T) {
	t.Setenv("MMM_DB", string(harness.MySQL))
	if missing := harness.Missing(); len(missing) > 0 {
		text := "not installed: " + strings.Join(missing, ", ") + "; make test gets what is missing"
		if harness.MissingIsFailure() {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	theirs := ofMySQL(t)
	theirs.live()
	ours := ofStandIns(t)
	ours.live()
	for i, want := range theirs.trail {
		got := "nothing"
		if i < len(ours.trail) {
			got = ours.trail[i]
		}
		if got != want {
			t.Errorf("line %d\nMySQL     %s\nstand-in  %s", i, want, got)
		}
	}
	if len(ours.trail) > len(theirs.trail) {
		t.Errorf("stand-ins go on: %q", ours.trail[len(theirs.trail):])
	}
}

func ofMySQL(t *testing.T) *subject {
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	p, err := lab.NewPair(ctx, harness.PairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	servers := p.Servers()
	return &subject{T: t, name: "mysql", members: [2]cluster.Endpoint{p.A.Addr(), p.B.Addr()},
		kill: func(i int) { servers[i].Kill() }, start: func(i int) error { return servers[i].Start(ctx) }}
}

func ofStandIns(t *testing.T) *subject {
	ports := [2]cluster.Endpoint{}
	for i := range ports {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = cluster.Endpoint(fmt.Sprintf("127.0.0.1:%d", port))
	}
	p, err := NewPair(1, ports[0], ports[1], Options{Unknown: func(s string) { t.Errorf("unknown: %s", s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range p.Members {
			s.Kill()
		}
	})
	s := &subject{T: t, name: "stand-in", members: ports, kill: func(i int) { p.Members[i].Kill() }, start: func(i int) error { return p.Members[i].Start() }}
	for i := range ports {
		s.must(s.connect(i).StartReplication(t.Context()))
	}
	return s
}

func (s *subject) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", s.name, err)
	}
}

func (s *subject) connect(i int) *mysqlnode.Conn {
	s.Helper()
	n, err := mysqlnode.New(mysqlnode.Options{Addr: s.members[i], User: harness.ManagerUser, Password: harness.Password,
		Database: "information_schema", ConnectTimeout: 5 * time.Second, Epoch: at})
	s.must(err)
	c, err := n.Connect(s.Context())
	s.must(err)
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// note adds a line: what was done, and its outcome in JSON without what differs from server to server.
func (s *subject) note(what string, outcome any, err error) {
	s.Helper()
	text, failed := json.Marshal(outcome)
	s.must(failed)
	line := what + ": " + string(text)
	if err != nil {
		line += " cause " + string(mysqlnode.CauseOf(err))
	}
	s.trail = append(s.trail, line)
}

// look notes all that the daemons read of both members, once replication is as wanted.
func (s *subject) look(when string, conns [2]*mysqlnode.Conn, io, sql cluster.Thread) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	for i, c := range conns {
		if c == nil {
			continue
		}
		s.must(harness.Until(ctx, fmt.Sprintf("%s: threads of %d are %s and %s", when, i, io, sql), func(ctx context.Context) (bool, string) {
			ch, err := c.Channel(ctx)
			return err == nil && ch.IO == io && ch.SQL == sql && (io == "Connecting" || ch.IOErrno == 0), fmt.Sprintf("%+v %v", ch, err)
		}))
		srv, err := c.Observe(ctx, []string{harness.ReplUser, "root"})
		s.note(fmt.Sprintf("%s, observe %d", when, i), s.shape(srv), err)
		ro, super, err := c.ReadOnly(ctx)
		s.note(fmt.Sprintf("%s, read_only of %d", when, i), []cluster.Tri{ro, super}, err)
		ro, super, ch, err := c.Glance(ctx)
		s.note(fmt.Sprintf("%s, glance at %d", when, i), []any{ro, super, ch.IO, ch.SQL, ch.Configured, ch.HeartbeatPeriodMS}, err)
		starts, err := c.StartsClosed(ctx)
		s.note(fmt.Sprintf("%s, %d starts closed", when, i), starts, err)
		missing, err := c.Missing(ctx, mysqlnode.RoleAgent)
		s.note(fmt.Sprintf("%s, grants missing on %d", when, i), len(missing), err)
		writers, err := c.Writers(ctx)
		s.note(fmt.Sprintf("%s, writers on %d", when, i), len(writers), err)
		sessions, err := c.Sessions(ctx)
		others := slices.DeleteFunc(sessions, func(o mysqlnode.Session) bool {
			return o.Kind != mysqlnode.KindApplication || slices.Contains([]string{"root", harness.ReplUser, "unauthenticated user"}, o.User)
		})
		s.note(fmt.Sprintf("%s, applications on %d", when, i), len(others), err)
		mark, err := c.Mark(ctx, at)
		s.note(fmt.Sprintf("%s, mark of %d", when, i), mark.Epoch, err)
		s.note(fmt.Sprintf("%s, ping %d", when, i), nil, c.Ping(ctx))
	}
}

// shape takes out of a sample what is each server's own.
func (s *subject) shape(srv cluster.Server) cluster.Server {
	own := strings.NewReplacer(string(s.members[0]), "a", string(s.members[1]), "b", s.identity(0), "A", s.identity(1), "B")
	names := func(set string) string { return numbers.ReplaceAllString(own.Replace(set), "") }
	srv.Version, srv.UptimeS, srv.Sessions = "", min(srv.UptimeS, 0), min(srv.Sessions, 0)
	srv.Identity, srv.Executed, srv.Purged = own.Replace(srv.Identity), names(srv.Executed), names(srv.Purged)
	ch := &srv.Channel
	ch.Source, ch.SourceIdentity = cluster.Endpoint(own.Replace(string(ch.Source))), own.Replace(ch.SourceIdentity)
	ch.User, ch.Received, ch.Heartbeats, ch.IOError = "", names(ch.Received), 0, ""
	ch.IOErrno = min(ch.IOErrno, 1)
	ch.Delay = min(ch.Delay, 0) // a real one may need a second
	srv.Mark.Active = cluster.Endpoint(own.Replace(string(srv.Mark.Active)))
	return srv
}

var identities = map[cluster.Endpoint]string{}

func (s *subject) identity(i int) string { return identities[s.members[i]] }

// live leads a pair through its life.
func (s *subject) live() {
	ctx := s.Context()
	for i := range s.members {
		c := s.connect(i)
		srv, err := c.Observe(ctx, nil)
		s.must(err)
		identities[s.members[i]] = srv.Identity
		s.must(c.Close())
	}
	// Sessions that have not missed the epoch row: those look for it again after a while only.
	a, b := s.connect(0), s.connect(1)
	both := [2]*mysqlnode.Conn{a, b}

	s.note("write closed", nil, a.WriteMark(ctx, at, cluster.Mark{Epoch: 1, Active: s.members[0]}))
	s.note("unseal a", nil, a.Unseal(ctx))
	s.must(a.WriteMark(ctx, at, cluster.Mark{Epoch: 1, Active: s.members[0]}))
	s.note("open a", nil, a.SetWritable(ctx))
	s.caughtUp(a, b)
	s.look("opened", both, "Yes", "Yes")
	s.must(a.WriteMark(ctx, at, cluster.Mark{Epoch: 7, Active: s.members[0]}))
	s.must(a.WriteMark(ctx, at, cluster.Mark{Epoch: 3, Active: s.members[1]})) // never lowered
	s.caughtUp(a, b)
	s.look("marked", both, "Yes", "Yes")

	s.heartbeats(b)
	s.note("another period while it runs", nil, b.BeatEachSecond(ctx))
	s.must(b.StopIOThread(ctx))
	s.look("receiver stopped", [2]*mysqlnode.Conn{1: b}, "No", "Yes")
	s.must(b.StartIOThread(ctx))
	s.look("receiver started", [2]*mysqlnode.Conn{1: b}, "Yes", "Yes")
	s.must(b.StopReplication(ctx))
	s.look("stopped", [2]*mysqlnode.Conn{1: b}, "No", "No")
	s.must(b.StartSQLThread(ctx))
	s.look("applier started", [2]*mysqlnode.Conn{1: b}, "No", "Yes")
	s.must(b.StartReplication(ctx))
	s.look("started", [2]*mysqlnode.Conn{1: b}, "Yes", "Yes")
	applied, err := b.WaitApplied(ctx, identities[s.members[0]]+":1", time.Second)
	s.note("applied what is there", applied, err)
	applied, err = b.WaitApplied(ctx, identities[s.members[0]]+":1-1000000", time.Second)
	s.note("applied what is not there", applied, err)

	s.locks(b)

	lost := s.connect(1)
	s.must(b.Kill(ctx, lost.ID()))
	s.ends("session was killed", lost)
	s.note("kill who is gone", nil, b.Kill(ctx, lost.ID()))
	s.note("close a", nil, a.SetReadOnly(ctx, time.Second))
	s.look("closed", both, "Yes", "Yes")
	s.note("open a again", nil, a.SetWritable(ctx))

	s.kill(0)
	s.ends("source was killed", a)
	n, err := mysqlnode.New(mysqlnode.Options{Addr: s.members[0], User: harness.ManagerUser, Password: harness.Password})
	s.must(err)
	_, err = n.Connect(ctx)
	s.note("connect to the dead", nil, err)
	s.look("source dead", [2]*mysqlnode.Conn{1: b}, "Connecting", "Yes")
	s.must(s.start(0))
	a = s.connect(0)
	s.look("back", [2]*mysqlnode.Conn{0: a}, "No", "No")
	s.must(a.StartReplication(ctx))
	s.must(b.StopReplication(ctx))
	s.must(b.StartReplication(ctx))
	s.look("whole", [2]*mysqlnode.Conn{a, b}, "Yes", "Yes")
}

// locks has sessions take the lease lock from each other: it ends with its session, by a kill or for
// want of questions.
func (s *subject) locks(b *mysqlnode.Conn) {
	ctx := s.Context()
	const name = "mmm:00000000000000000000000000000172"
	first, second := s.connect(1), s.connect(1)
	who := map[uint64]string{0: "nobody", b.ID(): "b", first.ID(): "first", second.ID(): "second"}
	note := func(what string, l mysqlnode.Lock, err error) {
		s.Helper()
		s.note(what, []any{l.Mine, who[l.Holder], l.Idle}, err)
	}
	look := func(what string) {
		s.Helper()
		holder, err := b.LockHolder(ctx, name)
		s.note(what, who[holder], err)
	}
	look("nobody's lock")
	l, err := first.TakeLock(ctx, name, time.Minute)
	note("free lock taken", l, err)
	l, err = first.TakeLock(ctx, name, time.Minute)
	note("own lock taken again", l, err)
	l, err = second.TakeLock(ctx, name, time.Second)
	note("other's lock not taken", l, err)
	look("other's lock")
	s.ends("nothing was asked", second)
	s.must(b.Kill(ctx, first.ID()))
	s.ends("holder was killed", first)
	tctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s.must(harness.Until(tctx, "the lock is free", func(ctx context.Context) (bool, string) {
		holder, err := b.LockHolder(ctx, name)
		return err == nil && holder == 0, fmt.Sprintf("session %d, %v", holder, err)
	}))
	l, err = s.connect(1).TakeLock(ctx, name, time.Minute)
	who[l.Holder] = "third"
	note("lock taken after a kill", l, err)
}

// caughtUp waits until b has what a has.
func (s *subject) caughtUp(a, b *mysqlnode.Conn) {
	s.Helper()
	srv, err := a.Observe(s.Context(), nil)
	s.must(err)
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	s.must(harness.Until(ctx, "the passive catches up", func(ctx context.Context) (bool, string) {
		has, err := b.WaitApplied(ctx, srv.Executed, time.Second)
		return has && err == nil, fmt.Sprint(has, err)
	}))
}

// heartbeats waits for one that comes while nothing is written.
func (s *subject) heartbeats(c *mysqlnode.Conn) {
	s.Helper()
	before, err := c.Channel(s.Context())
	s.must(err)
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	s.must(harness.Until(ctx, "its source beats", func(ctx context.Context) (bool, string) {
		now, err := c.Channel(ctx)
		return err == nil && now.Heartbeats > before.Heartbeats, fmt.Sprintf("%d, before %d: %v", now.Heartbeats, before.Heartbeats, err)
	}))
	s.note("heartbeat period", before.HeartbeatPeriodMS, nil)
}

func (s *subject) ends(when string, c *mysqlnode.Conn) {
	s.Helper()
	select {
	case <-c.Broken():
	case <-time.After(20 * time.Second):
		s.Fatalf("%s: %s: the session goes on", s.name, when)
	}
	s.note(when+", ask it", nil, c.Ping(s.Context()))
}
