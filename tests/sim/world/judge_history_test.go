package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	ja cluster.Endpoint = "a:3306"
	jb cluster.Endpoint = "b:3306"
)

// What most stories are held to.
var (
	async    = Promise{MaxLoss: -1}
	leasing  = Promise{MaxLoss: -1, Leases: true}
	blocking = Promise{MaxLoss: -1, FailoverBlock: time.Second}
	strict   = Promise{MaxLoss: 0}
	restarts = Promise{MaxLoss: -1, RestartsOpen: true}
)

// story is one history and what the judge says of it.
type story struct {
	name    string
	promise Promise
	want    string // the invariant; empty: all are kept
	tell    func(h *history)
}

// gods is a world of two servers as a test says it is.
type gods struct {
	has       map[cluster.Endpoint]map[uint64]bool
	unapplied map[cluster.Endpoint]int
	stuck     bool
	extra     map[cluster.Endpoint][2]int
	known     int
	lacks     map[cluster.Endpoint]string
	shown     bool
	untold    int
	waits     bool
	down      bool
}

func (g *gods) Has(e cluster.Endpoint, row uint64) bool    { return g.has[e][row] }
func (g *gods) Unapplied(e cluster.Endpoint) int           { return g.unapplied[e] }
func (g *gods) Stuck(cluster.Endpoint) bool                { return g.stuck }
func (g *gods) Extra(e, _ cluster.Endpoint) (int, int)     { return g.extra[e][0], g.extra[e][1] }
func (g *gods) Lacks(e cluster.Endpoint, set string) bool  { return g.lacks[e] == set }
func (g *gods) Untold(_, _ cluster.Endpoint, _ string) int { return g.untold }
func (g *gods) Waits(cluster.Endpoint) bool                { return g.waits }
func (g *gods) Up(cluster.Endpoint) bool                   { return !g.down }
func (g *gods) Shown(cluster.Endpoint) bool                { return g.shown }
func (g *gods) Known(_, _ cluster.Endpoint) (int, bool)    { return g.known, g.known >= 0 }

// history tells a judge one story, a millisecond for each fact.
type history struct {
	*Judge
	g      *gods
	t      time.Duration
	rec    cluster.Assignment
	tokens uint64
	row    uint64
}

// begin is a steady pair, a active and open, in epoch 5.
func begin(p Promise) *history {
	p.Members = [2]cluster.Endpoint{ja, jb}
	g := &gods{
		has:       map[cluster.Endpoint]map[uint64]bool{ja: {}, jb: {}},
		unapplied: map[cluster.Endpoint]int{},
		extra:     map[cluster.Endpoint][2]int{},
		known:     -1,
	}
	h := &history{Judge: NewJudge(p, g), g: g, rec: cluster.Assignment{
		Epoch: 5, Version: 3, Phase: cluster.PhaseSteady, Active: ja, Passive: jb,
		Eligible: []cluster.Endpoint{jb}, Cause: "first start", Proof: cluster.ProofGone}}
	h.Begin(h.rec, ja)
	return h
}

func (h *history) tick() time.Duration {
	h.t += time.Millisecond
	return h.t
}

func (h *history) close(e cluster.Endpoint)          { h.Open(h.tick(), e, false, ByAgent) }
func (h *history) die(e cluster.Endpoint)            { h.Trouble(h.tick()); h.Open(h.t, e, false, ByDeath) }
func (h *history) console(e cluster.Endpoint)        { h.Open(h.tick(), e, true, ByPerson) }
func (h *history) loses(e cluster.Endpoint, n int)   { h.g.extra[e] = [2]int{n, n} }
func (h *history) applied(e cluster.Endpoint, n int) { h.g.unapplied[e] = n }

// open opens e as an agent does, with the epoch row and its own disk up to date.
func (h *history) open(e cluster.Endpoint) {
	if named := h.at(e).named; named.Exists() {
		if h.newest.Before(named.Order()) {
			h.Obeys(h.t, "opener", named)
		}
		if m := h.at(e); m.mark.Epoch < named.Epoch {
			h.Row(h.t, e, cluster.Mark{Epoch: named.Epoch, Active: e})
		}
	}
	h.openOnly(e)
}

func (h *history) openOnly(e cluster.Endpoint) { h.Open(h.tick(), e, true, ByAgent) }

// write has e acknowledge the next row, which those in on commit too.
func (h *history) write(e cluster.Endpoint, on ...cluster.Endpoint) uint64 {
	h.row++
	h.g.has[e][h.row] = true
	for _, o := range on {
		h.Received(h.tick(), o, h.row)
		h.g.has[o][h.row] = true
	}
	h.Acked(h.tick(), e, h.row)
	return h.row
}

// interferes has a person write a row to e.
func (h *history) interferes(e cluster.Endpoint, row uint64) {
	h.Interfered(h.tick(), row)
	h.g.has[e][row] = true
}

// strayKept has the old active of a switchover start open and write a row, and the role come
// back to it before the other was opened.
func (h *history) strayKept() {
	h.switching()
	h.close(ja)
	h.commit()
	h.Open(h.tick(), ja, true, ByBoot)
	h.write(ja)
	h.close(ja)
	h.revoke(jb, ja)
	h.promote(cluster.ProofFenced)
}

// change changes the record as a script does.
func (h *history) change(kind string, next cluster.Assignment) {
	before := h.rec
	h.rec = next
	h.Changed(h.tick(), before, next, cluster.Event{Kind: kind, Assignment: next, Reason: "so", Actor: "identify 1"})
}

func (h *history) revoke(from, to cluster.Endpoint) {
	h.change("revoked", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked,
		From: from, To: to, Cause: "failover: refused"})
}

// recorded is a failover up to the opening, with what the other had received on record.
func (h *history) recorded(target string) {
	h.change("revoked", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked,
		From: ja, To: jb, Target: target, Cause: "failover: refused"})
	h.promote(cluster.ProofFenced)
}

func (h *history) override(from, to cluster.Endpoint, cause string) {
	h.change("revoked", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked, From: from, To: to, Cause: cause})
}

// forcedRow has a forced override open b with so much unapplied, and its epoch row fall then.
func (h *history) forcedRow(unapplied int) {
	h.die(ja)
	h.override(ja, jb, causeForced)
	h.applied(jb, unapplied)
	h.promote(cluster.ProofOperator)
	h.Row(h.tick(), jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
	h.open(jb)
	h.Row(h.tick(), jb, cluster.Mark{Epoch: h.rec.Epoch - 1, Active: ja})
}

// rowOfAnOpeningThatFailed has a, active again after b was to be opened and died, receive b's
// epoch row of that when it is started.
func (h *history) rowOfAnOpeningThatFailed() {
	h.die(ja)
	h.override(ja, jb, causeOverride)
	h.promote(cluster.ProofOperator)
	row := cluster.Mark{Epoch: h.rec.Epoch, Active: jb}
	h.Row(h.tick(), jb, row)
	h.die(jb)
	h.override(jb, ja, causeOverride)
	h.promote(cluster.ProofOperator)
	h.Row(h.tick(), ja, cluster.Mark{Epoch: h.rec.Epoch, Active: ja})
	h.open(ja)
	h.die(ja)
	h.Started(h.tick(), ja)
	h.Row(h.tick(), ja, row)
}

func (h *history) promote(p cluster.Proof) {
	next := h.rec.Clone()
	next.Version++
	next.Phase, next.Active, next.Passive, next.Proof = cluster.PhaseOpening, next.To, next.From, p
	next.Blocked = h.Judge.p.FailoverBlock > 0 && !overridden(next)
	h.change("promoted", next)
}

func (h *history) steady() {
	next := h.rec.Clone()
	next.Version++
	next.Phase = cluster.PhaseSteady
	h.change("steady", next)
}

func (h *history) eligible(e cluster.Endpoint) {
	next := h.rec.Clone()
	next.Version++
	next.Eligible = append(next.Eligible, e)
	h.change("eligible", next)
}

// durable is a pair that promises to lose nothing, whose commits wait or not, and these may take over.
func (h *history) durable(waits bool, eligible ...cluster.Endpoint) {
	next := h.rec.Clone()
	next.Version++
	next.Durability, next.Waits, next.Eligible = cluster.SemiSync, waits, eligible
	h.change("waiting", next)
}

// strayAtCommit has a switchover to b commit while a, which was closed for it, is restarted open,
// writes and is closed again, and b be opened so long after that.
func (h *history) strayAtCommit(late time.Duration) {
	h.switching()
	h.close(ja)
	h.Open(h.tick(), ja, true, ByBoot)
	h.write(ja)
	h.commit()
	h.close(ja)
	h.t += late
	h.open(jb)
}

// revokedApart has the role revoked of two servers with a row each that the other lacks.
func (h *history) revokedApart() {
	h.die(ja)
	h.revoke(ja, jb)
	h.loses(ja, 1)
	h.loses(jb, 1)
}

// bootedActive has the active restart open and acknowledge a row by itself, and b be counted among
// those who may take over, so late.
func (h *history) bootedActive(late time.Duration) {
	h.durable(true)
	h.die(ja)
	h.Started(h.tick(), ja)
	h.Open(h.tick(), ja, true, ByBoot)
	h.write(ja)
	h.t += late
	h.eligible(jb)
}

// restartedPassive has the passive lose by a crash what it had received, and be counted among those
// who may take over, so late after its start.
func (h *history) restartedPassive(late time.Duration) {
	h.durable(true)
	h.Received(h.tick(), jb, h.write(ja))
	h.RelayLost(h.tick(), jb)
	h.Started(h.tick(), jb)
	h.t += late
	h.eligible(jb)
}

// muted has b take over from a, which nobody reaches, since a can acknowledge nothing.
func (h *history) muted() {
	h.durable(true, jb)
	h.Trouble(h.tick())
	h.failover(ja, jb, cluster.ProofAcks)
}

func (h *history) unblock() {
	next := h.rec.Clone()
	next.Version++
	next.Blocked = false
	h.change("unblocked", next)
}

// astray has the old active die, and the server that is to take over restart open and
// write one row; n rows are its own then.
func (h *history) astray(n int) {
	h.die(ja)
	h.revoke(ja, jb)
	h.Open(h.tick(), jb, true, ByBoot)
	h.write(jb)
	h.loses(jb, n)
	h.close(jb)
}

// barred has the server that is to take over from a hung one restart open, write own rows, and
// receive one that it has not applied when it takes over, so late.
func (h *history) barred(own int, late time.Duration) {
	h.Trouble(h.tick())
	h.revoke(ja, jb)
	h.Open(h.tick(), jb, true, ByBoot)
	h.Started(h.t, jb)
	h.loses(jb, own)
	h.Received(h.tick(), jb, h.write(ja))
	h.t += late
	h.close(ja)
	h.promote(cluster.ProofFenced)
}

// startedBarred has the server that is to take over from a hung one restart closed with a row of
// its own, and receive one that it cannot apply, when it takes over, so late.
func (h *history) startedBarred(late time.Duration) {
	h.Trouble(h.tick())
	h.revoke(ja, jb)
	h.Started(h.tick(), jb)
	h.g.extra[jb] = [2]int{0, 1}
	h.Received(h.tick(), jb, h.write(ja))
	h.t += late
	h.close(ja)
	h.promote(cluster.ProofFenced)
	h.open(jb)
	h.steady()
}

// applying has the server that is to take over from a hung one restart open, and receive a row
// that it is still to apply when it takes over.
func (h *history) applying() (row uint64) {
	h.barred(0, 0)
	h.steady()
	return h.row
}

// giveBack gives the role to b, from which it was to be taken.
func (h *history) giveBack() {
	h.change("given back", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseOpening, Active: jb, Passive: ja,
		From: ja, To: jb, Cause: "the old active is back", Proof: cluster.ProofGone})
}

// strayReceived has the server that is to take over restart open and write what a receives and
// cannot apply, and a be given the role back, so late.
func (h *history) strayReceived(late time.Duration) {
	h.die(ja)
	h.revoke(ja, jb)
	h.Open(h.tick(), jb, true, ByBoot)
	h.write(jb)
	h.applied(ja, 1)
	h.Open(h.tick(), jb, false, ByAgent)
	h.t += late
	h.change("given back", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseOpening, Active: ja, Passive: jb,
		From: jb, To: ja, Cause: "the old active is back", Proof: cluster.ProofGone})
}

// rebuiltAfterAll has Redis lose the record that gives b the role back, and b get it
// nevertheless, after a while.
func (h *history) rebuiltAfterAll() {
	h.RedisFault(h.tick(), false)
	h.change("rebuilt", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked, From: ja, To: jb, Cause: "Redis lost the assignment"})
	h.t += unseen
	h.promote(cluster.ProofFenced)
	h.open(jb)
}

// forgottenAndGivenBack has Redis forget that b took over, and the role go back to a, which
// has a row that b has not.
func (h *history) forgottenAndGivenBack() {
	h.RedisFault(h.tick(), false)
	h.change("rebuilt", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked, From: ja, To: jb, Cause: "Redis lost the assignment"})
	h.change("given back", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseOpening, Active: ja, Passive: jb,
		From: jb, To: ja, Cause: "the old active is back", Proof: cluster.ProofGone})
	h.loses(ja, 1)
	h.open(ja)
}

// apart begins anew, with nobody active and a row of a person on each server alone.
func (h *history) apart() {
	h.rec = cluster.Assignment{}
	h.Judge = NewJudge(h.Judge.p, h.g)
	h.Begin(h.rec)
	h.Parted(97)
	h.Parted(98)
	h.g.has[ja][97], h.g.has[jb][98] = true, true
	h.loses(ja, 1)
	h.loses(jb, 1)
}

// firstStart names a as the active of a pair that had none.
func (h *history) firstStart(p cluster.Proof) {
	h.change("first start", cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: ja, Passive: jb, To: ja, Cause: "first start", Proof: p})
}

// failover takes the role from one to the other with this proof.
func (h *history) failover(from, to cluster.Endpoint, p cluster.Proof) {
	h.revoke(from, to)
	h.promote(p)
	h.open(to)
	h.steady()
}

func (h *history) switching() {
	next := h.rec.Clone()
	next.Version++
	next.Phase, next.From, next.To, next.Proof, next.Cause = cluster.PhaseSwitching, next.Active, next.Passive, "", cluster.CauseSwitchover
	h.change("switching", next)
}

// afterTheNext has, with two masters of Redis, a failover give a's role to b, a closed by an agent
// that obeys, and a server opened with a transaction that it has received and not applied.
func (h *history) afterTheNext(e cluster.Endpoint) {
	h.RedisFault(h.tick(), true)
	h.Trouble(h.tick())
	h.revoke(ja, jb)
	h.promote(cluster.RiskRefused)
	h.close(ja)
	h.applied(e, 1)
	h.openOnly(e)
}

// openedByAnother has a switchover close a, an agent open it, and the role go on to b; with
// another Redis or not.
func (h *history) openedByAnother(redis bool) {
	if redis {
		h.RedisFault(h.tick(), true)
	}
	h.switching()
	h.close(ja)
	h.openOnly(ja)
	h.commit()
	h.open(jb)
}

func (h *history) commit() {
	next := h.rec.Clone()
	next.Epoch, next.Version = next.Epoch+1, 1
	next.Phase, next.Active, next.Passive, next.Proof = cluster.PhaseOpening, next.To, next.From, cluster.ProofFenced
	next.Eligible, next.Blocked = nil, false
	h.change("promoted", next)
}

// writtenThen has a person write to e, and long pass after that; nobody was open.
func (h *history) writtenThen(e cluster.Endpoint) {
	h.row++
	h.Interfered(h.tick(), h.row)
	h.g.has[e][h.row] = true
	h.loses(e, 1)
	h.t += unseen
	h.console(ja)
	h.close(ja)
}

func (h *history) rebuild(a cluster.Assignment, epoch cluster.Epoch) {
	h.rec = cluster.Assignment{}
	a.Epoch, a.Version, a.Cause, a.Eligible = epoch, 1, "rebuilt", nil
	h.change("rebuilt", a)
}

func (h *history) leads(id string) {
	h.tokens++
	h.Leads(h.tick(), id, h.tokens)
}

// asks has an identify ask for the next change.
func (h *history) asks(id string) {
	h.Asks(h.tick(), id, cluster.Order{Epoch: h.rec.Epoch, Version: h.rec.Version + 1})
}

func (h *history) final(change func(*FinalFacts)) {
	well := FinalServer{Up: true, IO: true, SQL: true}
	f := FinalFacts{Record: h.rec, Verdict: "held", Servers: [2]FinalServer{well, well}}
	for i, e := range []cluster.Endpoint{ja, jb} {
		f.Servers[i].Open = e == h.rec.Active
	}
	if change != nil {
		change(&f)
	}
	h.Final(h.tick(), f)
}
