package harness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// copied are the schemas that a rebuilt server gets from its source.
var copied = []string{AppDB, "mmm_meta"}

// copyRows bounds the rows of one statement.
const copyRows = 500

// Rebuild makes a stopped server anew: system tables and users as at its first start, what source holds
// of the applications' and our own schemas, and a channel from there. Nobody can write on source
// while its tables are locked, which is a moment; nobody but root reaches the server before it is done.
func (s *Server) Rebuild(ctx context.Context, source *Server) error {
	if err := s.Reset(ctx); err != nil {
		return err
	}
	extra := s.Extra
	s.Extra = append(slices.Clone(extra), s.lab.flavor.apart()...)
	err := s.Start(ctx)
	s.Extra = extra
	if err != nil {
		return err
	}
	position, err := s.copyFrom(ctx, source)
	if err != nil {
		return fmt.Errorf("copy %s: %w", source.Addr(), err)
	}
	for _, statement := range s.lab.flavor.goOnFrom(position) {
		if err := s.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := s.ReplicateFrom(ctx, source); err != nil {
		return err
	}
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

// copyFrom copies schemas as they were at the position that it gives.
func (s *Server) copyFrom(ctx context.Context, source *Server) (position string, err error) {
	read, err := source.admin.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer read.Close()
	for _, step := range []string{"SET SESSION lock_wait_timeout=5", "FLUSH TABLES WITH READ LOCK", "START TRANSACTION WITH CONSISTENT SNAPSHOT"} {
		if _, err := read.ExecContext(ctx, step); err != nil {
			return "", fmt.Errorf("%s: %w", step, err)
		}
	}
	err = read.QueryRowContext(ctx, s.lab.flavor.position()).Scan(&position)
	if _, problem := read.ExecContext(ctx, "UNLOCK TABLES"); err != nil || problem != nil {
		return "", errors.Join(err, problem)
	}
	if err := s.copySchemas(ctx, read); err != nil {
		return "", err
	}
	_, err = read.ExecContext(ctx, "ROLLBACK")
	return position, err
}

// copySchemas copies tables from a session of another server. Nothing of it enters the binary log.
func (s *Server) copySchemas(ctx context.Context, from *sql.Conn) error {
	to, err := s.admin.Conn(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	for _, statement := range []string{"SET sql_log_bin=0", "SET FOREIGN_KEY_CHECKS=0"} {
		if _, err := to.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	defer func() { _, _ = to.ExecContext(ctx, "SET sql_log_bin=1") }()
	for _, schema := range copied {
		tables, err := column(ctx, from, "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema = '"+schema+"'")
		if err != nil {
			return err
		}
		if _, err := to.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+schema); err != nil {
			return err
		}
		for _, table := range tables {
			if err := copyTable(ctx, from, to, schema+"."+table); err != nil {
				return fmt.Errorf("table %s.%s: %w", schema, table, err)
			}
		}
	}
	return nil
}

func copyTable(ctx context.Context, from, to *sql.Conn, table string) error {
	var name, definition string
	if err := from.QueryRowContext(ctx, "SHOW CREATE TABLE "+table).Scan(&name, &definition); err != nil {
		return err
	}
	schema, _, _ := strings.Cut(table, ".")
	for _, statement := range []string{"DROP TABLE IF EXISTS " + table, "USE " + schema, definition} {
		if _, err := to.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	rows, err := from.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	mark := "(?" + strings.Repeat(",?", len(columns)-1) + ")"
	var values []any
	write := func() error {
		if len(values) == 0 {
			return nil
		}
		_, err := to.ExecContext(ctx, "INSERT INTO "+table+" VALUES "+mark+strings.Repeat(","+mark, len(values)/len(columns)-1), values...)
		values = values[:0]
		return err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		targets := make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if values = append(values, row...); len(values) >= copyRows*len(columns) {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return write()
}

func column(ctx context.Context, conn *sql.Conn, query string) ([]string, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}
