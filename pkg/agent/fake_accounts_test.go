package agent_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// fakeAccount is what keeps an account from logging in.
type fakeAccount struct {
	locked, reversed bool
	owners           bool // the lock is its owner's
}

// answer is an error that the server gives.
type answer string

func (a answer) Error() string { return string(a) }

const (
	errDenied = answer("access denied; you need a privilege for this operation")
	errBroken = answer("table is marked as crashed")
	errWaited = answer("lock wait timeout exceeded")
)

// refused looks at the first answer in err, as that of the real servers does.
func refused(err error) bool {
	var first answer
	return errors.As(err, &first) && first == errDenied
}

// superReadOnly is what the server says of it; MariaDB has none.
func (s *fakeServer) superReadOnly() cluster.Tri {
	if s.flavor == cluster.MariaDB {
		return cluster.Unknown
	}
	return cluster.TriOf(s.super)
}

func (s *fakeServer) close() {
	s.readOnly, s.super, s.startsClosed = true, s.flavor == cluster.MySQL, cluster.Unknown
}

func account(text string) cluster.Account {
	a, err := cluster.ParseAccount(text)
	if err != nil {
		panic(err)
	}
	return a
}

// account adds or edits an account as its owner does on the active: the other
// server follows when it replicates.
func (w *world) account(on *fakeServer, name string, edit func(*fakeAccount)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		if s != on && (!s.up || !s.ch.Replicates(on.addr)) {
			continue
		}
		state := s.accounts[account(name)]
		if state == nil {
			state = &fakeAccount{}
			s.accounts[account(name)] = state
		}
		if edit != nil {
			edit(state)
		}
	}
}

// canLogIn reports whether an account can log in.
func (s *fakeServer) canLogIn(name string) bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	state := s.accounts[account(name)]
	return state != nil && !state.locked && !state.reversed
}

func (s *fakeServer) history() []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.locks)
}

// special runs what may be denied, be broken or hang.
func (c *fakeConn) special(ctx context.Context, name string, f func(s *fakeServer) error) error {
	c.s.w.mu.Lock()
	stuck := c.s.stuck[name]
	c.s.w.mu.Unlock()
	if stuck {
		<-ctx.Done()
		_ = c.Close()
		return causeError{cluster.CauseAnswerTimeout}
	}
	return c.do(ctx, func(s *fakeServer) error {
		switch {
		case s.denied[name]:
			return fmt.Errorf("%s: %w", name, errDenied)
		case s.broken[name]:
			return fmt.Errorf("%s: %w", name, errBroken)
		}
		return f(s)
	})
}

func (c *fakeConn) Accounts(ctx context.Context) (all []cluster.AccountState, err error) {
	err = c.special(ctx, "accounts", func(s *fakeServer) error {
		for a, state := range s.accounts {
			all = append(all, cluster.AccountState{Account: a, Locked: state.locked, Reversed: state.reversed})
		}
		slices.SortFunc(all, func(a, b cluster.AccountState) int { return a.Account.Compare(b.Account) })
		return nil
	})
	return all, err
}

func (c *fakeConn) LockAccounts(ctx context.Context, all []cluster.Account) error {
	c.s.w.mu.Lock()
	hook := c.s.onLock
	c.s.onLock = nil
	c.s.w.mu.Unlock()
	if hook != nil {
		hook()
	}
	return c.special(ctx, "lock", func(s *fakeServer) error {
		for _, a := range all {
			if state := s.accounts[a]; state != nil {
				state.locked = true
				s.locks = append(s.locks, "lock "+a.String())
			}
		}
		return nil
	})
}

func (c *fakeConn) ReleaseAccounts(ctx context.Context, all []cluster.AccountState) error {
	return c.special(ctx, "release", func(s *fakeServer) error {
		for _, a := range all {
			state := s.accounts[a.Account]
			if state == nil || !state.locked && !state.reversed {
				continue
			}
			s.locks = append(s.locks, "release "+a.Account.String())
			state.locked = state.locked && !a.Locked
			state.reversed = state.reversed && !a.Reversed
		}
		return nil
	})
}

func (c *fakeConn) Unseal(ctx context.Context) error {
	return c.special(ctx, "unseal", func(s *fakeServer) error { s.super = false; return nil })
}

func (c *fakeConn) Mark(ctx context.Context, _ string, _ cluster.UniqSign) (m cluster.Mark, err error) {
	err = c.special(ctx, "mark", func(s *fakeServer) error { m = s.mark; return nil })
	return m, err
}

// WriteMark is a transaction of the server like any other, and waits as others do.
func (c *fakeConn) WriteMark(ctx context.Context, _ string, _ cluster.UniqSign, m cluster.Mark) error {
	return c.special(ctx, "mark", func(s *fakeServer) error {
		if s.super {
			return errors.New("the server runs with super_read_only: the statement cannot be executed")
		}
		if s.mark.Epoch >= m.Epoch {
			return nil
		}
		if s.acks.Source == cluster.Yes && s.w.servers[peerOf[s.addr]].ch.IO != cluster.ThreadYes {
			return causeError{cluster.CauseAnswerTimeout}
		}
		s.mark = m
		s.marks++
		uuid := map[cluster.Endpoint]string{hostA: uuidA, hostB: uuidB}[s.addr]
		s.executed = union(s.flavor, s.executed, uuid+":"+strconv.Itoa(1000+s.marks))
		return nil
	})
}

// fakeStore is a disk.
type fakeStore struct {
	mu     sync.Mutex
	kept   map[cluster.UniqSign]cluster.Memory
	err    error
	unread bool // left by another process and not loaded yet
	hung   chan struct{}
	writes int
	onSave func(map[cluster.UniqSign]cluster.Memory)
}

func (d *fakeStore) Load() (map[cluster.UniqSign]cluster.Memory, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[cluster.UniqSign]cluster.Memory{}
	for u, m := range d.kept {
		all[u] = m.Clone()
	}
	d.unread = d.err != nil && d.unread
	return all, d.err
}

func (d *fakeStore) Save(all map[cluster.UniqSign]cluster.Memory) error {
	d.mu.Lock()
	hung, hook := d.hung, d.onSave
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
	if hook != nil {
		hook(all)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	if d.unread {
		return agent.ErrStoreBusy
	}
	if d.kept == nil {
		d.kept = map[cluster.UniqSign]cluster.Memory{}
	}
	for u, m := range maps.All(all) {
		d.kept[u] = m.Clone()
	}
	d.writes++
	return nil
}

func (d *fakeStore) memory() cluster.Memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[uniq].Clone()
}

func (d *fakeStore) fail(err error) {
	d.mu.Lock()
	d.err = err
	d.unread = d.unread || errors.Is(err, agent.ErrStoreBusy)
	d.mu.Unlock()
}

var _ agent.Store = (*fakeStore)(nil)
