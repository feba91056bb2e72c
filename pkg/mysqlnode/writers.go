package mysqlnode

import (
	"context"
	"strconv"
	"time"
)

// Writer is an open transaction that holds something a closing order would cut off.
type Writer struct {
	// ID is its session, 0 for a prepared XA transaction without one.
	ID   uint64
	User string
	// Age is how long the transaction has been open at least; servers note the
	// beginning by the second.
	Age  time.Duration
	What string
}

// Writers lists open InnoDB transactions that have changed rows or locked
// tables; the applier's and our own are left out. LOCK TABLES without a
// transaction does not show: it makes SetReadOnly return ErrLockWait. Asked more
// often than every 100 ms, by whomever, servers repeat their last answer.
func (c *Conn) Writers(ctx context.Context) ([]Writer, error) {
	got, err := c.first(ctx, "list the open transactions of", c.dialect.writers)
	if err != nil {
		return nil, err
	}
	var all []Writer
	for i := range got.rows {
		r := got.row(i)
		id, _ := r.integer("id")
		w := Writer{ID: uint64(id), User: r.text("user"), What: "an open transaction that has locked tables"}
		if w.ID == c.id || w.User == "system user" {
			continue
		}
		if modified, _ := r.integer("modified"); modified > 0 {
			w.What = "an open transaction that has changed " + r.text("modified") + " rows"
		}
		if w.ID == 0 {
			w.What += ", prepared by XA and left alone"
		}
		if us, err := strconv.ParseFloat(r.text("age_us"), 64); err == nil {
			w.Age = time.Duration(us) * time.Microsecond
		}
		all = append(all, w)
	}
	return all, nil
}
