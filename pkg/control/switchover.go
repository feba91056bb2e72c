package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// Times of a switchover.
const (
	// DefaultTimeout bounds it from its first step to the decision.
	DefaultTimeout = 10 * time.Second
	// AnswerWait is how long an identify has to take the request.
	AnswerWait = 10 * time.Second
	// LeaderWait is how long a leader is waited for before anything is filed: a
	// lease is 3 s long, so that a take-over between two identifies fits in.
	LeaderWait = 5 * time.Second
	// OpenGrace is what opening may take after the decision.
	OpenGrace = 20 * time.Second
)

// Asked is what an operator asks for, whatever the verb.
type Asked struct {
	Pair cluster.Pair
	// To is who is to be active; empty means the other server, in a switchover only.
	To      cluster.Endpoint
	Reason  string
	Timeout time.Duration
	// Confirm is shown what will happen and what is known to be lost; an error
	// ends it before anything is filed.
	Confirm func(Plan) error
	// Unasked: nobody is asked in Confirm, which only shows the plan.
	Unasked bool
	// Progress is told each thing as it is seen, with the time since the request was filed.
	Progress func(time.Duration, string)
}

// Switchover moves the role to To while both servers are well.
type Switchover struct {
	Asked
	// Failback and FailbackAfter are the tag's, to say when the role returns.
	Failback      failover.Failback
	FailbackAfter time.Duration
}

// Plan says what a switchover or a failover by override will do, before it is asked for.
type Plan struct {
	Verb     string           `json:"verb"`
	Tag      cluster.Tag      `json:"tag"`
	From     cluster.Endpoint `json:"from"`
	To       cluster.Endpoint `json:"to"`
	Epoch    cluster.Epoch    `json:"epoch"`
	Leader   string           `json:"leader"`
	Steps    []string         `json:"steps"`
	Warnings []string         `json:"warnings,omitempty"`
	// Refused is why it would not be begun now, as far as is known from here;
	// there are no steps then.
	Refused string `json:"refused,omitempty"`
}

// Outcome is how a switchover or a failover by override ended.
type Outcome struct {
	Tag     cluster.Tag          `json:"tag"`
	State   cluster.RequestState `json:"state"`
	Answer  string               `json:"answer"`
	From    cluster.Endpoint     `json:"from,omitempty"`
	To      cluster.Endpoint     `json:"to,omitempty"`
	Active  cluster.Endpoint     `json:"active,omitempty"`
	Epoch   cluster.Epoch        `json:"epoch"`
	Seconds float64              `json:"seconds"`
}

// Switchover files the request and follows it to its end. The Outcome holds what
// is known even when an error is returned.
func (s *Service) Switchover(ctx context.Context, sw Switchover) (Outcome, error) {
	out := Outcome{Tag: sw.Pair.Tag}
	if sw.Timeout <= 0 {
		sw.Timeout = DefaultTimeout
	}
	if sw.To != "" && !sw.Pair.Has(sw.To) {
		return out, noSuchNode(sw.Pair, sw.To)
	}
	snap, err := s.led(ctx, sw.Pair)
	if err != nil {
		return out, err
	}
	out.From, out.To, out.Epoch = activeOf(snap), sw.To, snap.Assignment.Epoch
	if out.To == "" {
		out.To = sw.Pair.Other(out.From)
	}
	out.Active = out.From
	switch {
	case out.From == "":
		return out, &Error{Code: "no-active", Exit: ExitRefused, Hint: "mmm-status says why; against the rules: " + failover.OverrideCommand(sw.Pair.Tag, cmp.Or(sw.To, snap.Assignment.To, "HOST:PORT")),
			Message: fmt.Sprintf("nobody is active in tag %s, so there is no role to move; nothing was filed", sw.Pair.Tag)}
	case out.From == out.To:
		out.State, out.Answer = cluster.RequestDone, fmt.Sprintf("%s is active already: nothing to do", out.To)
		return out, nil
	}
	if sw.Confirm != nil {
		if err := sw.Confirm(planOf(sw, snap, out.From, out.To)); err != nil {
			return out, err
		}
	}
	req := cluster.Request{
		ID: s.opt.NewID(), Verb: cluster.VerbSwitchover, To: out.To, Actor: s.opt.Actor, Reason: sw.Reason,
		State: cluster.RequestFiled, TimeoutMS: sw.Timeout.Milliseconds(),
	}
	return s.file(ctx, sw.Asked, req, snap, out)
}

func noSuchNode(p cluster.Pair, e cluster.Endpoint) *Error {
	return &Error{Code: "no-such-node", Exit: ExitNotFound,
		Message: fmt.Sprintf("%s is no server of tag %s", e, p.Tag),
		Hint:    fmt.Sprintf("its servers are %s and %s", p.Primary, p.Secondary)}
}

// file files req and follows it to its end.
func (s *Service) file(ctx context.Context, ask Asked, req cluster.Request, snap cluster.Snapshot, out Outcome) (Outcome, error) {
	if err := s.opt.Bus.FileRequest(ctx, ask.Pair.UniqSign, req); err != nil {
		if errors.Is(err, ErrBusy) {
			return out, &Error{Code: "busy", Exit: ExitRefused, Message: err.Error(), Hint: "mmm-status shows it; try again when it has ended", Err: err}
		}
		if errors.Is(err, ErrNotFiled) {
			return out, &Error{Code: "not-filed", Exit: ExitFailed, Message: err.Error() + "; nothing was filed", Err: err}
		}
		// The order may have been written before the answer was lost.
		return out, &Error{Code: "outcome-unknown", Exit: ExitUnknown, Err: err,
			Message: fmt.Sprintf("file the request: %v; it is not known whether it was filed", err), Hint: "look at mmm-status before you try again"}
	}
	return s.follow(ctx, ask, req, snap, out)
}

// led reads the pair once an identify leads it.
func (s *Service) led(ctx context.Context, p cluster.Pair) (cluster.Snapshot, error) {
	end := time.Now().Add(LeaderWait)
	for {
		snap, err := s.opt.Bus.Snapshot(ctx, p.UniqSign)
		if err != nil {
			return snap, unreachable(err)
		}
		if snap.Leader.ID != "" {
			return snap, nil
		}
		if !time.Now().Before(end) {
			return snap, &Error{Code: "no-identify", Exit: ExitFailed,
				Message: fmt.Sprintf("nobody answers: no mmm-identify leads tag %s; nothing was filed", p.Tag),
				Hint:    fmt.Sprintf("start it: mmm-identify --tag %s", p.Tag)}
		}
		if !s.wait(ctx, look) {
			return snap, &Error{Code: "interrupted", Exit: ExitFailed, Message: "interrupted; nothing was filed", Err: ctx.Err()}
		}
	}
}

func planOf(sw Switchover, snap cluster.Snapshot, from, to cluster.Endpoint) Plan {
	p := Plan{Verb: cluster.VerbSwitchover, Tag: sw.Pair.Tag, From: from, To: to, Epoch: snap.Assignment.Epoch, Leader: snap.Leader.ID}
	blocked := lockedOn(snap, to)
	if blocked != "" {
		p.Steps = append(p.Steps, fmt.Sprintf("the accounts that block_user names are locked on %s, as they are on %s now: %s", from, to, blocked))
	}
	p.Steps = append(p.Steps,
		fmt.Sprintf("%s is set read-only; a write transaction older than 1 s or a table lock calls the whole thing off", from),
		fmt.Sprintf("the application sessions on %s are ended%s", from, sessions(snap, from)),
		fmt.Sprintf("%s applies everything that %s has committed", to, from),
	)
	if blocked != "" {
		p.Steps = append(p.Steps, fmt.Sprintf("these accounts are released on %s", to))
	}
	p.Steps = append(p.Steps,
		fmt.Sprintf("%s becomes active in epoch %d and takes writes", to, snap.Assignment.Epoch+1),
		fmt.Sprintf("when that is not decided within %s, %s goes on as before", sw.Timeout, from))
	for _, name := range slices.Sorted(maps.Keys(snap.Reports[to])) {
		if r := snap.Reports[to][name]; r.Deed == cluster.DeedQuarantine && r.Order.Epoch == snap.Assignment.Epoch {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is in quarantine and it will be refused: %s; %s", to, r.Reason, failover.EndQuarantine(sw.Pair.Tag, to, from)))
			break
		}
	}
	if snap.Pause != nil {
		p.Warnings = append(p.Warnings, pausedWords(*snap.Pause)+": a switchover by hand is not held back by that")
	}
	if text := returns(sw, snap, from, to); text != "" {
		p.Warnings = append(p.Warnings, text)
	}
	for _, o := range snap.Observations[from] {
		if o.Cause.MayBeDead() {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s, the active, does not answer monitor %s: %s; when it is dead, use %s",
				from, o.Monitor, o.Cause, failover.OverrideCommand(sw.Pair.Tag, to)))
		}
	}
	for _, o := range snap.Observations[to] {
		c := o.Server.Channel
		switch {
		case !o.Answered():
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s does not answer monitor %s: %s", to, o.Monitor, o.Cause))
		case !c.Replicates(from):
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s does not replicate from %s as monitor %s sees it", to, from, o.Monitor))
		case c.Lags():
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is %d s behind", to, c.Delay))
		}
	}
	return p
}

// lockedOn lists the accounts that agents have locked on node.
func lockedOn(snap cluster.Snapshot, node cluster.Endpoint) string {
	var all []cluster.Account
	for _, r := range snap.Reports[node] {
		all = append(all, r.Locked...)
	}
	slices.SortFunc(all, cluster.Account.Compare)
	var names []string
	for _, a := range slices.Compact(all) {
		names = append(names, a.String())
	}
	return strings.Join(names, ", ")
}

// returns says when the role comes back to the primary host by itself, or why it
// never will; empty where that is no question.
func returns(sw Switchover, snap cluster.Snapshot, from, to cluster.Endpoint) string {
	when := fmt.Sprintf("after %s", sw.FailbackAfter)
	switch {
	case to != sw.Pair.Secondary:
		return ""
	case sw.Failback == failover.FailbackFollow:
		// What is locked on the passive now is locked on the other afterwards.
		var users []string
		for _, o := range snap.Observations[from] {
			users = append(users, o.Server.Users...)
		}
		if no, ok := failover.LockedOut(to, from, users, snap.Reports[to]); ok {
			return no.Text
		}
		when = fmt.Sprintf("when a client of the active has been seen there for %s", sw.FailbackAfter)
	case sw.Failback != failover.FailbackAuto:
		return ""
	}
	return fmt.Sprintf("the role returns to %s by itself: failback=%s, %s; mmmctl pause holds it back", from, sw.Failback, when)
}

func sessions(snap cluster.Snapshot, node cluster.Endpoint) string {
	for _, o := range snap.Observations[node] {
		if o.Answered() && o.Server.Sessions >= 0 {
			return fmt.Sprintf(" (%d as last sampled)", o.Server.Sessions)
		}
	}
	return ""
}

func (s *Service) follow(ctx context.Context, ask Asked, req cluster.Request, before cluster.Snapshot, out Outcome) (Outcome, error) {
	began := time.Now()
	tell := func(text string) {
		if ask.Progress != nil {
			ask.Progress(time.Since(began), text)
		}
	}
	tell("filed")
	f := &follower{req: req, last: before, tell: tell}
	for {
		snap, err := s.opt.Bus.Snapshot(ctx, ask.Pair.UniqSign)
		if err == nil {
			f.see(snap)
			out.Active, out.Epoch = activeOf(snap), snap.Assignment.Epoch
		} else if ctx.Err() == nil {
			f.lost(err)
		}
		out.State, out.Answer, out.Seconds = f.req.State, f.req.Answer, time.Since(began).Round(time.Millisecond).Seconds()
		if f.req.State.Ended() {
			return out, verdictOf(f.req)
		}
		waited := time.Since(began)
		switch {
		case f.gone:
			return out, f.unknown("its record is gone from the bus before an answer was read")
		case f.req.State == cluster.RequestFiled && waited >= AnswerWait:
			return s.withdraw(ctx, ask.Pair.UniqSign, f, out, fmt.Sprintf("nobody has taken it for %s", AnswerWait))
		case waited >= AnswerWait+ask.Timeout+OpenGrace:
			return out, f.unknown(fmt.Sprintf("it has not ended after %s", waited.Round(time.Second)))
		}
		if !s.wait(ctx, look) {
			return s.withdraw(ctx, ask.Pair.UniqSign, f, out, "no longer followed: interrupted")
		}
	}
}

// withdraw takes back a request that nobody has begun, so that it does not
// surprise anybody later.
func (s *Service) withdraw(ctx context.Context, u cluster.UniqSign, f *follower, out Outcome, why string) (Outcome, error) {
	if f.req.State != cluster.RequestFiled {
		return out, f.unknown(why)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if taken, err := s.opt.Bus.WithdrawRequest(clean, u, f.req.ID); err != nil || !taken {
		return out, f.unknown(why)
	}
	out.State, out.Answer = cluster.RequestRefused, fmt.Sprintf("withdrawn before anybody had begun it: %s; %s", why, f.leads())
	return out, &Error{Code: "withdrawn", Exit: ExitFailed, Message: out.Answer, Hint: "nothing was done; mmm-status shows why"}
}

// verdictOf turns an ended request into nil or the error of its kind.
func verdictOf(r cluster.Request) error {
	e := &Error{Message: r.Answer}
	if e.Message == "" {
		e.Message = "the " + r.Verb + " was " + string(r.State)
	}
	switch r.State {
	case cluster.RequestDone:
		return nil
	case cluster.RequestRefused:
		e.Code, e.Exit = "refused", ExitRefused
	case cluster.RequestRolledBack:
		e.Code, e.Exit, e.Hint = "rolled-back", ExitFailed, "the old active goes on"
	default:
		e.Code, e.Exit, e.Hint = "failed", ExitUnknown, "it was begun and neither done nor rolled back: look at mmm-status"
	}
	return e
}

// follower turns a row of snapshots into lines of progress.
type follower struct {
	req   cluster.Request
	last  cluster.Snapshot
	tell  func(string)
	gone  bool
	deaf  bool
	taken bool
}

func (f *follower) see(s cluster.Snapshot) {
	if f.deaf {
		f.deaf = false
		f.tell("the bus answers again")
	}
	if s.Request == nil || s.Request.ID != f.req.ID {
		f.gone = true
	} else {
		f.req = *s.Request
		if !f.taken && f.req.State != cluster.RequestFiled && f.req.State != cluster.RequestRefused {
			f.taken = true
			f.tell(fmt.Sprintf("identify %s has begun", s.Leader.ID))
		}
	}
	if a, was := s.Assignment, f.last.Assignment; a.Order() != was.Order() {
		f.tell(phaseWords(a))
	}
	for _, node := range []cluster.Endpoint{s.Assignment.From, s.Assignment.To} {
		for name, r := range s.Reports[node] {
			was := f.last.Reports[node][name]
			if r.Deed != was.Deed && r.Deed != cluster.DeedNone && r.Deed != cluster.DeedWorking {
				text := fmt.Sprintf("%s: %s", node, r.Deed)
				if r.Reason != "" {
					text += ": " + r.Reason
				}
				f.tell(text)
			}
		}
	}
	f.last = s
}

func (f *follower) lost(err error) {
	if !f.deaf {
		f.deaf = true
		f.tell(fmt.Sprintf("the bus does not answer: %v", err))
	}
}

func (f *follower) unknown(why string) *Error {
	e := &Error{Code: "outcome-unknown", Exit: ExitUnknown, Message: fmt.Sprintf("the outcome is not known: %s; %s", why, f.leads()),
		Hint: "look at mmm-status before you try again"}
	if f.req.State == cluster.RequestFiled && !f.gone {
		e.Hint += "; the request stays filed for 5 minutes and may still be carried out"
	}
	return e
}

// leads says who could have answered.
func (f *follower) leads() string {
	switch {
	case f.deaf:
		return "the bus does not answer"
	case f.last.Leader.ID == "":
		return "no mmm-identify leads now"
	}
	return fmt.Sprintf("identify %s leads", f.last.Leader.ID)
}

func phaseWords(a cluster.Assignment) string {
	switch a.Phase {
	case cluster.PhaseSwitching:
		return fmt.Sprintf("epoch %s: %s is being closed, %s catches up", a.Order(), a.From, a.To)
	case cluster.PhaseOpening:
		return fmt.Sprintf("epoch %s: %s is active and being opened", a.Order(), a.Active)
	case cluster.PhaseRevoked:
		return fmt.Sprintf("epoch %s: the role was taken from %s, nobody is open", a.Order(), a.From)
	}
	return fmt.Sprintf("epoch %s: steady, %s is active", a.Order(), a.Active)
}
