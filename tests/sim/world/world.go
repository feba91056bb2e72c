package world

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

const (
	sign        = cluster.UniqSign("0123456789abcdef0123456789abcdef")
	epochTable  = "mmm_meta.epoch"
	managerUser = "mmm"
	appUser     = "app"
)

// The network: what lies between hosts, and within one.
var (
	usual = engine.Link{Low: 200 * time.Microsecond, High: 600 * time.Microsecond}
	local = engine.Link{Low: 20 * time.Microsecond, High: 40 * time.Microsecond}
)

type world struct {
	spec  Spec
	conf  cluster.Durability // what mmm.conf promises
	e     *engine.Engine
	net   *engine.Network
	judge *Judge
	pair  cluster.Pair
	start time.Duration // when the schedule begins, of the world's time

	hosts   []*engine.Host
	db      [2]*server
	redis   *master
	fork    *master // a second master; nil when there is none
	daemons []*daemon
	clients []*client
	desk    *engine.Process // the operator's
	deskBus *redis.Bus

	round    int                            // the present one, from 1 on
	began    time.Duration                  // when it begins
	faults   []*fault                       // of this one and of those before
	froze    map[*engine.Host]time.Duration // when a host was frozen last
	rows     uint64
	writing  bool
	requests int
	// requested: the operator has asked for something in this round.
	requested bool
	asked     *cluster.Snapshot // what the last identify had read that asked for a change
	healed    time.Duration     // 0 before
	headless  time.Duration     // since when an active is dead that could be replaced; 0 when none is
	wellFrom  time.Duration     // since when the pair has been well; 0 when it is not
	over      bool
	// stood and away are how long those who keep leases stood still, or were not there;
	// shut, for how long their servers let nobody in.
	stood, away, shut time.Duration
}

// master is a Redis with what was last seen of its lease.
type master struct {
	*redis.Server
	host  *engine.Host
	token uint64
}

func newWorld(spec Spec) *world { return worldOn(engine.New(spec.Seed), spec) }

func worldOn(e *engine.Engine, spec Spec) *world {
	w := &world{spec: spec, conf: spec.Durability, e: e, froze: map[*engine.Host]time.Duration{}}
	w.net = w.e.Network(usual, local)
	w.pair = cluster.Pair{Tag: "t", UniqSign: sign, Primary: "db-a:3306", Secondary: "db-b:3306", ServiceMode: cluster.ActivePassive}
	return w
}

// build makes hosts and servers, and what runs on them, as the schedule begins.
func (w *world) build() {
	spec := w.spec
	for i, e := range w.pair.Members() {
		w.db[i] = w.newServer(w.host(e.Host()), e, i)
	}
	w.db[0].other, w.db[1].other = w.db[1], w.db[0]
	for _, s := range w.db {
		s.Replicate(s.other.Machine, mysql.LinkOptions{Heartbeat: spec.Heartbeat, Silence: 2 * spec.Heartbeat})
	}
	w.redis = w.newRedis("redis")
	w.judge = NewJudge(Promise{
		Members: [2]cluster.Endpoint(w.pair.Members()), FailoverBlock: spec.Policy.FailoverBlock, MaxLoss: spec.Policy.MaxLoss, MaxLossAge: spec.Policy.MaxLossAge,
		RestartsOpen: spec.StartsOpen, AutoReplicate: spec.AutoReplicate, Leaps: spec.leaps(), Blocks: spec.Blocks,
		Leases: spec.Lease > 0, Monitors: spec.Monitors, Silence: w.policy().Silence(),
	}, w)
	w.startServers()
	if spec.Steady || spec.Forgotten {
		w.settle()
	}
	if spec.Apart > 0 {
		w.part()
	}
	w.start = w.e.Now()
	w.begin()
	for i := range spec.Monitors {
		w.daemon(monitorName(i), "", monitorOf)
	}
	for i := range spec.Identifies {
		w.daemon(identifyName(i), "", identifyOf)
	}
	for i := range spec.Agents {
		on := ""
		if spec.Local {
			on = w.db[i%2].host.Name()
		}
		w.daemon(fmt.Sprintf("agent%d", i+1), on, agentOf)
	}
	for _, d := range w.daemons {
		w.e.After(w.e.Between(0, 20*time.Millisecond), d.start)
	}
	w.writing = true
	for i := range spec.Clients {
		name := fmt.Sprintf("client%d", i+1)
		c := &client{w: w, p: w.host(name).Process(name, engine.Clock{}), at: i % 2}
		w.clients = append(w.clients, c)
		c.p.Go(c.run)
	}
	desk := w.host("desk")
	w.desk = desk.Process("operator", engine.Clock{})
	w.deskBus = redis.NewBus(w.desk, w.redis.Server)
	w.enter(spec.Round)
}

// host is the machine with a name, made when it is first asked for.
func (w *world) host(name string) *engine.Host {
	for _, h := range w.hosts {
		if h.Name() == name {
			return h
		}
	}
	h := w.net.Host(name)
	w.hosts = append(w.hosts, h)
	return h
}

func (w *world) newRedis(host string) *master {
	h := w.host(host)
	return &master{Server: redis.NewServer(h, sign), host: h}
}

func (w *world) daemon(name, host string, begin starter) {
	if host == "" {
		host = name
	}
	d := &daemon{w: w, name: name, host: w.host(host), clock: w.spec.Clocks[name], begin: begin}
	d.disk = &disk{saved: func(m cluster.Memory) { w.judge.Obeys(w.e.Now(), name, m.Record) }}
	if w.spec.Steady {
		m := cluster.Memory{Record: w.record()}
		if w.spec.Blocks && name == w.locksOut(m.Record.Passive) {
			m.Locked = map[cluster.Endpoint][]cluster.Account{m.Record.Passive: {appAccount}}
		}
		d.disk.kept = map[cluster.UniqSign]cluster.Memory{sign: m}
	}
	w.daemons = append(w.daemons, d)
}

// locksOut is the agent that has locked the application's account on e: with leases
// only its own may.
func (w *world) locksOut(e cluster.Endpoint) string {
	if w.spec.Lease > 0 && w.db[1].Addr() == e {
		return "agent2"
	}
	return "agent1"
}

func (w *world) named(name string) *daemon {
	for _, d := range w.daemons {
		if d.name == name {
			return d
		}
	}
	return nil
}

func (w *world) row() uint64 {
	w.rows++
	return w.rows
}

// redisOf is the master that a daemon is told of.
func (w *world) redisOf(d *daemon) *redis.Server {
	if w.fork != nil && d.onFork {
		return w.fork.Server
	}
	return w.redis.Server
}

// record is the record of the Redis that counts.
func (w *world) record() cluster.Assignment { return w.redis.Store().Assignment() }

// look tells the judge of who took the lease with the last event.
func (w *world) look() {
	w.redis.look(w)
	if w.fork != nil {
		w.fork.look(w)
	}
}

func (m *master) look(w *world) {
	if id, token := m.Store().Lease(); token != m.token {
		m.token = token
		w.judge.Leads(w.e.Now(), id, token)
	}
}

// watch takes the present data as given and has the judge told of each change from now on.
func (w *world) watch(m *master) {
	_, m.token = m.Store().Lease()
	m.Store().Changed = func(before, after cluster.Assignment, ev cluster.Event) {
		if w.e.Recording() {
			w.e.Note("record", fmt.Sprintf("%s: %s %s active %q passive %q from %q to %q proof %q cause %q loss %q: %s", ev.Kind, after.Order(), after.Phase,
				after.Active, after.Passive, after.From, after.To, after.Proof, after.Cause, after.Loss, ev.Reason))
		}
		w.judge.Changed(w.e.Now(), before, after, ev)
		if before.Phase != after.Phase {
			w.entered(after.Phase)
		}
	}
}

// startServers starts both servers as their option files say.
func (w *world) startServers() {
	for _, s := range w.db {
		s.how = ByPerson
		s.Start()
		s.how = ByAgent
	}
}

// settle puts a pair in its place that has been up for long.
func (w *world) settle() {
	active := w.db[0]
	if !w.spec.Home {
		active = w.db[1]
	}
	passive := active.other
	rec := cluster.Assignment{Epoch: 7, Version: 3, Phase: cluster.PhaseSteady, Active: active.Addr(), Passive: passive.Addr(),
		From: passive.Addr(), To: active.Addr(), Eligible: []cluster.Endpoint{passive.Addr()}, Durability: w.policy().Durability,
		Cause: cluster.CauseSwitchover, Proof: cluster.ProofFenced, Reason: "asked for", Actor: "dba", EpochTable: epochTable}
	if rec.Configured = rec.Durability; rec.Durability.Acknowledged() {
		rec.Waits = true
		passive.Acknowledge()
		active.AwaitCommits(w.e.Now())
	}
	active.person(func(x *mysql.Session, now time.Duration) {
		x.Limit(now, time.Second)
		if err := x.SetWritable(now); err != nil {
			panic(err)
		}
		x.WriteMark(now, epochTable, sign, cluster.Mark{Epoch: rec.Epoch, Active: rec.Active}, func(error) {})
	})
	active.person(func(x *mysql.Session, now time.Duration) {
		x.Write(now, w.row(), 0, func(mysql.Outcome) {})
	})
	passive.person(func(x *mysql.Session, now time.Duration) {
		x.SetReadOnly(now, time.Second, func(error) {})
		if w.spec.Blocks && !w.spec.Forgotten {
			x.AlterAccounts([]cluster.Account{appAccount}, true)
		}
	})
	if w.spec.WriteProbe > 0 { // who is taken to acknowledge nothing must be known to start closed
		for _, s := range w.db {
			s.Untold()
		}
	}
	for _, s := range w.db {
		s.person(func(x *mysql.Session, now time.Duration) { x.StartThreads(now, true, true, func(error) {}) })
	}
	w.e.Until(w.e.Now() + 100*time.Millisecond)
	for _, s := range w.db {
		s.Age(time.Duration(1+w.e.Rand().IntN(100)) * time.Hour)
	}
	if w.spec.Forgotten {
		for _, s := range w.db {
			s.kill()
		}
		w.startServers()
		return
	}
	s, now := w.redis.Store(), w.redis.Now()
	if err := s.PublishPair(w.pair); err != nil {
		panic(err)
	}
	if w.spec.Blocks {
		s.NoteLocked(passive.Addr(), []cluster.Account{appAccount})
	}
	token, _, _, err := s.Lead(now, "setup", 0, time.Second)
	if err == nil {
		_, _, err = s.Transition(now, "setup", token, cluster.Transition{Next: rec, Announce: true, Event: cluster.Event{Kind: "switchover", Actor: "dba"}}, 1)
	}
	if err != nil {
		panic(err)
	}
	s.Resign(now, "setup", token)
}

// part has a person write to each server what the other one does not get.
func (w *world) part() {
	for _, s := range w.db {
		s.person(func(x *mysql.Session, now time.Duration) {
			x.Limit(now, time.Second)
			if err := x.SetWritable(now); err != nil {
				panic(err)
			}
			for range w.spec.Apart {
				row := w.row()
				w.judge.Parted(row)
				x.Write(now, row, 0, func(mysql.Outcome) {})
			}
			if !w.spec.StartsOpen {
				x.SetReadOnly(now, time.Second, func(error) {})
			}
		})
	}
}

// begin tells the judge where everything stands.
func (w *world) begin() {
	var open []cluster.Endpoint
	for _, s := range w.db {
		s.watch()
		if s.Open() {
			open = append(open, s.Addr())
		}
	}
	w.watch(w.redis)
	w.judge.Begin(w.record(), open...)
}

func (w *world) count(c Counter) { w.judge.Seen.Count(c) }
