package daemon

import (
	"errors"
	"fmt"
)

// Exit codes, the same in every program. Of several tags the worst counts. A
// script takes any other number for a failure.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitDegraded    = 3
	ExitNoActive    = 4
	ExitRefused     = 5 // by a safety rule
	ExitUnknown     = 6 // the outcome is not known
	ExitNotFound    = 7 // no such tag or node
	ExitUnreachable = 69
	ExitLeaseLost   = 75
	ExitConfig      = 78
)

// ExitError is an error with the exit code of the program that stops for it.
// Without Err nothing is printed: the program has said it already.
type ExitError struct {
	Code int
	Err  error
}

// Error is the text of the cause.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is the code.
func (e *ExitError) ExitCode() int { return e.Code }

// Exit joins an exit code to err. A nil err stays nil.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: code, Err: err}
}

// Usagef is an error in how the program was called.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// CodeOf is the exit code for err: that of the first error in its chain with a
// method ExitCode, else 1; 0 for nil.
func CodeOf(err error) int {
	if err == nil {
		return ExitOK
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return ExitFailed
}
