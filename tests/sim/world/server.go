package world

import (
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

// appAccount is the account of the application.
var appAccount = cluster.Account{User: appUser, Host: "%"}

// server is one of the two, and what was last seen of it.
type server struct {
	*mysql.Machine
	w     *world
	name  string
	host  *engine.Host
	other *server
	how   How // who changes it now

	open, receives bool
	received       *mysql.Txn // newest in the relay log
	committed      int
	mark           cluster.Epoch // of its epoch row
	unasked        bool          // it receives since it was started, and no agent has looked at what
	unapplied      int           // when it was last killed
}

func (w *world) newServer(h *engine.Host, e cluster.Endpoint, i int) *server {
	spec := w.spec
	m := mysql.NewMachine(h, engine.Clock{}, mysql.Options{
		Addr: e, ID: uint32(i + 1), Flavor: spec.Flavor, ReadOnly: !spec.StartsOpen, SuperReadOnly: !spec.StartsOpen,
		AutoReplicate: spec.AutoReplicate, RelayLogRecovery: spec.Recovers, Manager: managerUser, Accounts: []cluster.Account{appAccount},
		AckWait: spec.AckWait,
	})
	return &server{Machine: m, w: w, name: h.Name(), host: h}
}

func (w *world) server(e cluster.Endpoint) *server {
	if w.db[0].Addr() == e {
		return w.db[0]
	}
	return w.db[1]
}

// watch has the judge told of each change from now on.
func (s *server) watch() {
	s.open, s.receives, s.committed = s.Open(), s.Receives(), len(s.History())
	s.setApply(0)
	s.Touched = s.look
}

// look tells the judge what has changed.
func (s *server) look() {
	w, now := s.w, s.w.e.Now()
	if open := s.Open(); open != s.open {
		s.open = open
		if w.e.Recording() {
			w.e.Note(s.name, fmt.Sprintf("open: %v", open))
		}
		w.judge.Open(now, s.Addr(), open, s.how)
	}
	if receives := s.Receives(); receives != s.receives {
		s.receives = receives
		s.unasked = receives && s.how == ByBoot
		if receives && s.how == ByAgent {
			w.judge.Threads(now, s.Addr(), s.Source())
		}
	}
	relay := s.Received()
	if len(relay) == 0 {
		if s.received != nil && s.how == ByAgent && s.Up() && !slices.Contains(s.History(), s.received) {
			w.judge.Discarded(now, s.Addr())
		}
		s.received = nil
	} else if t := relay[len(relay)-1]; t != s.received {
		s.received = t
		for _, row := range t.Rows {
			w.judge.Received(now, s.Addr(), row)
		}
	}
	if all := s.History(); len(all) > s.committed {
		s.committed = len(all)
		if m, ok := all[len(all)-1].Mark(); ok && (!s.unasked || m.Epoch >= s.mark) {
			s.mark = m.Epoch
			w.judge.Row(now, s.Addr(), m)
		}
	}
}

// person has somebody do something at its console.
func (s *server) person(f func(x *mysql.Session, now time.Duration)) {
	s.how = ByPerson
	s.As(f)
	s.how = ByAgent
}

func (s *server) kill() {
	s.unapplied = s.Unapplied()
	s.how = ByDeath
	s.Kill()
	s.how = ByAgent
}

func (s *server) powerOff() {
	s.unapplied = s.Unapplied()
	s.how = ByDeath
	s.PowerOff()
	s.how = ByAgent
}

// start starts it on a host that runs.
func (s *server) start() {
	if s.Up() || !s.host.Up() || s.host.Frozen() {
		return
	}
	s.how = ByBoot
	s.Start()
	s.how = ByAgent
	s.w.judge.Started(s.w.e.Now(), s.Addr())
	if s.unapplied > 0 && s.Unapplied() == 0 {
		s.w.judge.RelayLost(s.w.e.Now(), s.Addr())
	}
	s.unapplied = 0
}

// setApply has each transaction take so long to be applied, or what the spec says.
func (s *server) setApply(slow time.Duration) {
	most := max(s.w.spec.Apply, slow)
	s.Slow(func() time.Duration { return s.w.e.Between(slow, most) })
}

// stall says what becomes of its commits from now on.
func (s *server) stall(how mysql.Stall) {
	if s.Up() {
		s.person(func(_ *mysql.Session, now time.Duration) { s.Stall(now, how) })
	} else {
		s.Stall(s.w.e.Now(), how)
	}
	s.w.judge.Stalls(s.w.e.Now(), s.Addr(), s.Server.Stalls())
}

// answers tells the judge when the server acknowledges the row.
func (s *server) answers(row uint64) func(mysql.Outcome) {
	return func(o mysql.Outcome) {
		if o.Result == mysql.Acknowledged {
			s.w.judge.Acked(s.w.e.Now(), s.Addr(), row)
		}
	}
}
