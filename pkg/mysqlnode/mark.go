package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// EpochAt says where a server keeps its epoch row.
type EpochAt struct {
	// Table is schema.table; empty for none.
	Table    string
	UniqSign cluster.UniqSign
}

// Widths of the columns; a session of ours would cut longer texts silently.
const (
	widestUniqSign = 190
	widestActive   = 255
)

// name quotes the table for a statement.
func (e EpochAt) name() string {
	schema, table, _ := strings.Cut(e.Table, ".")
	return identifier(schema) + "." + identifier(table)
}

func (e EpochAt) read() string {
	return fmt.Sprintf("SELECT epoch, active FROM %s WHERE uniqsign = %s", e.name(), literal(string(e.UniqSign)))
}

// write raises the row in one transaction, or leaves it as it is when it is not
// older; where the binary log holds rows, a repetition replicates nothing.
func (e EpochAt) write(m cluster.Mark) string {
	active := literal(string(m.Active))
	return fmt.Sprintf("INSERT INTO %[1]s (uniqsign, epoch, active) VALUES (%[2]s, %[3]d, %[4]s) "+
		"ON DUPLICATE KEY UPDATE active = IF(epoch < %[3]d, %[4]s, active), epoch = GREATEST(epoch, %[3]d)",
		e.name(), literal(string(e.UniqSign)), m.Epoch, active)
}

// create are the statements that make the schema and the table. The key fits
// the 767 bytes that InnoDB of MySQL 5.6 indexes.
func (e EpochAt) create() []string {
	schema, _, _ := strings.Cut(e.Table, ".")
	return []string{
		"CREATE DATABASE IF NOT EXISTS " + identifier(schema),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (uniqsign VARCHAR(%d) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, "+
			"epoch BIGINT UNSIGNED NOT NULL, active VARCHAR(%d) CHARACTER SET utf8mb4 NOT NULL, "+
			"written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP) ENGINE = InnoDB", e.name(), widestUniqSign, widestActive),
	}
}

// absent reports whether the server has no such schema or table.
func absent(number uint16) bool { return number == errUnknownDatabase || number == errNoSuchTable }

// Mark reads the epoch row; zero when there is none.
func (c *Conn) Mark(ctx context.Context, at EpochAt) (cluster.Mark, error) {
	const op = "read the epoch row of"
	if at.Table == "" {
		return cluster.Mark{}, nil
	}
	got, err := c.query(ctx, op, at.read())
	if absent(number(err)) {
		return cluster.Mark{}, nil
	}
	if err != nil {
		return cluster.Mark{}, err
	}
	if len(got) != 1 {
		return cluster.Mark{}, c.fault(op, errors.New("the server gave no answer"))
	}
	m, err := readMark(got[0])
	if err != nil {
		return cluster.Mark{}, c.fault(op, err)
	}
	return m, nil
}

func readMark(r result) (cluster.Mark, error) {
	if len(r.rows) == 0 {
		return cluster.Mark{}, nil
	}
	epoch, err := strconv.ParseUint(r.row(0).text("epoch"), 10, 64)
	if err != nil {
		return cluster.Mark{}, err
	}
	return cluster.Mark{Epoch: cluster.Epoch(epoch), Active: cluster.Endpoint(r.row(0).text("active"))}, nil
}

// WriteMark raises the epoch row, and never lowers it; it replicates. A schema
// or table that is missing is made.
func (c *Conn) WriteMark(ctx context.Context, at EpochAt, m cluster.Mark) error {
	const op = "write the epoch row of"
	switch {
	case at.Table == "":
		return c.fault(op, errors.New("no table is named for it"))
	case utf8.RuneCountInString(string(at.UniqSign)) > widestUniqSign:
		return c.fault(op, fmt.Errorf("the uniqsign is longer than %d characters", widestUniqSign))
	case utf8.RuneCountInString(string(m.Active)) > widestActive:
		return c.fault(op, fmt.Errorf("the address of the active is longer than %d characters", widestActive))
	}
	err := c.exec(ctx, op, at.write(m))
	if absent(number(err)) {
		err = c.exec(ctx, op, append(at.create(), at.write(m))...)
	}
	// InnoDB undoes one of those who write a new row at once, and says so; another has got on.
	for range mostDeadlocks {
		if number(err) != errDeadlock {
			break
		}
		err = c.exec(ctx, op, at.write(m))
	}
	return err
}

// mostDeadlocks is how often a write that was undone for a deadlock is repeated.
const mostDeadlocks = 10

// optionalAgain is how long a row that could not be read, and what else may be
// refused in a sample, is not asked for.
const optionalAgain = 5 * time.Second

// markQuery is the statement that reads the mark in a sample; empty for none.
func (c *Conn) markQuery() string {
	if at := c.node.opts.Epoch; at.Table != "" && !time.Now().Before(c.markAfter) {
		return at.read()
	}
	return ""
}
