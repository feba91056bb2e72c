package workload

import (
	"database/sql/driver"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// Errors of a server by which a statement has certainly done nothing.
const (
	errDatabaseDenied = 1044
	errNoDatabase     = 1049
	errDuplicate      = 1062
	errTableDenied    = 1142
	errNoTable        = 1146
	errLockWait       = 1205
	errDeadlock       = 1213
	errReadOnly       = 1290
	errInReadOnly     = 1792
	errReadOnlyMode   = 1836
)

// judge tells what certainly was not done from what may have been. Of answers only
// those of the list are refusals: one like "killed" may come after the commit.
func judge(err error) history.Outcome {
	var answer *mysql.MySQLError
	switch {
	case err == nil:
		return history.OK
	case errors.As(err, &answer):
		switch answer.Number {
		case errDatabaseDenied, errNoDatabase, errDuplicate, errTableDenied, errNoTable,
			errLockWait, errDeadlock, errReadOnly, errInReadOnly, errReadOnlyMode:
			return history.Refused
		}
	case errors.Is(err, driver.ErrBadConn): // the driver promises that nothing was sent
		return history.Refused
	}
	return history.Unknown
}

// isCollision reports whether another client was in the way, and not the server.
func isCollision(err error) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && (answer.Number == errLockWait || answer.Number == errDeadlock)
}
