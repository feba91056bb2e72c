package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// awayFor is longer than the longest time within which a daemon changes what it
// does because Redis is away: after a minute without a sign identify drops an
// agent's report where another agent reports (pkg/identify reportsKept), so that of
// two agents the one that returns last may be dropped once; a claim to tell something
// by mail (pkg/notify ClaimTTL) and the answer to a request (pkg/redisbus answerLife)
// end in Redis; failover_block (60 s) goes on where the pair is as whole afterwards as
// before; and the watchdog of the units (30 s) has been due twice. All pauses between
// two tries have been at their longest, a second, since the third second.
//
// What ends later is kept for people and moves no role: a request that nobody took
// up (redisbus requestLife, 5 min), another agent's report that has stood still, as
// above (pkg/agent forgetReportAfter, 10 min), mail of a change that is older than
// an agent (notify Window, 10 min), mail that could not be sent (GiveUp, 1 h), the
// notes on mail that was sent (24 h and 60 days). Leases last for as long as
// mmm-agent.conf says, 10 s unless it says more.
const awayFor = 62 * time.Second

// Redis that loads its data for a while, and one that is away for long, with two of
// those daemons that there may be two of: both are there again at once, and the
// service manager has been told all the time that they are well.
func TestBusLoadsAndIsAwayForLong(t *testing.T) {
	t.Parallel()
	s := prepare(t, options{daemons: []string{}})
	var watched []*watchdog
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent, harness.Identify, harness.Agent} {
		d := s.newWatchdog(fmt.Sprintf("%s %d", name, len(watched)+1))
		s.start(name, d.env()...)
		watched = append(watched, d)
	}
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	w := s.write(1, 10*time.Millisecond)
	c := s.Redis.Client().Conn()
	t.Cleanup(func() { _ = c.Close() })
	s.endure(w, c, badState{name: "loading",
		begin:  func(s *stage, _ *redis.Conn) { s.must(s.Redis.StartLoading(s.short())) },
		end:    func(s *stage, _ *redis.Conn) { s.must(s.Redis.EndLoading(s.short())) },
		logged: []string{"LOADING", "wait for it"}, shown: []string{"LOADING", "wait for it"}, answer: "LOADING"})
	s.reporting(2)
	s.endure(w, c, badState{name: "away for long", lasts: awayFor,
		begin:  func(s *stage, _ *redis.Conn) { s.Redis.Kill() },
		end:    func(s *stage, _ *redis.Conn) { s.must(s.Redis.Start(s.short())) },
		logged: []string{"connection refused"}, shown: []string{"connection refused", "is Redis at"}})
	s.reporting(2)
	for _, d := range watched {
		if gap := d.longest(); gap > watchdogEvery {
			t.Errorf("%s did not tell its watchdog for %v that it is well", d.name, gap)
		}
	}
	if n := len(w.Unknown()); n > 0 {
		t.Errorf("the application lost its connection %d times", n)
	}
	after := s.whole(s.a)
	s.a.Kill()
	s.moved(after, s.b)
	s.settle(s.b, w)
}

// reporting waits until n agents go on reporting about both servers.
func (s *stage) reporting(n int) {
	s.Helper()
	first := map[string]uint64{}
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, fmt.Sprintf("%d agents report", n), func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil {
				return false, err.Error()
			}
			going := 0
			for node, byAgent := range snap.Reports {
				for agent, r := range byAgent {
					key := string(node) + " " + agent
					if _, is := first[key]; !is {
						first[key] = r.Seq
					}
					if r.Seq > first[key] {
						going++
					}
				}
			}
			return going == 2*n, fmt.Sprintf("%d reports of %d go on", going, len(first))
		})
	})
}

const watchdogEvery = 12 * time.Second

// watchdog is the service manager of one daemon.
type watchdog struct {
	name    string
	socket  *net.UnixConn
	longGap atomic.Int64
	since   atomic.Int64
}

func (s *stage) newWatchdog(name string) *watchdog {
	s.Helper()
	path := filepath.Join(s.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	s.must(err)
	s.Cleanup(func() { _ = socket.Close() })
	d := &watchdog{name: name, socket: socket}
	go d.listen()
	return d
}

func (d *watchdog) env() []string {
	return []string{"NOTIFY_SOCKET=" + d.socket.LocalAddr().String(), fmt.Sprintf("WATCHDOG_USEC=%d", watchdogEvery.Microseconds())}
}

func (d *watchdog) listen() {
	buffer := make([]byte, 1<<10)
	for {
		n, err := d.socket.Read(buffer)
		if err != nil {
			return
		}
		if !strings.Contains(string(buffer[:n]), "WATCHDOG=1") {
			continue
		}
		now := time.Now().UnixNano()
		if before := d.since.Swap(now); before != 0 {
			d.longGap.Store(max(d.longGap.Load(), now-before))
		}
	}
}

// longest is the longest time without a word, the present one included; longer than
// any there can be when there never was a word.
func (d *watchdog) longest() time.Duration {
	return time.Duration(max(d.longGap.Load(), time.Now().UnixNano()-d.since.Load()))
}

// Two masters of Redis, each of which some daemons take for the only one, in every
// division of them: no role moves by itself. A role that an operator moves on the
// side that is given up stays where it is, and the other side's agent opens nobody.
// When one of them is given up, there is one record.
func TestTwoMastersOfTheBus(t *testing.T) {
	t.Parallel()
	s := prepare(t, options{daemons: []string{}, tag: map[string]string{"failback": "manual"}})
	m := &masters{stage: s, first: s.Redis, roads: map[string]*harness.Relay{}}
	var err error
	m.second, err = lab.NewRedis(s.short())
	s.must(err)
	t.Cleanup(m.second.Kill)
	m.demote()
	m.follows()
	for _, road := range []string{"here", harness.Monitor, harness.Identify, harness.Agent} {
		m.roads[road], err = lab.NewRelay(m.first.Addr())
		s.must(err)
	}
	s.FollowRelay(m.roads["here"])
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
		m.config(name)
		s.start(name)
		m.talk(m.first, name)
	}
	m.config("here")
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	w := s.write(1, 10*time.Millisecond)

	for _, strays := range [][]string{{harness.Agent}, {harness.Monitor}, {harness.Identify}} {
		m.live(w, s.a, strays, nil, false)
	}
	// From now on there are two identifies and two agents: each side has its own.
	s.start(harness.Identify)
	s.start(harness.Agent)
	s.reporting(2)
	all := []string{harness.Monitor, harness.Identify, harness.Agent}
	m.live(w, s.a, all, nil, true)
	unknown := len(w.Unknown())
	if unknown > 0 {
		t.Errorf("the application lost its connection %d times", unknown)
	}
	m.live(w, s.b, all, func() {
		m.config(harness.Identify)
		out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
		s.must(err)
		if out.Code != 0 {
			t.Fatalf("mmmctl switchover: %s", out)
		}
		m.config("here")
	}, false)
	if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}

// masters are two servers of Redis, and the roads to them: those of the strays may
// lead to another than "here", which everybody else takes.
type masters struct {
	*stage
	first, second *harness.Redis
	roads         map[string]*harness.Relay
}

// config writes the files of whoever takes the road.
func (m *masters) config(road string) {
	m.Helper()
	m.must(m.WriteFiles(harness.SiteOptions{Tag: m.opts.tag, Redis: map[string]string{"host": m.roads[road].Addr()}}))
}

// talk waits until the daemons are connected to r.
func (m *masters) talk(r *harness.Redis, daemons ...string) {
	m.Helper()
	m.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, fmt.Sprintf("%s talk to redis %s", daemons, r.Addr()), func(ctx context.Context) (bool, string) {
			list, err := r.Client().ClientList(ctx).Result()
			for _, name := range daemons {
				if err == nil && !strings.Contains(list, "name="+name) {
					return false, list
				}
			}
			return err == nil, fmt.Sprint(err)
		})
	})
}

// demote makes the second a replica of the first.
func (m *masters) demote() {
	m.Helper()
	host, port, _ := net.SplitHostPort(m.first.Addr())
	m.must(m.second.Client().ReplicaOf(m.short(), host, port).Err())
}

// follows waits until the second has what the first has.
func (m *masters) follows() {
	m.Helper()
	m.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the replica of Redis follows", func(ctx context.Context) (bool, string) {
			got, err := m.second.Client().Info(ctx, "replication").Result()
			return err == nil && strings.Contains(got, "master_link_status:up"), got
		})
	})
}

// live makes a master of the second server, to which the strays go, and has the
// pair live with both. Then the second is given up, or the first if it is to stay.
// The given server is the active in the end, after what an operator does meanwhile.
func (m *masters) live(w *harness.Writer, active *harness.Server, strays []string, operator func(), stay bool) {
	m.Helper()
	name := strings.Join(strays, " and ")
	before := m.record()
	m.must(m.second.Client().ReplicaOf(m.short(), "NO", "ONE").Err())
	for _, stray := range strays {
		m.roads[stray].Turn(m.second.Addr())
	}
	m.talk(m.second, strays...)
	highest := before.Epoch
	if operator != nil {
		operator()
		moved := m.recordOf(m.second)
		if moved.Active != active.Addr() || moved.Epoch <= before.Epoch || m.record().Order() != before.Order() {
			m.Errorf("%s: the second master has %s of %s, the first %s", name, moved.Order(), moved.Active, m.record().Order())
		}
		highest = moved.Epoch
	}
	passive := m.Pair.Other(active)
	m.must(harness.Holds(m.Context(), 2*time.Second, "the active stays open and the other closed", func(ctx context.Context) (bool, string) {
		closed, errA := active.ReadOnly(ctx)
		other, errP := passive.ReadOnly(ctx)
		return errA == nil && errP == nil && !closed && other, fmt.Sprintf("read_only %v, %v (%v, %v)", closed, other, errA, errP)
	}))
	m.more(w, 10)
	if stay {
		m.first, m.second = m.second, m.first
	}
	ended := time.Now()
	m.demote()
	for _, road := range m.roads {
		road.Turn(m.first.Addr())
	}
	after := m.managed(cluster.Assignment{Epoch: highest}, operator != nil)
	took := time.Since(ended)
	m.Logf("%s: managed again after %v, %s became %s", name, took.Round(time.Millisecond), before.Order(), after.Order())
	if took > 5*time.Second {
		m.Errorf("%s: managed again only %v after there was one master", name, took)
	}
	if after.Active != active.Addr() || operator == nil && after.Epoch != before.Epoch {
		m.Errorf("%s: record %s of %s became %s of %s", name, before.Order(), before.Active, after.Order(), after.Active)
	}
	m.follows()
	if there := m.recordOf(m.second); there.Epoch != after.Epoch || there.Active != after.Active {
		m.Errorf("%s: two records: %s of %s, and %s of %s", name, after.Order(), after.Active, there.Order(), there.Active)
	}
}

// recordOf is the assignment in one server of Redis.
func (m *masters) recordOf(r *harness.Redis) cluster.Assignment {
	m.Helper()
	bus := redisbus.New(redisbus.Options{Addr: r.Addr(), Name: "laboratory"})
	defer bus.Close()
	snap, err := bus.Snapshot(m.short(), m.UniqSign)
	m.must(err)
	return snap.Assignment
}
