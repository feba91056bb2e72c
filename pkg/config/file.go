package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/ini.v1"
)

// maxSize bounds a configuration file, and one that it names; a thousand tags take half of it.
const maxSize = 1 << 20

const (
	noEquals     = "this line is neither key=value nor a comment"
	noEqualsHint = "is an equals sign missing? a comment begins with #"
)

// section is one section of a file as written.
type section struct {
	name    string
	line    int
	entries map[string]entry
	order   []string // keys by line
}

type entry struct {
	value string
	line  int
	bare  bool // the line has no equals sign
	open  bool // the value begins with a quote that nothing ends
	cut   bool // a blank and a semicolon ended the value
}

// file is a configuration file taken apart.
type file struct {
	path     string
	sections []*section
	faults   *Faults
	// lost: a section could not be told, and may be any.
	lost bool
}

func (f *file) section(name string) *section {
	for _, s := range f.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// open reads the file at path. What cannot be read is a fault; the rest of the
// file is there all the same.
func open(path string) (*file, fs.FileMode) {
	bad := func(text, hint string) (*file, fs.FileMode) {
		return &file{path: path, faults: &Faults{list: []Fault{{File: path, Text: text, Hint: hint}}}}, 0
	}
	data, mode, err := readFile(path)
	switch {
	case err == nil:
		return parse(path, data), mode
	case errors.Is(err, fs.ErrNotExist):
		return bad("there is no such file", "give the right one with --conf")
	case errors.Is(err, fs.ErrPermission):
		return bad("permission denied", "let the user of this program read it: its group, mode 0640")
	case errors.Is(err, errDirectory):
		return bad(err.Error(), "give the file in it with --conf")
	case errors.Is(err, errNotRegular):
		return bad(err.Error(), "a configuration is read again at a reload, so that a pipe or device cannot hold it")
	case errors.As(err, new(tooLong)):
		return bad(err.Error(), "this is no configuration file")
	}
	return bad("cannot be read: "+cause(err), "")
}

var (
	errDirectory  = errors.New("is a directory")
	errNotRegular = errors.New("is not a regular file")
)

// tooLong is the size of a file of more than maxSize bytes.
type tooLong int64

func (n tooLong) Error() string {
	return fmt.Sprintf("is %d bytes long, more than %d", int64(n), maxSize)
}

// readFile reads a regular file of at most maxSize bytes, and never opens
// anything else: a pipe would hold the program.
func readFile(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, err
	case info.IsDir():
		return nil, 0, errDirectory
	case !info.Mode().IsRegular():
		return nil, 0, errNotRegular
	case info.Size() > maxSize:
		return nil, 0, tooLong(info.Size())
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = in.Close() }()
	data, err := io.ReadAll(io.LimitReader(in, maxSize+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(data) > maxSize: // it grows
		return nil, 0, tooLong(len(data))
	}
	return data, info.Mode(), nil
}

// cause is the system's word for err, without the path.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// parse takes data apart line by line and lets ini.v1 read the values. ini.v1
// stops at the first line that it cannot read, knows no line numbers and merges
// what is written twice, so that the lines are looked at first and the bad ones
// kept from it.
func parse(path string, data []byte) *file {
	f := &file{path: path, faults: &Faults{}}
	fault := func(line int, sec *section, key, text, hint string) {
		x := Fault{File: path, Line: line, Key: key, Text: text, Hint: hint}
		if sec != nil {
			x.Section = sec.name
		}
		f.faults.add(x)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(data) > maxSize {
		fault(0, nil, "", fmt.Sprintf("is more than %d bytes long", maxSize), "this is no configuration file")
		return f
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		fault(0, nil, "", "is not a text file", "it has a zero byte; save it as plain text, not as UTF-16")
		return f
	}

	var clean strings.Builder
	var current, twin *section // twin: the section that the lines repeat
	stray := false
	for i, line := range strings.Split(string(data), "\n") {
		n, line := i+1, strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			name, ok := header(line)
			current, twin, stray = nil, nil, true
			if !ok {
				f.lost = true
				fault(n, nil, "", "this section header is not [name]", "only a comment may follow the bracket; the lines up to the next header are left out")
				continue
			}
			if s := f.section(name); s != nil {
				twin = s
				fault(n, s, "", fmt.Sprintf("the section stands twice, first in line %d", s.line), "join the two, or give one another name")
				continue
			}
			current = &section{name: name, line: n, entries: map[string]entry{}}
			f.sections = append(f.sections, current)
			fmt.Fprintf(&clean, "[%s]\n", name)
			continue
		}
		key, raw, hasValue := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch {
		case twin != nil || current == nil && stray:
			// Said once, at the header.
		case current == nil:
			stray, f.lost = true, true
			fault(n, nil, "", "there are lines before the first [section]", "begin with [mysql3308], [redis] or [log]")
		case !isName(key) && hasValue:
			fault(n, current, "", "what stands before the equals sign is not the name of a key", "a value goes on one line; a comment begins with #")
		case !isName(key):
			fault(n, current, "", noEquals, noEqualsHint)
		case has(current.entries, key):
			fault(n, current, key, fmt.Sprintf("the key stands twice in this section, first in line %d", current.entries[key].line), "keep one of them")
		default:
			e := entry{line: n, bare: !hasValue}
			var value string
			value, e.open, e.cut = unquote(raw)
			current.entries[key] = e
			current.order = append(current.order, key)
			clean.WriteString(protect(key, value, hasValue))
		}
	}
	f.read(clean.String())
	return f
}

// read fills in the values.
func (f *file) read(clean string) {
	parsed, err := ini.LoadSources(ini.LoadOptions{
		SpaceBeforeInlineComment: true,
		IgnoreContinuation:       true,
		AllowBooleanKeys:         true,
		KeyValueDelimiters:       "=",
	}, []byte(clean))
	if err != nil {
		// The cause may hold a line of the file, hence a password.
		f.faults.add(Fault{File: f.path, Text: "cannot be read as INI", Hint: "look for quotes and brackets that nothing ends"})
		f.sections = nil
		return
	}
	for _, s := range f.sections {
		for _, k := range parsed.Section(s.name).Keys() {
			if e, ok := s.entries[k.Name()]; ok {
				e.value = k.Value()
				s.entries[k.Name()] = e
			}
		}
	}
}

// header reads "[name]", which a comment may follow.
func header(line string) (string, bool) {
	name, rest, ok := strings.Cut(line[1:], "]")
	name, rest = strings.TrimSpace(name), strings.TrimSpace(rest)
	if !ok || name == "" || rest != "" && rest[0] != '#' && rest[0] != ';' {
		return "", false
	}
	return name, !strings.ContainsAny(name, "[\"`") && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// unquote cuts the comment off a value and takes the quotes around it away. A
// comment begins with # or ; after a blank, outside quotes. open reports a
// first quote that nothing ends, cut a comment that a semicolon begins.
func unquote(raw string) (value string, open, cut bool) {
	value = strings.TrimSpace(raw)
	if value == "" {
		return "", false, false
	}
	if q := value[0]; q == '\'' || q == '"' {
		inside, rest, closed := strings.Cut(value[1:], string(q))
		if closed && (rest == "" || blank(rest[0]) && strings.ContainsAny(strings.TrimSpace(rest)[:1], "#;")) {
			return inside, false, false
		}
		open = true
	}
	for i := range len(value) {
		mark := value[i] == '#' || value[i] == ';'
		if mark && (i > 0 && blank(value[i-1]) || i == 0 && raw[0] != value[0]) {
			return strings.TrimSpace(value[:i]), open, value[i] == ';'
		}
	}
	return value, open, false
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// protect writes a line for ini.v1. With these options it would still cut a
// quoted value at a blank and a hash, take the second of two comments for the
// first, and read on through the lines after a backquote; within three double
// quotes it takes everything as it stands.
func protect(key, value string, hasValue bool) string {
	switch {
	case !hasValue:
		return key + "\n"
	case value == strings.TrimSpace(value) && !strings.ContainsAny(value, "#;'\"`"):
		return key + "=" + value + "\n"
	}
	return key + `="""` + value + `"""` + "\n"
}

// isName reports whether text can be the name of a key. Nothing else is ever
// printed as one: it may be a part of a password.
func isName(text string) bool {
	if text == "" || len(text) > 40 {
		return false
	}
	for i, c := range []byte(text) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, ok := m[key]
	return ok
}
