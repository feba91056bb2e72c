package redisbus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// LongestLease bounds every lease of an active: a record that says more is broken.
const LongestLease = 24 * time.Hour

// Renew takes or lengthens the grant by which agent keeps node open: held for ttl
// when epoch is in force and node is its active, in every phase but revoked. Else
// it is refused and what is there stays; inForce is the order found, zero when
// there is none that can be read. Where there are sentinels, no failover of theirs can
// lose the grant, as Held says it of a record. Count ttl from before the call. After an error
// the grant may have been lengthened or not: it lengthens nobody's right.
func (b *Bus) Renew(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string, epoch cluster.Epoch, ttl time.Duration) (held bool, inForce cluster.Order, err error) {
	op := fmt.Sprintf("renew the grant of %s by %s in epoch %d", node, agent, epoch)
	g := cluster.Grant{Node: node, Agent: agent, Epoch: epoch, TTL: ttl}
	if err := checkUniqSign(u); err != nil {
		return false, cluster.Order{}, fmt.Errorf("%s: %w", op, err)
	}
	if err := checkGrant(g); err != nil {
		return false, cluster.Order{}, fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	args := []any{string(node), agent, uint64(epoch), ttl.Milliseconds(), k.assignment()}
	run, replicas := b.run, 0
	if b.sentinels != nil {
		replicas = b.sentinels.replicas()
	}
	if replicas > 0 {
		run = b.runHeld(replicas)
	}
	answer, err := run(ctx, op, grantScript, []string{k.grant()}, args...)
	if err != nil {
		return false, cluster.Order{}, err
	}
	if len(answer) < 3 || answer[0] != "held" && answer[0] != "refused" {
		return false, cluster.Order{}, b.wrap(op, fmt.Errorf("the script answered %q", answer))
	}
	return answer[0] == "held", parseOrder(answer[1], answer[2]), nil
}

// runHeld is run for what so many replicas have to have, too: the master that is asked may be one that the others have left.
func (b *Bus) runHeld(replicas int) func(ctx context.Context, op string, s *script, keys []string, args ...any) ([]string, error) {
	return func(ctx context.Context, op string, s *script, keys []string, args ...any) ([]string, error) {
		var said *redis.Cmd
		var answered *redis.IntCmd
		// One connection, one master. A script that fails is told by its own answer.
		_, err := b.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			said = s.Eval(ctx, p, keys, args...)
			answered = wait(ctx, p, neededOf(replicas), heldWithin)
			return nil
		})
		answer, scriptErr := b.answer(op, s, said)
		if scriptErr != nil || answer[0] == "refused" {
			return answer, scriptErr
		}
		if err != nil {
			return nil, b.wrap(op, err)
		}
		if err := b.enough(ctx, int(answered.Val()), replicas); err != nil {
			return nil, b.wrap(op, err)
		}
		return answer, nil
	}
}

// DropGrant hands the grant of node back when agent has it; it is no error when
// not. Only for a server that is closed.
func (b *Bus) DropGrant(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error {
	_, err := b.run(ctx, fmt.Sprintf("drop the grant of %s by %s", node, agent), dropGrantScript, []string{keysOf(u).grant()}, string(node), agent)
	return err
}

// parseOrder is zero for what is none.
func parseOrder(epoch, version string) cluster.Order {
	d := decoder{h: map[string]string{"epoch": epoch, "version": version}}
	o := cluster.Order{Epoch: cluster.Epoch(d.number("epoch")), Version: d.number("version")}
	if d.err != nil {
		return cluster.Order{}
	}
	return o
}

// decodeGrant reads what the script wrote; a grant that is no lease is none.
func decodeGrant(h map[string]string) (*cluster.Grant, error) {
	d := decoder{h: h}
	g := cluster.Grant{Node: d.endpoint("node"), Agent: h["agent"], Epoch: cluster.Epoch(d.number("epoch")), TTL: d.lease("ttl")}
	if d.err != nil {
		return nil, d.err
	}
	return &g, checkGrant(g)
}

// checkGrant holds what every grant fulfils, read or to be written.
func checkGrant(g cluster.Grant) error {
	switch {
	case g.Node == "" || g.Agent == "":
		return fmt.Errorf("want a node and an agent, not %q and %q", g.Node, g.Agent)
	case g.Epoch == 0 || g.Epoch > cluster.MaxEpoch:
		return fmt.Errorf("epoch %d is none", g.Epoch)
	case g.TTL < time.Millisecond || g.TTL > LongestLease:
		return fmt.Errorf("want a lease from 1 ms to %s, not %s", LongestLease, g.TTL)
	}
	return nil
}

// checkLease refuses what is no length of a lease; 0 stands for no lease.
func checkLease(ms int64) error {
	if ms < 0 || ms > LongestLease.Milliseconds() {
		return fmt.Errorf("lease_ms %d is not between 0 and %s", ms, LongestLease)
	}
	return nil
}

// lease reads the length of a lease in milliseconds.
func (d *decoder) lease(field string) time.Duration {
	ms := d.number(field)
	if ms > uint64(LongestLease.Milliseconds()) {
		d.fail("%s %d: no lease is longer than %s", field, ms, LongestLease)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// grant notes a grant of which left is still to come.
func (r *reader) grant(h map[string]string) {
	g, err := decodeGrant(h)
	if r.good(r.keys.grant(), err) {
		r.s.Grant = g
	}
}

// grantLeft notes how long the grant still lives. One without an end was written
// by hand: its holder counts on no more than the whole of it.
func (r *reader) grantLeft(value string) {
	g := r.s.Grant
	if g == nil {
		return
	}
	g.Left = g.TTL
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil || ms < 0 {
		r.good(r.keys.grant(), fmt.Errorf("it has no end"))
		return
	}
	g.Left = min(g.TTL, time.Duration(min(ms, LongestLease.Milliseconds()))*time.Millisecond)
}
