package workload

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// What is refused has certainly not been done.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		err  error
		want history.Outcome
	}{
		{nil, history.OK},
		{&mysql.MySQLError{Number: 1290}, history.Refused},
		{&mysql.MySQLError{Number: 1213}, history.Refused},
		{driver.ErrBadConn, history.Refused},
		{&mysql.MySQLError{Number: 1053}, history.Unknown}, // shutdown
		{&mysql.MySQLError{Number: 1317}, history.Unknown}, // interrupted
		{&mysql.MySQLError{Number: 1927}, history.Unknown}, // killed
		{&mysql.MySQLError{Number: 1180}, history.Unknown}, // an error during the commit
		{mysql.ErrInvalidConn, history.Unknown},
		{context.DeadlineExceeded, history.Unknown},
		{errors.New("unexpected EOF"), history.Unknown},
	} {
		if got := judge(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
