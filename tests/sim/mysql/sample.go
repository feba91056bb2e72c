package mysql

import (
	"slices"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// sample is what the server says of itself, kept until something changes.
type sample struct {
	fresh    bool // since touch
	counted  bool // the sessions, since one began or ended
	server   cluster.Server
	exclude  []string
	mark     markKey
	executed gtid.Set
	parsed   bool
	doneWas  set
	lastWas  pos
	appWas   pos
	recvWas  set
	ioWas    pos
}

// touch says that something has changed.
func (s *Server) touch() {
	s.sample.fresh = false
	if s.Touched != nil {
		s.Touched()
	}
}

// The versions that the models say they are.
const (
	versionMySQL   = "9.7.4"
	versionMariaDB = "10.11.14-MariaDB-log"
)

// Observe takes a full sample, as a session that counts the sessions of users
// not in exclude and reads the epoch row of u.
func (s *Server) Observe(now time.Duration, exclude []string, table string, u cluster.UniqSign) cluster.Server {
	m := &s.sample
	key := markKey{table, u}
	if !m.fresh || m.mark != key || !slices.Equal(m.exclude, exclude) {
		s.refresh(exclude, key)
	}
	out := m.server
	out.UptimeS = int64((now - s.started) / time.Second)
	out.Channel.Delay = s.delay(now)
	out.Acks = s.acksShown()
	return out
}

// Channel takes the light sample.
func (s *Server) Channel(now time.Duration) cluster.Channel {
	m := &s.sample
	if !m.fresh {
		s.refresh(m.exclude, m.mark)
	}
	out := m.server.Channel
	out.Delay = s.delay(now)
	return out
}

// ReadOnly reads the switches.
func (s *Server) ReadOnly() (readOnly, super cluster.Tri) {
	if s.opt.Flavor == cluster.MySQL {
		super = cluster.TriOf(s.super)
	}
	return cluster.TriOf(s.readOnly), super
}

// StartsClosed is what read_only will be at the next start, while nobody has set it since
// the last.
func (s *Server) StartsClosed() cluster.Tri {
	if s.switched {
		return cluster.Unknown
	}
	return cluster.TriOf(s.readOnly)
}

// delay is Seconds_Behind: of the oldest transaction that is not applied.
func (s *Server) delay(now time.Duration) int64 {
	c := &s.ch
	switch {
	case c.io != cluster.ThreadYes || c.sql != cluster.ThreadYes:
		return -1
	case len(c.relay) == 0:
		return 0
	}
	return max(0, int64((now-c.relay[0].At)/time.Second))
}

func (s *Server) refresh(exclude []string, mark markKey) {
	m := &s.sample
	o := &m.server
	if o.Flavor == "" {
		o.Flavor, o.Version, o.Identity = s.opt.Flavor, versionMySQL, uuids[s.opt.ID-1]
		o.GTIDMode, o.LogsReplicaUpdates = true, true
		if s.opt.Flavor == cluster.MariaDB {
			o.Version, o.Identity = versionMariaDB, strconv.FormatUint(uint64(s.opt.ID), 10)
		}
	}
	s.refreshExecuted()
	o.ReadOnly, o.SuperReadOnly = s.ReadOnly()
	o.Mark = s.marks[mark]
	if !m.counted || !slices.Equal(m.exclude, exclude) {
		s.count(exclude)
	}
	s.refreshChannel(&o.Channel)
	m.fresh, m.exclude, m.mark = true, exclude, mark
}

// count counts the sessions of applications, and names their users.
func (s *Server) count(exclude []string) {
	o := &s.sample.server
	o.Sessions, o.Users = 0, nil
	for _, x := range s.sessions {
		if x.inner || slices.Contains(exclude, x.user) {
			continue
		}
		o.Sessions++
		if at, found := slices.BinarySearch(o.Users, x.user); !found {
			o.Users = slices.Insert(o.Users, at, x.user)
		}
	}
	s.sample.counted = true
}

// refreshExecuted prints the positions only when they have moved.
func (s *Server) refreshExecuted() {
	m := &s.sample
	if m.parsed && m.doneWas == s.done && m.lastWas == s.last && m.appWas == s.ch.applied {
		return
	}
	m.doneWas, m.lastWas, m.appWas = s.done, s.last, s.ch.applied
	if s.opt.Flavor == cluster.MySQL {
		m.server.Executed = s.done.mysql()
	} else {
		var room [128]byte
		m.server.Executed = string(s.ch.applied.append(s.done.state(room[:0], s.last)))
	}
	m.parsed = true
	m.executed = gtid.Set{}
}

// executed is Executed as a set.
func (s *Server) executed() gtid.Set {
	s.refreshExecuted()
	m := &s.sample
	if m.executed.IsEmpty() && m.server.Executed != "" {
		var err error
		if m.executed, err = gtid.Parse(s.opt.Flavor, m.server.Executed); err != nil {
			panic(err)
		}
	}
	return m.executed
}

func (s *Server) refreshChannel(o *cluster.Channel) {
	c := &s.ch
	if !c.configured {
		*o = cluster.Channel{Delay: -1}
		return
	}
	m := &s.sample
	o.Configured, o.Source, o.User, o.GTID = true, c.source, s.opt.Replicator, true
	o.IO, o.SQL = c.io, c.sql
	o.Heartbeats, o.HeartbeatPeriodMS = c.beats, c.heartbeat.Milliseconds()
	o.IOErrno, o.IOError = c.ioErr.number, c.ioErr.text
	o.SQLErrno, o.SQLError = c.sqlErr.number, c.sqlErr.text
	if m.recvWas != c.received || m.ioWas != c.ioPos {
		m.recvWas, m.ioWas = c.received, c.ioPos
		if s.opt.Flavor == cluster.MySQL {
			o.Received = c.received.mysql()
		} else {
			o.Received = c.ioPos.String()
		}
	}
}

// Writer is an open transaction that has changed rows.
type Writer struct {
	Session *Session
	Age     time.Duration
	Rows    int
}

// Writers lists the open transactions that have changed rows and the writes that
// run, without those of x. Servers note the beginning by the second, so that the
// age is what is certain.
func (x *Session) Writers(now time.Duration) []Writer {
	var all []Writer
	for _, o := range x.s.sessions {
		if o != x && o.trx != nil && len(o.trx.rows) > 0 {
			all = append(all, Writer{o, max(0, now-o.trx.began.Truncate(time.Second)-time.Second), len(o.trx.rows)})
		}
	}
	return all
}
