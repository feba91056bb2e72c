package redisbus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrNotLeader: the caller does not hold the leader's lease under this token.
	ErrNotLeader = errors.New("not the leader")
	// ErrStale: another order than the expected one is in force.
	ErrStale = errors.New("the assignment has moved on")
	// ErrBusy: another request is filed or running.
	ErrBusy = errors.New("another request is under way")
)

// Error is a command that Redis did not carry out, or whose answer was lost.
type Error struct {
	Op   string // what was to be done, for example "save report of 10.0.0.5:3306"
	Addr string
	Err  error
}

// Error names the deed, the server, the cause and, where one is known, the way out.
func (e *Error) Error() string {
	text := e.Plain()
	if h := e.WayOut(); h != "" {
		text += " (" + h + ")"
	}
	return text
}

// Plain is Error without the way out.
func (e *Error) Plain() string { return fmt.Sprintf("%s: redis %s: %v", e.Op, e.Addr, e.Err) }

// WayOut says what a person may do, empty where that is not known.
func (e *Error) WayOut() string { return hint(e.Err) }

// Answer is the code word by which Redis refused, such as READONLY; empty where it
// gave none, or no answer.
func (e *Error) Answer() string {
	answer, is := errors.AsType[redis.Error](e.Err)
	if !is {
		return ""
	}
	if h, known := known(answer.Error()); known {
		return h.code
	}
	return ""
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// WrongTypeError is a key that holds another type than this version writes there.
type WrongTypeError struct {
	Key         string
	Found, Want string // type names of Redis; Found is empty when not known
}

// Error names the key and the way out.
func (e *WrongTypeError) Error() string {
	found := "another type"
	if e.Found != "" {
		found = "a " + e.Found
	}
	want := ""
	if e.Want != "" {
		want = ", a " + e.Want + " is wanted"
	}
	return fmt.Sprintf("key %s holds %s%s: something else wrote it; %s", quoteKey(e.Key), found, want, wayOut(e.Key))
}

// ValueError is a record whose content cannot be read.
type ValueError struct {
	Key  string
	Text string
}

// Error names the key, what is wrong with it and the way out.
func (e *ValueError) Error() string {
	return fmt.Sprintf("key %s cannot be read: %s; %s", quoteKey(e.Key), e.Text, wayOut(e.Key))
}

func wayOut(key string) string {
	return fmt.Sprintf("look at it, then remove it with: redis-cli DEL %s", quoteKey(key))
}

// quoteKey writes a key for a shell: braces and the like must not reach it bare.
func quoteKey(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\'' }) {
		return fmt.Sprintf("%q", key)
	}
	return "'" + key + "'"
}

// way is the way out of what Redis refuses with a code word.
type way struct{ code, text string }

var hints = []way{
	{"LOADING", "it is still loading its data, wait for it"},
	{"READONLY", "it is a replica: [redis] host must name the master, or sentinels and master_name find it"},
	{"NOAUTH", "it wants a password: set password in section [redis]"},
	{"WRONGPASS", "username or password in section [redis] is wrong"},
	{"NOPERM", "the ACL of this user does not allow it: " + rulesHint},
	{"OOM", "its memory is full: raise maxmemory or remove foreign keys"},
	{"MISCONF", "it cannot save to its disk and refuses writes: see its log, give its dir room and rights, then redis-cli BGSAVE"},
	{"NOREPLICAS", "it has too few replicas connected for min-replicas-to-write"},
	{"MASTERDOWN", "it is a replica that has lost its master"},
	{"BUSY", "another client's script blocks it"},
	{"CROSSSLOT", "Redis Cluster is not supported"},
	{"MOVED", "Redis Cluster is not supported"},
}

// hint is the way out of an error, empty when none is known.
func hint(err error) string {
	if own, ok := errors.AsType[interface {
		error
		hint() string
	}](err); ok {
		return own.hint()
	}
	answer, ok := errors.AsType[redis.Error](err)
	if !ok && err != nil && strings.Contains(err.Error(), "tls: certificate required") {
		return wantsNone
	}
	if !ok {
		return ""
	}
	if h, known := known(answer.Error()); known {
		return h.text
	}
	if isFull(answer.Error()) {
		return roomHint
	}
	return ""
}

// known finds what is known about an answer of Redis.
func known(text string) (way, bool) {
	for _, h := range hints {
		if isCode(text, h.code) {
			return h, true
		}
	}
	return way{"NOPERM", rulesHint}, isDenied(text)
}

// isCode finds the code word of an answer: first, after a colon where other words
// stand before it, or after a dash where an older Redis puts its own before the
// error of a command in a script.
func isCode(text, code string) bool {
	return strings.HasPrefix(text, code+" ") || strings.Contains(text, ": "+code+" ") || strings.Contains(text, "-"+code+" ")
}

const roomHint = "it has no room for another client: raise maxclients"

func isFull(text string) bool { return strings.Contains(text, "max number of clients") }

// isDenied finds what Redis says to a script whose user lacks a right.
func isDenied(text string) bool {
	return strings.Contains(text, "The user executing the script can't ")
}

func (b *Bus) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Addr: b.where(), Err: err}
}

// checkCmds wraps the first error among cmds; a WRONGTYPE, which does not say
// where, gets the name of its key.
func (b *Bus) checkCmds(op string, err error, cmds ...redis.Cmder) error {
	for _, cmd := range cmds {
		cause := cmd.Err()
		if cause == nil || errors.Is(cause, redis.Nil) {
			continue
		}
		if args := cmd.Args(); len(args) > 1 && isCode(cause.Error(), "WRONGTYPE") {
			cause = &WrongTypeError{Key: fmt.Sprint(args[1]), Want: wantOf(cmd.Name())}
		}
		switch text := cause.Error(); {
		case isCode(text, "NOPERM"):
			cause = fmt.Errorf("%s: %w", shownCommand(cmd), cause)
		case strings.Contains(text, "because of previous errors"):
			cause = fmt.Errorf("%w (one of %s is refused, as by an ACL: %s)", cause, namesOf(cmds), rulesHint)
		}
		return b.wrap(op, cause)
	}
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return b.wrap(op, err)
}

// shownCommand is a command with its key.
func shownCommand(cmd redis.Cmder) string {
	if args := cmd.Args(); len(args) > 1 {
		return fmt.Sprintf("%s %v", cmd.Name(), args[1])
	}
	return cmd.Name()
}

// namesOf are the commands, each once.
func namesOf(cmds []redis.Cmder) string {
	var names []string
	for _, cmd := range cmds {
		if !slices.Contains(names, cmd.Name()) {
			names = append(names, cmd.Name())
		}
	}
	return strings.Join(names, ", ")
}

func wantOf(command string) string {
	switch command {
	case "hset", "hdel", "hgetall":
		return "hash"
	case "sadd", "smembers", "sismember", "srem":
		return "set"
	case "get", "set":
		return "string"
	case "xrevrange":
		return "stream"
	}
	return ""
}
