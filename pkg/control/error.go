package control

// Exit codes of an Error, as all programs of mmm-manager use them.
const (
	ExitFailed      = 1
	ExitUsage       = 2
	ExitDegraded    = 3
	ExitNoActive    = 4
	ExitRefused     = 5
	ExitUnknown     = 6
	ExitNotFound    = 7
	ExitUnreachable = 69
	ExitConfig      = 78
)

// Error is an outcome that is not what was asked for.
type Error struct {
	// Code is stable and for machines.
	Code string `json:"code"`
	// Message is for people; identify's words where it has answered.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Exit    int    `json:"exit_code"`
	Err     error  `json:"-"`
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func unreachable(err error) *Error {
	return &Error{Code: "bus-unreachable", Message: err.Error(), Exit: ExitUnreachable, Err: err}
}
