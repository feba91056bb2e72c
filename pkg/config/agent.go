package config

import (
	"fmt"
	"io/fs"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Agent is mmm-agent.conf.
type Agent struct {
	Path                    string
	Redis                   Redis
	Log                     Log
	Database, Charset, User string
	Password                cluster.Secret
	ConnectTimeout          time.Duration
	// TryOnFailure is how often a server that cannot be reached is tried.
	TryOnFailure int
	// Members are the servers to act on, by pair; nil: those that the bus names.
	Members map[cluster.UniqSign][]cluster.Endpoint
	// Signals is kept for the file's sake: the agent stops on TERM either way.
	Signals Signals
	// BlockUser and BlockHost match the accounts that are locked on the passive;
	// both are nil when nobody is to be locked.
	BlockUser, BlockHost *regexp.Regexp
	// StateFile is where the agent keeps what it must not forget.
	StateFile string
	SendMail  bool
	Email     Email

	// Scope says whose agent this is, Lone what an active without any lease does, and
	// Lease how long a lease lasts, in whole seconds.
	Scope Scope
	Lone  Lone
	Lease time.Duration
	// Local are the servers on this host; nil: those whose host is an address or
	// name of this machine. See Mine.
	Local []cluster.Endpoint

	// Not in force yet.
	FenceCommand string
}

// Scope says for which servers of a pair an agent works.
type Scope string

// The two scopes.
const (
	ScopeAll   Scope = "all"   // both, wherever it runs
	ScopeLocal Scope = "local" // those on its own host; only then the active holds leases
)

// Lone says what an active does that holds none of its leases any more.
type Lone string

// The two answers.
const (
	LoneFence Lone = "fence" // it closes itself
	LoneStay  Lone = "stay"  // it stays open
)

// Email is how an agent sends mail.
type Email struct {
	Server    string
	Port      int
	Sender    string
	Receivers []string
	User      string
	Password  cluster.Secret
	TLS       string // opportunistic, required or off
	// CA is the text of the file that email_tls_ca names: PEM certificates that
	// vouch for the server; empty for those of the system. Kept as text, so that a
	// reload sees a changed file.
	CA string
	// Fault is why none can be sent with these settings; empty when it can, or
	// when SendMail is off.
	Fault string
}

// DefaultStateFile is where an agent keeps what it must not forget.
const DefaultStateFile = "/var/lib/mmm-manager/agent.state"

// LoadAgent reads mmm-agent.conf. Neither result is ever nil; the Agent can be
// used when the faults' Err is nil.
func LoadAgent(path string) (*Agent, *Faults) {
	f, mode := open(path)
	return f.agent(mode)
}

func (f *file) agent(mode fs.FileMode) (*Agent, *Faults) {
	a := &Agent{Path: f.path}
	if f.unusable() {
		return a, f.faults
	}
	f.permissions(mode)
	var signals Signals
	a.Redis, a.Log, signals = f.sharedSections()
	if signals == "" {
		signals = SignalsPredecessor
	}
	for _, sec := range f.sections {
		r := f.reader(sec)
		switch {
		case sec.name == "mysql":
			r.agent(a, signals)
			r.finish()
		case sec.name == "redis" || sec.name == "log":
		case f.section("mysql") != nil || nearest(sec.name, []string{"mysql"}) != "" || !r.given("primaryhost"):
			r.fault("", "there is no such section", didYouMean(sec.name, []string{"mysql", "redis", "log"}))
		default:
			r.fault("", "this section is a tag", "this looks like mmm.conf; here belongs mmm-agent.conf")
		}
	}
	if f.section("mysql") == nil {
		f.faults.add(Fault{File: f.path, Section: "mysql", Text: "the section is missing", Hint: "it holds user and password"})
	}
	f.faults.sort()
	return a, f.faults
}

func (r *reader) agent(a *Agent, signals Signals) {
	l := r.login()
	a.Database, a.Charset, a.User, a.Password, a.ConnectTimeout = l.Database, l.Charset, l.User, l.Password, l.ConnectTimeout
	a.TryOnFailure = r.count("try_on_failure", 3, 1, 1000, "how often to try a server, for example 3")
	a.Members = r.members()
	a.Signals = r.signals(signals)

	r.block(a)
	a.StateFile = r.path("state_file")
	if a.StateFile == "" {
		a.StateFile = DefaultStateFile
	}
	r.email(a)

	r.leases(a)
	if a.FenceCommand, _ = r.text("fence_command", ""); a.FenceCommand != "" {
		r.later("fence_command", "it is never run")
	}
}

// leases reads for which servers the agent works, and how the active keeps itself open.
func (r *reader) leases(a *Agent) {
	a.Scope = Scope(r.choice("scope", string(ScopeAll), string(ScopeAll), string(ScopeLocal)))
	a.Lone = Lone(r.choice("lone", string(LoneFence), string(LoneFence), string(LoneStay)))
	a.Lease = time.Duration(r.count("lease", 10, 3, 3600, "whole seconds, for example 10")) * time.Second
	a.Local = r.local(a)
	if a.Scope == ScopeLocal {
		return
	}
	for _, key := range []string{"local", "lone", "lease"} {
		if r.given(key) {
			r.warn(key, "has no effect without scope=local", "an agent for both servers holds no leases")
		}
	}
}

// local reads which servers are on this host.
func (r *reader) local(a *Agent) []cluster.Endpoint {
	const hint = "the servers on this host as mmm.conf writes them: host:port, host:port"
	var all []cluster.Endpoint
	for _, text := range r.list("local") {
		e, err := cluster.ParseEndpoint(text)
		switch {
		case err != nil:
			r.fault("local", reason(err), hint)
		case slices.Contains(all, e):
			r.fault("local", fmt.Sprintf("%s stands twice", e), hint)
		case a.Members != nil && !isMember(a.Members, e):
			r.fault("local", fmt.Sprintf("%s is not among the members", e), "write it as in members")
		default:
			all = append(all, e)
		}
	}
	return all
}

func isMember(members map[cluster.UniqSign][]cluster.Endpoint, e cluster.Endpoint) bool {
	for _, all := range members {
		if slices.Contains(all, e) {
			return true
		}
	}
	return false
}

// block reads the patterns of accounts, in force when both are given.
func (r *reader) block(a *Agent) {
	user := r.pattern("block_user", `a pattern of account names, for example ^user_app1$|^user_app2$`)
	host := r.pattern("block_host", `a pattern of the hosts of accounts, for example ^10\.0\.21\.%$`)
	switch {
	case user != nil && host != nil:
		a.BlockUser, a.BlockHost = user, host
	case user != nil:
		r.warn("block_user", "blocks nobody without block_host", `^%$ in block_host is for accounts of any host`)
	case host != nil:
		r.warn("block_host", "blocks nobody without block_user", "name the accounts in block_user")
	}
}

// email reads how mail is sent. What is wrong with it stops nothing but mail: the
// servers have to be closed all the same. With any fault none is sent, since the
// default in the place of a bad value may be less than was asked for.
func (r *reader) email(a *Agent) {
	before := len(r.file.faults.list)
	a.SendMail = r.yes("send_mail", false)
	if len(r.file.faults.list) > before {
		a.SendMail = true // so that it is told
	}
	e := &a.Email
	e.Server = r.word("email_server", "", "the name or address of a mail server; the port goes to email_port")
	e.Port = r.count("email_port", 25, 1, 65535, "25, 465 or 587")
	e.User, _ = r.text("email_user", "")
	e.Password = r.secret("email_password")
	e.TLS = r.choice("email_tls", "opportunistic", "opportunistic", "required", "off")
	if e.CA = r.certificates("email_tls_ca"); e.CA != "" && e.TLS == "off" {
		r.warn("email_tls_ca", "vouches for nobody while email_tls is off", "email_tls=required")
	}
	e.Receivers = r.list("email_receiver")
	for _, text := range e.Receivers {
		r.address("email_receiver", text)
	}
	var ok bool
	if e.Sender, ok = r.text("email_sender", ""); ok {
		r.address("email_sender", e.Sender)
	}
	if a.SendMail && !r.given("email_receiver") {
		r.fault("email_receiver", "is missing beside send_mail", "who gets the mail: name@host, name@host")
	}
	for i := range r.file.faults.list[before:] {
		x := &r.file.faults.list[before+i]
		if x.Warning {
			continue
		}
		x.Warning, x.Strict = true, a.SendMail
		if a.SendMail && e.Fault == "" {
			e.Fault = x.Key + ": " + x.Text
		}
	}
}

func (r *reader) address(key, text string) {
	if _, err := mail.ParseAddress(text); err != nil {
		r.fault(key, shown(text)+" is not a mail address", "name@host")
	}
}

// members reads "<uniqsign> h:p h:p; <uniqsign> h:p h:p".
func (r *reader) members() map[cluster.UniqSign][]cluster.Endpoint {
	const hint = "<uniqsign> host:port host:port; <uniqsign> host:port host:port"
	v, ok := r.text("members", "")
	if !ok {
		return nil
	}
	if r.sec.entries["members"].cut {
		r.fault("members", "a blank before the semicolon makes a comment of the rest", hint)
		return nil
	}
	out := map[cluster.UniqSign][]cluster.Endpoint{}
	owner := map[string]cluster.UniqSign{}
	for part := range strings.SplitSeq(v, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		sign := cluster.UniqSign(words[0])
		switch {
		case !isUniqSign(words[0]) || strings.Contains(words[0], ":"):
			r.fault("members", shown(words[0])+" is not a uniqsign", hint)
			continue
		case has(out, sign):
			r.fault("members", fmt.Sprintf("uniqsign %s stands twice", sign), hint)
			continue
		case len(words) == 1:
			r.fault("members", fmt.Sprintf("uniqsign %s has no servers", sign), hint)
			continue
		}
		for _, text := range words[1:] {
			e, err := cluster.ParseEndpoint(text)
			if err != nil {
				r.fault("members", reason(err), hint)
				continue
			}
			if other, taken := owner[sameServer(e)]; taken {
				r.fault("members", fmt.Sprintf("%s stands twice, first for uniqsign %s", e, other), "a server is in one pair only")
				continue
			}
			owner[sameServer(e)] = sign
			out[sign] = append(out[sign], e)
		}
	}
	return out
}
