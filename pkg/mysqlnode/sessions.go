package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a session is.
type Kind string

// The kinds of session.
const (
	KindApplication Kind = "application"
	KindReplication Kind = "replication" // some replica registers or reads the binary log
	KindSystem      Kind = "system"      // the server's own threads, and log-ins under way
	KindOwnUser     Kind = "own user"    // logged in as we are
)

// Session is one row of the process list.
type Session struct {
	ID             uint64
	User, Host, DB string
	Command, State string
	Kind           Kind
}

// Stopping reports whether the session has told a replication thread to stop and
// waits for its end: "Killing slave" of MariaDB, "Killing replica" of MySQL.
func (s Session) Stopping() bool { return strings.HasPrefix(s.State, "Killing ") }

// Killed reports whether the session was killed and is not gone yet; nobody is told
// any more how its statement ends.
func (s Session) Killed() bool { return s.Command == "Killed" }

// Awaits reports whether the session waits for a replica's acknowledgement of what it
// has committed, and of what those behind it have.
func (s Session) Awaits() bool { return strings.HasPrefix(s.State, "Waiting for semi-sync ACK") }

// Queues reports whether the session waits for a lock of the whole server: "Waiting for
// global read lock" and "Waiting for commit lock" of MySQL, "Waiting for backup lock" of MariaDB.
func (s Session) Queues() bool {
	return strings.HasPrefix(s.State, "Waiting for ") && strings.HasSuffix(s.State, " lock")
}

// Sessions lists all sessions but our own. Without the PROCESS privilege the
// server shows only those of our own user, and does not say so.
func (c *Conn) Sessions(ctx context.Context) ([]Session, error) {
	const op = "list the sessions of"
	ask := []string{processQuery}
	if c.dialect.twoLists {
		ask = append(ask, otherListQuery)
	}
	got, err := c.query(ctx, op, ask...)
	if len(ask) == 2 && len(got) == 1 && number(err) == errUnknownVariable {
		ask, err = ask[:1], nil // a release that has one list again
	}
	if err == nil && len(got) == 2 && len(got[1].rows) > 0 {
		ask = []string{tellingQuery}
		got, err = c.query(ctx, op, ask...)
	}
	if err != nil {
		return nil, err
	}
	if len(got) != len(ask) {
		return nil, c.fault(op, errors.New("the server gave no list"))
	}
	return c.sessions(got[0]), nil
}

// Kill ends sessions, in one round trip where none of them is an exception. One that is
// already gone is no error, and none is one that MySQL 8 keeps from us because its user
// has SYSTEM_USER: super_read_only stops its writes as everybody's.
func (c *Conn) Kill(ctx context.Context, ids ...uint64) error {
	if len(ids) > 1 {
		all := make([]string, len(ids))
		for i, id := range ids {
			all[i] = "KILL " + strconv.FormatUint(id, 10)
		}
		// The first that fails keeps those behind it from being ended.
		if err := c.exec(ctx, fmt.Sprintf("kill %d sessions on", len(ids)), all...); err == nil || number(err) == 0 {
			return err
		}
	}
	for _, id := range ids {
		if err := c.kill(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) kill(ctx context.Context, id uint64) error {
	op := fmt.Sprintf("kill session %d on", id)
	err := c.exec(ctx, op, "KILL "+strconv.FormatUint(id, 10))
	switch number(err) {
	case errNoSuchThread:
		return nil
	case errKillDenied:
		if c.dialect.superReadOnly {
			return nil
		}
	}
	return err
}

// sessions reads a process list, without the row of this session.
func (c *Conn) sessions(list result) []Session {
	all := make([]Session, 0, len(list.rows))
	self := c.node.opts.User
	for i := range list.rows {
		r := list.row(i)
		id, _ := r.integer("Id")
		s := Session{
			ID: uint64(id), User: r.text("User"), Host: r.text("Host"), DB: r.text("db"),
			Command: r.text("Command"), State: r.text("State"),
		}
		if s.ID == c.id {
			self = s.User
			continue
		}
		all = append(all, s)
	}
	for i := range all {
		all[i].Kind = kindOf(all[i], self)
	}
	return all
}

func kindOf(s Session, self string) Kind {
	switch s.User {
	case "system user", "event_scheduler", "unauthenticated user":
		return KindSystem
	}
	switch {
	case strings.HasPrefix(s.Command, "Binlog Dump"), strings.HasPrefix(s.Command, "Register "):
		return KindReplication
	case s.Command == "Daemon":
		return KindSystem
	case s.User == self:
		return KindOwnUser
	}
	return KindApplication
}

// replicaUsers are the users as whom replicas log in here: those who read the
// binary log or were seen to, and own, as whom this server logs in at its source.
func (c *Conn) replicaUsers(all []Session, own string) []string {
	for _, s := range all {
		if s.Kind == KindReplication && !slices.Contains(c.replicas, s.User) {
			c.replicas = append(c.replicas, s.User)
		}
	}
	if own == "" {
		return c.replicas
	}
	return append(slices.Clone(c.replicas), own)
}

// countSessions counts application sessions by the predecessor's rule: without
// excluded users and without sessions in the server's own schemas. Sessions of
// our own user count unless excluded. A replica that logs in, or whose session is
// just being ended, looks like an application that has its account and names its
// tables in full: sessions of a user of replication without a default schema, which
// replicas never have, count as shared too and do not make a user. The count is -1
// when the server shows us no session of others although it has more than we see:
// PROCESS is missing.
func countSessions(all []Session, exclude []string, replicas []string, connected string) (n, shared int, users []string) {
	others := false
	for _, s := range all {
		others = others || s.Kind != KindOwnUser
		if s.Kind == KindSystem || s.Kind == KindReplication || slices.Contains(exclude, s.User) {
			continue
		}
		switch strings.ToLower(s.DB) {
		case "mysql", "information_schema", "performance_schema":
			continue
		}
		n++
		if s.DB == "" && slices.Contains(replicas, s.User) {
			shared++
		} else if !slices.Contains(users, s.User) {
			users = append(users, s.User)
		}
	}
	if c, err := strconv.Atoi(connected); err == nil && !others && c > len(all)+1 {
		return -1, 0, nil
	}
	slices.Sort(users)
	return n, shared, users
}
