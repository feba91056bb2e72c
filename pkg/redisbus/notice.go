package redisbus

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

//go:embed lua/notice.lua
var noticeLua string

var noticeScript = newScript(noticeLua)

// Notice names something that one of many agents is to tell people, once.
type Notice struct {
	// Name is the same for every agent that sees the same thing.
	Name string
	// Follows is the notice whose end this one tells: it is told only when that
	// one was, and both are forgotten then.
	Follows string
	// Fresh allows it although no agent has ever claimed it.
	Fresh bool
	// Keep is how long it is remembered, from the last change of its record.
	Keep time.Duration
}

// ClaimState says whose a notice is.
type ClaimState string

// What a claim is answered.
const (
	ClaimMine  ClaimState = "mine"  // the caller is to tell it, until the claim ends
	ClaimOther ClaimState = "other" // another agent tells it
	ClaimTold  ClaimState = "told"  // it has been told
	ClaimVoid  ClaimState = "void"  // it is not to be told
)

// Claim is the answer to ClaimNotice.
type Claim struct {
	State ClaimState
	// Born is when the notice was first claimed, unix milliseconds of Redis's
	// clock: the same whoever claims it afterwards. Set when the claim is the caller's.
	Born int64
	// Wait is how long the other agent's claim still lasts.
	Wait time.Duration
}

// ClaimNotice takes or prolongs the right to tell n for ttl.
func (b *Bus) ClaimNotice(ctx context.Context, u cluster.UniqSign, n Notice, agent string, ttl time.Duration) (Claim, error) {
	answer, err := b.notice(ctx, "claim", u, n, agent, ttl, n.Fresh)
	if err != nil {
		return Claim{}, err
	}
	c := Claim{State: ClaimState(answer[0])}
	switch {
	case c.State == ClaimMine && len(answer) == 2:
		c.Born, err = strconv.ParseInt(answer[1], 10, 64)
	case c.State == ClaimOther && len(answer) == 3:
		var ms int64
		ms, err = strconv.ParseInt(answer[2], 10, 64)
		c.Wait = time.Duration(ms) * time.Millisecond
	case c.State != ClaimTold && c.State != ClaimVoid:
		err = errors.New("the script gave no answer that is known")
	}
	return c, b.wrap("claim notice "+n.Name+" of "+string(u), err)
}

// NoticeTold records that n has been told: nobody tells it again before Keep is over.
func (b *Bus) NoticeTold(ctx context.Context, u cluster.UniqSign, n Notice, agent string) error {
	_, err := b.notice(ctx, "told", u, n, agent, 0, false)
	return err
}

// ReleaseNotice gives the caller's claim back; the notice stays to be told.
func (b *Bus) ReleaseNotice(ctx context.Context, u cluster.UniqSign, n Notice, agent string) error {
	_, err := b.notice(ctx, "release", u, n, agent, 0, false)
	return err
}

// ForgetNotice removes the record of n, one that has been told only when told says so.
func (b *Bus) ForgetNotice(ctx context.Context, u cluster.UniqSign, n Notice, told bool) error {
	_, err := b.notice(ctx, "forget", u, n, "", 0, told)
	return err
}

func (b *Bus) notice(ctx context.Context, verb string, u cluster.UniqSign, n Notice, agent string, ttl time.Duration, flag bool) ([]string, error) {
	op := fmt.Sprintf("%s notice %s of %s", verb, n.Name, u)
	if verb == "told" {
		op = fmt.Sprintf("note that notice %s of %s was told", n.Name, u)
	}
	if n.Name == "" || n.Keep < time.Millisecond {
		return nil, fmt.Errorf("%s: it needs a name and a life of 1 ms at least", op)
	}
	fresh, follows, before := "0", "0", n.Name
	if flag {
		fresh = "1"
	}
	if n.Follows != "" {
		follows, before = "1", n.Follows
	}
	return b.run(ctx, op, noticeScript, []string{keysOf(u).notice(n.Name), keysOf(u).notice(before)},
		verb, agent, ttl.Milliseconds(), n.Keep.Milliseconds(), fresh, follows)
}

// EventsAfter reads at most n entries of the audit trail after the one called
// id, "<milliseconds>-<number>", the oldest first.
func (b *Bus) EventsAfter(ctx context.Context, u cluster.UniqSign, id string, n int) ([]cluster.Event, error) {
	op := "read events of " + string(u)
	if n <= 0 {
		return nil, nil
	}
	ms, seq, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(seq, 10, 63)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is no id of an entry", op, id)
	}
	// Exclusive ranges came with Redis 6.2.
	cmd := b.client.XRangeN(ctx, keysOf(u).events(), fmt.Sprintf("%s-%d", ms, number+1), "+", int64(n))
	if err := b.checkCmds(op, cmd.Err(), cmd); err != nil {
		return nil, err
	}
	events := make([]cluster.Event, 0, len(cmd.Val()))
	for _, entry := range cmd.Val() {
		events = append(events, decodeEvent(entry.ID, entry.Values["event"]))
	}
	return events, nil
}
