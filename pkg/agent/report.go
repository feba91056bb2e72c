package agent

import (
	"context"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// reporter saves the newest report of one node, on every change and every
// second, apart from the worker so that a slow Redis never holds it up.
type reporter struct {
	p    *pair
	wake sched.Signal

	mu     sync.Mutex
	newest *cluster.Report    // never changed; nil before the first
	told   bool               // whether the newest was saved with a wake-up
	giveUp context.CancelFunc // ends the saving that is under way
}

func newReporter(p *pair) *reporter { return &reporter{p: p, wake: p.a.rt.NewSignal()} }

// put takes a new report, which nobody changes any more; tell says that others must know of it now.
func (r *reporter) put(report *cluster.Report, tell bool) {
	r.p.setOwn(report)
	r.mu.Lock()
	r.newest = report
	r.told = r.told && !tell
	r.mu.Unlock()
	if tell {
		r.wake.Set()
	}
}

// repeat saves the newest report at once, though nothing in it has changed. What is under way may wait for an
// answer that is lost.
func (r *reporter) repeat() {
	r.mu.Lock()
	r.told = false
	if r.giveUp != nil {
		r.giveUp()
	}
	r.mu.Unlock()
	r.wake.Set()
}

func (r *reporter) run(ctx context.Context) {
	beat, end := r.p.a.o.Loop("reporting " + string(r.p.u))
	defer end()
	due := r.p.nextRound()
	seq := uint64(0)
	for {
		beat()
		if r.wake.Wait(ctx, max(0, due-r.p.a.now())) == sched.Ended {
			r.lastWord(ctx)
			return
		}
		due = r.p.nextRound()
		r.mu.Lock()
		newest, wake := r.newest, !r.told
		r.told = true
		if newest == nil {
			r.mu.Unlock()
			continue
		}
		saving, giveUp := r.p.a.rt.Cancel(ctx)
		r.giveUp = giveUp
		r.mu.Unlock()
		seq++
		var err error
		r.p.a.rt.Lend(func() { err = r.save(saving, newest, seq, wake) })
		giveUp()
		if err != nil {
			r.mu.Lock()
			r.told = r.told && !wake
			r.mu.Unlock()
			r.p.log.Debug().Str("node", string(newest.Node)).Err(err).Msg("report not saved")
		}
	}
}

// lastWord saves the newest report once more, numbered 0: this agent is gone, and was
// not killed. All else stays: who comes after it needs what was closed and remembered,
// and a pair without any report would look like one with the predecessor's agent.
func (r *reporter) lastWord(ctx context.Context) {
	r.mu.Lock()
	report := r.newest
	r.mu.Unlock()
	if report == nil {
		return
	}
	if err := r.save(context.WithoutCancel(ctx), report, 0, false); err != nil {
		r.p.log.Debug().Str("node", string(report.Node)).Err(err).Msg("last report not saved")
	}
}

func (r *reporter) save(ctx context.Context, newest *cluster.Report, seq uint64, wake bool) error {
	report := *newest
	report.Seq = seq
	ctx, cancel := r.p.a.rt.Timeout(ctx, busTimeout)
	defer cancel()
	return r.p.a.o.Bus.SaveReport(ctx, r.p.u, report, wake)
}
