package config

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// DefaultTopic is the channel of the predecessor's example files.
const DefaultTopic = "mmm-switch-channel"

// Redis is section [redis] of both files.
type Redis struct {
	// Addr is host:port; empty when the file has none.
	Addr     string
	Username string
	Password cluster.Secret
	Topic    string
	TLS      bool
	// CA is the text of the file that tls_ca names: PEM certificates that vouch
	// for Redis. Without them those of the system do.
	CA string
	// Sentinels say which server is the master of MasterName; Addr is not used then.
	Sentinels        []cluster.Endpoint
	MasterName       string
	SentinelPassword cluster.Secret
}

// String says where Redis is.
func (r Redis) String() string {
	if len(r.Sentinels) == 0 {
		return r.Addr
	}
	all := make([]string, len(r.Sentinels))
	for i, e := range r.Sentinels {
		all[i] = string(e)
	}
	return fmt.Sprintf("%s of the sentinels %s", r.MasterName, strings.Join(all, ", "))
}

// OrAddr is r with addr where the file has no address: flag --redis counts only then.
func (r Redis) OrAddr(addr string) Redis {
	if r.Addr == "" {
		r.Addr = addr
	}
	return r
}

// Log is section [log] of both files.
type Log struct {
	File string // empty: standard error
}

// Signals says what INT and TERM do.
type Signals string

// The two ways to treat INT and TERM.
const (
	SignalsPredecessor Signals = "predecessor" // monitor and identify ignore them
	SignalsGraceful    Signals = "graceful"    // they stop the program
)

func (r *reader) signals(def Signals) Signals {
	return Signals(r.choice("signals", string(def), string(SignalsPredecessor), string(SignalsGraceful)))
}

// sharedSections reads [redis] and [log]. signals is the last word said about them there.
func (f *file) sharedSections() (redis Redis, log Log, signals Signals) {
	redis.Topic = DefaultTopic
	if sec := f.section("redis"); sec != nil {
		r := f.reader(sec)
		redis = r.redis()
		signals = r.signals(signals)
		r.finish()
	}
	if sec := f.section("log"); sec != nil {
		r := f.reader(sec)
		log.File = r.path("logfile")
		signals = r.signals(signals)
		r.finish()
	}
	return redis, log, signals
}

func (r *reader) redis() Redis {
	x := Redis{
		Addr:     string(r.endpoint("host", "host:port, for example 10.0.21.17:6379")),
		Username: r.word("username", "", "a Redis user has no blanks"),
		Password: r.secret("password"),
		Topic:    r.word("topic", DefaultTopic, "the same word as in the other file, for example "+DefaultTopic),
	}
	x.TLS = r.yes("tls", false)
	if x.CA = r.certificates("tls_ca"); x.CA != "" && !x.TLS {
		r.warn("tls_ca", "vouches for nobody without tls", "tls=1")
	}
	for _, text := range r.list("sentinels") {
		e, err := cluster.ParseEndpoint(text)
		if err != nil {
			r.fault("sentinels", reason(err), "host:port, host:port, host:port; the usual port is 26379")
			continue
		}
		x.Sentinels = append(x.Sentinels, e)
	}
	x.MasterName = r.word("master_name", "", "the name that the sentinels know")
	x.SentinelPassword = r.secret("sentinel_password")
	switch {
	case r.given("sentinels"):
		if x.MasterName == "" {
			r.fault("master_name", "is missing beside sentinels", "the name that the sentinels know, for example mymaster")
		}
	case x.MasterName != "":
		r.fault("sentinels", "is missing beside master_name", "host:port, host:port, host:port; the usual port is 26379")
	case !r.given("host"):
		r.warn("host", "is missing", "--redis is used, or 127.0.0.1:6379")
	}
	return x
}

// path is the name of a file to write to.
func (r *reader) path(key string) string {
	v, ok := r.text(key, "")
	if ok && strings.HasSuffix(v, "/") {
		r.fault(key, shown(v)+" is a directory", "name a file in it")
		return ""
	}
	return v
}

// login is how a program logs in to the servers.
type login struct {
	Database, Charset, User string
	Password                cluster.Secret
	ConnectTimeout          time.Duration
}

func (r *reader) login() login {
	var l login
	l.Database = r.word("database", "information_schema", "leave it at information_schema")
	l.Charset = r.word("charset", "utf8mb4", "utf8 or utf8mb4")
	if l.Charset != "" && !isName(l.Charset) {
		r.fault("charset", shown(l.Charset)+" is not the name of a character set", "utf8 or utf8mb4")
	}
	r.require("user", "the account with which this program logs in to the servers")
	l.User, _ = r.text("user", "")
	if l.Password = r.secret("password"); !r.given("password") {
		r.warn("password", "is missing", "logs in without one")
	}
	l.ConnectTimeout = r.seconds("connect_timeout", time.Second, 10*time.Millisecond, time.Hour,
		"how long to wait for a server's answer, for example 1 or 0.3")
	return l
}

// permissions warns of a file with passwords that everyone can read or change.
func (f *file) permissions(mode fs.FileMode) {
	if mode&0o002 != 0 {
		f.faults.add(Fault{File: f.path, Text: "everyone on this machine can change it", Hint: "chmod 0640 " + f.path, Warning: true})
	}
	if mode&0o004 == 0 {
		return
	}
	secret := slices.ContainsFunc(f.sections, func(s *section) bool {
		for key, e := range s.entries {
			if strings.HasSuffix(key, "password") && e.value != "" {
				return true
			}
		}
		return false
	})
	if secret {
		f.faults.add(Fault{File: f.path, Text: fmt.Sprintf("holds passwords and everyone on this machine can read it (mode %04o)", mode.Perm()),
			Hint: "chmod 0640 " + f.path, Warning: true})
	}
}
