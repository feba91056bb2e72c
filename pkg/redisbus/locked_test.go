package redisbus

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestLockedAccounts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b, ctx := s.bus(t), t.Context()
		app, odd := cluster.Account{User: "app", Host: "%"}, cluster.Account{User: "a@b c", Host: "10.0.%"}
		want := func(node cluster.Endpoint, accounts ...cluster.Account) {
			t.Helper()
			got, err := b.Locked(ctx, sign, node)
			if err != nil || !slices.Equal(got, accounts) {
				t.Errorf("locked on %s: %v, %v; want %v", node, got, err, accounts)
			}
		}
		note := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want(nodeA)
		note(b.NoteLocked(ctx, sign, nodeA, nil))
		note(b.NoteLocked(ctx, sign, nodeA, []cluster.Account{app, odd}))
		note(b.NoteLocked(ctx, sign, nodeA, []cluster.Account{app}))
		want(nodeA, odd, app)
		want(nodeB)
		note(b.DropLocked(ctx, sign, nodeA, cluster.Order{}, nil))
		note(b.DropLocked(ctx, sign, nodeA, cluster.Order{}, []cluster.Account{odd, {User: "nobody", Host: "%"}}))
		want(nodeA, app)
		note(s.raw.SAdd(ctx, keysOf(sign).locked(nodeA), "rubbish").Err())
		want(nodeA, app)
		note(b.DropLocked(ctx, sign, nodeA, order(1, 0), []cluster.Account{app}))
		want(nodeA, app)
		token, _, _, err := b.Lead(ctx, sign, "one", time.Minute)
		note(err)
		_, err = b.Transition(ctx, sign, "one", token, cluster.Transition{Next: opening(1, 0)})
		note(err)
		note(b.DropLocked(ctx, sign, nodeA, order(1, 1), []cluster.Account{app}))
		want(nodeA, app)
		note(b.DropLocked(ctx, sign, nodeA, order(1, 0), []cluster.Account{app}))
		want(nodeA)
		note(b.NoteLocked(ctx, sign, nodeA, []cluster.Account{app}))
		note(b.DropLocked(ctx, sign, nodeA, cluster.Order{}, []cluster.Account{app}))
		want(nodeA)

		note(s.raw.Set(ctx, keysOf(sign).locked(nodeB), "x", 0).Err())
		_, err = b.Locked(ctx, sign, nodeB)
		var wrong *WrongTypeError
		if !errors.As(err, &wrong) || wrong.Want != "set" {
			t.Errorf("reading a key of another type: %v", err)
		}
		if err := b.NoteLocked(ctx, sign, nodeB, []cluster.Account{app}); !errors.As(err, &wrong) {
			t.Errorf("noting into a key of another type: %v", err)
		}
	})
}
