package harness

import (
	"context"
	"fmt"
)

// Tally compares what clients were told with what a server holds.
type Tally struct {
	Acknowledged int
	// Lost are acknowledged rows that the server does not hold.
	Lost []Row
	// Unknown counts rows whose outcome the client does not know, UnknownPresent
	// those of them that the server holds.
	Unknown, UnknownPresent int
	// Invented are rows on the server that no client ever inserted.
	Invented []Row
	Present  int
}

// String gives the tally in words.
func (t Tally) String() string {
	return fmt.Sprintf("%d acknowledged, %d lost, %d present, %d of %d unknown present, %d invented",
		t.Acknowledged, len(t.Lost), t.Present, t.UnknownPresent, t.Unknown, len(t.Invented))
}

// Tally counts the rows of the given writers on the server.
func (s *Server) Tally(ctx context.Context, writers ...*Writer) (Tally, error) {
	var t Tally
	present, err := s.Rows(ctx)
	if err != nil {
		return t, err
	}
	t.Present = len(present)
	known := map[Row]bool{}
	for _, w := range writers {
		for _, a := range w.Acks() {
			known[a.Row] = true
			t.Acknowledged++
			if !present[a.Row] {
				t.Lost = append(t.Lost, a.Row)
			}
		}
		for _, row := range w.Unknown() {
			known[row] = true
			t.Unknown++
			if present[row] {
				t.UnknownPresent++
			}
		}
	}
	for row := range present {
		if !known[row] {
			t.Invented = append(t.Invented, row)
		}
	}
	return t, nil
}

// Rows reads all rows of the application's table.
func (s *Server) Rows(ctx context.Context) (map[Row]bool, error) {
	rows, err := s.admin.QueryContext(ctx, "SELECT client, seq FROM "+AppDB+".entry")
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
	}
	defer rows.Close()
	present := map[Row]bool{}
	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.Client, &r.Seq); err != nil {
			return nil, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
		}
		present[r] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", s.Addr(), err)
	}
	return present, nil
}
