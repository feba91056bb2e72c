package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// ErrUntouched: not every row was found as the transactions had left it, and nothing was changed.
var ErrUntouched = errors.New("nothing was changed")

// Discard is what a server in quarantine is to give up. It is noted on the server
// before anything changes that a second call could not find out.
type Discard struct {
	// Errant are the transactions that go, Keep those that stay; together all that the server has.
	Errant, Keep string
}

// sealTries is how often a change is tried while an agent seals the server again.
const sealTries = 20

// noted is the table that says how far a discard has come; it is never replicated.
func (e EpochAt) noted() (schema, table string) {
	schema, _, _ = strings.Cut(e.Table, ".")
	if schema == "" {
		schema = "mmm_meta"
	}
	return identifier(schema), identifier(schema) + ".discarded"
}

// BinaryLogs are the server's binary logs, the oldest first.
func (c *Conn) BinaryLogs(ctx context.Context) ([]cluster.BinaryLog, error) {
	got, err := c.query(ctx, "list the binary logs of", "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	var all []cluster.BinaryLog
	for _, r := range got {
		for i := range r.rows {
			size, _ := strconv.ParseUint(r.row(i).text("File_size"), 10, 64)
			all = append(all, cluster.BinaryLog{Name: r.row(i).text("Log_name"), Size: size})
		}
	}
	return all, nil
}

// Table tells what must be known of a table to undo changes of it. Who may not see all
// triggers and foreign keys gets an error.
func (c *Conn) Table(ctx context.Context, t cluster.Table) (cluster.TableInfo, error) {
	const op = "read the definition of a table of"
	var info cluster.TableInfo
	schema, table := literal(t.Schema), literal(t.Name)
	const columns = "SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS full, CHARACTER_SET_NAME AS charset, " +
		"CHARACTER_OCTET_LENGTH AS bytes, COLUMN_KEY = 'PRI' AS key_part, %s AS made FROM information_schema.COLUMNS " +
		"WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"
	// MySQL 5.6 computes none.
	got, err := c.first(ctx, op, []string{fmt.Sprintf(columns, "COALESCE(GENERATION_EXPRESSION, '') <> ''", schema, table), fmt.Sprintf(columns, "0", schema, table)})
	if err != nil {
		return info, err
	}
	for i := range got.rows {
		r := got.row(i)
		n, _ := r.integer("bytes")
		info.Columns = append(info.Columns, cluster.Column{Name: r.text("name"), Type: strings.ToLower(r.text("type")), Full: strings.ToLower(r.text("full")),
			Charset: r.text("charset"), Bytes: int(n), Key: on(r.text("key_part")), Generated: on(r.text("made"))})
	}
	const grantee = "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"
	rest, err := c.query(ctx, op,
		fmt.Sprintf("SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND TABLE_TYPE = 'BASE TABLE'", schema, table),
		fmt.Sprintf("SELECT (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' AND GRANTEE = %[1]s) AS sees, "+
			"(SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %[2]s AND EVENT_OBJECT_TABLE = %[3]s) AS found, "+
			"(SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = %[2]s AND REFERENCED_TABLE_NAME = %[3]s "+
			"AND NOT (DELETE_RULE IN ('RESTRICT', 'NO ACTION') AND UPDATE_RULE IN ('RESTRICT', 'NO ACTION'))) AS cascades", grantee, schema, table))
	if err != nil {
		return info, err
	}
	if len(rest) != 2 || len(rest[1].rows) != 1 {
		return info, c.fault(op, errors.New("the server left statements unanswered"))
	}
	if len(rest[0].rows) == 1 {
		info.Engine = rest[0].row(0).text("engine")
	}
	r := rest[1].row(0)
	if !on(r.text("sees")) {
		return info, c.fault(op, fmt.Errorf("the account may not see the triggers of %s, and who refers to it from another schema: GRANT TRIGGER ON *.*", t))
	}
	info.Triggers, info.Cascades = on(r.text("found")), on(r.text("cascades"))
	return info, nil
}

// Discarding reads what a discard that was not finished has noted; nil when there is none.
func (c *Conn) Discarding(ctx context.Context) (*Discard, error) {
	_, table := c.node.opts.Epoch.noted()
	got, err := c.query(ctx, "look for an unfinished discard on", "SELECT errant, keep FROM "+table)
	if n := number(err); absent(n) || n == errTableDenied {
		return nil, nil
	}
	if err != nil || len(got) != 1 || len(got[0].rows) == 0 {
		return nil, err
	}
	return &Discard{got[0].row(0).text("errant"), got[0].row(0).text("keep")}, nil
}

// Undo executes statements, each of which must change exactly one row, in one transaction that no
// binary log sees, and notes what it was for; otherwise ErrUntouched, and all is as before.
// The server stays read_only; where it has super_read_only that is taken away for the moment.
// What the session writes afterwards is in no binary log either.
func (c *Conn) Undo(ctx context.Context, d Discard, statements []string) error {
	const op = "undo transactions on"
	if _, err := c.quiet(ctx, op); err != nil {
		return err
	}
	schema, table := c.node.opts.Epoch.noted()
	prepare := []string{
		// What a column would only take changed is refused; dates of which no calendar knows it takes as they were.
		"SET SESSION sql_log_bin = 0, foreign_key_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_ALL_TABLES'",
		"CREATE DATABASE IF NOT EXISTS " + schema,
		"CREATE TABLE IF NOT EXISTS " + table + " (errant LONGTEXT NOT NULL, keep LONGTEXT NOT NULL) ENGINE = InnoDB",
	}
	// One of a discard that was done may have been left behind.
	note := fmt.Sprintf("DELETE FROM %[1]s; INSERT INTO %[1]s (errant, keep) VALUES (%[2]s, %[3]s)", table, literal(d.Errant), literal(d.Keep))
	err := c.unsealed(ctx, func() error { return c.exec(ctx, op, prepare...) })
	if err != nil {
		return err
	}
	return c.unsealed(ctx, func() error {
		err := c.exec(ctx, op, "START TRANSACTION")
		for i := 0; err == nil && i < len(statements); i++ {
			err = c.one(ctx, op, statements[i])
		}
		if err == nil {
			err = c.exec(ctx, op, note, "COMMIT")
		}
		if err == nil {
			return nil
		}
		return errors.Join(err, c.exec(context.WithoutCancel(ctx), op, "ROLLBACK"))
	})
}

// quiet is what a server says of itself that is closed and replicates nothing.
func (c *Conn) quiet(ctx context.Context, op string) (cluster.Server, error) {
	s, err := c.Observe(ctx, nil)
	switch {
	case err != nil:
		return s, err
	case s.ReadOnly != cluster.Yes:
		return s, c.fault(op, errors.New("the server is open"))
	case s.Channel.Configured && !s.Channel.Stopped():
		return s, c.fault(op, errors.New("it replicates"))
	}
	return s, nil
}

// one executes a statement that must change one row.
func (c *Conn) one(ctx context.Context, op, statement string) error {
	release, err := c.use(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	done, err := c.raw.ExecContext(ctx, statement, nil)
	if err != nil {
		return c.failure(op, err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return c.fault(op, fmt.Errorf("%w: %.400s: %d rows, not one", ErrUntouched, statement, n))
	}
	return nil
}

// unsealed does something while super_read_only is off, again when an agent has set it meanwhile.
func (c *Conn) unsealed(ctx context.Context, do func() error) error {
	for range sealTries {
		if err := c.Unseal(ctx); err != nil {
			return err
		}
		err := do()
		if number(err) != errReadOnlyOption || ctx.Err() != nil {
			if c.dialect.superReadOnly {
				err = errors.Join(err, c.exec(context.WithoutCancel(ctx), "set super_read_only on", c.dialect.reseal()))
			}
			return err
		}
	}
	return c.fault("write on", errReadOnlyBinds)
}

// Forget makes the server forget its binary logs and all transactions but those that d keeps.
// Until that is done its channel points nowhere, so that nobody starts it on a position of before,
// not even a restart of the server.
func (c *Conn) Forget(ctx context.Context, d Discard) error {
	const op = "take transactions out of"
	s, err := c.quiet(ctx, op)
	if err != nil {
		return err
	}
	keep, err := gtid.Parse(c.version.flavor, d.Keep)
	if err != nil {
		return c.fault(op, err)
	}
	gone, err := gtid.Parse(c.version.flavor, d.Errant)
	if err != nil {
		return c.fault(op, err)
	}
	has, err := gtid.Parse(c.version.flavor, s.Executed)
	if err != nil {
		return c.fault(op, err)
	}
	if !gone.Union(keep).Contains(has) {
		// The rows of these would stay.
		return c.fault(op, fmt.Errorf("it has other transactions than those that were taken back and those that stay: %s", has.Minus(gone.Union(keep))))
	}
	set := []string{"SET GLOBAL gtid_purged = " + literal(keep.String())}
	if c.version.flavor == cluster.MariaDB {
		set = []string{"SET GLOBAL gtid_binlog_state = " + literal(keep.String()), "SET GLOBAL gtid_slave_pos = " + literal(keep.Highest().String())}
	}
	schema, table := c.node.opts.Epoch.noted()
	drop := "DROP TABLE IF EXISTS " + table
	if c.node.opts.Epoch.Table == "" {
		drop = "DROP DATABASE IF EXISTS " + schema
	}
	steps := [][]string{{"RESET BINARY LOGS AND GTIDS", "RESET MASTER"}, {strings.Join(set, "; ")}}
	if s.Channel.Configured {
		steps = append([][]string{c.point("0", ", %[1]s_LOG_FILE = 'mmm-discard', %[1]s_LOG_POS = 4")}, steps...)
		steps = append(steps, c.point("1", ""))
	}
	steps = append(steps, []string{drop})
	return c.unsealed(ctx, func() error {
		if err := c.exec(ctx, op, "SET SESSION sql_log_bin = 0"); err != nil {
			return err
		}
		for _, wordings := range steps {
			if err := c.known(ctx, op, wordings); err != nil {
				return err
			}
		}
		return nil
	})
}

// point are the wordings that switch the channel's own positioning by GTID.
func (c *Conn) point(auto, rest string) []string {
	in := func(form, word string) string {
		if strings.Contains(form, "%") {
			return fmt.Sprintf(form, word)
		}
		return form
	}
	if c.version.flavor == cluster.MariaDB {
		mode := map[string]string{"0": "no", "1": "slave_pos"}[auto]
		return []string{"CHANGE MASTER TO MASTER_USE_GTID = " + mode + in(rest, "MASTER")}
	}
	return []string{"CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = " + auto + in(rest, "SOURCE"),
		"CHANGE MASTER TO MASTER_AUTO_POSITION = " + auto + in(rest, "MASTER")}
}

// known executes the first of several wordings that the server knows.
func (c *Conn) known(ctx context.Context, op string, wordings []string) error {
	var err error
	for _, text := range wordings {
		if err = c.exec(ctx, op, text); !unknownWording(number(err)) {
			return err
		}
	}
	return err
}
