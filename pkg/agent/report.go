package agent

import (
	"context"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const reportEvery = time.Second

// reporter saves the newest report of one node, on every change and every
// second, apart from the worker so that a slow Redis never holds it up.
type reporter struct {
	p    *pair
	wake sched.Signal

	mu     sync.Mutex
	newest cluster.Report
	set    bool
	told   bool // whether the newest was saved with a wake-up
}

func newReporter(p *pair) *reporter { return &reporter{p: p, wake: p.a.rt.NewSignal()} }

// put takes a new report; tell says that others must know of it now.
func (r *reporter) put(report cluster.Report, tell bool) {
	r.p.setOwn(report)
	r.mu.Lock()
	r.newest, r.set = report, true
	r.told = r.told && !tell
	r.mu.Unlock()
	if tell {
		r.wake.Set()
	}
}

func (r *reporter) run(ctx context.Context) {
	beat, end := r.p.a.o.Loop("reporting " + string(r.p.u))
	defer end()
	now := r.p.a.now
	due := now() + reportEvery
	seq := uint64(0)
	for {
		beat()
		if r.wake.Wait(ctx, max(0, due-now())) == sched.Ended {
			return
		}
		due = now() + reportEvery
		r.mu.Lock()
		report, set, wake := r.newest, r.set, !r.told
		r.told = true
		r.mu.Unlock()
		if !set {
			continue
		}
		seq++
		report.Seq = seq
		if err := r.save(ctx, report, wake); err != nil {
			r.mu.Lock()
			r.told = r.told && !wake
			r.mu.Unlock()
			r.p.log.Debug().Str("node", string(report.Node)).Err(err).Msg("report not saved")
		}
	}
}

func (r *reporter) save(ctx context.Context, report cluster.Report, wake bool) error {
	ctx, cancel := r.p.a.rt.Timeout(ctx, busTimeout)
	defer cancel()
	return r.p.a.o.Bus.SaveReport(ctx, r.p.u, report, wake)
}
