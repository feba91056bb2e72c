package fault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// session is one connection of an application.
type session struct {
	pool *sql.DB
	conn *sql.Conn
}

func open(ctx context.Context, db *site.DB) (*session, error) {
	pool, err := db.Open(harness.AppUser)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &session{pool, conn}, nil
}

func (s *session) do(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// close ends the session; its server may be dead or hung.
func (s *session) close() {
	_ = s.conn.Close()
	_ = s.pool.Close()
}

// inBackground has sessions execute statements, which may wait or fail, until it is healed.
func inBackground(ctx context.Context, sessions []*session, statements ...[]string) (heal, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	for i, s := range sessions {
		wait.Go(func() {
			_ = s.do(ctx, statements[i]...)
			<-ctx.Done()
		})
	}
	return func(context.Context) error {
		cancel()
		wait.Wait()
		for _, s := range sessions {
			s.close()
		}
		return nil
	}, nil
}

// lockTables holds locks: on a closed server those with which its applier has to wait.
func (c *Cast) lockTables(ctx context.Context, role string) (heal, error) {
	s, err := open(ctx, c.db(role))
	if err != nil {
		return nil, err
	}
	how := "WRITE"
	if role == "passive" {
		how = "READ"
	}
	return inBackground(ctx, []*session{s}, []string{"LOCK TABLES op " + how + ", register " + how})
}

func (c *Cast) longWrite(ctx context.Context) (heal, error) {
	s, err := open(ctx, c.Active)
	if err != nil {
		return nil, err
	}
	return inBackground(ctx, []*session{s}, []string{"INSERT INTO entry (client, seq) SELECT 1, UUID_SHORT() FROM (SELECT SLEEP(20)) slept"})
}

// bulk is a table for big transactions.
const bulk = "CREATE TABLE IF NOT EXISTS bulk (id BIGINT AUTO_INCREMENT PRIMARY KEY, filler VARCHAR(1000) NOT NULL)"

// hugeTransaction inserts some 10 MB in one transaction.
func (c *Cast) hugeTransaction(ctx context.Context) (heal, error) {
	s, err := open(ctx, c.Active)
	if err != nil {
		return nil, err
	}
	row := "('" + strings.Repeat("x", 1000) + "')"
	rows := "INSERT INTO bulk (filler) VALUES " + row + strings.Repeat(","+row, 499)
	statements := []string{bulk, "BEGIN"}
	for range 20 {
		statements = append(statements, rows)
	}
	end, err := inBackground(ctx, []*session{s}, append(statements, "COMMIT", "TRUNCATE TABLE bulk"))
	return end, err
}

func (c *Cast) tooManyConnections(ctx context.Context, role string) (heal, error) {
	var sessions []*session
	var statements [][]string
	for range 200 {
		s, err := open(ctx, c.db(role))
		if err != nil {
			break
		}
		sessions, statements = append(sessions, s), append(statements, nil)
	}
	if len(sessions) == 0 {
		return nil, errors.New("no connection at all was taken")
	}
	return inBackground(ctx, sessions, statements...)
}

// ddlBehindLock has an ALTER TABLE wait for a transaction, and everybody else for both.
func (c *Cast) ddlBehindLock(ctx context.Context) (heal, error) {
	reader, err := open(ctx, c.Active)
	if err != nil {
		return nil, err
	}
	if err := reader.do(ctx, "BEGIN", "SELECT 1 FROM op LIMIT 1"); err != nil {
		reader.close()
		return nil, err
	}
	definer, err := open(ctx, c.Active)
	if err != nil {
		reader.close()
		return nil, err
	}
	return inBackground(ctx, []*session{definer, reader}, []string{fmt.Sprintf("ALTER TABLE op COMMENT = '%p'", definer)}, nil)
}
