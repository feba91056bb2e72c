package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// The predecessor's agent turns a password hash around, so that it fits no
// password; an empty password becomes a row of question marks.
var (
	hashOfPassword = regexp.MustCompile(`^\*[0-9A-F]{40}$`)
	turnedHash     = regexp.MustCompile(`^[0-9A-F]{40}\*$`)
	turnedEmpty    = strings.Repeat("?", 41)
)

// turn turns a hash around; false when it is none that can log in.
func turn(hash string) (string, bool) {
	switch {
	case hash == "":
		return turnedEmpty, true
	case hashOfPassword.MatchString(hash):
		return backwards(hash), true
	}
	return "", false
}

// turnBack is the hash behind one that was turned; false when it was not.
func turnBack(hash string) (string, bool) {
	switch {
	case hash == turnedEmpty:
		return "", true
	case turnedHash.MatchString(hash):
		return backwards(hash), true
	}
	return "", false
}

func backwards(text string) string {
	b := []byte(text)
	slices.Reverse(b)
	return string(b)
}

// stored is an account as the server has it.
type stored struct {
	cluster.AccountState
	// hash is empty where the dialect does not turn hashes, and for other ways to log in.
	hash   string
	native bool
}

// Accounts lists every account but roles, sorted. Whether one was turned around
// by the predecessor is known where that was possible: MySQL 5.6 and MariaDB.
func (c *Conn) Accounts(ctx context.Context) ([]cluster.AccountState, error) {
	all, err := c.accounts(ctx, "list the accounts of")
	if err != nil {
		return nil, err
	}
	out := make([]cluster.AccountState, 0, len(all))
	for _, a := range all {
		out = append(out, a.AccountState)
	}
	return out, nil
}

func (c *Conn) accounts(ctx context.Context, op string) ([]stored, error) {
	got, err := c.query(ctx, op, c.dialect.accounts)
	if err != nil {
		return nil, err
	}
	if len(got) != 1 {
		return nil, c.fault(op, errors.New("the server gave no list"))
	}
	return readAccounts(got[0]), nil
}

func readAccounts(list result) []stored {
	all := make([]stored, 0, len(list.rows))
	for i := range list.rows {
		r := list.row(i)
		if on(r.text("role")) {
			continue
		}
		a := stored{hash: r.text("hash"), native: on(r.text("native"))}
		a.Account = cluster.Account{User: r.text("user"), Host: r.text("host")}
		a.Locked = on(r.text("locked"))
		if a.native {
			_, a.Reversed = turnBack(a.hash)
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b stored) int { return a.Account.Compare(b.Account) })
	return all
}

// LockAccounts keeps accounts from logging in; sessions that they have go on.
// It leaves nothing in the binary log. One that is locked already, or gone, is
// no error. A server with super_read_only has it taken away for the moment,
// read_only stays; what cannot be put back costs the session and is an error.
func (c *Conn) LockAccounts(ctx context.Context, list []cluster.Account) error {
	const op = "lock accounts of"
	if len(list) == 0 {
		return nil
	}
	return c.unlogged(ctx, op, func() error {
		if c.dialect.lock {
			return c.alter(ctx, op, list, "LOCK")
		}
		return c.turnAll(ctx, op, list, turn)
	})
}

// ReleaseAccounts undoes what the states tell of: ACCOUNT LOCK, and a hash that
// was turned around. A hash that is right is never turned, and an account that
// is gone is no error. The rest is as with LockAccounts.
func (c *Conn) ReleaseAccounts(ctx context.Context, list []cluster.AccountState) error {
	const op = "release accounts of"
	var locked, reversed []cluster.Account
	for _, a := range list {
		if a.Locked && c.dialect.lock {
			locked = append(locked, a.Account)
		}
		if a.Reversed && c.dialect.turned {
			reversed = append(reversed, a.Account)
		}
	}
	if len(locked)+len(reversed) == 0 {
		return nil
	}
	return c.unlogged(ctx, op, func() error {
		if err := c.turnAll(ctx, op, reversed, turnBack); err != nil {
			return err
		}
		return c.alter(ctx, op, locked, "UNLOCK")
	})
}

// alter locks or unlocks accounts, in as few statements as the server takes.
func (c *Conn) alter(ctx context.Context, op string, list []cluster.Account, verb string) error {
	var faults accountFaults
	for part := range slices.Chunk(list, 100) {
		err := c.exec(ctx, op, alterUsers(part, verb))
		switch {
		case err == nil:
		case number(err) == 0:
			return err
		case len(part) == 1:
			faults.add(part[0], err)
		default:
			// One that we may not touch must not save the others.
			for _, a := range part {
				faults.add(a, c.exec(ctx, op, alterUsers([]cluster.Account{a}, verb)))
			}
		}
	}
	return faults.err()
}

func alterUsers(list []cluster.Account, verb string) string {
	var names []string
	for _, a := range list {
		names = append(names, account(a.User, a.Host))
	}
	return fmt.Sprintf("ALTER USER IF EXISTS %s ACCOUNT %s", strings.Join(names, ", "), verb)
}

// turnAll gives accounts another hash, made from the one that they have now.
func (c *Conn) turnAll(ctx context.Context, op string, list []cluster.Account, other func(string) (string, bool)) error {
	if len(list) == 0 {
		return nil
	}
	all, err := c.accounts(ctx, op)
	if err != nil {
		return err
	}
	var faults accountFaults
	for _, a := range all {
		if !slices.Contains(list, a.Account) {
			continue
		}
		hash, ok := other(a.hash)
		switch {
		case !a.native:
			faults.add(a.Account, c.fault(op, errors.New("it does not log in by mysql_native_password")))
		case ok:
			faults.add(a.Account, c.exec(ctx, op, c.dialect.setHash(a.Account, a.hash, hash)...))
		}
	}
	return faults.err()
}

// accountFaults collects what went wrong with single accounts.
type accountFaults struct{ first *Error }

func (f *accountFaults) add(a cluster.Account, err error) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}
	fault := fmt.Errorf("%s: %w", account(a.User, a.Host), e.Err)
	if f.first == nil {
		f.first = &Error{Node: e.Node, Op: e.Op, Cause: e.Cause, Number: e.Number, Err: fault}
	} else {
		f.first.Err = fmt.Errorf("%w; %w", f.first.Err, fault)
	}
}

func (f *accountFaults) err() error {
	if f.first == nil {
		return nil
	}
	return f.first
}

// restoreTime bounds putting back what unlogged has changed.
const restoreTime = 2*sessionLockWait*time.Second + time.Second

// unlogged runs do without the binary log and without super_read_only, under
// which no server changes an account, and puts both back.
func (c *Conn) unlogged(ctx context.Context, op string, do func() error) error {
	got, err := c.query(ctx, op, c.dialect.readOnly(), fmt.Sprintf("SET SESSION lock_wait_timeout = %d, sql_log_bin = 0", sessionLockWait))
	if err != nil {
		return err
	}
	sealed := len(got) == 1 && len(got[0].rows) == 1 && tri(got[0].row(0), "super_read_only") == cluster.Yes
	if sealed {
		err = c.unseal(ctx, op)
	}
	if err == nil {
		err = do()
	}
	var e *Error
	if errors.As(err, &e) && e.Number == errReadOnlyOption && strings.Contains(e.Err.Error(), "--read-only") {
		e.Err = fmt.Errorf("%w (%w)", errReadOnlyBinds, e.Err)
	}

	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	restore := []string{"SET SESSION sql_log_bin = 1"}
	if sealed {
		restore = append(restore, c.dialect.reseal())
	}
	got, fault := c.query(rest, op, append(restore, c.dialect.readOnly())...)
	if fault == nil && sealed && tri(got[0].row(0), "super_read_only") != cluster.Yes {
		fault = c.fault(op, errors.New("somebody has opened the server meanwhile"))
	}
	if fault == nil {
		return err
	}
	// The session may hold sql_log_bin = 0 and an unfinished statement.
	_ = c.Close()
	var then []string
	if sealed {
		then = append(then, c.dialect.reseal())
	}
	if undone := c.withdraw(rest, then...); undone != nil && sealed {
		fault = fmt.Errorf("%w; super_read_only is not set again: %w", fault, undone)
	}
	if err != nil {
		fault = fmt.Errorf("%w; %w", err, fault)
	}
	return fault
}
