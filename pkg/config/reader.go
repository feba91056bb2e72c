package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// reader takes typed values out of one section and collects faults. Every key
// that it is asked for is known; what is left over at the end is not.
type reader struct {
	file  *file
	sec   *section
	asked []string
}

func (f *file) reader(sec *section) *reader { return &reader{file: f, sec: sec} }

func (r *reader) add(x Fault) {
	x.File, x.Section = r.file.path, r.sec.name
	if x.Line == 0 {
		x.Line = r.sec.line
		if e, ok := r.sec.entries[x.Key]; ok {
			x.Line = e.line
		}
	}
	r.file.faults.add(x)
}

func (r *reader) fault(key, text, hint string) { r.add(Fault{Key: key, Text: text, Hint: hint}) }

func (r *reader) warn(key, text, hint string) {
	r.add(Fault{Key: key, Text: text, Hint: hint, Warning: true})
}

// later says that a key is understood and its mechanism not built yet.
func (r *reader) later(key, meanwhile string) {
	r.warn(key, "not in force yet", meanwhile)
}

// given reports whether the section has the key.
func (r *reader) given(key string) bool { return has(r.sec.entries, key) }

// text is the value of a key, def when it is absent or empty. ok is false when
// there is nothing to check further.
func (r *reader) text(key, def string) (value string, ok bool) {
	r.asked = append(r.asked, key)
	e, found := r.sec.entries[key]
	switch {
	case !found:
		return def, false
	case e.bare:
		r.fault(key, "has no value", "write "+key+"=VALUE")
		return def, false
	case e.open:
		r.fault(key, "the value begins with a quote that nothing ends", "close it, or put the whole value in quotes of the other kind")
		return def, false
	case e.value == "":
		return def, false
	}
	if strings.ContainsFunc(e.value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.fault(key, "the value has a control character in it", "type it again")
		return def, false
	}
	return e.value, true
}

// word is a text without blanks.
func (r *reader) word(key, def, hint string) string {
	v, ok := r.text(key, def)
	if ok && strings.ContainsAny(v, " \t") {
		r.fault(key, shown(v)+" has a blank in it", hint)
		return def
	}
	return v
}

// require reports a missing key, or an empty one.
func (r *reader) require(key, hint string) {
	e, found := r.sec.entries[key]
	switch {
	case !found:
		r.fault(key, "is missing", hint)
	case !e.bare && !e.open && e.value == "":
		r.fault(key, "is empty", hint)
	}
}

func (r *reader) secret(key string) cluster.Secret {
	v, ok := r.text(key, "")
	if last := len(v) - 1; ok && (v[last] == '\'' || v[last] == '"') {
		r.warn(key, "ends with a quote, which is taken as a part of it", "put the whole value in quotes")
	}
	return cluster.Secret(v)
}

// certificates reads the file of PEM certificates that the key names and gives
// its text.
func (r *reader) certificates(key string) string {
	path, ok := r.text(key, "")
	if !ok {
		return ""
	}
	hint := "name a file of certificates in PEM, which the user of this program can read"
	data, _, err := readFile(path)
	var text string
	switch {
	case errors.Is(err, errDirectory), errors.Is(err, errNotRegular), errors.As(err, new(tooLong)):
		text = err.Error()
	case err != nil:
		text = "cannot be read: " + cause(err)
	case len(bytes.TrimSpace(data)) == 0:
		text = "is empty"
	case x509.NewCertPool().AppendCertsFromPEM(data):
		return string(data)
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		text, hint = "is binary, not PEM", "openssl x509 -inform der makes PEM of a certificate in DER"
	default:
		text = "holds no certificate"
	}
	r.fault(key, shown(path)+" "+text, hint)
	return ""
}

func (r *reader) list(key string) []string {
	v, ok := r.text(key, "")
	if !ok {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func (r *reader) endpoint(key, hint string) cluster.Endpoint {
	v, ok := r.text(key, "")
	if !ok {
		return ""
	}
	e, err := cluster.ParseEndpoint(v)
	if err != nil {
		r.fault(key, reason(err), hint)
		return ""
	}
	return e
}

// reason is an error's text without "parse address", which the fault's place says.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "parse address ") }

func (r *reader) choice(key, def string, allowed ...string) string {
	v, ok := r.text(key, def)
	if !ok {
		return def
	}
	for _, a := range allowed {
		if strings.EqualFold(v, a) {
			return a
		}
	}
	r.fault(key, shown(v)+" is not one of "+strings.Join(allowed, ", "), didYouMean(v, allowed))
	return def
}

// yes reads 1/0 and the usual words; a key without an equals sign is a yes.
func (r *reader) yes(key string, def bool) bool {
	if e, ok := r.sec.entries[key]; ok && e.bare {
		r.asked = append(r.asked, key)
		return true
	}
	v, ok := r.text(key, "")
	if !ok {
		return def
	}
	switch strings.ToLower(v) {
	case "1", "yes", "true", "on":
		return true
	case "0", "no", "false", "off":
		return false
	}
	r.fault(key, shown(v)+" is neither 1 nor 0", "write 1 for yes, 0 for no")
	return def
}

func (r *reader) count(key string, def, least, most int, hint string) int {
	v, ok := r.text(key, "")
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 63)
	switch {
	case negative(v):
		r.fault(key, shown(v)+" is negative", hint)
	case !digits.MatchString(v):
		r.fault(key, shown(v)+" is not a whole number", hint)
	case err != nil || n > uint64(most):
		r.fault(key, fmt.Sprintf("%s is more than %d", shown(v), most), hint)
	case n < uint64(least):
		r.fault(key, fmt.Sprintf("%s is less than %d", shown(v), least), hint)
	default:
		return int(n)
	}
	return def
}

var (
	digits  = regexp.MustCompile(`^[0-9]+$`)
	decimal = regexp.MustCompile(`^[0-9]*\.?[0-9]+$`)
	unit    = regexp.MustCompile(`^[0-9.]+ *(ns|us|ms|s|sec|m|min|h|d)$`)
)

// seconds reads a number of seconds, decimals allowed.
func (r *reader) seconds(key string, def, least, most time.Duration, hint string) time.Duration {
	v, ok := r.text(key, "")
	if !ok {
		return def
	}
	switch {
	case negative(v):
		r.fault(key, shown(v)+" is negative", hint)
		return def
	case unit.MatchString(v):
		r.fault(key, shown(v)+" has a unit", "seconds as a bare number, 0.5 for half a second; "+hint)
		return def
	case !decimal.MatchString(v):
		r.fault(key, shown(v)+" is not a number of seconds", hint)
		return def
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil || n > most.Seconds():
		r.fault(key, fmt.Sprintf("%s is more than %v seconds", shown(v), most.Seconds()), hint)
		return def
	case n < least.Seconds():
		r.fault(key, fmt.Sprintf("%s is less than %v seconds", shown(v), least.Seconds()), hint)
		return def
	}
	return time.Duration(math.Round(n * float64(time.Second)))
}

func negative(v string) bool { return v[0] == '-' && decimal.MatchString(v[1:]) }

// pattern compiles a regular expression; nil when there is none. Upper and lower
// case are alike, as they were when servers matched these patterns.
func (r *reader) pattern(key, hint string) *regexp.Regexp {
	v, ok := r.text(key, "")
	if !ok {
		return nil
	}
	p, err := regexp.Compile("(?i)" + v)
	if err != nil {
		if _, plain := regexp.Compile(v); plain != nil {
			err = plain
		}
		text := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		if len(text) > 200 {
			text = text[:197] + "..."
		}
		r.fault(key, "is no regular expression: "+text, hint)
		return nil
	}
	return p
}

// finish reports the keys that nobody asked for.
func (r *reader) finish() {
	names := sorted(r.asked)
	for _, key := range r.sec.order {
		if slices.Contains(names, key) {
			continue
		}
		x := Fault{Key: key, Text: "there is no such key", Line: r.sec.entries[key].line, Warning: true, Strict: true}
		if near := nearest(key, names); near != "" {
			x.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		if r.sec.entries[key].bare {
			// It may be a part of anything, a password too.
			x = Fault{Text: noEquals, Hint: noEqualsHint, Line: x.Line}
		}
		r.add(x)
	}
}

// shown quotes a value, shortened.
func shown(v string) string {
	if len(v) > 60 {
		v = v[:57] + "..."
	}
	return strconv.Quote(v)
}
