package harness

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Witness watches a pair for the one thing that must not happen: both servers
// open at the same time. It asks one server, the other, and the first again: when
// all three answers are "open", both were open when the second answered.
type Witness struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu     sync.Mutex
	seen   []time.Time
	rounds int
}

// Watch starts a witness.
func (p *Pair) Watch() (*Witness, error) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Witness{stop: cancel}
	var pools []*sql.DB
	for _, s := range p.Servers() {
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User = "unix", s.socket(), "root"
		cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("prepare witness: %w", err)
		}
		pools = append(pools, sql.OpenDB(connector))
	}
	w.wait.Go(func() {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			if isOpen(ctx, pools[0]) && isOpen(ctx, pools[1]) {
				at := time.Now()
				if isOpen(ctx, pools[0]) {
					w.mu.Lock()
					w.seen = append(w.seen, at)
					w.mu.Unlock()
				}
			}
			w.mu.Lock()
			w.rounds++
			w.mu.Unlock()
			select {
			case <-ctx.Done():
				for _, pool := range pools {
					_ = pool.Close()
				}
				return
			case <-tick.C:
			}
		}
	})
	p.A.lab.onClose(w.Stop)
	return w, nil
}

// Stop ends the watch.
func (w *Witness) Stop() {
	w.stop()
	w.wait.Wait()
}

// BothOpen gives the moments at which both servers were open.
func (w *Witness) BothOpen() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.seen...)
}

// Rounds counts how often the witness has looked.
func (w *Witness) Rounds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rounds
}

func isOpen(ctx context.Context, pool *sql.DB) bool {
	var readOnly int
	err := pool.QueryRowContext(ctx, "SELECT @@global.read_only").Scan(&readOnly)
	return err == nil && readOnly == 0
}
