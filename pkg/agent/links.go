package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	dialAgain      = 250 * time.Millisecond
	dialAgainLater = time.Second
	// A server that is going down takes a connect and drops it until its port is
	// closed, a few milliseconds later.
	dialDying       = 5 * time.Millisecond
	dialsWhileDying = 20
)

// links are a worker's standing connections: one to work on, one spare. They
// are dialled in the background, so that a server that hangs never holds up
// what is to be left on the spare. Everything but results belongs to the worker's loop.
type links struct {
	node        Node
	rt          sched.Runtime
	wake        sched.Signal // the worker's
	work, spare *session
	queue       *outcome // of the closing order that waits on the spare
	dialling    [uses]bool
	next        [uses]time.Duration // not before, by the agent's clock
	born        time.Duration       // when the working connection was opened
	// poor: the working connection lacked a privilege. A session keeps what it had
	// at its log-in, so that another is to take its place; it works on until then.
	poor bool
	// oldSpare: the spare was opened before the working connection, maybe of a server
	// that has been started anew since. It stays until there is another.
	oldSpare bool
	short    int // working connections in a row that did not last
	spares   bool

	mu      sync.Mutex // for results
	results []dialled
}

const (
	forWork = iota
	forSpare
	forPoor // in place of a working connection that lacks a privilege
	uses
)

type dialled struct {
	use  int
	conn *session
	err  error
}

func newLinks(n Node, rt sched.Runtime, wake sched.Signal) *links {
	return &links{node: n, rt: rt, wake: wake}
}

// connect opens a connection whose end wakes the worker.
func (l *links) connect(ctx context.Context) (*session, error) {
	c, err := l.node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newSession(c, l.wake), nil
}

// wants reports whether a connection is missing for use.
func (l *links) wants(use int) bool {
	switch use {
	case forWork:
		return l.work == nil
	case forSpare:
		return l.spares && l.work != nil && (l.spare == nil || l.oldSpare && l.queue == nil)
	}
	return l.work != nil && l.poor
}

// dial starts what is missing and due; it returns at once.
func (l *links) dial(ctx context.Context, now time.Duration) {
	for use := range uses {
		if !l.wants(use) || l.dialling[use] || now < l.next[use] {
			continue
		}
		l.dialling[use] = true
		l.rt.Go(func() {
			var conn *session
			var err error
			l.rt.Lend(func() { conn, err = l.connect(ctx) })
			l.mu.Lock()
			l.results = append(l.results, dialled{use, conn, err})
			l.mu.Unlock()
			l.wake.Set()
		})
	}
}

// takeDialled returns the dials that have ended since it was asked last.
func (l *links) takeDialled() []dialled {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.results
	l.results = nil
	return taken
}

// wait is how long until the next dial is due, at most most.
func (l *links) wait(now, most time.Duration) time.Duration {
	for use := range uses {
		if l.wants(use) && !l.dialling[use] {
			most = max(0, min(most, l.next[use]-now))
		}
	}
	return most
}

// renew has another session take the place of the working one, once per sample
// interval at most.
func (l *links) renew() {
	if l.work != nil && !l.poor {
		l.poor = true
		l.next[forPoor] = max(l.next[forPoor], l.born+sampleEvery)
	}
}

// dropWork closes the working connection. The next one is dialled at once,
// unless several in a row did not last.
func (l *links) dropWork(now time.Duration) {
	if l.work == nil {
		return
	}
	_ = l.work.Close()
	l.work = nil
	l.next[forWork] = 0
	if now-l.born >= dialAgain {
		l.short = 0
	} else if l.short++; l.short > 2 {
		l.next[forWork] = now + dialAgain
	}
}

func (l *links) dropSpare() {
	if l.spare != nil {
		_ = l.spare.Close()
		l.spare = nil
	}
	l.queue, l.oldSpare = nil, false
}

// takeSpare hands the spare over, if it is one of the present run of the server, with nothing waiting on it.
func (l *links) takeSpare() *session {
	s := l.spare
	if s == nil || l.queue != nil || l.oldSpare || l.poor || s.ended() {
		return nil
	}
	l.spare = nil
	return s
}

// shut closes everything and waits for dials under way, whose context has ended.
func (l *links) shut() {
	for {
		for _, d := range l.takeDialled() {
			l.dialling[d.use] = false
			if d.conn != nil {
				_ = d.conn.Close()
			}
		}
		if !slices.Contains(l.dialling[:], true) {
			break
		}
		l.wake.Wait(context.Background(), -1)
	}
	l.dropWork(0)
	l.dropSpare()
}

// owns reports whether a session of our user is one of the worker's own. That of an old
// spare may have ended with the server, which numbers sessions from the start again.
func (l *links) owns(id uint64) bool {
	return l.work != nil && l.work.ID() == id || l.spare != nil && !l.oldSpare && l.spare.ID() == id
}

// sessionToOpen is the spare where that answers, since a dial costs MySQL some 10 ms, or one that is dialled.
func (w *worker) sessionToOpen(ctx context.Context, in *reconcile.Input) (conn Conn, err error) {
	if s := w.links.takeSpare(); s != nil {
		cctx, cancel := w.call(ctx)
		defer cancel()
		err := s.Ping(cctx)
		if err == nil {
			return s, nil
		}
		_ = s.Close()
		if w.p.a.o.Cause(err) != cluster.CauseReset {
			return nil, err
		}
	}
	err = w.timed(in, "dial", func() (err error) {
		conn, err = w.links.node.Connect(ctx)
		return err
	})
	return conn, err
}

// giveBack has a session that was the spare be it again, unless something is wrong with it.
func (w *worker) giveBack(conn Conn) {
	if s, was := conn.(*session); was && !s.ended() && !s.Gone() && w.links.spare == nil {
		w.links.spare = s
		return
	}
	_ = conn.Close()
}

// dialled takes the outcome of a dial.
func (w *worker) dialled(ctx context.Context, d dialled) {
	l := w.links
	l.dialling[d.use] = false
	if d.err != nil {
		l.next[d.use] = w.now() + dialAgainLater
		if d.use == forWork && l.work == nil {
			cause := w.p.a.o.Cause(d.err)
			if ctx.Err() == nil {
				w.unanswered(cause, d.err)
			}
			if cause == cluster.CauseRefused && !w.memory.Queued {
				// A server that is being stopped has closed its port and waits for
				// idle sessions, MySQL for seconds.
				l.dropSpare()
			}
			switch {
			case cause == cluster.CauseReset && w.sample.Failures <= dialsWhileDying:
				l.next[forWork] = w.now() + dialDying
			case w.sample.Failures < w.p.a.o.TryOnFailure:
				l.next[forWork] = w.now() + dialAgain
			}
		}
		return
	}
	if d.use == forPoor && l.work != nil {
		if d.conn.ended() {
			_ = d.conn.Close()
			l.next[forPoor] = w.now() + dialAgainLater
			return
		}
		_ = l.work.Close()
		l.work, w.retryAt = nil, 0
		l.oldSpare = l.spare != nil
	}
	if l.work != nil && l.queue != nil {
		_ = d.conn.Close() // the closing order keeps its session
		return
	}
	if l.work != nil {
		l.dropSpare()
		l.spare = d.conn
		return
	}
	l.work, l.born, l.poor, l.oldSpare = d.conn, w.now(), false, l.spare != nil
	w.read(ctx, true)
}

// queueEnded takes the outcome of a closing order that waited on the spare.
func (w *worker) queueEnded(ctx context.Context, err error) {
	if err == nil && w.links.work == nil {
		// A server that wakes may be full: this is the way in that there is.
		w.links.work, w.links.spare, w.links.born = w.links.spare, nil, w.now()
	}
	w.links.dropSpare()
	w.links.next[forWork] = 0
	w.memory.Queued = false
	if err != nil {
		w.log.Warn().Err(err).Msg("the queued closing order ended without an answer")
		return
	}
	w.log.Info().Msg("the queued closing order was carried out")
	w.read(ctx, true)
	if w.links.poor {
		// The order is not seen to be carried out: it is queued again, not at once.
		w.links.next[forSpare] = w.now() + sampleEvery
	}
}

// ended gives up a working connection that ended while it was idle or in use.
func (w *worker) ended() {
	w.links.dropWork(w.now())
	w.cut = w.p.inForce()
	w.sample.Lost = true
	w.publish(true)
}

// lost looks at a call on the working connection that failed. After an error
// that the server itself gave the connection stays. One that merely ended says
// nothing of the server until the next dial has.
func (w *worker) lost(err error) {
	cause := w.p.a.o.Cause(err)
	switch cause {
	case cluster.CauseReset:
		stopping := w.closedLast(err)
		w.ended()
		if stopping {
			w.unanswered(cluster.CauseStopped, errStopping)
		}
	case cluster.CauseRefused, cluster.CauseConnectTimeout, cluster.CauseAnswerTimeout, cluster.CauseUnreachable:
		w.links.dropWork(w.now())
		w.unanswered(cause, err)
	default:
		if w.links.work != nil && w.links.work.Gone() { // by our own hand: that says nothing of the server
			w.links.dropWork(w.now())
		}
	}
}
