package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Tag is one section of mmm.conf: a pair, and how to look after it.
type Tag struct {
	cluster.Pair
	// Database, Charset, User and Password are those of the sessions on the servers.
	Database, Charset, User string
	Password                cluster.Secret
	// ExcludeUsers are not counted as application sessions.
	ExcludeUsers   []string
	ConnectTimeout time.Duration
	Interval       time.Duration
	// TryTimes x ConnectTimeout of silence is death.
	TryTimes int
	// MonitorLog and IdentifyLog are empty where [log] is used.
	MonitorLog, IdentifyLog string
	// FailoverBlock: after an automatic failover none before the pair was whole for so long; 0 is off.
	FailoverBlock time.Duration
	Unfenced      Unfenced
	// MaxLoss is as written: any, a number of transactions, or seconds as 5s; see
	// LossLimit and LossAge.
	MaxLoss string
	Signals Signals
	// Failback says when the role returns to the primary host, FailbackAfter how
	// long the condition must have held.
	Failback      Failback
	FailbackAfter time.Duration
	// EpochTable is schema.table; empty for none.
	EpochTable string

	// Monitors are the names of all monitors of the tag, of which a majority must
	// agree on a death; none means any one. MonitorID is this one.
	Monitors  []string
	MonitorID string

	// Durability is what is promised for acknowledged writes.
	Durability cluster.Durability

	// RestartGrace is how long a server whose process has ended is waited for; 0 for not at all.
	RestartGrace time.Duration

	// WriteProbe is how long a row that the agent writes on the active may take to be written, but for
	// TryTimes x ConnectTimeout where that is longer; 0: none is written.
	WriteProbe time.Duration

	// Not in force yet.
	ReplUser     string
	ReplPassword cluster.Secret
}

// Failback says when the role returns to the primary host by itself.
type Failback string

// The three answers.
const (
	FailbackFollow Failback = "follow" // when its clients have returned there
	FailbackAuto   Failback = "auto"   // after a quiet time
	FailbackManual Failback = "manual" // never
)

// Unfenced says what happens to a failover when the old active cannot be proved closed.
type Unfenced string

// The three answers.
const (
	UnfencedAuto Unfenced = "auto" // by the way in which it died
	UnfencedWait Unfenced = "wait" // wait for a proof
	UnfencedRisk Unfenced = "risk" // go on at once
)

const (
	serverHint   = "host:port, for example 10.0.21.5:3308; an IPv6 address in brackets"
	longest      = 7 * 24 * time.Hour
	epochDefault = "mmm_meta.epoch"
)

var tablePattern = regexp.MustCompile(`^[A-Za-z0-9_$]{1,64}\.[A-Za-z0-9_$]{1,64}$`)

func (r *reader) tag(signals Signals, host string) Tag {
	t := Tag{Pair: cluster.Pair{Tag: cluster.Tag(r.sec.name)}}
	r.require("primaryhost", serverHint)
	t.Primary = r.endpoint("primaryhost", serverHint)
	r.require("secondaryhost", serverHint)
	t.Secondary = r.endpoint("secondaryhost", serverHint)
	r.require("uniqsign", "mmm-uniqsign makes one")
	t.UniqSign = r.uniqSign()

	l := r.login()
	t.Database, t.Charset, t.User, t.Password, t.ConnectTimeout = l.Database, l.Charset, l.User, l.Password, l.ConnectTimeout
	t.ExcludeUsers = r.list("excludeuser")
	t.ServiceMode = cluster.ServiceMode(r.count("servicemode", int(cluster.ActivePassive), 0, 1, "1 is active-passive, 0 active-active"))
	if t.ServiceMode == cluster.ActiveActive {
		r.warn("servicemode", "active-active is observed and reported only", "1 for a pair that fails over")
	}
	t.Interval = r.seconds("interval", 3*time.Second, 50*time.Millisecond, time.Hour, "seconds between two samples, for example 3")
	t.TryTimes = r.count("try_times", 2, 1, 1000, "silence of try_times x connect_timeout is death, for example 2")
	t.MonitorLog, t.IdentifyLog = r.path("monitor_logfile"), r.path("identify_logfile")
	t.FailoverBlock = r.seconds("failover_block", time.Minute, 0, longest, "seconds that a pair must be whole before the next automatic failover, for example 60; 0 is off")
	t.RestartGrace = r.seconds("restart_grace", 0, 0, time.Hour, "seconds, for example 5; 0 is off")
	t.Unfenced = Unfenced(r.choice("unfenced", string(UnfencedAuto), string(UnfencedAuto), string(UnfencedWait), string(UnfencedRisk)))
	t.MaxLoss = r.maxLoss()
	t.Durability = cluster.Durability(r.choice("durability", string(cluster.Async),
		string(cluster.Async), string(cluster.SemiSync), string(cluster.SemiSyncStrict)))
	t.Failback = Failback(r.choice("failback", string(FailbackFollow), string(FailbackFollow), string(FailbackAuto), string(FailbackManual)))
	t.FailbackAfter = r.seconds("failback_after", time.Minute, 0, longest, "seconds, for example 60")
	t.EpochTable = r.epochTable()
	t.WriteProbe = r.seconds("write_probe", 0, 0, time.Hour, "seconds that a write may take, for example 5; 0 is off")
	if t.WriteProbe > 0 && t.EpochTable == "" {
		r.fault("write_probe", "needs a schema for its table, and epoch_table is off", "0, or a table for epoch_table")
	}
	r.monitors(&t, host)
	if signals == "" {
		signals = SignalsPredecessor
	}
	t.Signals = r.signals(signals)
	r.laterKeys(&t)
	return t
}

// uniqSign becomes a part of Redis keys, channel patterns and the message, so
// that the characters which mean something there are left out.
func (r *reader) uniqSign() cluster.UniqSign {
	v, ok := r.text("uniqsign", "")
	if !ok {
		return ""
	}
	if !isUniqSign(v) {
		r.fault("uniqsign", shown(v)+" is not one word of up to 128 letters and digits", "mmm-uniqsign makes one of 32 hexadecimal digits")
		return ""
	}
	return cluster.UniqSign(v)
}

func isUniqSign(v string) bool {
	odd := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`{}[]*?\,;'"`+"`", c) }
	return v != "" && len(v) <= 128 && !strings.ContainsFunc(v, odd)
}

// LossLimit is the largest number of transactions that an automatic failover may
// leave behind; -1 for any, and where seconds are given. 0s is none, as 0 is.
func (t Tag) LossLimit() int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(t.MaxLoss, "s"), 10, 64)
	if err != nil || n > 0 && strings.HasSuffix(t.MaxLoss, "s") {
		return -1
	}
	return n
}

// LossAge is the longest time whose transactions an automatic failover may leave
// behind; 0 for any, and where no seconds are given.
func (t Tag) LossAge() time.Duration {
	number, is := strings.CutSuffix(t.MaxLoss, "s")
	n, err := strconv.ParseInt(number, 10, 64)
	if !is || err != nil {
		return 0
	}
	return time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
}

func (r *reader) maxLoss() string {
	const hint = "any, a number of transactions, or seconds as 5s"
	v, ok := r.text("max_loss", "any")
	if !ok || v == "any" {
		return "any"
	}
	number := strings.TrimSuffix(v, "s")
	if _, err := strconv.ParseUint(number, 10, 63); err != nil || !digits.MatchString(number) {
		r.fault("max_loss", shown(v)+" is neither any nor a number", hint)
		return "any"
	}
	return v
}

// monitors reads who of the monitors counts, and who this one is.
func (r *reader) monitors(t *Tag, host string) {
	const hint = "the host names of an odd number of monitors, for example mon1, mon2, mon3"
	for _, name := range r.list("monitors") {
		switch {
		case strings.ContainsAny(name, " \t"):
			r.fault("monitors", shown(name)+" has a blank in it", hint)
		case slices.Contains(t.Monitors, name):
			r.fault("monitors", shown(name)+" stands twice", hint)
		default:
			t.Monitors = append(t.Monitors, name)
		}
	}
	if n := len(t.Monitors); n > 0 && n%2 == 0 {
		text := fmt.Sprintf("of %d monitors %d must see a death, so that no more of them may fail than of %d", n, n/2+1, n-1)
		r.warn("monitors", text, "name an odd number")
	}
	t.MonitorID = r.word("monitor_id", host, "a name without blanks")
	if r.given("monitor_id") && len(t.Monitors) > 0 && !slices.Contains(t.Monitors, t.MonitorID) {
		r.fault("monitor_id", shown(t.MonitorID)+" is not among the monitors", didYouMean(t.MonitorID, t.Monitors))
	}
}

// WritesChecks reports whether this monitor writes the predecessor's checks of the
// tag, which have room for the view of one: the first that is named.
func (t Tag) WritesChecks() bool {
	return len(t.Monitors) == 0 || t.Monitors[0] == t.MonitorID
}

// laterKeys reads what is checked and kept, and has no effect in this version.
func (r *reader) laterKeys(t *Tag) {
	if t.ReplUser, _ = r.text("repl_user", ""); t.ReplUser != "" {
		r.later("repl_user", "the channel keeps the credentials it has")
	}
	t.ReplPassword = r.secret("repl_password")
	if t.ReplPassword != "" && t.ReplUser == "" {
		r.fault("repl_user", "is missing beside repl_password", "the account for replication")
	}
}

func (r *reader) epochTable() string {
	v := r.word("epoch_table", epochDefault, "schema.table, or off")
	switch {
	case v == "off":
		return ""
	case !tablePattern.MatchString(v):
		r.fault("epoch_table", shown(v)+" is not schema.table", "for example "+epochDefault+", or off")
		return epochDefault
	}
	return v
}
