package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// How the names of both ends of semi-synchronous replication begin. MySQL has the
// later ones since 8.0.26 beside the others, of which an installed plugin may still be.
const (
	masterEnd  = "rpl_semi_sync_master"
	slaveEnd   = "rpl_semi_sync_slave"
	sourceEnd  = "rpl_semi_sync_source"
	replicaEnd = "rpl_semi_sync_replica"
)

// acksStatus are the counters behind cluster.Acks; SHOW GLOBAL STATUS takes no longer with them.
const acksStatus = "'Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_master_wait_sessions', 'Rpl_semi_sync_slave_status', " +
	"'Rpl_semi_sync_source_status', 'Rpl_semi_sync_source_clients', 'Rpl_semi_sync_source_wait_sessions', 'Rpl_semi_sync_replica_status'"

const acksQuery = "SHOW GLOBAL STATUS WHERE Variable_name IN (" + acksStatus + ")"

// Timeouts in milliseconds. forEver is nearly the longest that every release takes, 49
// days, and one that nobody sets by hand; with settling, commits may still wait that
// began under a shorter one. Longer timeouts do wait on MariaDB 10.11 and MySQL 9.7, but
// the manual of MySQL 8.0 ends here.
const (
	forEver        = "4294967294"
	settling       = "4294967293"
	defaultTimeout = "10000"
)

// killTimeout is how long, in seconds, a receiving thread of MariaDB that acknowledges and
// is to stop tries to end its session at a source that hangs: stopping it took 1.0 s so
// on 10.11, 2.0 s with the default of 5, and 24 s with 0.
const killTimeout = "1"

// readAcks reads a status result.
func readAcks(status map[string]string) cluster.Acks {
	var a cluster.Acks
	for _, end := range []string{masterEnd, sourceEnd} {
		if v, ok := status[end+"_status"]; ok {
			a.Source = cluster.TriOf(on(v))
			a.Clients, _ = strconv.Atoi(status[end+"_clients"])
			a.Waiting, _ = strconv.Atoi(status[end+"_wait_sessions"])
		}
	}
	for _, end := range []string{slaveEnd, replicaEnd} {
		if v, ok := status[end+"_status"]; ok {
			a.Replica = cluster.TriOf(on(v))
		}
	}
	return a
}

// ends are how semi-synchronous replication is set on a server.
type ends struct {
	// source and replica begin the names of both ends; empty for one that is not installed.
	source, replica string
	vars            map[string]string
	acks            cluster.Acks
}

// ends reads the settings and the state of both ends.
func (c *Conn) ends(ctx context.Context, op string) (ends, error) {
	got, err := c.query(ctx, op, `SHOW GLOBAL VARIABLES LIKE 'rpl\_semi\_sync\_%'`, acksQuery)
	if err != nil {
		return ends{}, err
	}
	if len(got) != 2 {
		return ends{}, c.fault(op, errors.New("the server left statements unanswered"))
	}
	return readEnds(got[0].pairs(), got[1].pairs()), nil
}

func readEnds(vars, status map[string]string) ends {
	s := ends{vars: vars, acks: readAcks(status)}
	for _, end := range []string{masterEnd, sourceEnd} {
		if _, ok := vars[end+"_enabled"]; ok {
			s.source = end
		}
	}
	for _, end := range []string{slaveEnd, replicaEnd} {
		if _, ok := vars[end+"_enabled"]; ok {
			s.replica = end
		}
	}
	return s
}

// The settings of the source's end.
func (s ends) enabled() bool   { return on(s.vars[s.source+"_enabled"]) }
func (s ends) timeout() string { return s.vars[s.source+"_timeout"] }
func (s ends) ours() bool      { return s.timeout() == forEver || s.timeout() == settling }

// unattended is the setting that has commits wait while nobody is there to acknowledge.
func (s ends) unattended() string {
	if s.source == sourceEnd {
		return s.source + "_wait_no_replica"
	}
	return s.source + "_wait_no_slave"
}

// count is how many replicas have to acknowledge; MariaDB has no such setting.
func (s ends) count() string {
	if s.source == sourceEnd {
		return s.source + "_wait_for_replica_count"
	}
	return s.source + "_wait_for_slave_count"
}

// short is what keeps commits from waiting for ever; nil when nothing does.
func (s ends) short() error {
	var wrong []error
	demand := func(name, want string) {
		if got := s.vars[name]; got != want {
			wrong = append(wrong, fmt.Errorf("%s is %q, not %s", name, got, want))
		}
	}
	demand(s.source+"_wait_point", "AFTER_SYNC")
	demand(s.unattended(), "ON")
	demand(s.source+"_timeout", forEver)
	if _, ok := s.vars[s.count()]; ok {
		demand(s.count(), "1")
	}
	demand(s.source+"_enabled", "ON")
	if s.acks.Source != cluster.Yes {
		wrong = append(wrong, errors.New(s.source+"_status is not ON"))
	}
	return errors.Join(wrong...)
}

// AwaitCommits has every commit wait, from now on and for ever, until one replica
// has received it, whether or not one is there; others see it only then (AFTER_SYNC).
// Commits on their way may still go without, so that a position read afterwards is
// the first of which more can be said. In a set-up by hand with a shorter timeout
// commits that wait already may be let go once. It works on a closed server, where a
// plugin has to be installed as LockAccounts locks; nothing enters the binary log, and no
// commit that waits holds it up (tried on MariaDB 10.11 and MySQL 9.7). The order has the
// limit of SetWritable. Where rows cannot be kept from others until then (MySQL 5.6) it
// is an error. What else ends a wait: a clean shutdown of MySQL 9.7 tells those who wait
// of a success (MariaDB 10.11 of none), and KILL on MariaDB shows the row to others.
func (c *Conn) AwaitCommits(ctx context.Context) error {
	const op = "have commits wait for a replica on"
	s, err := c.installed(ctx, op, func(s ends) string { return s.source }, c.dialect.source)
	if err != nil {
		return err
	}
	if s.short() == nil {
		return nil
	}
	point := s.source + "_wait_point"
	if _, ok := s.vars[point]; !ok {
		return c.fault(op, errors.New("this release has no "+point+", so that others see what nobody has acknowledged"))
	}
	// Whatever was on stays on, and waits at least as long as before.
	first := []string{setGlobal(point, "AFTER_SYNC"), setGlobal(s.unattended(), "ON")}
	if s.timeout() != forEver {
		first = append(first, setGlobal(s.source+"_timeout", settling))
	}
	if err := c.exec(ctx, op, first...); err != nil {
		return err
	}
	if s, err = c.ends(ctx, op); err != nil {
		return err
	}
	if s.enabled() && (s.acks.Source != cluster.Yes || s.timeout() == settling && s.acks.Waiting > 0) {
		// Nobody waits at present, or until a timeout that lets all go.
		if err := c.drop(ctx, op, s); err != nil {
			return err
		}
	}
	var then []string
	if _, ok := s.vars[s.count()]; ok {
		then = append(then, setGlobal(s.count(), "1"))
	}
	then = append(then, setGlobal(s.source+"_timeout", forEver), fmt.Sprintf(setOnInTime, s.source+"_enabled"))
	if err := c.exec(ctx, op, append([]string{c.dialect.limit(timeToOpen(ctx))}, then...)...); err != nil {
		return tooLate(err)
	}
	if s, err = c.ends(ctx, op); err != nil {
		return err
	}
	if wrong := s.short(); wrong != nil {
		return c.fault(op, wrong)
	}
	return nil
}

// drop switches off and sees everybody gone who waits: in MySQL one who comes to it only
// after it was switched on again goes on waiting, by the old timeout.
func (c *Conn) drop(ctx context.Context, op string, s ends) error {
	if err := c.exec(ctx, op, c.dialect.limit(timeToOpen(ctx)), fmt.Sprintf(setInTime, s.source+"_enabled")); err != nil {
		return tooLate(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := c.ends(ctx, op)
		if err != nil || s.acks.Waiting == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c.fault(op, ctx.Err())
		}
	}
}

// setOnInTime is setInTime for a switch to be set.
const setOnInTime = "SET GLOBAL %s = IF(UTC_TIMESTAMP(6) < @mmm_until, 'ON', 'too late')"

func setGlobal(name, value string) string { return "SET GLOBAL " + name + " = " + value }

// LetCommitsGo has no commit wait for a replica any more; those who wait go on within
// milliseconds and are told of a success. The order has the limit of SetWritable, so
// that none that was given up lets go what waits by a later one.
func (c *Conn) LetCommitsGo(ctx context.Context) error {
	const op = "let commits go without a replica on"
	s, err := c.ends(ctx, op)
	if err != nil || s.source == "" || !s.enabled() {
		return err
	}
	return c.letGo(ctx, op, s)
}

// LetOurCommitsGo is LetCommitsGo where AwaitCommits has set the server up, and takes
// back its timeout; a set-up by hand is left as it is.
func (c *Conn) LetOurCommitsGo(ctx context.Context) error {
	const op = "let commits go without a replica on"
	s, err := c.ends(ctx, op)
	if err != nil || s.source == "" || !s.ours() {
		return err
	}
	return c.letGo(ctx, op, s, setGlobal(s.source+"_timeout", "IF(UTC_TIMESTAMP(6) < @mmm_until, "+defaultTimeout+", "+s.timeout()+")"))
}

func (c *Conn) letGo(ctx context.Context, op string, s ends, then ...string) error {
	off := []string{c.dialect.limit(timeToOpen(ctx)), fmt.Sprintf(setInTime, s.source+"_enabled")}
	if err := c.exec(ctx, op, append(off, then...)...); err != nil {
		return tooLate(err)
	}
	s, err := c.ends(ctx, op)
	switch {
	case err != nil:
		return err
	case s.enabled():
		return c.fault(op, errors.New(s.source+"_enabled is still ON"))
	case len(then) > 0 && s.ours():
		return c.fault(op, fmt.Errorf("%s_timeout is still %s", s.source, s.timeout()))
	}
	return nil
}

// Acknowledge has the server acknowledge what its receiving thread receives. The
// answer is whether that thread does so already: one that was running before does
// not until it is started again. Best is to have it done before that thread starts. MySQL 9.7 never acknowledges what was received before
// that: a commit that waits for it goes on with the next one that is acknowledged, and
// FLUSH BINARY LOGS meanwhile keeps that one out (MariaDB 10.11 goes on at once). Where a plugin is missing it is installed as in AwaitCommits.
// A receiving thread that starts while the source has no such plugin never acknowledges;
// whether commits wait there already makes no difference.
func (c *Conn) Acknowledge(ctx context.Context) (does bool, err error) {
	const op = "have received transactions acknowledged by"
	s, err := c.installed(ctx, op, func(s ends) string { return s.replica }, c.dialect.acknowledger)
	if err != nil {
		return false, err
	}
	name, killing := s.replica+"_enabled", s.replica+"_kill_conn_timeout"
	var set []string
	if v, ok := s.vars[killing]; ok && v != killTimeout {
		set = append(set, setGlobal(killing, killTimeout))
	}
	if !on(s.vars[name]) {
		set = append(set, setGlobal(name, "ON"))
	}
	if len(set) > 0 {
		if err := c.exec(ctx, op, set...); err != nil {
			return false, err
		}
		if s, err = c.ends(ctx, op); err != nil {
			return false, err
		}
		if !on(s.vars[name]) {
			return false, c.fault(op, errors.New(name+" is still OFF"))
		}
	}
	return s.acks.Replica == cluster.Yes, nil
}

// installed reads the settings of an end, and installs its plugin when it is missing.
// MySQL refuses that under super_read_only (tried on 9.7), and writes nothing of it to
// the binary log.
func (c *Conn) installed(ctx context.Context, op string, end func(ends) string, plugin string) (ends, error) {
	s, err := c.ends(ctx, op)
	if err != nil || end(s) != "" {
		return s, err
	}
	if !c.dialect.plugins {
		return s, c.fault(op, errors.New("the server knows no "+plugin))
	}
	err = c.unlogged(ctx, op, func() error {
		err := c.exec(ctx, op, installing(plugin))
		if number(err) == errPluginThere {
			return nil
		}
		return err
	})
	if err != nil {
		return s, err
	}
	if s, err = c.ends(ctx, op); err == nil && end(s) == "" {
		err = c.fault(op, errors.New("the plugin "+plugin+" is installed and shows no settings"))
	}
	return s, err
}

// installing words how a plugin is installed.
func installing(plugin string) string {
	return fmt.Sprintf("INSTALL PLUGIN %s SONAME '%s'", plugin, library(plugin))
}

// library is the file of a plugin.
func library(plugin string) string {
	return strings.Replace(plugin, "rpl_semi_sync", "semisync", 1) + ".so"
}
