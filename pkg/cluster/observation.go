package cluster

import (
	"fmt"
	"strings"
)

// Cause says why a server did not answer; empty when it did.
type Cause string

// Why a server did not answer. Only those for which MayBeDead holds are ever
// counted towards death.
const (
	CauseNone           Cause = ""
	CauseRefused        Cause = "refused"              // the connect was refused: nobody listens on the port
	CauseReset          Cause = "reset"                // an open connection ended: reset or end of file
	CauseEnded          Cause = "process ended"        // as seen by the agent on its host: no thread of it runs any more
	CauseStopped        Cause = "being stopped"        // as the server said; it ends its last sessions, and the agent has closed it before
	CauseConnectTimeout Cause = "connect timeout"      // no TCP answer: host silent, or packets dropped
	CauseAnswerTimeout  Cause = "answer timeout"       // TCP connects, the server does not answer: hung
	CauseUnreachable    Cause = "network unreachable"  // no route from here, or the name does not resolve: our own network's fault as likely as the host's
	CauseAccessDenied   Cause = "access denied"        // wrong user or password, locked or expired account (1045, 1698, 1862, 3118, 4151, 1044, 1130)
	CauseTooMany        Cause = "too many connections" // 1040, 1203
	CauseHostBlocked    Cause = "host blocked"         // 1129
	CauseOther          Cause = "error"                // the server answered with another error
)

// MayBeDead reports whether the cause is one that a dead or hung server shows.
func (c Cause) MayBeDead() bool {
	switch c {
	case CauseRefused, CauseReset, CauseEnded, CauseStopped, CauseConnectTimeout, CauseAnswerTimeout:
		return true
	}
	return false
}

// Hung reports whether TCP still answered.
func (c Cause) Hung() bool { return c == CauseAnswerTimeout }

// Tri is a yes, a no, or not known; the zero value is not known.
type Tri int8

// The three values of Tri.
const (
	Unknown Tri = 0
	Yes     Tri = 1
	No      Tri = -1
)

// TriOf turns a known boolean into a Tri.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// Flavor is the family of a server.
type Flavor string

// The families told apart.
const (
	MySQL   Flavor = "mysql"
	MariaDB Flavor = "mariadb"
)

// Thread is the state of one replication thread as the server words it.
type Thread string

// States of a replication thread. Preparing and others count as not Yes.
const (
	ThreadYes        Thread = "Yes"
	ThreadNo         Thread = "No"
	ThreadConnecting Thread = "Connecting"
)

// Channel is the replication channel of a server as its status row gives it.
type Channel struct {
	Configured bool     `json:"configured"`
	Source     Endpoint `json:"source,omitempty"`
	// SourceIdentity is the Identity of the server that was found behind Source last; empty
	// where none was since this server's start.
	SourceIdentity string `json:"source_identity,omitempty"`
	// User is the account by which the server logs in at its source.
	User string `json:"user,omitempty"`
	IO   Thread `json:"io,omitempty"`
	SQL  Thread `json:"sql,omitempty"`
	// GTID reports whether the channel positions itself by GTID.
	GTID bool `json:"gtid"`
	// Received is the position received from the source: Retrieved_Gtid_Set of
	// MySQL, Gtid_IO_Pos of MariaDB.
	Received string `json:"received,omitempty"`
	// Delay is Seconds_Behind in seconds, -1 when the server does not say.
	Delay int64 `json:"delay"`
	// Heartbeats counts heartbeats received since the channel started.
	Heartbeats        uint64 `json:"heartbeats"`
	HeartbeatPeriodMS int64  `json:"heartbeat_period_ms,omitempty"`
	IOErrno           int    `json:"io_errno,omitempty"`
	IOError           string `json:"io_error,omitempty"`
	SQLErrno          int    `json:"sql_errno,omitempty"`
	SQLError          string `json:"sql_error,omitempty"`
}

// Replicates reports whether the channel receives and applies from source now.
func (c Channel) Replicates(source Endpoint) bool {
	return c.Configured && c.Source == source && c.IO == ThreadYes && c.SQL == ThreadYes
}

// Lags reports whether the delay is worth a word: a busy replica that is well
// shows 1 s now and then.
func (c Channel) Lags() bool { return c.Delay >= 2 }

// Stopped reports whether both threads are stopped.
func (c Channel) Stopped() bool {
	return c.Configured && c.IO == ThreadNo && c.SQL == ThreadNo
}

// Server is what a server said about itself in one sample.
type Server struct {
	Flavor  Flavor `json:"flavor,omitempty"`
	Version string `json:"version,omitempty"`
	// Identity is server_uuid on MySQL and server_id on MariaDB: the name under
	// which its own transactions stand in GTID sets.
	Identity string `json:"identity,omitempty"`
	// UID is server_uid of MariaDB releases that have one: server_id is a person's choice,
	// and goes to the next server with the option file.
	UID string `json:"uid,omitempty"`
	// UptimeS is the server's uptime in seconds; it falls when the server restarts.
	UptimeS       int64 `json:"uptime_s"`
	ReadOnly      Tri   `json:"read_only"`
	SuperReadOnly Tri   `json:"super_read_only"`
	// StartsClosed is what read_only will be at the next start; not known of a server that
	// does not tell, where somebody has set it before anybody asked.
	StartsClosed Tri `json:"starts_closed,omitempty"`
	// GTIDMode reports whether the server numbers its transactions; always true on MariaDB.
	GTIDMode bool `json:"gtid_mode"`
	// LogsReplicaUpdates is log_slave_updates or log_replica_updates with the binary log on.
	LogsReplicaUpdates bool `json:"logs_replica_updates"`
	// Executed is everything committed here: gtid_executed of MySQL; of MariaDB
	// gtid_binlog_state and gtid_slave_pos joined by a comma.
	Executed string `json:"executed,omitempty"`
	// Purged is what its binary logs no longer hold: gtid_purged; empty on MariaDB.
	Purged  string  `json:"purged,omitempty"`
	Channel Channel `json:"channel"`
	// Sessions counts application sessions by the predecessor's rule, -1 when not known.
	Sessions int `json:"sessions"`
	// SharedSessions is how many of Sessions have an account of replication and no
	// default schema: an application that shares it, or a replica that is logging in.
	SharedSessions int `json:"shared_sessions,omitempty"`
	// Users are the distinct users of the other Sessions, sorted: applications for certain.
	Users []string `json:"users,omitempty"`
	// Mark is the server's epoch row for the pair; zero when it has none or it
	// could not be read.
	Mark Mark `json:"mark,omitzero"`
	// Acks is the state of semi-synchronous replication; zero where the server has none.
	Acks Acks `json:"acks,omitzero"`
}

// Who tells a server from every other one that may be behind its address; empty when it
// does not say.
func (s Server) Who() string {
	if s.Identity == "" || s.UID == "" {
		return strings.ToLower(s.Identity)
	}
	return s.Identity + " " + s.UID
}

// Replaces says in words that s is not the server that was known; empty when it may be.
func (s Server) Replaces(known string) string {
	who := s.Who()
	if known == "" || who == "" {
		return ""
	}
	was, uid, _ := strings.Cut(known, " ")
	is, now, _ := strings.Cut(who, " ")
	switch {
	case strings.EqualFold(was, is) && (uid == now || uid == "" || now == ""):
		return ""
	case !strings.EqualFold(was, is):
		name := "server_uuid"
		if s.Flavor == MariaDB {
			name = "server_id"
		}
		return fmt.Sprintf("another server than before is behind this address: its %s is %s, and was %s", name, is, was)
	}
	return fmt.Sprintf("another server than before is behind this address, or it has moved: its server_uid is %s, and was %s", now, uid)
}

// Older reports whether s is of an older release series than o of its flavour.
func (s Server) Older(o Server) bool {
	return s.Flavor == o.Flavor && Series(s.Version) < Series(o.Version)
}

// Series orders the release series of a version, such as 8.4 or 10.11; 0 when there is none.
func Series(version string) int {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return 0
	}
	return major*1000 + minor
}

// Acks is what a server says of semi-synchronous replication.
type Acks struct {
	// Source reports whether its commits wait for an acknowledgement: the status
	// rpl_semi_sync_source_status or rpl_semi_sync_master_status.
	Source Tri `json:"source,omitempty"`
	// Clients is how many replicas acknowledge, Waiting how many commits wait now.
	Clients int `json:"clients,omitempty"`
	Waiting int `json:"waiting,omitempty"`
	// Replica reports whether its own receiver acknowledges.
	Replica Tri `json:"replica,omitempty"`
}

// Mark is the row by which a server remembers the newest epoch in which it, or
// the server it replicates from, was opened.
type Mark struct {
	Epoch  Epoch    `json:"epoch"`
	Active Endpoint `json:"active"`
}

// Observation is one monitor's sample of one server. Times are milliseconds on
// that monitor's own monotonic clock since its Run began: they order samples of
// one run and mean nothing beside another run's or another machine's.
type Observation struct {
	Monitor string   `json:"monitor"`
	Run     string   `json:"run"`
	Seq     uint64   `json:"seq"` // grows by one with each record that a run publishes of this node
	Node    Endpoint `json:"node"`
	BeganMS int64    `json:"began_ms"`
	EndedMS int64    `json:"ended_ms"`
	// Cause is empty when the server answered; Error is the text behind it, without secrets.
	Cause Cause  `json:"cause,omitempty"`
	Error string `json:"error,omitempty"`
	// Broken reports that the pinned connection ended after the last good answer.
	Broken bool `json:"broken,omitempty"`
	// LastGoodMS is when the last answer arrived, an error reply included;
	// UnansweredMS when the first probe without an answer began or the connection
	// broke, whichever came first; both 0 when there was none. Failures counts
	// probes unanswered in a row.
	LastGoodMS   int64 `json:"last_good_ms,omitempty"`
	UnansweredMS int64 `json:"unanswered_ms,omitempty"`
	Failures     int   `json:"failures,omitempty"`
	// Server is the last sample that was answered; it stays when later probes
	// fail, so that what was known of a dead server is still known. SampledMS is
	// when that sample began.
	Server    Server `json:"server"`
	SampledMS int64  `json:"sampled_ms,omitempty"`
	// FullMS is when the last full sample began. A light sample, taken while the
	// other member does not answer, renews Channel and SampledMS only.
	FullMS int64 `json:"full_ms,omitempty"`
	// ReadOnlyAtStart is read_only at the first contact after the server's last
	// start; not known when the monitor was not there in the first seconds.
	ReadOnlyAtStart Tri `json:"read_only_at_start,omitempty"`
	// SuperReadOnlyAtStart is super_read_only then; not known where there is none.
	SuperReadOnlyAtStart Tri `json:"super_read_only_at_start,omitempty"`
	// ReceivedMax is the union of all received positions that this monitor run
	// has seen of the node, in gtid text.
	ReceivedMax string `json:"received_max,omitempty"`
}

// Answered reports whether the server answered the sample.
func (o Observation) Answered() bool { return o.Cause == CauseNone }

// SilentMS is how long the server had not answered when the record was made, in
// milliseconds; 0 when it answered.
func (o Observation) SilentMS() int64 {
	if o.Answered() {
		return 0
	}
	since := o.LastGoodMS
	if since == 0 {
		since = o.UnansweredMS
	}
	return max(0, o.EndedMS-since)
}

// LegacyCheck is the predecessor's -check hash of one server.
type LegacyCheck struct {
	Ping      bool
	ReplCheck string // OK, Error or "Delay N Seconds"
	ReadOnly  int    // 1, 0 or -1
	DelaySec  int64  // seconds, -1 unknown (the predecessor writes -1 for caught up too)
	ConnNums  int    // -1 unknown
	LastCheck int64  // unix seconds of the machine that wrote it
}
