package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// AppOptions describe an application behind a connection pool.
type AppOptions struct {
	// Hosts are those of the URL, the primary host first; one for a proxy.
	Hosts []cluster.Endpoint
	JDBC  JDBC
	// First numbers the first client; several applications must not share numbers.
	First int
	// Clients is how many write side by side; 1 when zero.
	Clients int
	// Every is the pause of one client between two rows.
	Every time.Duration
	// Retry is the pause after an attempt that was not acknowledged; 5 ms when zero.
	Retry time.Duration
	// PerRow connects for each attempt, as an application without a pool does.
	// With a pool a connection stays until a communications error ends it: a
	// refused write is none.
	PerRow bool
	// Hold keeps even that one, and leaves it to the driver to connect again.
	Hold bool
}

// Refusal is one attempt that was not acknowledged.
type Refusal struct {
	Row
	At   time.Time
	Node cluster.Endpoint // empty when there was no connection
	Err  error
	// Unknown says that the row may have been taken all the same.
	Unknown bool
}

// App is an application that writes numbered rows and repeats each until it is
// acknowledged. Where the outcome of an attempt is unknown, the repetition first
// looks whether the row is there. Its table has no unique key, so that a row taken
// twice shows.
type App struct {
	opts AppOptions
	stop context.CancelFunc
	wait sync.WaitGroup
	gate sync.RWMutex // held by each attempt for reading

	mu       sync.Mutex
	acks     []Ack
	refusals []Refusal
	pending  []Row // not acknowledged when the application ended
	changed  chan struct{}
}

const ledger = AppDB + ".ledger"

// MakeLedger creates the table of an App; it replicates.
func (s *Server) MakeLedger(ctx context.Context) error {
	return s.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+ledger+" (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "+
		"client INT NOT NULL, seq BIGINT NOT NULL, KEY (client, seq)) ENGINE=InnoDB")
}

// StartApp starts an application. It ends with Stop or with the laboratory.
func (l *Lab) StartApp(opts AppOptions) *App {
	if opts.Clients == 0 {
		opts.Clients = 1
	}
	if opts.Retry == 0 {
		opts.Retry = 5 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &App{opts: opts, stop: cancel, changed: make(chan struct{})}
	for n := range opts.Clients {
		a.wait.Go(func() { a.run(ctx, opts.First+n) })
	}
	l.onClose(a.Stop)
	return a
}

// Stop ends the application and waits for it.
func (a *App) Stop() {
	a.stop()
	a.wait.Wait()
}

// Pause lets no attempt begin and returns when none is under way; the
// connections stay.
func (a *App) Pause() { a.gate.Lock() }

// Resume ends a pause.
func (a *App) Resume() { a.gate.Unlock() }

// Acks are the acknowledged rows so far, in the order of their acknowledgement.
func (a *App) Acks() []Ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.acks)
}

// Refusals are the attempts that were not acknowledged, in order.
func (a *App) Refusals() []Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.refusals)
}

// WaitAck waits until n clients have had a row acknowledged by the node after the given time.
func (a *App) WaitAck(ctx context.Context, n int, node cluster.Endpoint, after time.Time) error {
	seen := map[int]bool{}
	for looked := 0; ; {
		a.mu.Lock()
		acks, changed := a.acks, a.changed
		a.mu.Unlock()
		for ; looked < len(acks); looked++ {
			if acks[looked].Node == node && acks[looked].At.After(after) {
				seen[acks[looked].Client] = true
			}
		}
		if len(seen) >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			last := "none"
			if refusals := a.Refusals(); len(refusals) > 0 {
				r := refusals[len(refusals)-1]
				last = fmt.Sprintf("client %d on %q %s ago: %v", r.Client, r.Node, time.Since(r.At), r.Err)
			}
			return fmt.Errorf("wait until %d clients write to %s: %w; %d do; last refusal: %s", n, node, ctx.Err(), len(seen), last)
		}
	}
}

func (a *App) run(ctx context.Context, number int) {
	var conn *jdbcConn
	drop := func() {
		if conn != nil {
			conn.close()
			conn = nil
		}
	}
	defer drop()
	attempt := func(seq int64, look bool) (node cluster.Endpoint, unknown bool, err error) {
		a.gate.RLock()
		defer a.gate.RUnlock()
		if conn == nil {
			if conn, err = openJDBC(ctx, a.opts.JDBC, AppUser, a.opts.Hosts); err != nil {
				return "", false, err
			}
		}
		node = conn.node
		unknown, err = conn.exec(ctx, a.statement(number, seq, look))
		if a.opts.PerRow || err != nil && isCommunications(err) && !a.opts.Hold {
			drop()
		}
		return node, unknown, err
	}
	for seq := int64(1); ctx.Err() == nil; seq++ {
		for look := false; ; {
			node, unknown, err := attempt(seq, look)
			if err == nil {
				a.note(func() { a.acks = append(a.acks, Ack{Row{number, seq}, time.Now(), node}) })
				break
			}
			look = look || unknown
			if ctx.Err() != nil {
				a.note(func() { a.pending = append(a.pending, Row{number, seq}) })
				return
			}
			a.note(func() { a.refusals = append(a.refusals, Refusal{Row{number, seq}, time.Now(), node, err, unknown}) })
			_ = rest(ctx, a.opts.Retry)
		}
		_ = rest(ctx, a.opts.Every)
	}
}

// statement inserts a row, if it is not there when looking is asked for. Looking
// and writing are one statement: a server that answers it is open and has all that
// was ever acknowledged.
func (a *App) statement(client int, seq int64, look bool) string {
	text := fmt.Sprintf("INSERT INTO "+ledger+" (client, seq) SELECT %d, %d", client, seq)
	if look {
		text += fmt.Sprintf(" FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM "+ledger+" WHERE client = %d AND seq = %d)", client, seq)
	}
	return text
}

func (a *App) note(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// Caught waits, while the applications are paused, until replica has everything
// that source took from them: what happens to source then loses nothing.
func Caught(ctx context.Context, source, replica *Server) error {
	return Until(ctx, string(replica.Addr())+" has received everything", func(ctx context.Context) (bool, string) {
		own, err := source.OwnTransactions(ctx, source)
		if err != nil {
			return false, err.Error()
		}
		known, err := replica.OwnTransactions(ctx, source)
		return err == nil && known == own, fmt.Sprintf("%d of %d, %v", known, own, err)
	})
}

// Return is what the clients of an application noticed of a role's way from one server to another.
type Return struct {
	// Pauses are, for each client that wrote to the old active until it closed,
	// the time between its last row there and its first on the new one.
	Pauses []time.Duration
	// Early are, for each client that had gone to the new active before it was
	// open, the time from its first refusal there until its first row.
	Early []time.Duration
}

// Longest is the longest of some durations, 0 of none.
func Longest(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	return slices.Max(of)
}

// Return tells how the role's way from one server to the other, decided at the
// given moment, looked to the clients since then and since the given time before.
func (a *App) Return(since, decided time.Time, from, to cluster.Endpoint) Return {
	lastOnOld, firstOnNew, firstRefused := map[int]time.Time{}, map[int]time.Time{}, map[int]time.Time{}
	for _, ack := range a.Acks() {
		switch {
		case ack.At.Before(since):
		case ack.Node == to && ack.At.After(decided):
			if firstOnNew[ack.Client].IsZero() {
				firstOnNew[ack.Client] = ack.At
			}
		case ack.Node == from && firstOnNew[ack.Client].IsZero():
			lastOnOld[ack.Client] = ack.At
		}
	}
	for _, r := range a.Refusals() {
		if r.At.After(since) && r.At.Before(decided) && r.Node == to && r.At.After(lastOnOld[r.Client]) && firstRefused[r.Client].IsZero() {
			firstRefused[r.Client] = r.At
		}
	}
	var found Return
	for client, first := range firstOnNew {
		if refused := firstRefused[client]; !refused.IsZero() {
			found.Early = append(found.Early, first.Sub(refused))
		} else if last := lastOnOld[client]; !last.IsZero() {
			found.Pauses = append(found.Pauses, first.Sub(last))
		}
	}
	return found
}

// AppTally compares what applications were told with what a server holds.
type AppTally struct {
	Acknowledged, Present int
	// Lost are acknowledged rows that are not there, Doubled rows that are there
	// more than once, Invented rows that nobody wrote.
	Lost, Doubled, Invented []Row
}

// String gives the tally in words.
func (t AppTally) String() string {
	return fmt.Sprintf("%d acknowledged, %d lost, %d doubled, %d present, %d invented",
		t.Acknowledged, len(t.Lost), len(t.Doubled), t.Present, len(t.Invented))
}

// TallyApps counts the rows of the given applications, which have ended, on the server.
func (s *Server) TallyApps(ctx context.Context, apps ...*App) (AppTally, error) {
	var t AppTally
	known := map[Row]bool{} // and whether it was acknowledged
	theirs := map[int]bool{}
	for _, a := range apps {
		for n := range a.opts.Clients {
			theirs[a.opts.First+n] = true
		}
		a.mu.Lock()
		for _, row := range a.pending {
			known[row] = false
		}
		for _, ack := range a.acks {
			known[ack.Row] = true
			t.Acknowledged++
		}
		a.mu.Unlock()
	}
	rows, err := s.admin.QueryContext(ctx, "SELECT client, seq, COUNT(*) FROM "+ledger+" GROUP BY client, seq")
	if err != nil {
		return t, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
	}
	defer rows.Close()
	for rows.Next() {
		var row Row
		var n int
		if err := rows.Scan(&row.Client, &row.Seq, &n); err != nil {
			return t, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
		}
		if !theirs[row.Client] {
			continue
		}
		t.Present += n
		if n > 1 {
			t.Doubled = append(t.Doubled, row)
		}
		if _, ok := known[row]; !ok {
			t.Invented = append(t.Invented, row)
		}
		delete(known, row)
	}
	if err := rows.Err(); err != nil {
		return t, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
	}
	for row, acknowledged := range known {
		if acknowledged {
			t.Lost = append(t.Lost, row)
		}
	}
	return t, nil
}
