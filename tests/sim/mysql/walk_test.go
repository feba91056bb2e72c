package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

const (
	epochTable = "mmm_meta.epoch"
	uniqsign   = cluster.UniqSign("0123456789abcdef0123456789abcdef")
	period     = time.Second
	lockName   = "mmm:" + string(uniqsign)
)

// walk is one random walk of a real pair and its model, both from the same
// beginning: both servers closed, replicating from each other.
type walk struct {
	*testing.T
	ctx   context.Context
	pair  *harness.Pair
	sides [2]*side
	now   time.Duration
	rows  uint64
	epoch cluster.Epoch
	trail []string
	name  string
}

// side is one server, real and model.
type side struct {
	w     *walk
	name  string
	real  *harness.Server
	model *mysql.Server
	uuid  string
	conn  *mysqlnode.Conn // of the manager, on the real server
	mine  *mysql.Session  // of the manager, on the model
	dump  *mysql.Dump     // on the model, for the other
	serve uint64          // the other's attempt that the dump belongs to
	app   *app
	keep  *keeper
}

// keeper is a session that has the lock, real and model.
type keeper struct {
	real  *mysqlnode.Conn
	model *mysql.Session
}

func newWalk(t *testing.T, ctx context.Context, lab *harness.Lab, pair *harness.Pair, name string) *walk {
	w := &walk{T: t, ctx: ctx, pair: pair, now: time.Hour, name: name}
	for i, s := range pair.Servers() {
		x := &side{w: w, name: string('A' + rune(i)), real: s}
		x.model = mysql.New(mysql.Options{
			Addr: s.Addr(), ID: s.ID(), Flavor: cluster.Flavor(lab.Flavor()), ReadOnly: true, SuperReadOnly: true,
			Manager: harness.ManagerUser, Replicator: harness.ReplUser,
			Accounts: []cluster.Account{{User: harness.AppUser, Host: "%"}, {User: harness.StrangerUser, Host: "%"}},
		})
		w.sides[i] = x
	}
	for i, x := range w.sides {
		x.model.Replicate(w.sides[1-i].real.Addr(), period)
		if lab.Flavor() == harness.MySQL {
			var err error
			x.uuid, err = x.real.Value(ctx, "SELECT @@server_uuid")
			must(t, err)
		}
		x.model.Start(w.now)
		x.login()
		x.mine.StartThreads(w.now, true, true, func(err error) { must(t, err) })
	}
	w.compare("begin")
	return w
}

func (w *walk) close() {
	for _, x := range w.sides {
		x.app.end()
		for _, c := range []*keeper{x.keep, {real: x.conn}} {
			if c != nil && c.real != nil {
				_ = c.real.Close()
			}
		}
	}
}

// login opens the session of the manager by which both are asked.
func (x *side) login() { x.conn, x.mine = x.session() }

// session opens a session of the manager on both.
func (x *side) session() (conn *mysqlnode.Conn, mine *mysql.Session) {
	w := x.w
	n, err := mysqlnode.New(mysqlnode.Options{Addr: x.real.Addr(), User: harness.ManagerUser, Password: harness.Password,
		Database: "information_schema", Epoch: mysqlnode.EpochAt{Table: epochTable, UniqSign: uniqsign}, ConnectTimeout: 2 * time.Second})
	must(w.T, err)
	must(w.T, harness.Until(w.ctx, "the manager is logged in", func(ctx context.Context) (bool, string) {
		conn, err = n.Connect(ctx)
		return err == nil, fmt.Sprint(err)
	}))
	mine, err = x.model.Login(harness.ManagerUser, true, nil)
	must(w.T, err)
	return conn, mine
}

// take has a session ask for the lock, and returns whether it has it.
func (x *side) take(conn *mysqlnode.Conn, mine *mysql.Session, idle time.Duration) bool {
	got, err := conn.TakeLock(x.w.ctx, lockName, idle)
	must(x.w.T, err)
	model := mine.TakeLock(x.w.now, lockName, idle)
	if got.Mine != model.Mine || (got.Holder == 0) != (model.Holder == 0) {
		x.w.Fatalf("%s: take the lock: the model gives %+v, the server %+v\ntrail: %s", x.w.name, model, got, strings.Join(x.w.trail, ", "))
	}
	return got.Mine
}

func (x *side) other() *side {
	if x.w.sides[0] == x {
		return x.w.sides[1]
	}
	return x.w.sides[0]
}

// carry lets the model's replication happen until nothing is left to do.
func (w *walk) carry() {
	for moved := 3; moved > 0; moved-- {
		for _, x := range w.sides {
			src := x.other()
			n, dialling := x.model.Attempt()
			switch {
			case n == 0 || !x.model.Up():
				src.dump = nil
				continue
			case !src.model.Up():
				if src.dump != nil || dialling {
					x.model.Failed(w.now, n, &mysql.Error{Number: mysql.ErrCannotConnect})
				}
				src.dump = nil
				continue
			}
			if src.dump == nil || src.serve != n {
				x.model.Redial(n)
				n, _ = x.model.Attempt()
				hello := x.model.Hello()
				x.model.Greeted(n, hello)
				dump, err := src.model.Dump(hello)
				if err != nil {
					x.model.Failed(w.now, n, err)
					continue
				}
				src.dump, src.serve = dump, n
				x.model.Joined(w.now, n)
			}
			for t := src.dump.Next(); t != nil; t = src.dump.Next() {
				x.model.Receive(n, t)
				if x.model.Answers(t) {
					src.model.Acknowledged(w.now, src.dump.Sent())
				}
				moved = 3
			}
		}
		for _, x := range w.sides {
			for x.model.ApplyOne(w.now) {
				moved = 3
			}
		}
	}
}

// state is what is compared of one server.
type state struct {
	Up              bool
	ReadOnly, Super cluster.Tri
	Executed        string
	Channel         cluster.Channel
	Users           []string
	Mark            cluster.Mark
	Rows            int
	Locked          []string
	Keeper          string // who has the lock
	Waiting         int    // commits that wait for an acknowledgement
}

// compare polls the real pair until it says what the model says.
func (w *walk) compare(what string) {
	w.Helper()
	w.carry()
	for i, x := range w.sides {
		want := x.modelled()
		var diff string
		ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
		err := harness.Until(ctx, "the server is as the model", func(ctx context.Context) (bool, string) {
			got, err := x.observed(ctx)
			if err != nil {
				diff = err.Error()
				return false, diff
			}
			diff = cmp.Diff(want, got)
			return diff == "", diff
		})
		cancel()
		if err != nil {
			w.Fatalf("%s, server %s after %q: the model (-) and the server (+) differ:\n%s\ntrail: %s", w.name, "AB"[i:i+1], what, diff, strings.Join(w.trail, ", "))
		}
	}
}

func (x *side) modelled() state {
	if !x.model.Up() {
		return state{}
	}
	srv := x.model.Observe(x.w.now, []string{mysql.Root}, epochTable, uniqsign)
	s := x.normal(srv)
	for row := range x.w.rows + 1 {
		s.Rows += x.model.Count(row)
	}
	if x.locked() {
		s.Rows = 0
	}
	s.Locked = locked(x.mine.Accounts())
	if h := x.model.Holder(lockName); h != nil {
		s.Keeper = "another"
		if x.keep != nil && h == x.keep.model {
			s.Keeper = "the keeper"
		}
	}
	return s
}

func (x *side) observed(ctx context.Context) (state, error) {
	if !x.real.Process().Running() {
		return state{}, nil
	}
	srv, err := x.conn.Observe(ctx, []string{"root"})
	if err != nil {
		return state{}, err
	}
	for _, o := range x.w.sides {
		if o.uuid != "" {
			srv.Executed = strings.ReplaceAll(srv.Executed, o.uuid, mysql.UUID(o.real.ID()))
			srv.Channel.Received = strings.ReplaceAll(srv.Channel.Received, o.uuid, mysql.UUID(o.real.ID()))
		}
	}
	s := x.normal(srv)
	if !x.locked() {
		text, err := x.real.Value(ctx, "SELECT COUNT(*) FROM "+harness.AppDB+".entry")
		if err != nil {
			return state{}, err
		}
		_, _ = fmt.Sscan(text, &s.Rows)
	}
	accounts, err := x.conn.Accounts(ctx)
	if err != nil {
		return state{}, err
	}
	s.Locked = locked(accounts)
	holder, err := x.conn.LockHolder(ctx, lockName)
	if err != nil {
		return state{}, err
	}
	if holder != 0 {
		s.Keeper = "another"
		if x.keep != nil && holder == x.keep.real.ID() {
			s.Keeper = "the keeper"
		}
	}
	return s, nil
}

// normal leaves out what has no fixed value: counters, times, texts of errors.
func (x *side) normal(srv cluster.Server) state {
	s := state{Up: true, ReadOnly: srv.ReadOnly, Super: srv.SuperReadOnly, Executed: srv.Executed, Channel: srv.Channel, Users: srv.Users, Mark: srv.Mark,
		Waiting: srv.Acks.Waiting}
	c := &s.Channel
	c.Delay, c.Heartbeats, c.IOError, c.SQLError, c.SourceIdentity = 0, 0, "", "", ""
	if c.IOErrno == mysql.ErrLost {
		c.IOErrno = mysql.ErrCannotConnect
	}
	if srv.Flavor == cluster.MySQL {
		for _, p := range []*string{&s.Executed, &c.Received} {
			set, err := gtid.Parse(srv.Flavor, *p)
			must(x.w.T, err)
			*p = set.String()
		}
	}
	return s
}

// locked: nobody else can count the rows.
func (x *side) locked() bool { return x.app != nil && x.app.lock }

func locked(all []cluster.AccountState) (names []string) {
	for _, a := range all {
		if a.Locked && (a.Account.User == harness.AppUser || a.Account.User == harness.StrangerUser) {
			names = append(names, a.Account.User)
		}
	}
	return names
}

// through does the steps of a script, which has the form of a trail, and returns
// how many. A letter is a server, for what follows it.
func (w *walk) through(script string, done map[string]int) (n int) {
	x := w.sides[0]
	for step := range strings.FieldsFuncSeq(script, func(r rune) bool { return r == ',' || r == '\n' }) {
		step = strings.TrimSpace(step)
		for _, s := range w.sides {
			if rest, named := strings.CutPrefix(step, s.name+" "); named {
				x, step = s, rest
			}
		}
		if step == "" {
			continue
		}
		i := slices.IndexFunc(ops, func(o op) bool { return o.name == step })
		if i < 0 || !ops[i].can(x) {
			w.Fatalf("%s %q cannot be; trail: %s", x.name, step, strings.Join(w.trail, ", "))
		}
		w.step(x, ops[i], done)
		n++
	}
	return n
}

// random does random steps and returns how many.
func (w *walk) random(r *rand.Rand, steps int, done map[string]int) (n int) {
	for range steps {
		x := w.sides[r.IntN(3)/2]
		var open []op
		total := 0
		for _, o := range ops {
			if o.can(x) {
				open = append(open, o)
				total += o.weight
			}
		}
		at := r.IntN(total)
		i := 0
		for ; at >= open[i].weight; i++ {
			at -= open[i].weight
		}
		w.step(x, open[i], done)
		n++
	}
	return n
}

func (w *walk) step(x *side, o op, done map[string]int) {
	w.now += time.Second
	w.trail = append(w.trail, x.name+" "+o.name)
	o.do(x)
	w.compare(x.name + " " + o.name)
	done[o.name]++
}

// app is a client of the application, real and model.
type app struct {
	x     *side
	db    *sql.DB
	conn  *sql.Conn
	model *mysql.Session
	id    uint64
	trx   bool
	lock  bool
}

func (x *side) join() *app {
	w := x.w
	db, err := x.real.Open(harness.AppUser)
	must(w.T, err)
	a := &app{x: x, db: db}
	a.conn, err = db.Conn(w.ctx)
	s, modelErr := x.model.Login(harness.AppUser, false, nil)
	w.same("log in", errno(err), modelErr)
	if err != nil {
		_ = db.Close()
		return nil
	}
	must(w.T, a.conn.QueryRowContext(w.ctx, "SELECT CONNECTION_ID()").Scan(&a.id))
	a.model = s
	return a
}

func (a *app) end() {
	if a == nil {
		return
	}
	_ = a.conn.Close()
	_ = a.db.Close()
	a.x.model.Hangup(a.x.w.now, a.model)
	if a.x.app == a {
		a.x.app = nil
	}
}

func (a *app) exec(text string) uint16 {
	_, err := a.conn.ExecContext(a.x.w.ctx, text)
	return errno(err)
}

func errno(err error) uint16 {
	var e *driver.MySQLError
	var known *mysqlnode.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Number
	case errors.As(err, &known):
		return known.Number
	}
	return 9999
}

// same fails unless the model's outcome has the number that the server gave.
func (w *walk) same(what string, real uint16, model any) {
	w.Helper()
	var n uint16
	switch m := model.(type) {
	case nil:
	case mysql.Outcome:
		n = m.Errno
	case *mysql.Error:
		n = m.Number
	default:
		w.Fatalf("outcome %v", model)
	}
	if n != real {
		w.Fatalf("%s: %s: the model gives %d, the server %d\ntrail: %s", w.name, what, n, real, strings.Join(w.trail, ", "))
	}
}

// op is one operation.
type op struct {
	name   string
	weight int
	can    func(x *side) bool
	do     func(x *side)
}

func up(x *side) bool     { return x.model.Up() }
func hasApp(x *side) bool { return up(x) && x.app != nil }
func kept(x *side) bool   { return up(x) && x.keep != nil }
func idle(x *side) bool   { return hasApp(x) && !x.app.trx && !x.app.lock }

// commits reports whether a commit is answered at once.
func commits(x *side) bool { return up(x) && !x.model.Awaits() }
func writes(x *side) bool  { return hasApp(x) && commits(x) }

// stops reports whether a thread that is told to stop does so at once.
func stops(x *side) bool { return up(x) && !x.awaits() }

func (x *side) awaits() bool {
	_, awaits := x.model.Applier()
	return awaits
}

var ops = []op{
	{"open", 4, up, func(x *side) {
		must(x.w.T, x.conn.SetWritable(x.w.ctx))
		x.mine.Limit(x.w.now, time.Second)
		must(x.w.T, x.mine.SetWritable(x.w.now))
	}},
	{"unseal", 1, up, func(x *side) {
		must(x.w.T, x.conn.Unseal(x.w.ctx))
		if _, super := x.model.ReadOnly(); super != cluster.Unknown {
			x.mine.Limit(x.w.now, time.Second)
			must(x.w.T, x.mine.Unseal(x.w.now))
		}
	}},
	{"close", 4, up, func(x *side) {
		err := x.conn.SetReadOnly(x.w.ctx, time.Second)
		var model error = errors.New("no answer")
		x.mine.SetReadOnly(x.w.now, time.Second, func(err error) { model = err })
		x.w.now += 2 * time.Second
		x.model.Advance(x.w.now)
		x.w.same("close", errno(err), model)
	}},
	{"log in", 8, func(x *side) bool { return up(x) && x.app == nil }, func(x *side) { x.app = x.join() }},
	{"write", 14, writes, func(x *side) {
		got := x.app.exec(x.w.insert())
		var model any
		x.app.model.Write(x.w.now, x.w.rows, 0, func(o mysql.Outcome) { model = o })
		x.w.same("write", got, model)
	}},
	{"begin", 3, idle, func(x *side) {
		must(x.w.T, noError(x.app.exec("BEGIN")))
		x.app.model.Begin(x.w.now)
		x.app.trx = true
	}},
	{"commit", 8, func(x *side) bool { return writes(x) && x.app.trx }, func(x *side) {
		got := x.app.exec("COMMIT")
		var model any
		x.app.model.Commit(x.w.now, func(o mysql.Outcome) { model = o })
		x.w.same("commit", got, model)
		x.app.trx = false
	}},
	{"rollback", 1, func(x *side) bool { return hasApp(x) && x.app.trx }, func(x *side) {
		must(x.w.T, noError(x.app.exec("ROLLBACK")))
		x.app.model.Rollback()
		x.app.trx = false
	}},
	{"lock tables", 2, func(x *side) bool { return idle(x) && stops(x) }, func(x *side) {
		got := x.app.exec("LOCK TABLES " + harness.AppDB + ".entry WRITE")
		var model any
		x.app.model.LockTables(x.w.now, func(o mysql.Outcome) { model = o })
		x.w.same("lock tables", got, model)
		x.app.lock = got == 0
	}},
	{"unlock tables", 4, func(x *side) bool { return hasApp(x) && x.app.lock }, func(x *side) {
		must(x.w.T, noError(x.app.exec("UNLOCK TABLES")))
		x.app.model.UnlockTables(x.w.now)
		x.app.lock = false
	}},
	{"close behind a lock", 8, func(x *side) bool { return writes(x) && x.app.lock && x.model.Open() }, (*side).closeBehind},
	{"kill session", 1, hasApp, func(x *side) {
		must(x.w.T, x.conn.Kill(x.w.ctx, x.app.id))
		must(x.w.T, x.model.KillSession(x.w.now, x.app.model.ID()))
		x.app.end()
	}},
	{"leave", 1, hasApp, func(x *side) { x.app.end() }},
	{"take lock", 4, func(x *side) bool { return up(x) && x.keep == nil }, func(x *side) {
		k := &keeper{}
		k.real, k.model = x.session()
		x.keep = k
		if !x.take(k.real, k.model, time.Hour) {
			x.w.Fatal("the lock is not free")
		}
	}},
	{"take lock twice", 2, kept, func(x *side) {
		conn, mine := x.session()
		if x.take(conn, mine, time.Hour) {
			x.w.Fatal("two sessions have the lock")
		}
		must(x.w.T, conn.Close())
		x.model.Hangup(x.w.now, mine)
	}},
	{"ask nothing", 1, kept, func(x *side) {
		x.take(x.keep.real, x.keep.model, time.Second)
		select {
		case <-x.keep.real.Broken():
		case <-time.After(10 * time.Second):
			x.w.Fatal("a session that is asked nothing lives on")
		}
		x.w.now += 2 * time.Second
		x.model.Advance(x.w.now)
		x.forget()
	}},
	{"kill keeper", 1, kept, func(x *side) {
		must(x.w.T, x.conn.Kill(x.w.ctx, x.keep.real.ID()))
		must(x.w.T, x.model.KillSession(x.w.now, x.keep.model.ID()))
		x.forget()
	}},
	{"close keeper", 1, kept, func(x *side) {
		must(x.w.T, x.keep.real.Close())
		x.model.Hangup(x.w.now, x.keep.model)
		x.forget()
	}},
	{"start io", 3, up, threads((*mysqlnode.Conn).StartIOThread, (*mysql.Session).StartThreads, true, false)},
	{"start sql", 3, up, threads((*mysqlnode.Conn).StartSQLThread, (*mysql.Session).StartThreads, false, true)},
	{"start", 4, up, threads((*mysqlnode.Conn).StartReplication, (*mysql.Session).StartThreads, true, true)},
	{"stop io", 1, up, threads((*mysqlnode.Conn).StopIOThread, (*mysql.Session).StopThreads, true, false)},
	{"stop sql", 3, stops, func(x *side) {
		must(x.w.T, x.real.Exec(x.w.ctx, "STOP REPLICA SQL_THREAD"))
		x.mine.StopThreads(x.w.now, false, true, func(err error) { must(x.w.T, err) })
	}},
	{"stop", 1, stops, threads((*mysqlnode.Conn).StopReplication, (*mysql.Session).StopThreads, true, true)},
	{"kill", 1, up, func(x *side) {
		x.real.Kill()
		x.model.Kill(x.w.now)
		x.app.end()
		_ = x.conn.Close()
		x.forget()
	}},
	{"start server", 8, func(x *side) bool { return !up(x) }, func(x *side) {
		must(x.w.T, x.real.Start(x.w.ctx))
		x.model.Start(x.w.now)
		x.login()
	}},
	{"errant", 2, func(x *side) bool { return commits(x) && (x.app == nil || !x.app.lock) }, func(x *side) {
		must(x.w.T, x.real.Write(x.w.ctx, true, x.w.insert()))
		if _, super := x.model.ReadOnly(); super == cluster.Yes {
			x.mine.Limit(x.w.now, time.Second)
			must(x.w.T, x.mine.Unseal(x.w.now))
		}
		root, err := x.model.Login(mysql.Root, true, nil)
		must(x.w.T, err)
		root.Write(x.w.now, x.w.rows, 0, func(o mysql.Outcome) { x.w.same("errant", 0, o) })
		x.model.Hangup(x.w.now, root)
	}},
	{"lock account", 1, up, func(x *side) {
		list := []cluster.Account{{User: harness.StrangerUser, Host: "%"}, {User: harness.AppUser, Host: "%"}, {User: "nobody", Host: "%"}}
		x.alter(list, true, x.conn.LockAccounts(x.w.ctx, list))
	}},
	{"release account", 3, up, func(x *side) {
		list := []cluster.Account{{User: harness.StrangerUser, Host: "%"}, {User: harness.AppUser, Host: "%"}}
		var states []cluster.AccountState
		for _, a := range list {
			states = append(states, cluster.AccountState{Account: a, Locked: true})
		}
		x.alter(list, false, x.conn.ReleaseAccounts(x.w.ctx, states))
	}},
	{"mark", 3, commits, func(x *side) {
		x.w.epoch += cluster.Epoch(x.w.rows % 2)
		m := cluster.Mark{Epoch: x.w.epoch + 1, Active: x.real.Addr()}
		err := x.conn.WriteMark(x.w.ctx, mysqlnode.EpochAt{Table: epochTable, UniqSign: uniqsign}, m)
		var model error
		x.mine.WriteMark(x.w.now, epochTable, uniqsign, m, func(err error) { model = err })
		x.w.same("mark", errno(err), model)
	}},
	{"await", 2, up, func(x *side) {
		must(x.w.T, x.conn.AwaitCommits(x.w.ctx))
		x.model.AwaitCommits(x.w.now)
	}},
	{"let go", 2, up, func(x *side) {
		must(x.w.T, x.conn.LetCommitsGo(x.w.ctx))
		x.model.LetCommitsGo(x.w.now, false)
	}},
	// Of MySQL it is not certain what its own that comes back is acknowledged.
	{"acknowledge", 2, func(x *side) bool { return stops(x) && x.uuid == "" }, func(x *side) {
		does, err := x.conn.Acknowledge(x.w.ctx)
		must(x.w.T, err)
		if model := x.model.Acknowledge(); does != model {
			x.w.Fatalf("%s: acknowledges: the model says %v, the server %v; trail %v", x.w.name, model, does, x.w.trail)
		}
	}},
	// Of MySQL what else is received may be applied in the moment in which nobody waits, or not.
	{"release", 8, func(x *side) bool { return x.awaits() && (x.uuid == "" || len(x.model.Received()) == 1) }, func(x *side) {
		must(x.w.T, x.conn.ReleaseCommits(x.w.ctx))
		if id, _ := x.model.Applier(); x.uuid == "" {
			must(x.w.T, x.model.KillSession(x.w.now, id))
			return
		}
		x.mine.ReleaseCommits(x.w.now, func(err error) { must(x.w.T, err) })
		x.w.now += time.Second
		x.model.Advance(x.w.now)
	}},
	{"wait", 1, up, func(x *side) {
		// As likely for what is there as for what is not.
		target := x.other().model.Observe(x.w.now, nil, "", "").Executed
		want, err := gtid.Parse(x.model.Observe(x.w.now, nil, "", "").Flavor, target)
		must(x.w.T, err)
		for _, o := range x.w.sides {
			if o.uuid != "" {
				target = strings.ReplaceAll(target, mysql.UUID(o.real.ID()), o.uuid)
			}
		}
		got, err := x.conn.WaitApplied(x.w.ctx, target, 20*time.Millisecond)
		must(x.w.T, err)
		var model bool
		x.mine.WaitApplied(x.w.now, want.String(), time.Second, func(b bool, err error) { model = b; must(x.w.T, err) })
		x.w.now += 2 * time.Second
		x.model.Advance(x.w.now)
		if got != model {
			x.w.Fatalf("%s: wait for %s: the model says %v, the server %v; trail %v", x.w.name, target, model, got, x.w.trail)
		}
	}},
}

// forget is the end of the keeper.
func (x *side) forget() {
	if x.keep != nil {
		_ = x.keep.real.Close()
		x.keep = nil
	}
}

// insert is a statement for a row that no other has.
func (w *walk) insert() string {
	w.rows++
	return fmt.Sprintf("INSERT INTO %s.entry (client, seq) VALUES (1, %d)", harness.AppDB, w.rows)
}

func noError(number uint16) error {
	if number != 0 {
		return fmt.Errorf("error %d", number)
	}
	return nil
}

func threads(real func(*mysqlnode.Conn, context.Context) error, model func(*mysql.Session, time.Duration, bool, bool, func(error)), io, sql bool) func(*side) {
	return func(x *side) {
		must(x.w.T, real(x.conn, x.w.ctx))
		var ended bool
		x.w.carry()
		model(x.mine, x.w.now, io, sql, func(err error) { must(x.w.T, err); ended = true })
		if !ended {
			x.w.Fatal("the model still waits")
		}
	}
}

// alter changes accounts of the model as mysqlnode does, which came to real. Where
// super_read_only cannot be set again the session is lost with it.
func (x *side) alter(list []cluster.Account, lock bool, real error) {
	w := x.w
	_, super := x.model.ReadOnly()
	if super == cluster.Yes {
		x.mine.Limit(w.now, time.Second)
		must(w.T, x.mine.Unseal(w.now))
	}
	must(w.T, x.mine.AlterAccounts(list, lock))
	var model error
	if super == cluster.Yes {
		model = errors.New("no answer")
		x.mine.Reseal(w.now, func(err error) { model = err })
		w.now += 2 * time.Second
		x.model.Advance(w.now)
	}
	w.same("alter accounts", errno(real), model)
	if real != nil {
		x.model.Hangup(w.now, x.mine)
		x.login()
	}
}

// closeBehind has a closing order wait behind LOCK TABLES, a write of another
// client wait behind the order, and then ends the lock.
func (x *side) closeBehind() {
	w := x.w
	second := x.join()
	if second == nil {
		return
	}
	defer second.end()
	order, write := make(chan error, 1), make(chan uint16, 1)
	go func() { order <- x.conn.SetReadOnly(w.ctx, 20*time.Second) }()
	x.waiting("read_only")
	insert := w.insert()
	go func() { write <- second.exec(insert) }()
	x.waiting("INSERT INTO")
	var closed, written any = "waits", "waits"
	x.mine.SetReadOnly(w.now, 20*time.Second, func(err error) { closed = err })
	second.model.Write(w.now, w.rows, 0, func(o mysql.Outcome) { written = o })
	if closed != any("waits") || written != any("waits") {
		w.Fatalf("the model does not wait: %v, %v", closed, written)
	}
	// Whoever holds the lock goes on writing.
	got := x.app.exec(w.insert())
	var model any
	x.app.model.Write(w.now, w.rows, 0, func(o mysql.Outcome) { model = o })
	w.same("write under the lock", got, model)
	must(w.T, noError(x.app.exec("UNLOCK TABLES")))
	x.app.model.UnlockTables(w.now)
	x.app.lock = false
	w.same("close behind a lock", errno(<-order), closed)
	w.same("write behind an order", <-write, written)
}

// waiting waits until a statement on the real server waits for a lock.
func (x *side) waiting(text string) {
	table := "information_schema.processlist"
	if x.uuid != "" {
		table = "performance_schema.processlist"
	}
	must(x.w.T, harness.Until(x.w.ctx, text+" waits", func(ctx context.Context) (bool, string) {
		rows, err := x.real.Admin().QueryContext(ctx, "SELECT COALESCE(state, ''), COALESCE(info, '') FROM "+table+" WHERE id <> CONNECTION_ID()")
		if err != nil {
			return false, err.Error()
		}
		defer rows.Close()
		var seen []string
		for rows.Next() {
			var state, info string
			if err := rows.Scan(&state, &info); err != nil {
				return false, err.Error()
			}
			seen = append(seen, state+": "+info)
		}
		return slices.ContainsFunc(seen, func(s string) bool {
			return strings.HasPrefix(s, "Waiting for") && strings.Contains(s, text)
		}), strings.Join(seen, "; ")
	}))
}
