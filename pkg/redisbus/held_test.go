package redisbus

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A record is held when a replica has it; when the replica is silent only while a majority of
// the sentinels has not left the master and calls that replica down.
func TestHeldByAMajority(t *testing.T) {
	one, two := newReal(t), newReal(t)
	host, port, _ := net.SplitHostPort(one.addr)
	two.do(t, "REPLICAOF", host, port)
	until(t, "the replica is in step", func() bool {
		return strings.Contains(fmt.Sprint(two.do(t, "INFO", "replication")), "master_link_status:up")
	})
	var sentinels []*realRedis
	var addrs []string
	for range 3 {
		sentinel := startSentinel(t, one.addr, 0)
		sentinels, addrs = append(sentinels, sentinel), append(addrs, sentinel.addr)
	}
	b := follower(t, addrs...)
	until(t, "the sentinels know the replica", func() bool {
		ok(t, b.sentinels.look(t.Context()))
		agree, up := b.sentinels.agree(t.Context())
		return agree == 3 && up == 1 && b.sentinels.replicas() == 1
	})
	if in, err := b.Held(t.Context(), sign, cluster.Order{}); err != nil || !in {
		t.Fatalf("with a replica in step: %v, %v", in, err)
	}
	if in, err := b.Held(t.Context(), sign, cluster.Order{Epoch: 1}); err != nil || in {
		t.Errorf("of another order: %v, %v", in, err)
	}
	// A grant is renewed as a record is held.
	leads := lead(t, b, "one")
	must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", leads, cluster.Transition{Next: opening(3, 1)}))
	if held, _ := renew(t, b, nodeB, "x", 3); !held {
		t.Error("the grant is not renewed with a replica in step")
	}
	if held, at := renew(t, b, nodeB, "x", 2); held || at != order(3, 1) {
		t.Errorf("the grant of another epoch: %v, %s", held, at)
	}
	two.real.signal(t, syscall.SIGSTOP)
	// Sooner than the sentinels notice it.
	_, err := b.held(t.Context(), sign, 1, 20*time.Millisecond)
	if m := (*MinorityError)(nil); !errors.As(err, &m) || m.Answered != 0 || m.Needed != 1 || m.Agree != 3 || m.Replicas != 1 {
		t.Errorf("with a replica that is silent: %v", err)
	}
	until(t, "the sentinels call the replica down", func() bool {
		_, err := b.Held(t.Context(), sign, order(3, 1))
		return err == nil
	})
	if held, _ := renew(t, b, nodeB, "x", 3); !held {
		t.Error("the grant is not renewed where all others are down")
	}
	for _, s := range sentinels[1:] {
		s.kill()
	}
	_, err = b.Held(t.Context(), sign, order(3, 1))
	if m := (*MinorityError)(nil); !errors.As(err, &m) || m.Agree != 1 || m.Sentinels != 3 {
		t.Errorf("on an island with one sentinel of three: %v", err)
	}
	if held, _, err := b.Renew(t.Context(), sign, nodeB, "x", 3, grantTTL); held || !errors.As(err, new(*MinorityError)) {
		t.Errorf("a grant on an island: %v, %v", held, err)
	}
	two.real.signal(t, syscall.SIGCONT)
	until(t, "the replica answers again", func() bool {
		_, err := b.Held(t.Context(), sign, order(3, 1))
		return err == nil
	})
}
