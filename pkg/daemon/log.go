package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// timeFormat has milliseconds, with zeros kept, so that lines sort by time.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

var setTimeFormat = sync.OnceFunc(func() { zerolog.TimeFieldFormat = timeFormat })

// LogOptions says where a log goes.
type LogOptions struct {
	Program string // stands in every line; may be empty
	File    string // empty: Stderr
	Debug   bool   // samples and steps too
	// Stderr is the standard error stream; nil: that of the process.
	Stderr io.Writer
}

// Log is a log that can be moved to another file, or to a new file of the same
// name, while it is written to. A file is JSON by lines; standard error too,
// except on a terminal.
type Log struct {
	zerolog.Logger
	out *output
}

// OpenLog opens the log. Its file is appended to, and made if its directory exists.
func OpenLog(o LogOptions) (*Log, error) {
	setTimeFormat()
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	out := &output{stderr: o.Stderr}
	if f, ok := o.Stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		out.stderr = zerolog.ConsoleWriter{Out: f, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""}
	}
	if err := out.open(o.File); err != nil {
		return nil, err
	}
	level := zerolog.InfoLevel
	if o.Debug {
		level = zerolog.DebugLevel
	}
	with := zerolog.New(out).Level(level).With().Timestamp()
	if o.Program != "" {
		with = with.Str("program", o.Program)
	}
	return &Log{Logger: with.Logger(), out: out}, nil
}

// Reopen goes on in file, anew even when the name is the same: after a rotation
// the old name is another file. On an error the log stays where it was.
func (l *Log) Reopen(file string) error { return l.out.open(file) }

// Close closes the file. What is written later goes to standard error.
func (l *Log) Close() error { return l.out.open("") }

// output is a writer whose file can be changed under it.
type output struct {
	stderr io.Writer

	mu   sync.Mutex
	file *os.File // nil: stderr
}

// wrongName are errors that only another configuration helps against. Others,
// such as a full disk, may pass, and the program may be started again.
var wrongName = []error{fs.ErrNotExist, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG}

func (o *output) open(name string) error {
	var next *os.File
	if name != "" {
		var err error
		if next, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
			err = fmt.Errorf("open log: %w", err)
			for _, cause := range wrongName {
				if errors.Is(err, cause) {
					return Exit(ExitConfig, err)
				}
			}
			return err
		}
	}
	o.mu.Lock()
	last := o.file
	o.file = next
	o.mu.Unlock()
	if last != nil {
		return last.Close()
	}
	return nil
}

// Write writes one line. A file that cannot be written to, such as on a full
// disk, must not silence a daemon: the line goes to standard error.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		if _, err := o.file.Write(line); err == nil {
			return len(line), nil
		}
	}
	return o.stderr.Write(line)
}

// OnTerminal reports whether a person sits at the standard input.
func OnTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }
