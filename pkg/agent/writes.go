package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

const (
	// writeEvery is how often a row is written on the open active.
	writeEvery = time.Second
	// lookAfter is how long a write may be under way before the server is asked what it waits for,
	// and lookEvery how often it is asked again.
	lookAfter = 500 * time.Millisecond
	lookEvery = 500 * time.Millisecond
)

// writes sees whether the open active takes writes: a row is written every second, on a session of its own. One that
// does not come back is not given up, since another would wait behind it: the server is asked what it is about, on
// the working connection. It counts as stalled from the first look that shows it at work and waiting for nobody:
// what this process slept through tells nothing. Everything belongs to the worker's loop but the write under way.
type writes struct {
	conn  *session // nil where none is; the write's while one is under way
	next  time.Duration
	under *write // nil while none is under way
	// state is what the last write came to, and since when it fails.
	state    cluster.Writes
	since    time.Duration
	failing  bool // since counts
	lookedAt time.Duration
	look     time.Duration // when to look next
	limit    time.Duration
}

// write is one under way.
type write struct {
	began time.Duration
	over  outcome
	conn  *session // of it, when over
	id    uint64   // of its session; known as soon as it writes
	ready outcome
}

// writesWanted is how long a write may take on this server now, and into which table; 0 where none is to be tried.
func (w *worker) writesWanted() (limit time.Duration, table string) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	bus := &w.p.bus
	rec := &bus.record
	if rec.WriteLimitMS == 0 || !bus.known || rec.Phase != cluster.PhaseSteady || rec.Active != w.self ||
		rec.EpochTable == "" || w.memory.Opened.Epoch != rec.Epoch || !w.sample.Open() {
		return 0, ""
	}
	if _, frozen := reconcile.Frozen(*rec, bus.newest()); frozen {
		return 0, ""
	}
	return time.Duration(rec.WriteLimitMS) * time.Millisecond, rec.EpochTable
}

// tryWrites takes what came of the write under way, looks after it, and begins the next.
func (w *worker) tryWrites(ctx context.Context) {
	p := &w.writes
	limit, table := w.writesWanted()
	p.limit = limit
	if p.under != nil {
		if over, err := p.under.over.is(); over {
			w.wrote(err)
		} else if w.now() >= p.due() {
			w.lookAtWrite(ctx)
		}
	}
	if p.under != nil {
		return
	}
	if p.limit == 0 {
		p.drop()
		p.forget()
		w.clear(noteWrites)
		return
	}
	if w.now() >= p.next && w.links.work != nil {
		p.next = w.p.nextRound()
		w.beginWrite(ctx, table)
	}
}

func (w *worker) beginWrite(ctx context.Context, table string) {
	u := &write{began: w.now(), conn: w.writes.conn}
	w.writes.under, w.writes.look = u, 0
	if u.conn != nil && u.conn.ended() {
		_ = u.conn.Close()
		u.conn = nil
	}
	had := w.writes.state
	w.rt.Go(func() {
		err := error(nil)
		if u.conn == nil {
			u.conn, err = w.links.connect(ctx)
		}
		if err == nil {
			u.id = u.conn.ID()
			u.ready.set(nil)
			// Without a limit: whoever gives it up would leave it behind on the server.
			err = u.conn.WriteBeat(ctx, table, w.p.u, w.self)
		}
		late := w.now()-u.began >= lookAfter
		u.over.set(err)
		if err != nil || late || had != cluster.WritesTaken || ctx.Err() != nil {
			w.wake.Set()
		}
	})
}

// wrote takes the outcome of a write.
func (w *worker) wrote(err error) {
	p, u := &w.writes, w.writes.under
	p.under, p.conn = nil, u.conn
	if p.conn != nil && (p.conn.ended() || p.conn.Gone()) {
		_ = p.conn.Close()
		p.conn = nil
	}
	switch {
	case err == nil:
		p.forget()
		p.state = cluster.WritesTaken
		w.clear(noteWrites)
	case w.p.a.o.NoRoom(err):
		w.fails(cluster.WritesDiskFull, p.failing, w.now())
		w.noteWrites(err.Error())
	default:
		// Who ended the session, or why the row is refused, says nothing of the disk.
		p.forget()
		if !w.isLost(err) {
			w.setNote(noteWrites, cluster.NoteWrites, fmt.Sprintf("whether it takes writes is not known (write_probe): %v", err))
		}
	}
}

// fails has the writes fail by state, since now unless they did before.
func (w *worker) fails(state cluster.Writes, before bool, now time.Duration) {
	p := &w.writes
	if !before {
		p.failing, p.since = true, now
	}
	p.state = state
}

// lookAtWrite asks the server what the session of the write under way does.
func (w *worker) lookAtWrite(ctx context.Context) {
	p, u := &w.writes, w.writes.under
	c := w.links.work
	asked := w.now()
	p.look = asked + lookEvery
	if ready, _ := u.ready.is(); c == nil || !ready {
		return // a server that lets nobody in, or does not answer, is for others to judge
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	all, err := c.Sessions(cctx)
	if err != nil {
		w.lost(err)
		return
	}
	i := slices.IndexFunc(all, func(s Session) bool { return s.ID == u.id })
	if i < 0 || all[i].Command == "Sleep" {
		p.forget() // its answer is on the way
		return
	}
	if why := innocent(all, all[i]); why != "" {
		p.forget()
		if asked-u.began >= max(p.limit, writeEvery) {
			w.setNote(noteWrites, cluster.NoteWrites, "writes on it wait "+why)
		}
		return
	}
	gap := asked - p.lookedAt
	p.lookedAt = asked
	w.fails(cluster.WritesStalled, p.failing && gap <= 2*lookEvery+w.p.a.o.ConnectTimeout, asked)
	if w.host.full {
		p.state = cluster.WritesDiskFull
	}
	if state, _ := p.say(w.now()); state.Fail() {
		w.noteWrites("a row has been under way for some time and waits for no lock and no acknowledgement")
	}
}

// innocent says for what the session of a write waits that is no fault of the server's; empty for nothing. Those who
// commit behind one that waits for an acknowledgement wait for it too, and do not say so.
func innocent(all []Session, s Session) string {
	switch {
	case s.Held || s.Queues:
		return "for a lock: of a backup, DDL, or whoever sets read_only"
	case slices.ContainsFunc(all, func(o Session) bool { return o.Awaits }):
		return "for an acknowledgement of the other server"
	}
	return ""
}

func (w *worker) noteWrites(text string) {
	if state, _ := w.writes.say(w.now()); state.Fail() {
		w.setNote(noteWrites, cluster.NoteWritesFail, fmt.Sprintf("it takes no writes, %s: %s", state, text))
	}
}

// say is what is told: that writes fail when they have for as long as the limit.
func (p *writes) say(now time.Duration) (cluster.Writes, int64) {
	switch {
	case p.limit == 0:
		return cluster.WritesUnknown, 0
	case !p.failing:
		return p.state, 0
	case now-p.since < p.limit:
		return cluster.WritesUnknown, 0
	}
	return p.state, (now - p.since).Milliseconds()
}

// due is when to look next at what does not wake the worker; 0 for never.
func (p *writes) due() time.Duration {
	if p.under == nil {
		return 0
	}
	at := max(p.look, p.under.began+lookAfter)
	if full := p.since + p.limit; p.failing && p.lookedAt < full {
		at = min(at, full)
	}
	return at
}

func (p *writes) forget() { p.failing, p.since, p.state = false, 0, cluster.WritesUnknown }

func (p *writes) drop() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// shut closes the session and waits for the write under way, whose context has ended.
func (p *writes) shut(w *worker) {
	for p.under != nil {
		if over, _ := p.under.over.is(); over {
			p.conn, p.under = p.under.conn, nil
			break
		}
		w.wake.Wait(context.Background(), -1)
	}
	p.drop()
}
