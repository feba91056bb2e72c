package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// Fault is one thing that is wrong, or worth a word, in a configuration file.
type Fault struct {
	File string
	// Section and Key are empty when the fault is not about one.
	Section, Key string
	Line         int // from 1; 0 when the fault is about the whole file
	Text, Hint   string
	// Warning: the file can be used all the same.
	Warning bool
	// Strict: a warning that a check of the file counts as an error, such as an unknown key.
	Strict bool
}

// String prints the fault in one line: "file:line: [section] key: text (hint)".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Warning {
		b.WriteString("warning: ")
	}
	if f.Section != "" {
		fmt.Fprintf(&b, "[%s] ", f.Section)
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	if f.Hint != "" {
		fmt.Fprintf(&b, " (%s)", f.Hint)
	}
	return b.String()
}

// Faults is everything found in one file, in the order of its lines.
type Faults struct{ list []Fault }

// ExitConfig is the exit code for a configuration that cannot be used (EX_CONFIG of sysexits.h).
const ExitConfig = 78

// All returns every fault and warning.
func (f *Faults) All() []Fault {
	if f == nil {
		return nil
	}
	return slices.Clone(f.list)
}

// Errors returns the faults that stop a tag or the whole file.
func (f *Faults) Errors() []Fault { return f.pick(func(x Fault) bool { return !x.Warning }) }

// Warnings returns the rest.
func (f *Faults) Warnings() []Fault { return f.pick(func(x Fault) bool { return x.Warning }) }

// Err is nil when there are only warnings; otherwise an error with all errors, one in a line.
func (f *Faults) Err() error { return asError(f.Errors()) }

// ErrStrict is Err for a check of the file: it counts the strict warnings too.
func (f *Faults) ErrStrict() error {
	return asError(f.pick(func(x Fault) bool { return !x.Warning || x.Strict }))
}

// Log writes each fault to log, a warning as a warning.
func (f *Faults) Log(log zerolog.Logger) {
	for _, x := range f.All() {
		e := log.Error()
		if x.Warning {
			e = log.Warn()
		}
		e.Str("reason", x.String()).Msg("configuration")
	}
}

func asError(list []Fault) error {
	if len(list) == 0 {
		return nil
	}
	return &Error{list}
}

// Error is a configuration that cannot be used.
type Error struct{ Faults []Fault }

// Error prints the faults, one in a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is the exit code of a program that stops for it.
func (e *Error) ExitCode() int { return ExitConfig }

func (f *Faults) add(x Fault) { f.list = append(f.list, x) }

func (f *Faults) sort() {
	slices.SortStableFunc(f.list, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
}

func (f *Faults) pick(want func(Fault) bool) []Fault {
	var out []Fault
	for _, x := range f.All() {
		if want(x) {
			out = append(out, x)
		}
	}
	return out
}

func (f *Faults) hasErrorIn(section string) bool {
	return slices.ContainsFunc(f.list, func(x Fault) bool { return !x.Warning && x.Section == section })
}
