package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent/failpoint"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

const (
	// accountsEvery is how often the accounts of a server are looked at.
	accountsEvery = 5 * time.Second
	// tendAgain is the pause after something that belongs to a role and did not
	// succeed: it waits for a person. A missing grant waits for fullEvery only.
	tendAgain = 30 * time.Second
	// markLasts is how long the epoch row counts as it was last seen.
	markLasts = time.Minute
)

// What notes are about.
const (
	noteRead    = "read"
	noteLock    = "lock"
	noteRelease = "release"
	noteSpared  = "spared"
	noteMark    = "mark"
	noteAcks    = "acks"
	noteNewer   = "newer mark"
	// For want of a privilege.
	noteSample   = "sample"
	noteSessions = "sessions"
	noteStep     = "step"
	noteSeal     = "seal"
	noteGrants   = "grants"
	noteScope    = "scope"
	noteWrites   = "writes"
	noteRoom     = "room"
)

// NoteScope is the code of the note that an agent for the servers of its host finds
// both servers of a pair there.
const NoteScope = "both-local"

// blocking is what accounts are locked on the passive, and which never.
func (w *worker) blocking(mine, theirs *cluster.Server) reconcile.Blocking {
	o := &w.p.a.o
	if users := [...]string{o.User, mine.Channel.User, theirs.Channel.User}; users != w.spared {
		w.spared = users
		w.exempt = slices.DeleteFunc(slices.Clone(users[:]), func(user string) bool { return user == "" })
	}
	return reconcile.Blocking{User: o.BlockUser, Host: o.BlockHost, Exempt: w.exempt}
}

// readAccounts reads the accounts of the server and what other agents have
// recorded of them.
func (w *worker) readAccounts(ctx context.Context, in *reconcile.Input) error {
	w.accounts.After = w.now() + accountsEvery
	if err := w.p.ledger.learn(ctx, w.self); err != nil {
		w.log.Debug().Err(err).Msg("recorded accounts cannot be read")
	}
	if ours, _ := w.p.ledger.ours(w.self); len(ours) == 0 && !in.Blocking.On() {
		return nil
	}
	began := w.p.a.nextTick()
	all, err := w.listAccounts(ctx, w.links.work)
	if err != nil {
		if w.isLost(err) {
			return err
		}
		w.accounts.After = w.again(err)
		w.trouble(noteRead, cluster.NoteAccounts, "accounts cannot be read", err)
		return nil
	}
	w.clear(noteRead)
	w.accounts.Began, w.accounts.All = began, all
	if spared := in.Blocking.Spared(all); len(spared) > 0 {
		w.setNote(noteSpared, cluster.NoteAccounts, fmt.Sprintf("block_user and block_host match %s, by which the pair is managed, replicated or administered: never locked", names(spared)))
	} else {
		w.clear(noteSpared)
	}
	ours, _ := w.p.ledger.ours(w.self)
	active := in.Record.Active == w.self && in.Record.Phase == cluster.PhaseSteady ||
		!in.Record.Exists() && in.Legacy.Active == w.self
	if active || len(in.Blocking.ToLock(all)) == 0 {
		w.clear(noteLock)
	}
	if !active || !w.sample.Open() {
		w.suspects, w.suspectsTick = nil, 0
		var locked []cluster.Account
		for _, s := range all {
			if (s.Locked || s.Reversed) && slices.Contains(ours, s.Account) {
				locked = append(locked, s.Account)
			}
		}
		if err := w.p.ledger.tell(ctx, w.self, locked); err != nil {
			w.log.Debug().Err(err).Msg("locked accounts cannot be recorded in redis")
		}
		return nil
	}
	// Another agent may be locking and recording right now, or about to release what
	// Redis has forgotten: what is its owner's still is when that must be over.
	found := reconcile.Owned(all, ours)
	if in.OrderTick != w.suspectsTick || !slices.Equal(found, w.suspects) {
		w.suspects, w.suspectsTick, w.suspectsAt = found, in.OrderTick, w.now()
	}
	left := w.suspectsAt + ownedAfter - w.now()
	if left > 0 {
		found = nil
	}
	w.p.ledger.setOwned(w.self, in.OrderTick, found)
	if left > 0 && len(w.suspects) > 0 {
		w.accounts.After = w.now() + left
	}
	return nil
}

// ownedAfter is how long an account that is locked on the active must have been so, under
// one order and with no agent on record, to count as locked by its owner.
const ownedAfter = 3 * time.Second

func (w *worker) listAccounts(ctx context.Context, c Conn) ([]cluster.AccountState, error) {
	ctx, cancel := w.call(ctx)
	defer cancel()
	return c.Accounts(ctx)
}

// toBlock records the accounts of a server that is about to be closed, and
// returns them. Nothing about accounts ever stops a closing: what does not
// succeed is a note, and when it costs the session, the next attempt of this
// order goes without it.
func (w *worker) toBlock(ctx context.Context, in *reconcile.Input) ([]cluster.Account, error) {
	if !in.Blocking.On() || w.noBlock && w.noBlockTick == in.OrderTick {
		return nil, nil
	}
	began := w.p.a.nextTick()
	var all []cluster.AccountState
	err := w.timed(in, "read accounts", func() (err error) {
		all, err = w.listAccounts(ctx, w.links.work)
		return err
	})
	if err != nil {
		return nil, w.withoutBlocking(in, noteRead, "accounts cannot be read", err)
	}
	w.clear(noteRead)
	w.accounts.Began, w.accounts.All = began, all
	list := in.Blocking.ToLock(all)
	if err := w.record(ctx, in, list); err != nil {
		return nil, w.withoutBlocking(in, noteLock, "accounts are not locked", err)
	}
	return list, nil
}

// block locks accounts that are on record.
func (w *worker) block(ctx context.Context, in *reconcile.Input, list []cluster.Account) error {
	if err := w.lock(ctx, in, list); err != nil {
		return w.withoutBlocking(in, noteLock, "accounts are not locked", err)
	}
	return nil
}

func (w *worker) withoutBlocking(in *reconcile.Input, key, what string, err error) error {
	w.trouble(key, cluster.NoteAccounts, what, err)
	w.noBlock, w.noBlockTick = true, in.OrderTick
	if w.isLost(err) {
		return err
	}
	return nil
}

// record puts accounts on record before they are locked.
func (w *worker) record(ctx context.Context, in *reconcile.Input, list []cluster.Account) error {
	if len(list) == 0 {
		return nil
	}
	err := w.timed(in, "record accounts", func() error { return w.p.ledger.note(ctx, w.self, in.Record.Order(), list) })
	failpoint.Hit("lock.recorded")
	return err
}

// lateOrders is how long an order without an answer may still reach a server: its host
// hands over what a network that was cut has held back, also for a connection that we have closed.
const lateOrders = 3 * time.Minute

// lock locks accounts that are on record.
func (w *worker) lock(ctx context.Context, in *reconcile.Input, list []cluster.Account) error {
	if len(list) == 0 {
		return nil
	}
	err := w.timed(in, "lock accounts", func() error {
		ctx, cancel := w.call(ctx)
		defer cancel()
		return w.links.work.LockAccounts(ctx, list)
	})
	w.accounts.After = 0
	if w.isLost(err) {
		w.accounts.LateUntil = w.now() + lateOrders
	}
	if err != nil {
		return err
	}
	for i, s := range w.accounts.All {
		w.accounts.All[i].Locked = s.Locked || slices.Contains(list, s.Account)
	}
	w.clear(noteLock)
	w.log.Info().Strs("accounts", texts(list)).Msg("accounts locked")
	failpoint.Hit("lock.done")
	return nil
}

// blindly are states under which whatever keeps accounts from logging in is undone.
func blindly(all []cluster.Account) []cluster.AccountState {
	states := make([]cluster.AccountState, 0, len(all))
	for _, a := range all {
		states = append(states, cluster.AccountState{Account: a, Locked: true, Reversed: true})
	}
	return states
}

// release lets accounts log in again and takes them off the record.
func (w *worker) release(ctx context.Context, in *reconcile.Input, c Conn, list []cluster.AccountState) error {
	if err := w.letIn(ctx, in, c, list); err != nil {
		return err
	}
	w.released(in, accountsOf(list))
	return nil
}

// released takes accounts that can log in again off the record; while an order to lock
// them may still arrive they stay on it, and are forgotten when it no longer can.
func (w *worker) released(in *reconcile.Input, list []cluster.Account) {
	if w.now() >= w.accounts.LateUntil {
		w.p.ledger.drop(w.self, in.Record.Order(), list)
	}
}

// letIn lets accounts log in again.
func (w *worker) letIn(ctx context.Context, in *reconcile.Input, c Conn, list []cluster.AccountState) error {
	err := w.timed(in, "release accounts", func() error {
		ctx, cancel := w.call(ctx)
		defer cancel()
		return c.ReleaseAccounts(ctx, list)
	})
	w.accounts.After = 0
	if err != nil {
		return err
	}
	released := accountsOf(list)
	for i, s := range w.accounts.All {
		if slices.Contains(released, s.Account) {
			w.accounts.All[i].Locked, w.accounts.All[i].Reversed = false, false
		}
	}
	w.log.Info().Strs("accounts", texts(released)).Msg("accounts released")
	return nil
}

// tend carries out a step that belongs to a role and does not make it: one that
// does not succeed is a note and waits, so that it holds nothing else up.
func (w *worker) tend(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	switch s.Kind {
	case reconcile.ReadAccounts:
		return w.readAccounts(ctx, in)
	case reconcile.Forget:
		if in.Record.Active == w.self {
			w.p.ledger.drop(w.self, in.Record.Order(), accountsOf(s.Accounts))
		} else { // its owner's, or not to be locked by anybody any more
			w.p.ledger.settle(w.self, accountsOf(s.Accounts))
		}
		w.log.Info().Strs("accounts", texts(accountsOf(s.Accounts))).Msg("accounts are no longer on record as locked")
		return nil
	}
	if err := w.wants(ctx, in, s.Kind); err != nil {
		return err
	}
	key, code, what, err := noteLock, cluster.NoteAccounts, "accounts are not locked", error(nil)
	switch s.Kind {
	case reconcile.Seal:
		return w.seal(ctx, in)
	case reconcile.Lock:
		list := accountsOf(s.Accounts)
		if err = w.record(ctx, in, list); err == nil {
			err = w.lock(ctx, in, list)
		}
		if err == nil {
			err = w.endSessionsOf(ctx, list)
		}
		w.accounts.WorkAfter = w.again(err)
	case reconcile.Release:
		key, what = noteRelease, "accounts are not released"
		err = w.release(ctx, in, w.links.work, s.Accounts)
		w.accounts.WorkAfter = w.again(err)
	case reconcile.WriteMark:
		key, code, what = noteMark, cluster.NoteEpochRow, "the epoch row is not written"
		err = w.checkMark(ctx, in)
		w.memory.MarkAfter = w.again(err)
	case reconcile.Await, reconcile.LetGo:
		key, code, what = noteAcks, cluster.NoteAcks, "who waits for acknowledgements is not as it should be"
		err = w.acks(ctx, in, s.Kind)
		w.memory.AcksAfter = 0
		if err != nil && !w.isLost(err) { // a session that ended says nothing of the next
			w.memory.AcksAfter = w.again(err)
		}
		if errors.Is(err, errNotHeld) {
			w.memory.AcksAfter = w.now() + sampleEvery
		}
	}
	if w.isLost(err) {
		return err
	}
	w.outcome(key, code, what, err)
	return nil
}

// outcome notes an error, or takes the note of an earlier one away.
func (w *worker) outcome(key, code, what string, err error) {
	if err != nil {
		w.trouble(key, code, what, err)
	} else {
		w.clear(key)
	}
}

// again is when a step that belongs to a role may be tried again.
func (w *worker) again(err error) time.Duration {
	switch {
	case err == nil:
		return w.now() + sampleEvery
	case w.refused(err):
		return w.now() + fullEvery
	}
	return w.now() + tendAgain
}

// seal sets super_read_only on a server that is closed without it.
func (w *worker) seal(ctx context.Context, in *reconcile.Input) error {
	err := w.timed(in, "seal", func() error {
		ctx, cancel := w.rt.Timeout(ctx, closeLockWait+w.p.a.o.ConnectTimeout)
		defer cancel()
		return w.links.work.SetReadOnly(ctx, closeLockWait)
	})
	if err != nil {
		w.memory.SealAfter = w.now() + sampleEvery
		if w.isLost(err) {
			return err
		}
		if w.refused(err) {
			w.trouble(noteSeal, cluster.NoteGrants, "super_read_only is not set", err)
			return nil
		}
		w.log.Warn().Err(err).Msg("super_read_only is not set")
		return nil
	}
	w.log.Info().Msg("super_read_only set")
	w.read(ctx, true)
	return nil
}

// checkMark raises the epoch row of the open active where it is older than the
// record. One that is newer is told: somebody remembers more than Redis does.
func (w *worker) checkMark(ctx context.Context, in *reconcile.Input) error {
	cctx, cancel := w.call(ctx)
	defer cancel()
	found, err := w.links.work.Mark(cctx, in.Record.EpochTable, w.p.u)
	if err != nil {
		return err
	}
	if found.Epoch < in.Record.Epoch {
		return w.mark(ctx, in, w.links.work)
	}
	if found.Epoch > in.Record.Epoch {
		w.setNote(noteNewer, cluster.NoteEpochRow, fmt.Sprintf("the epoch row says %d with %s active, the record %s: somebody remembers more than Redis", found.Epoch, found.Active, in.Record.Order()))
	} else {
		w.clear(noteNewer)
	}
	w.marked(in.Record.Epoch)
	return nil
}

// mark raises the epoch row.
func (w *worker) mark(ctx context.Context, in *reconcile.Input, c Conn) error {
	err := w.timed(in, "write epoch row", func() error {
		ctx, cancel := w.call(ctx)
		defer cancel()
		return c.WriteMark(ctx, in.Record.EpochTable, w.p.u, cluster.Mark{Epoch: in.Record.Epoch, Active: w.self})
	})
	if err == nil {
		w.marked(in.Record.Epoch)
	}
	return err
}

// marked notes that the epoch row is as it should be, for a while.
func (w *worker) marked(e cluster.Epoch) { w.memory.Marked, w.markedAt = e, w.now() }

// endSessionsOf kills the sessions of users who were just locked.
func (w *worker) endSessionsOf(ctx context.Context, list []cluster.Account) error {
	ctx, cancel := w.call(ctx)
	defer cancel()
	all, err := w.mortals(ctx, w.links.work)
	if err != nil {
		return err
	}
	return w.links.work.Kill(ctx, idsOf(all, func(s Session) bool {
		return s.Kind == SessionApplication && slices.ContainsFunc(list, func(a cluster.Account) bool { return a.User == s.User })
	})...)
}

// isLost reports whether an error cost the session.
func (w *worker) isLost(err error) bool {
	if err == nil {
		return false
	}
	switch w.p.a.o.Cause(err) {
	case cluster.CauseReset, cluster.CauseRefused, cluster.CauseConnectTimeout, cluster.CauseAnswerTimeout, cluster.CauseUnreachable:
		return true
	}
	return false
}

// refused reports whether err is the want of a privilege. The next try is then on
// another session: one that is open goes on without what is granted meanwhile.
func (w *worker) refused(err error) bool {
	if !w.p.a.o.Refused(err) {
		return false
	}
	w.links.renew()
	return true
}

// trouble notes what could not be done: for want of a grant, or under code.
func (w *worker) trouble(key, code, what string, err error) {
	if w.refused(err) {
		code = cluster.NoteGrants
	}
	w.setNote(key, code, fmt.Sprintf("%s: %v", what, err))
}

func (w *worker) setNote(key, code, text string) {
	n := cluster.Reason{Code: code, Text: text}
	if w.notes[key] != n {
		w.notes[key] = n
		w.log.Warn().Str("reason", text).Msg("a person has to look at this")
	}
}

func (w *worker) clear(key string) { delete(w.notes, key) }

// allNotes are the notes of this server, in a stable order.
func (w *worker) allNotes() []cluster.Reason {
	all := slices.Clone(w.p.a.o.Notes)
	for _, n := range w.notes {
		all = append(all, n)
	}
	if said := w.p.a.keeper.said(); said != "" {
		all = append(all, cluster.Reason{Code: cluster.NoteStateFile, Text: "the agent's memory is not kept on disk: " + said})
	}
	slices.SortFunc(all, func(a, b cluster.Reason) int { return strings.Compare(a.Code+a.Text, b.Code+b.Text) })
	return all
}

func accountsOf(states []cluster.AccountState) []cluster.Account {
	all := make([]cluster.Account, 0, len(states))
	for _, s := range states {
		all = append(all, s.Account)
	}
	return all
}

func texts(all []cluster.Account) []string {
	out := make([]string, 0, len(all))
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

func names(all []cluster.Account) string { return strings.Join(texts(all), ", ") }
