package reconcile

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Blocking says which accounts may log in on the active only.
type Blocking struct {
	// User and Host match the name and the host of an account; nobody is
	// blocked unless both are set.
	User, Host *regexp.Regexp
	// Exempt are users that are never locked, whatever matches: our own, and
	// those by which the servers of the pair replicate.
	Exempt []string
}

// On reports whether accounts are to be blocked at all.
func (b Blocking) On() bool { return b.User != nil && b.Host != nil }

func (b Blocking) matches(a cluster.Account) bool {
	return b.On() && b.User.MatchString(a.User) && b.Host.MatchString(a.Host)
}

// exempt reports whether a is one that nobody may be locked out of: ours, those
// of replication, and those by which a server is administered.
func (b Blocking) exempt(a cluster.Account) bool {
	return slices.Contains(b.Exempt, a.User) || administers(a)
}

// administers reports whether a comes with the server. No agent has ever locked
// such an account, whatever a record says.
func administers(a cluster.Account) bool {
	switch a.User {
	case "root", "mysql", "mariadb.sys":
		return true
	}
	return strings.HasPrefix(a.User, "mysql.")
}

// Blocks reports whether a is to be locked where the server is not the active.
func (b Blocking) Blocks(a cluster.Account) bool { return b.matches(a) && !b.exempt(a) }

// Spared are the accounts that match and are never locked.
func (b Blocking) Spared(all []cluster.AccountState) []cluster.Account {
	var spared []cluster.Account
	for _, s := range all {
		if b.matches(s.Account) && b.exempt(s.Account) {
			spared = append(spared, s.Account)
		}
	}
	return spared
}

// ToLock are the accounts to lock on a server that is closed: those that are
// blocked and can log in. One that cannot is its owner's affair, or the
// predecessor's, or locked by us already.
func (b Blocking) ToLock(all []cluster.AccountState) []cluster.Account {
	var lock []cluster.Account
	for _, s := range all {
		if b.Blocks(s.Account) && !s.Locked && !s.Reversed {
			lock = append(lock, s.Account)
		}
	}
	return lock
}

// ToRelease are the accounts to release on the active: ours, and those that
// match whose password hash the predecessor has turned around.
func (b Blocking) ToRelease(all []cluster.AccountState, ours []cluster.Account) []cluster.AccountState {
	var release []cluster.AccountState
	for _, s := range all {
		switch our := slices.Contains(ours, s.Account) && !administers(s.Account); {
		case our && (s.Locked || s.Reversed):
			release = append(release, s)
		case !our && s.Reversed && b.matches(s.Account):
			release = append(release, cluster.AccountState{Account: s.Account, Reversed: true})
		}
	}
	return release
}

// Accounts is what is known of the accounts of one server.
type Accounts struct {
	// Began is the tick at which the newest reading began; 0 when there was none.
	Began uint64
	All   []cluster.AccountState
	// Ours are the accounts that agents have locked and not yet released, Mine
	// those of them that this agent has.
	Ours, Mine []cluster.Account
	// Shared reports that this agent and Redis agree about Ours.
	Shared bool
	// After is when they may be read again, WorkAfter when a locking or
	// releasing that did not succeed may be tried again.
	After, WorkAfter time.Duration
	// LateUntil is until when a locking that was given up may still take place.
	LateUntil time.Duration
}

// accountsConcern reports whether accounts are looked at.
func (in *Input) accountsConcern() bool {
	return in.Blocking.On() || len(in.Accounts.Ours) > 0 || !in.Accounts.Shared
}

// accountsCurrent reports whether the accounts were read under the order in
// force. No server is without any account.
func (in *Input) accountsCurrent() bool {
	return len(in.Accounts.All) > 0 && in.Accounts.Began >= in.OrderTick
}

// tend adds to the plan of a server that is as its role demands what else
// belongs to the role: seal, accounts, epoch row.
func (in *Input) tend(p Plan, active bool) Plan {
	if !in.Mine.Answers() || !in.Memory.Connected {
		return p
	}
	if !active && in.Mine.Closed() && in.Mine.Server.SuperReadOnly == cluster.No && in.Now >= in.Memory.SealAfter {
		p = p.with(step(Seal, "", whyUnsealed))
	}
	if in.accountsConcern() && in.Now >= in.Accounts.After {
		p = p.with(step(ReadAccounts, "", whyAccounts))
	} else if in.accountsConcern() && in.accountsCurrent() {
		p = in.tendAccounts(p, active)
	}
	if active && in.markWanted() {
		p = p.with(step(WriteMark, "", whyMark))
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return a.Rank() - b.Rank() })
	return p
}

func (in *Input) tendAccounts(p Plan, active bool) Plan {
	a := in.Accounts
	if forget := in.toForget(active); len(forget) > 0 {
		p = p.with(Step{Kind: Forget, Accounts: forget, Reason: whyForget})
	}
	if in.Now < a.WorkAfter {
		return p
	}
	if active {
		if release := in.Blocking.ToRelease(a.All, a.Ours); len(release) > 0 {
			p = p.with(Step{Kind: Release, Accounts: release, Reason: whyRelease})
		}
		return p
	}
	if release := in.unmatched(); len(release) > 0 {
		p = p.with(Step{Kind: Release, Accounts: release, Reason: whyUnmatched})
	}
	if lock := in.Blocking.ToLock(a.All); len(lock) > 0 {
		p = p.with(Step{Kind: Lock, Accounts: stateOf(lock), Reason: whyLock})
	}
	return p
}

// unmatched are the accounts that this agent has locked on a closed server and
// that are not to be blocked any more: the patterns have changed.
func (in *Input) unmatched() []cluster.AccountState {
	var release []cluster.AccountState
	for _, s := range in.Accounts.All {
		if (s.Locked || s.Reversed) && slices.Contains(in.Accounts.Mine, s.Account) && !in.Blocking.Blocks(s.Account) && !administers(s.Account) {
			release = append(release, s)
		}
	}
	return release
}

// toForget are the accounts on record as locked by us that are so no more. On
// the active an account that can log in was released, unless an order to lock it may
// still be on its way. Anywhere, one that does
// not exist is no matter of ours, and one that its owner has locked on the
// active is its owner's wherever it is locked: the lock has reached the passive.
func (in *Input) toForget(active bool) []cluster.AccountState {
	var forget []cluster.AccountState
	for _, account := range in.Accounts.Ours {
		i := slices.IndexFunc(in.Accounts.All, func(s cluster.AccountState) bool { return s.Account == account })
		free := i >= 0 && !in.Accounts.All[i].Locked && !in.Accounts.All[i].Reversed && in.Now >= in.Accounts.LateUntil
		switch {
		case i < 0:
		case active && free:
		case !active && slices.Contains(in.Owned, account):
		case !active && free && !in.Blocking.Blocks(account) && slices.Contains(in.Accounts.Mine, account):
		default:
			continue
		}
		forget = append(forget, cluster.AccountState{Account: account})
	}
	return forget
}

// Owned are the accounts that are locked on the active and that no agent has
// locked there: they are their owner's.
func Owned(all []cluster.AccountState, ours []cluster.Account) []cluster.Account {
	var owned []cluster.Account
	for _, s := range all {
		if s.Locked && !slices.Contains(ours, s.Account) {
			owned = append(owned, s.Account)
		}
	}
	return owned
}

// markWanted reports whether the active's epoch row is older than the record.
func (in *Input) markWanted() bool {
	return in.Record.EpochTable != "" && in.Record.Phase == cluster.PhaseSteady && in.Record.Active == in.Self &&
		in.Mine.Open() && in.Memory.Marked < in.Record.Epoch && in.Now >= in.Memory.MarkAfter
}

func stateOf(all []cluster.Account) []cluster.AccountState {
	states := make([]cluster.AccountState, len(all))
	for i, a := range all {
		states[i] = cluster.AccountState{Account: a}
	}
	return states
}
