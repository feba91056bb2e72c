package mysqlnode

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// dialect is how one family of releases words what this package needs. Lists of
// wordings are tried in order when a server does not know one.
type dialect struct {
	flavor cluster.Flavor
	since  [3]int
	// sample is the SELECT of Observe; absent columns mean "does not exist here".
	sample string
	// uid is a column of sample that not every release has: server_uid; empty where none has it.
	uid string
	// status are the wordings that show the replication channels.
	status []string
	// heartbeats tells the heartbeat counter and period where status does not;
	// optional, since it may need a grant.
	heartbeats string
	// origins tells where the present values of the switches come from, and with
	// persisted for an origin the values that the server keeps for its next start;
	// empty where the server does not say.
	origins string
	// waitOrigins gives a row when the variable that is filled in has its value from the
	// configuration, or is kept for the next start; empty where the server does not say.
	waitOrigins string
	// superReadOnly: the server has super_read_only.
	superReadOnly bool
	// awaiting tells which switch has commits wait for a replica's acknowledgement, where
	// a killed session waits on; empty where it does not.
	awaiting string
	// source and acknowledger begin the names of both ends of semi-synchronous
	// replication, and name their plugins; plugins: they have to be installed.
	source, acknowledger string
	plugins              bool
	// twoLists: the server may be set up to show a list of sessions that does not tell
	// who was killed.
	twoLists bool
	// replica is the word for a replica in START and STOP.
	replica string
	// beat has the source of the channel send a heartbeat each second.
	beat string
	// wait calls the wait function, ready reads its answer.
	wait  func(target string, d time.Duration) string
	ready func(answer value) (applied bool, err error)
	// blind: the wait function does not see all that is there already.
	blind bool
	// writers are the wordings that list open transactions with locks.
	writers []string
	// grants are what each program's user needs, see grant.go.
	grants map[Role][]grant
	// acks are those needed besides where commits wait for the passive.
	acks map[Role][]grant
	// implied says what SUPER stands for.
	implied func(version) []string
	// bypass are the wordings that list the accounts that write through read_only.
	bypass func(version) []string
	// accounts lists the accounts; hash only where turned.
	accounts string
	// setHash are the statements that give an account another password hash.
	setHash func(a cluster.Account, old, hash string) []string
	// lock: the server has ACCOUNT LOCK. turned: the predecessor's reversed
	// password hashes may be found, and are the only way where lock is not.
	lock, turned bool
}

const (
	statusQuery  = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected', 'Slave_received_heartbeats', 'Slave_heartbeat_period', " + acksStatus + ")"
	processQuery = "SHOW PROCESSLIST"
	// What shows the other list of dialect.twoLists, and the list that does tell.
	otherListQuery = "SELECT 1 AS other FROM DUAL WHERE @@GLOBAL.performance_schema_show_processlist = 1"
	tellingQuery   = "SELECT ID AS Id, USER AS User, HOST AS Host, DB AS db, COMMAND AS Command, STATE AS State FROM information_schema.PROCESSLIST"
	accountQuery   = "SELECT CURRENT_USER() AS account"
	variableQuery  = "SHOW GLOBAL VARIABLES"
	beatOfSlave    = "CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=1"
	// With the privileges of the roles in use.
	grantQuery = "SHOW GRANTS"
)

// persisted is the origin in dialect.origins of what mysqld-auto.cnf holds.
const persisted = "for the next start"

// dialects is the one table of differences, oldest release first within a
// flavour. A server gets the last row of its flavour that is not newer than it,
// so that releases unknown here get the newest; older than the first, the first.
var dialects = []*dialect{mysql56, mysql57, mysql8022, mysql8026, mariadb105}

var mysql56 = &dialect{
	flavor: cluster.MySQL, since: [3]int{5, 6, 0},
	sample: "SELECT @@global.read_only AS read_only, @@global.server_uuid AS identity, @@global.gtid_mode AS gtid_mode, " +
		"@@global.log_bin AS log_bin, @@global.log_slave_updates AS log_updates, " +
		"@@global.gtid_executed AS executed, @@global.gtid_purged AS purged",
	awaiting: "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled') AND Value = 'ON'",
	source:   masterEnd, acknowledger: slaveEnd, plugins: true,
	status:  []string{"SHOW SLAVE STATUS", "SHOW REPLICA STATUS"},
	replica: "SLAVE",
	beat:    beatOfSlave,
	wait: func(target string, d time.Duration) string {
		return fmt.Sprintf("SELECT WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS(%s, %d)", literal(target), wholeSeconds(d))
	},
	blind: true, // when the SQL thread is stopped
	// It counts the events waited for, so that every count means done.
	ready:   func(v value) (bool, error) { return waitAnswer(v, "-1", func(t string) bool { return t[0] != '-' }) },
	writers: []string{writersOfMySQL},
	grants:  grantsMySQL56,
	acks:    acksGrantsMySQL,
	implied: func(version) []string { return superOfMySQL56 },
	bypass:  bypassMySQL,
	accounts: "SELECT User AS user, Host AS host, '0' AS locked, '0' AS role, Password AS hash, " +
		"COALESCE(plugin, '') IN ('', 'mysql_native_password') AS native FROM mysql.user",
	turned: true,
	// SET PASSWORD would need a right on the whole schema; a plain FLUSH
	// would replicate, binary log or not.
	setHash: func(a cluster.Account, old, hash string) []string {
		return []string{fmt.Sprintf("UPDATE mysql.user SET Password = %s WHERE User = %s AND Host = %s AND Password = %s",
			literal(hash), literal(a.User), literal(a.Host), literal(old)), "FLUSH LOCAL PRIVILEGES"}
	},
}

var mysql57 = derive(mysql56, [3]int{5, 7, 8}, func(d *dialect) {
	// A role is an account without a password that is locked and expired.
	d.accounts = "SELECT User AS user, Host AS host, account_locked = 'Y' AS locked, " +
		"account_locked = 'Y' AND password_expired = 'Y' AND authentication_string = '' AS role FROM mysql.user"
	d.lock, d.turned = true, false
	d.sample += ", @@global.super_read_only AS super_read_only"
	d.superReadOnly = true
	d.blind = false
	d.heartbeats = "SELECT s.COUNT_RECEIVED_HEARTBEATS AS Slave_received_heartbeats, c.HEARTBEAT_INTERVAL AS Slave_heartbeat_period " +
		"FROM performance_schema.replication_connection_status s " +
		"JOIN performance_schema.replication_connection_configuration c USING (CHANNEL_NAME) WHERE CHANNEL_NAME = ''"
	d.wait = func(target string, d time.Duration) string {
		return fmt.Sprintf("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", literal(target), fractionalSeconds(d))
	}
	d.ready = func(v value) (bool, error) { return waitAnswer(v, "1", func(t string) bool { return t == "0" }) }
})

var mysql8022 = derive(mysql57, [3]int{8, 0, 22}, func(d *dialect) {
	d.origins = "SELECT VARIABLE_NAME AS name, i.VARIABLE_SOURCE AS origin, v.VARIABLE_VALUE AS value FROM performance_schema.variables_info i " +
		"JOIN performance_schema.global_variables v USING (VARIABLE_NAME) WHERE VARIABLE_NAME IN ('read_only', 'super_read_only') " +
		"UNION ALL SELECT VARIABLE_NAME, '" + persisted + "', VARIABLE_VALUE FROM performance_schema.persisted_variables " +
		"WHERE VARIABLE_NAME IN ('read_only', 'super_read_only') AND @@global.persisted_globals_load"
	d.waitOrigins = "SELECT 1 FROM performance_schema.variables_info WHERE VARIABLE_NAME = %[1]s AND VARIABLE_SOURCE NOT IN ('COMPILED', 'DYNAMIC') " +
		"UNION ALL SELECT 1 FROM performance_schema.persisted_variables WHERE VARIABLE_NAME = %[1]s AND VARIABLE_VALUE IN ('ON', '1')"
	d.status = []string{"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"}
	d.replica = "REPLICA"
	d.twoLists = true
	d.writers = []string{writersOfMySQL8, writersOfMySQL}
	d.grants = grantsMySQL8
	d.implied = func(version) []string { return superOfMySQL8 }
})

var mysql8026 = derive(mysql8022, [3]int{8, 0, 26}, func(d *dialect) {
	d.sample = strings.Replace(d.sample, "log_slave_updates", "log_replica_updates", 1)
	d.beat = "CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=1" // since 8.0.23
	d.source, d.acknowledger = sourceEnd, replicaEnd
})

var mariadb105 = &dialect{
	flavor: cluster.MariaDB, since: [3]int{10, 5, 0},
	sample: "SELECT @@global.read_only AS read_only, @@global.server_id AS identity, 'ON' AS gtid_mode, " +
		"@@global.log_bin AS log_bin, @@global.log_slave_updates AS log_updates, " +
		"@@global.gtid_binlog_state AS executed, @@global.gtid_slave_pos AS applied",
	uid:    ", @@global.server_uid AS uid",
	source: masterEnd, acknowledger: slaveEnd,
	status:      []string{"SHOW ALL SLAVES STATUS", "SHOW ALL REPLICAS STATUS"},
	origins:     "SELECT VARIABLE_NAME AS name, GLOBAL_VALUE_ORIGIN AS origin, GLOBAL_VALUE AS value FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'READ_ONLY'",
	waitOrigins: "SELECT 1 FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = %s AND GLOBAL_VALUE_ORIGIN NOT IN ('COMPILE-TIME', 'SQL')",
	replica:     "SLAVE",
	beat:        beatOfSlave,
	wait: func(target string, d time.Duration) string {
		return fmt.Sprintf("SELECT MASTER_GTID_WAIT(%s, %s)", literal(target), fractionalSeconds(d))
	},
	ready: func(v value) (bool, error) { return waitAnswer(v, "-1", func(t string) bool { return t == "0" }) },
	blind: true, // for the server's own transactions
	writers: []string{"SELECT t.trx_mysql_thread_id AS id, p.USER AS user, p.COMMAND AS command, t.trx_rows_modified AS modified, " +
		"t.trx_state AS state, GREATEST(0, TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) - 1000000, COALESCE(p.TIME_MS, 0) * 1000) AS age_us " +
		"FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id " +
		"WHERE t.trx_rows_modified > 0 OR t.trx_tables_locked > 0"},
	grants:  grantsMariaDB,
	acks:    acksGrantsMariaDB,
	implied: superOfMariaDB,
	bypass:  bypassMariaDB,
	accounts: "SELECT User AS user, Host AS host, COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') AS locked, " +
		"COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') AS role, " + mariadbHash + " AS hash, " + mariadbNative + " AS native FROM mysql.global_priv",
	lock: true, turned: true,
	setHash: func(a cluster.Account, _, hash string) []string {
		return []string{fmt.Sprintf("ALTER USER IF EXISTS %s IDENTIFIED VIA mysql_native_password USING %s", account(a.User, a.Host), literal(hash))}
	},
}

// Of an account with several ways to log in no hash is ever turned. Only hashes
// that look turned leave the server.
const (
	mariadbNative = "COALESCE(JSON_VALUE(Priv, '$.plugin'), '') IN ('', 'mysql_native_password') AND JSON_EXTRACT(Priv, '$.auth_or') IS NULL"
	mariadbHash   = "IF(JSON_VALUE(Priv, '$.authentication_string') REGEXP '[*?]$', JSON_VALUE(Priv, '$.authentication_string'), '')"
)

// trx_started has whole seconds, so that the age counts from the end of that
// second; the statement's own time may be longer, and counts seconds begun.
const (
	writersOfMySQL = "SELECT t.trx_mysql_thread_id AS id, p.USER AS user, p.COMMAND AS command, t.trx_rows_modified AS modified, " +
		"t.trx_state AS state, GREATEST(0, TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) - 1000000, (COALESCE(p.TIME, 0) - 1) * 1000000) AS age_us " +
		"FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id " +
		"WHERE t.trx_rows_modified > 0 OR t.trx_tables_locked > 0"
	writersOfMySQL8 = "SELECT t.trx_mysql_thread_id AS id, p.USER AS user, p.COMMAND AS command, t.trx_rows_modified AS modified, " +
		"t.trx_state AS state, GREATEST(0, TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) - 1000000, (COALESCE(p.TIME, 0) - 1) * 1000000) AS age_us " +
		"FROM information_schema.INNODB_TRX t LEFT JOIN performance_schema.processlist p ON p.ID = t.trx_mysql_thread_id " +
		"WHERE t.trx_rows_modified > 0 OR t.trx_tables_locked > 0"
)

// derive copies a row of the table and changes what a later release changed.
func derive(from *dialect, since [3]int, change func(*dialect)) *dialect {
	d := *from
	d.since = since
	change(&d)
	return &d
}

// chooseDialect picks the row for a server.
func chooseDialect(v version) *dialect {
	var chosen *dialect
	for _, d := range dialects {
		if d.flavor != v.flavor {
			continue
		}
		if chosen == nil || v.since(d.since[0], d.since[1], d.since[2]) {
			chosen = d
		}
	}
	return chosen
}

// closing are the statements that set read_only after waiting for locks at most d.
func (d *dialect) closing(wait time.Duration) []string {
	name := "read_only"
	if d.superReadOnly {
		name = "super_read_only" // sets both, or none
	}
	return []string{
		fmt.Sprintf("SET SESSION lock_wait_timeout = %d", wholeSeconds(wait)), fmt.Sprintf("SET GLOBAL %s = 1", name),
		fmt.Sprintf("SET SESSION lock_wait_timeout = %d", sessionLockWait),
	}
}

// limit fixes on the server's own clock how long opening is still allowed.
func (d *dialect) limit(within time.Duration) string {
	return fmt.Sprintf("SET @mmm_until = UTC_TIMESTAMP(6) + INTERVAL %d MICROSECOND", within.Microseconds())
}

// unsealing takes super_read_only away within the limit.
func (d *dialect) unsealing() string { return fmt.Sprintf(setInTime, "super_read_only") }

// reseal sets super_read_only again, unless the server was opened meanwhile.
func (d *dialect) reseal() string {
	return "SET GLOBAL super_read_only = IF(@@global.read_only, 1, 0)"
}

// setInTime switches off within the limit. After it the value is one that every
// server refuses, so that nothing changes.
const setInTime = "SET GLOBAL %s = IF(UTC_TIMESTAMP(6) < @mmm_until, 'OFF', 'too late')"

// opening are the statements that take read_only away, in the order in which a
// session that ends in between leaves the server closed.
func (d *dialect) opening() []string {
	var s []string
	if d.superReadOnly {
		s = append(s, d.unsealing())
	}
	return append(s, fmt.Sprintf(setInTime, "read_only"))
}

// readOnly reads both switches back.
func (d *dialect) readOnly() string {
	if d.superReadOnly {
		return "SELECT @@global.read_only AS read_only, @@global.super_read_only AS super_read_only"
	}
	return "SELECT @@global.read_only AS read_only"
}

// waitAnswer reads the answer of a wait function.
func waitAnswer(v value, timedOut string, done func(string) bool) (bool, error) {
	switch {
	case !v.set:
		return false, errNotApplying
	case v.text == timedOut || v.text == "":
		return false, nil
	case done(v.text):
		return true, nil
	}
	return false, fmt.Errorf("the wait function answered %q", v.text)
}

// wholeSeconds rounds up; at least 1, because 0 means different things on
// different servers.
func wholeSeconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// fractionalSeconds never gives 0, which some wait functions take for "for ever".
func fractionalSeconds(d time.Duration) string {
	return fmt.Sprintf("%.3f", max(d, time.Millisecond).Seconds())
}
