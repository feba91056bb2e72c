package mysqlnode

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Errors that callers tell apart.
var (
	// ErrLockWait: read_only could not be set within the lock wait, because
	// something writes, holds table locks or waits for an acknowledgement.
	ErrLockWait = errors.New("something that writes holds it up")
	// ErrTooLate: an opening order reached the server after its time and was not carried out.
	ErrTooLate = errors.New("the order came too late and was not carried out")
	// ErrInUse: the session is busy with another call or a queued order.
	ErrInUse = errors.New("the session is in use")

	errNotApplying   = errors.New("the SQL thread is stopped")
	errReadOnlyBinds = errors.New("the account may not write while read_only is set")
)

// Error is what every method of Node and Conn returns when it did not succeed.
type Error struct {
	Node  cluster.Endpoint
	Op    string // verb and object, followed by the address in the text
	Cause cluster.Cause
	// Number is the server's error number, 0 when it did not answer.
	Number uint16
	Err    error
}

// Error gives the operation, the server and the cause.
func (e *Error) Error() string { return e.Op + " " + string(e.Node) + ": " + e.Err.Error() }

// Unwrap gives the error behind it.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf is the cause of an error of this package; CauseNone for nil and
// CauseOther for errors of others.
func CauseOf(err error) cluster.Cause {
	var e *Error
	switch {
	case err == nil:
		return cluster.CauseNone
	case errors.As(err, &e):
		return e.Cause
	}
	return cluster.CauseOther
}

// Server error numbers that this package knows.
const (
	errTooManyConnections   = 1040
	errDatabaseDenied       = 1044
	errAccessDenied         = 1045
	errServerShutdown       = 1053
	errUnknownDatabase      = 1049
	errUnknownColumn        = 1054
	errParse                = 1064
	errNoSuchThread         = 1094
	errKillDenied           = 1095
	errUnknownTable         = 1109
	errPluginThere          = 1125
	errHostBlocked          = 1129
	errHostNotPrivileged    = 1130
	errTableDenied          = 1142
	errColumnDenied         = 1143
	errNoSuchTable          = 1146
	errUnknownVariable      = 1193
	errNotReplica           = 1200
	errTooManyOfUser        = 1203
	errLockWait             = 1205
	errDeadlock             = 1213
	errUserLimit            = 1226
	errSpecificDenied       = 1227
	errWrongValue           = 1231
	errReplicaRunning       = 1254
	errReplicaStopped       = 1255
	errReadOnlyOption       = 1290
	errNoSuchFunction       = 1305
	errRoutineDenied        = 1370
	errAccessDeniedNoPasswd = 1698
	errNotSupportedAuth     = 1251
	errMustChangePassword   = 1820
	errPasswordExpired      = 1862
	errKilled               = 1927
	errPositionBehind       = 1947
	errOfflineMode          = 3032
	errAccountLocked        = 3118
	errIdleTimeout          = 4031
	errAccountLockedMariaDB = 4151
)

// numberCause classifies an answer of the server.
func numberCause(number uint16) cluster.Cause {
	switch number {
	case errAccessDenied, errAccessDeniedNoPasswd, errPasswordExpired, errMustChangePassword, errAccountLocked, errNotSupportedAuth, errOfflineMode,
		errAccountLockedMariaDB, errDatabaseDenied, errHostNotPrivileged:
		return cluster.CauseAccessDenied
	case errTooManyConnections, errTooManyOfUser, errUserLimit:
		return cluster.CauseTooMany
	case errHostBlocked:
		return cluster.CauseHostBlocked
	case errServerShutdown, errKilled, errIdleTimeout:
		return cluster.CauseReset
	}
	return cluster.CauseOther
}

// networkCause classifies what the operating system said of a connection.
func networkCause(err error) cluster.Cause {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return cluster.CauseUnreachable
	case errors.Is(err, syscall.ECONNREFUSED):
		return cluster.CauseRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		// Nobody answered for the address on its own network: a host that is
		// switched off shows this as well as a dropped packet, and later.
		return cluster.CauseConnectTimeout
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN),
		// What a local packet filter answers.
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return cluster.CauseUnreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE), errors.Is(err, errEnded):
		return cluster.CauseReset
	case errors.Is(err, context.Canceled):
		return cluster.CauseOther
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, syscall.ETIMEDOUT), errors.As(err, &timeout) && timeout.Timeout():
		return cluster.CauseConnectTimeout
	}
	return cluster.CauseOther
}

// dialError words why TCP did not connect.
func dialError(node cluster.Endpoint, err error, within time.Duration) *Error {
	e := &Error{Node: node, Op: "connect to", Cause: networkCause(err), Err: err}
	if e.Cause == cluster.CauseConnectTimeout {
		e.Err = fmt.Errorf("no TCP answer within %s: %w", within, err)
	}
	return e
}

// sessionError words why a session gave no result.
func sessionError(node cluster.Endpoint, op string, l *link, err error) *Error {
	e := &Error{Node: node, Op: op, Cause: cluster.CauseOther, Err: err}
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		e.Number = answer.Number
		e.Cause = numberCause(answer.Number)
		return e
	}
	for _, login := range []error{mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin} {
		if errors.Is(err, login) {
			e.Cause = cluster.CauseAccessDenied
			e.Err = errors.New("the account's way to log in is not supported or not allowed: " + login.Error())
			return e
		}
	}
	fault, unread := l.state()
	switch {
	case fault != nil && lost(err):
		e.Cause = networkCause(fault)
		e.Err = fault
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded) && unread:
		e.Err = fmt.Errorf("the server answered, this program came to it too late: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		e.Cause = cluster.CauseAnswerTimeout
		e.Err = fmt.Errorf("no answer in time: %w", err)
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn):
		e.Err = errors.New("the session is closed")
	}
	return e
}

// lost reports whether err says no more than that the session is gone; why is
// then what the link has noted.
func lost(err error) bool {
	var network net.Error
	for _, gone := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return errors.As(err, &network)
}

// number is the server's error number behind err, 0 when it has none.
func number(err error) uint16 {
	var e *Error
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// Stopping reports whether err is the answer of a server that is being stopped.
func Stopping(err error) bool { return number(err) == errServerShutdown }

// Refused reports whether the account lacks a privilege for what it tried.
func Refused(err error) bool {
	return refused(number(err)) || errors.Is(err, errReadOnlyBinds)
}
