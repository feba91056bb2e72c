package failover

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ruleFirstStart elects when there is no assignment anywhere.
func ruleFirstStart(s *situation) (Decision, bool) {
	if s.rec.Exists() {
		return Decision{}, false
	}
	// In an empty Redis agents find the pair when its monitor does, and are not heard before.
	if waited := s.now - max(s.st.ledSince, s.st.seenSince); waited < StartGrace {
		s.again(StartGrace - waited)
		return hold(why(Starting, "first start: listening for agents that remember an assignment"))
	}
	a, b := s.member(s.p.Pair.Primary), s.member(s.p.Pair.Secondary)
	if r, ok := s.noGTID(a, b); !ok {
		return hold(r)
	}
	if a.life != alive && b.life != alive {
		return hold(why(Unseen, "first start: neither server is seen: %s; %s", a.reason.Text, b.reason.Text))
	}
	mark := s.newestMark()
	if mark.Epoch > 0 {
		return s.startByMark(mark, a, b)
	}
	if a.life != alive || b.life != alive {
		seen, other := a, b
		if a.life != alive {
			seen, other = b, a
		}
		open := seen.server.ReadOnly == cluster.No
		if open && seen.use() == used {
			return s.elect(seen, other, "it is writable and has application sessions; "+string(other.node)+" is not seen")
		}
		state := "not both writable and in use"
		if open && seen.use() == unclear {
			state = "writable and " + seen.usage()
		}
		return hold(why(Unseen, "first start: %s is not seen, and %s is %s: %s", other.node, seen.node, state, other.reason.Text))
	}
	if r, ok := s.unreadable(a, b); !ok {
		return hold(r)
	}
	aOpen, bOpen := a.server.ReadOnly == cluster.No, b.server.ReadOnly == cluster.No
	aHas, bHas := a.executed.Contains(b.executed), b.executed.Contains(a.executed)
	if no, ok := unasked(a, b); !ok {
		if aOpen == bOpen {
			return hold(no)
		}
		aHas, bHas = true, true
	}
	if !aHas && !bHas {
		return hold(why(Divergent, "the servers have diverged: only %s has %s, only %s has %s; nobody is opened",
			a.node, short(a.executed.Minus(b.executed).String()), b.node, short(b.executed.Minus(a.executed).String())))
	}
	switch {
	case aOpen && !bOpen:
		return s.elect(a, b, "it is the only writable server")
	case bOpen && !aOpen:
		return s.elect(b, a, "it is the only writable server")
	case aHas && !bHas:
		return s.elect(a, b, "its GTIDs contain the other's")
	case bHas && !aHas:
		return s.elect(b, a, "its GTIDs contain the other's")
	case s.v.Snapshot.Legacy.Active == a.node:
		return s.elect(a, b, "the predecessor's record names it")
	case s.v.Snapshot.Legacy.Active == b.node:
		return s.elect(b, a, "the predecessor's record names it")
	case a.use() > b.use():
		return s.elect(a, b, "it is "+a.usage())
	case b.use() > a.use():
		return s.elect(b, a, "it is "+b.usage())
	}
	return s.elect(a, b, "both are equal and it is the primary host")
}

// startByMark elects whom the newest epoch row names. While a server is not
// seen nobody is elected: its row may be newer.
func (s *situation) startByMark(mark cluster.Mark, a, b *member) (Decision, bool) {
	named, other := s.member(mark.Active), s.member(s.p.Pair.Other(mark.Active))
	switch {
	case !s.p.Pair.Has(mark.Active):
		return hold(why(NotAMember, "first start: the newest epoch row names %s for epoch %d, which is not one of %s and %s in mmm.conf: correct mmm.conf, or decide by mmmctl failover",
			mark.Active, mark.Epoch, a.node, b.node))
	case named.life != alive:
		return hold(why(Unseen, "first start: %s was active in epoch %d, as the epoch row of a server says, and is not seen: it is waited for, or a person decides (mmmctl failover): %s",
			named.node, mark.Epoch, orUnseen(named)))
	case other.life != alive:
		return hold(why(Unseen, "first start: %s was active in epoch %d, as its epoch row says, and %s is not seen: it may hold a newer one, so it is waited for, or a person decides (mmmctl failover): %s",
			named.node, mark.Epoch, other.node, orUnseen(other)))
	}
	if no, ok := unasked(named, other); !ok {
		return hold(no)
	}
	if no, ok := s.undisputed(mark, named, other); !ok {
		return hold(why(no.Code, "first start: nobody is opened: %s", no.Text))
	}
	return s.elect(named, other, fmt.Sprintf("the newest epoch row names it, for epoch %d", mark.Epoch))
}

// unasked refuses servers of which nothing is known but the predecessor's check, or what
// a monitor of ours has left of it: that tells who is writable, and not what he has.
func unasked(ms ...*member) (cluster.Reason, bool) {
	for _, m := range ms {
		if m.legacy && !m.known {
			return why(Unreadable, "first start: what %s has is not known: the predecessor's monitor does not tell, and it could not be asked", m.node), false
		}
	}
	return cluster.Reason{}, true
}

func (s *situation) elect(chosen, other *member, because string) (Decision, bool) {
	next := cluster.Assignment{Epoch: s.newestMark().Epoch + 1, Version: 1, Phase: cluster.PhaseSteady,
		Active: chosen.node, Passive: other.node, To: chosen.node,
		Cause: "first start", Proof: cluster.ProofGone}
	switch {
	case other.life != alive:
		next.Proof = cluster.RiskUnseen
	case other.server.ReadOnly == cluster.No:
		next.Proof = cluster.RiskBothOpen
	}
	return s.change("first start", next, why(Starting, "first start: %s is active: %s", chosen.node, because), true), true
}

// use says whether an application works on a server. What is not clear speaks
// against closing that server, and is no ground to elect it while the other is not seen.
type use int

const (
	unused use = iota
	unclear
	used
)

func (m *member) use() use {
	switch n := m.server.Sessions; {
	case n == 0:
		return unused
	case n <= m.server.SharedSessions: // or not known
		return unclear
	}
	return used
}

// usage is use in words, where there may be one.
func (m *member) usage() string {
	switch {
	case m.use() == used:
		return "in use"
	case m.server.Sessions < 0:
		return "perhaps in use (how many sessions it has is not known)"
	}
	return "perhaps in use (by the account of replication)"
}

// noGTID refuses pairs that do not number their transactions.
func (s *situation) noGTID(ms ...*member) (cluster.Reason, bool) {
	for _, m := range ms {
		if m.known && !m.server.GTIDMode {
			return why(NoGTID, "%s runs without GTIDs: what a server has cannot be compared, so nothing is done; set gtid_mode=ON and enforce_gtid_consistency=ON", m.node), false
		}
		if ch := m.server.Channel; m.known && ch.Configured && !ch.GTID {
			return why(NoGTID, "%s replicates by file and position: point it to its source with MASTER_USE_GTID=slave_pos (MariaDB) or SOURCE_AUTO_POSITION=1 (MySQL)", m.node), false
		}
	}
	return cluster.Reason{}, true
}

func (s *situation) unreadable(ms ...*member) (cluster.Reason, bool) {
	for _, m := range ms {
		if m.fault != "" {
			return why(Unreadable, "the position of %s cannot be read: %s", m.node, m.fault), false
		}
	}
	return cluster.Reason{}, true
}

func short(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
