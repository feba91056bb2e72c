package workload

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

const (
	opTable       = harness.AppDB + ".op"
	registerTable = harness.AppDB + ".register"
	accountTable  = harness.AppDB + ".account"
)

// Schema gives the statements that make the tables, for root on the active of a pair
// that is open. They may be repeated. The epoch row is the product's: where its table
// is not there yet, inserts are refused until it is.
func Schema() []string {
	return []string{
		"CREATE TABLE IF NOT EXISTS " + opTable + " (round INT NOT NULL, client INT NOT NULL, seq BIGINT NOT NULL, " +
			"epoch BIGINT UNSIGNED NOT NULL, server INT UNSIGNED NOT NULL, PRIMARY KEY (round, client, seq)) ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS " + registerTable + " (round INT NOT NULL, k INT NOT NULL, v BIGINT NOT NULL, n BIGINT NOT NULL, " +
			"PRIMARY KEY (round, k)) ENGINE=InnoDB",
		"CREATE TABLE IF NOT EXISTS " + accountTable + " (round INT NOT NULL, k INT NOT NULL, balance BIGINT NOT NULL, n BIGINT NOT NULL, " +
			"PRIMARY KEY (round, k)) ENGINE=InnoDB",
		"GRANT SELECT ON mmm_meta.* TO '" + harness.AppUser + "'@'%'",
	}
}

func insertRow(round, client int, seq int64) string {
	return fmt.Sprintf("INSERT INTO %s SELECT %d, %d, %d, (SELECT COALESCE(MAX(epoch), 0) FROM mmm_meta.epoch), @@server_id",
		opTable, round, client, seq)
}

// rowsOfRound are the statements that make what a round begins with; repeated, they do nothing.
func rowsOfRound(round int) []string {
	insert := func(table string, n, value int) string {
		var rows []string
		for k := range n {
			rows = append(rows, fmt.Sprintf("(%d, %d, %d, 0)", round, k, value))
		}
		return "INSERT IGNORE INTO " + table + " VALUES " + strings.Join(rows, ", ")
	}
	return []string{insert(registerTable, history.Registers, 0), insert(accountTable, history.Accounts, history.Balance)}
}

// forgetting are the statements that each delete some rows of rounds before the given one.
func forgetting(round int) []string {
	var list []string
	for _, t := range []struct{ name, key string }{
		{opTable, "round, client, seq"}, {registerTable, "round, k"}, {accountTable, "round, k"},
	} {
		list = append(list, fmt.Sprintf("DELETE FROM %s WHERE round < %d ORDER BY %s LIMIT 500", t.name, round, t.key))
	}
	return list
}

// Read reads what one server holds of a round, at one instant.
func Read(ctx context.Context, db *sql.DB, round int) (history.Tables, error) {
	t := history.Tables{Registers: map[int64]int64{}, Accounts: map[int64]int64{}}
	err := read(ctx, db, round, &t)
	if err != nil {
		return t, fmt.Errorf("read rows of round %d: %w", round, err)
	}
	return t, nil
}

func read(ctx context.Context, db *sql.DB, round int, t *history.Tables) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, statement := range []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	defer conn.ExecContext(ctx, "ROLLBACK")
	err = each(ctx, conn, fmt.Sprintf("SELECT client, seq, epoch, server FROM %s WHERE round = %d", opTable, round), func(rows *sql.Rows) error {
		var r history.Row
		err := rows.Scan(&r.Client, &r.Seq, &r.Epoch, &r.Server)
		t.Rows = append(t.Rows, r)
		return err
	})
	for _, of := range []struct {
		query string
		into  map[int64]int64
	}{
		{fmt.Sprintf("SELECT k, v FROM %s WHERE round = %d", registerTable, round), t.Registers},
		{fmt.Sprintf("SELECT k, balance FROM %s WHERE round = %d", accountTable, round), t.Accounts},
	} {
		if err == nil {
			err = each(ctx, conn, of.query, func(rows *sql.Rows) error {
				var k, v int64
				err := rows.Scan(&k, &v)
				of.into[k] = v
				return err
			})
		}
	}
	return err
}

func each(ctx context.Context, conn *sql.Conn, query string, row func(*sql.Rows) error) error {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
