package redisbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// doesOf is what a role does on the bus.
func doesOf(role Role) func(context.Context, *Bus) error {
	request := cluster.Request{ID: "r", Verb: "v"}
	report := cluster.Report{Agent: "a", Node: nodeA}
	accounts := []cluster.Account{{User: "app", Host: "%"}}
	return map[Role]func(context.Context, *Bus) error{
		RoleMonitor: func(ctx context.Context, b *Bus) error {
			_, err := b.RunID(ctx)
			pair := b.PublishPair(ctx, testPair())
			_, seen := b.PublishObservation(ctx, sign, cluster.Observation{Monitor: "m", Node: nodeA}, &cluster.LegacyCheck{}, time.Minute, true)
			return errors.Join(err, pair, seen)
		},
		RoleIdentify: func(ctx context.Context, b *Bus) error {
			token, _, _, err := b.Lead(ctx, sign, "one", time.Minute)
			_, _, _, again := b.Lead(ctx, sign, "one", time.Minute)
			snap, read := b.Snapshot(ctx, sign)
			_, first := b.Transition(ctx, sign, "one", token, cluster.Transition{Next: opening(1, 0), Announce: true, Request: &request})
			_, moved := b.Transition(ctx, sign, "one", token, cluster.Transition{Expect: order(1, 0), Next: opening(1, 1), Announce: true})
			if len(snap.Faults) > 0 {
				read = errors.New(snap.Faults[0])
			}
			_, silent := b.TellSilent(ctx, sign)
			return errors.Join(err, again, read, readsPlainly(ctx, b), first, moved, silent, b.TellOver(ctx, sign), b.SaveRequest(ctx, sign, "one", token, request),
				b.SaveVerdict(ctx, sign, cluster.Verdict{}), b.DropReport(ctx, sign, nodeA, "a"), b.Resign(ctx, sign, "one"),
				subscribed(ctx, b, Channels{UniqSigns: []cluster.UniqSign{sign}}))
		},
		RoleAgent: func(ctx context.Context, b *Bus) error {
			_, pairs := b.Pairs(ctx)
			snap, read := b.Snapshot(ctx, sign)
			_, record := b.Assignment(ctx, sign)
			_, locked := b.Locked(ctx, sign, nodeA)
			_, _, renewed := b.Renew(ctx, sign, nodeB, "a", 1, time.Minute)
			_, events := b.EventsAfter(ctx, sign, "0-0", 5)
			n := Notice{Name: "n", Fresh: true, Keep: time.Hour, Follows: "m"}
			first := Notice{Name: "m", Fresh: true, Keep: time.Hour}
			_, claimed := b.ClaimNotice(ctx, sign, first, "a", time.Minute)
			told := b.NoticeTold(ctx, sign, first, "a")
			_, next := b.ClaimNotice(ctx, sign, n, "a", time.Minute)
			if len(snap.Faults) > 0 {
				read = errors.New(snap.Faults[0])
			}
			_, held := b.held(ctx, sign, 1, time.Millisecond)
			if errors.As(held, new(*MinorityError)) {
				held = nil // nobody follows this Redis
			}
			return errors.Join(pairs, read, readsPlainly(ctx, b), record, held, locked, renewed, events, claimed, told, next, b.NoticeTold(ctx, sign, n, "a"),
				b.ReleaseNotice(ctx, sign, n, "a"), b.ForgetNotice(ctx, sign, n, true), b.SaveReport(ctx, sign, report, true),
				b.DropReport(ctx, sign, nodeA, "a"), b.NoteLocked(ctx, sign, nodeA, accounts), b.DropLocked(ctx, sign, nodeA, cluster.Order{}, accounts),
				b.DropGrant(ctx, sign, nodeB, "a"), subscribed(ctx, b, Channels{All: true, Topic: true}))
		},
		RoleTools: func(ctx context.Context, b *Bus) error {
			snap, read := b.Snapshot(ctx, sign)
			if len(snap.Faults) > 0 {
				read = errors.New(snap.Faults[0])
			}
			filed := b.FileRequest(ctx, sign, request)
			_, withdrawn := b.WithdrawRequest(ctx, sign, "r")
			_, events := b.Events(ctx, sign, 5)
			paused := b.SetPause(ctx, sign, cluster.Pause{})
			_, cleared := b.ClearPause(ctx, sign)
			return errors.Join(read, readsPlainly(ctx, b), b.TryWrite(ctx), filed, withdrawn, events, paused, cleared, subscribed(ctx, b, Channels{UniqSigns: []cluster.UniqSign{sign}}))
		},
	}[role]
}

// subscribed listens until Redis confirms it or refuses it.
func subscribed(ctx context.Context, b *Bus, c Channels) error {
	refused := make(chan error, 1)
	b.refused = func(err error) { refused <- err }
	sub := b.Subscribe(ctx, c)
	defer sub.Close()
	select {
	case <-sub.C():
		return nil
	case err := <-refused:
		return err
	case <-time.After(patience):
		return errors.New("neither subscribed nor refused")
	}
}

// Every role does all it does with its rules and without one of its commands
// fails by a text that names it; no role can do what is another's.
func TestRulesOfEachRole(t *testing.T) {
	s := newReal(t)
	as := func(rules ...string) *Bus {
		args := []any{"ACL", "SETUSER", "mmm", "reset", "on", ">hunter2"}
		for _, r := range rules {
			args = append(args, r)
		}
		s.do(t, args...)
		return newBus(t, Options{Addr: s.addr, Username: "mmm", Password: "hunter2"})
	}
	admin := s.bus(t)
	does := func(role Role, b *Bus) error {
		defer b.Close()
		return doesOf(role)(t.Context(), b)
	}
	// fresh is a Redis in which every record that is read is there.
	fresh := func() {
		s.do(t, "FLUSHALL")
		s.do(t, "SCRIPT", "FLUSH")
		for _, role := range []Role{RoleMonitor, RoleIdentify} {
			ok(t, doesOf(role)(t.Context(), admin))
		}
		s.do(t, "SCRIPT", "FLUSH")
		s.do(t, "DEL", keysOf(sign).assignment(), keysOf(sign).request())
		ok(t, admin.NoteLocked(t.Context(), sign, nodeA, []cluster.Account{{User: "app", Host: "%"}}))
		ok(t, admin.SetPause(t.Context(), sign, cluster.Pause{}))
	}
	for _, role := range Roles {
		t.Run(string(role), func(t *testing.T) {
			rules := Rules(role, testTopic)
			fresh()
			if err := does(role, as(rules...)); err != nil {
				t.Fatalf("with all of its rules: %v", err)
			}
			for _, rule := range rules {
				fresh()
				err := does(role, as(slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return r == rule })...))
				if err == nil {
					t.Errorf("%s is not needed", rule)
					continue
				}
				command, is := strings.CutPrefix(rule, "+")
				if !strings.Contains(err.Error(), rulesHint) || is && !strings.Contains(strings.ToLower(err.Error()), command) {
					t.Errorf("without %s: %v", rule, err)
				}
			}
			s.do(t, append([]any{"ACL", "SETUSER", "mmm", "reset", "on", "nopass"}, asAny(rules)...)...)
			for _, order := range [][]any{
				{"HSET", keysOf(sign).assignment(), "epoch", "9"}, {"SET", keysOf(sign).leader(), "me"}, {"DEL", keysOf(sign).token()}, {"GET", "foreign"},
			} {
				may := s.do(t, append([]any{"ACL", "DRYRUN", "mmm"}, order...)...)
				if allowed := role == RoleIdentify && order[0] != "GET"; (may == "OK") != allowed {
					t.Errorf("%v: %v", order, may)
				}
			}
		})
	}
}

func asAny(words []string) []any {
	all := make([]any, len(words))
	for i, w := range words {
		all[i] = w
	}
	return all
}

func TestRulesNameTheTopic(t *testing.T) {
	for role, want := range map[Role]bool{RoleMonitor: false, RoleIdentify: true, RoleAgent: true, RoleTools: false} {
		if got := slices.Contains(Rules(role, "t"), "&t"); got != want {
			t.Errorf("%s: %v in %s", role, got, fmt.Sprint(Rules(role, "t")))
		}
	}
}
