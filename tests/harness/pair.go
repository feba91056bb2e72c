package harness

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// PairOptions describe a pair of servers.
type PairOptions struct {
	// AutoReplicate and Extra are those of both servers.
	AutoReplicate bool
	Extra         []string
}

// Pair is two servers that replicate from each other by GTID, both closed.
type Pair struct {
	// A is the primary host, B the secondary host.
	A, B *Server
}

// NewPair makes two servers, starts them and starts replication both ways.
func (l *Lab) NewPair(ctx context.Context, opts PairOptions) (*Pair, error) {
	p := &Pair{}
	for id, s := range map[uint32]**Server{1: &p.A, 2: &p.B} {
		var err error
		if *s, err = l.NewServer(ctx, ServerOptions{ID: id, AutoReplicate: opts.AutoReplicate, Extra: opts.Extra}); err != nil {
			return nil, err
		}
	}
	return p, p.begin(ctx)
}

// Renew stops both servers and starts them again without any transaction.
func (p *Pair) Renew(ctx context.Context) error {
	for _, s := range p.Servers() {
		s.Kill()
		if err := s.Reset(ctx); err != nil {
			return err
		}
	}
	return p.begin(ctx)
}

func (p *Pair) begin(ctx context.Context) error {
	group, starting := errgroup.WithContext(ctx)
	for _, s := range p.Servers() {
		group.Go(func() error { return s.Start(starting) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, s := range p.Servers() {
		if err := s.ReplicateFrom(ctx, p.Other(s)); err != nil {
			return err
		}
	}
	return p.WaitReplicating(ctx)
}

// Servers are both servers, the primary host first.
func (p *Pair) Servers() []*Server { return []*Server{p.A, p.B} }

// Other is the server that is not s.
func (p *Pair) Other(s *Server) *Server {
	if s == p.A {
		return p.B
	}
	return p.A
}

// At is the server with this address, nil when there is none.
func (p *Pair) At(e cluster.Endpoint) *Server {
	for _, s := range p.Servers() {
		if s.Addr() == e {
			return s
		}
	}
	return nil
}

// WaitReplicating waits until both servers receive and apply from each other.
func (p *Pair) WaitReplicating(ctx context.Context) error {
	for _, s := range p.Servers() {
		if err := s.WaitReplicates(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Channel is what a test needs of SHOW REPLICA STATUS.
type Channel struct {
	IO, SQL           string
	received          string
	IOError, SQLError string
}

// WaitReplicates waits until the server receives and applies.
func (s *Server) WaitReplicates(ctx context.Context) error {
	return Until(ctx, "server "+string(s.Addr())+" replicates", func(ctx context.Context) (bool, string) {
		c, err := s.Channel(ctx)
		if err != nil {
			return false, err.Error()
		}
		return c.IO == "Yes" && c.SQL == "Yes", fmt.Sprintf("IO %s %s, SQL %s %s", c.IO, c.IOError, c.SQL, c.SQLError)
	})
}

// ReadOnly reads the global read_only.
func (s *Server) ReadOnly(ctx context.Context) (bool, error) {
	text, err := s.Value(ctx, "SELECT @@global.read_only")
	return text == "1", err
}

// Value reads the one value of a query as text.
func (s *Server) Value(ctx context.Context, query string, args ...any) (string, error) {
	var value sql.NullString
	if err := s.admin.QueryRowContext(ctx, query, args...).Scan(&value); err != nil {
		return "", fmt.Errorf("ask %s: %w", s.Addr(), err)
	}
	return value.String, nil
}

// row reads the first row of a query by column names; an empty map when there is none.
func (s *Server) row(ctx context.Context, query string) (map[string]string, error) {
	rows, err := s.admin.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.Addr(), err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.Addr(), err)
	}
	if !rows.Next() {
		return map[string]string{}, rows.Err()
	}
	values := make([]sql.NullString, len(names))
	targets := make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", s.Addr(), err)
	}
	row := map[string]string{}
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, rows.Err()
}

// Describe tells what a server's sessions, variables and channel are, for a person who has
// to find out what went wrong.
func (s *Server) Describe(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, query := range []string{"SHOW FULL PROCESSLIST", "SHOW REPLICA STATUS", "SHOW GLOBAL VARIABLES WHERE Variable_name LIKE '%read_only' OR Variable_name LIKE 'rpl_semi%' OR Variable_name LIKE 'gtid%'", "SHOW GLOBAL STATUS LIKE 'rpl_semi%'"} {
		rows, err := s.admin.QueryContext(ctx, query)
		if err != nil {
			return b.String(), fmt.Errorf("ask %s: %w", s.Addr(), err)
		}
		err = describeRows(&b, rows)
		if err != nil {
			return b.String(), fmt.Errorf("ask %s: %w", s.Addr(), err)
		}
	}
	return b.String(), nil
}

func describeRows(b *strings.Builder, rows *sql.Rows) error {
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		for i, v := range values {
			if v.String != "" {
				fmt.Fprintf(b, "%s=%s  ", names[i], v.String)
			}
		}
		b.WriteString("\n")
	}
	return rows.Err()
}
