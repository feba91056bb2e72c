package redisbus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Transition changes the assignment of u by one script, or not at all: the
// caller id must hold the lease under token (else ErrNotLeader) and t.Expect
// must be in force (else ErrStale, with the order found in the text). It
// returns the record as written. An announced one needs both Active and Passive.
// After any other error it is unknown whether the record has changed, unless the
// text says so: read it again.
func (b *Bus) Transition(ctx context.Context, u cluster.UniqSign, id string, token uint64, t cluster.Transition) (cluster.Assignment, error) {
	op := fmt.Sprintf("change assignment of %s from %s to %s", u, t.Expect, t.Next.Order())
	none := cluster.Assignment{}
	args, err := b.transitionArgs(u, id, token, t)
	if err != nil {
		return none, fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	names := []string{k.leader(), k.token(), k.assignment(), k.incarnation(), k.events(), k.request(), k.mode(), k.master()}
	answer, err := b.run(ctx, op, transitionScript, names, args...)
	if err != nil {
		return none, err
	}
	if answer[0] == "stale" {
		if len(answer) < 4 || answer[1] == "" {
			return none, fmt.Errorf("%s: %w: there is no record", op, ErrStale)
		}
		return none, fmt.Errorf("%s: %w: found %s.%s %s", op, ErrStale, answer[1], answer[2], answer[3])
	}
	if answer[0] == "withdrawn" {
		return none, fmt.Errorf("%s: %w: the request is no longer filed", op, ErrStale)
	}
	next := t.Next.Clone()
	if len(answer) > 1 {
		next.SinceMS, err = strconv.ParseInt(answer[1], 10, 64)
	}
	if answer[0] != "done" || len(answer) < 2 || err != nil {
		return none, b.wrap(op, fmt.Errorf("the script answered %q", answer))
	}
	return next, nil
}

func (b *Bus) transitionArgs(u cluster.UniqSign, id string, token uint64, t cluster.Transition) ([]any, error) {
	if err := checkUniqSign(u); err != nil {
		return nil, err
	}
	if id == "" || token == 0 {
		return nil, fmt.Errorf("%w: no id or no token is given", ErrNotLeader)
	}
	if !t.Expect.Before(t.Next.Order()) {
		return nil, fmt.Errorf("the new order is not after the expected one")
	}
	if err := checkAssignment(t.Next); err != nil {
		return nil, err
	}
	// What is written must be read back as what it is.
	fields := encodeAssignment(t.Next)
	if err := checkReadable(fields); err != nil {
		return nil, err
	}
	event := t.Event
	event.ID = ""
	if !event.Assignment.Exists() {
		event.Assignment = t.Next
	}
	eventText, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	var requestText []byte
	if t.Request != nil {
		if requestText, err = json.Marshal(t.Request); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	var message, active, passive string
	if t.Announce {
		if message, err = formatMessage(u, t.Next); err != nil {
			return nil, err
		}
		active, passive = string(t.Next.Active), string(t.Next.Passive)
	}
	args := []any{
		id, token, uint64(t.Expect.Epoch), t.Expect.Version, uuid.NewString(), eventText, requestText,
		requestLife.Milliseconds(), answerLife.Milliseconds(), keysOf(u).look(), b.topic, message, active, passive,
	}
	return append(args, fields...), nil
}

func checkReadable(fields []any) error {
	h := make(map[string]string, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		h[fields[i].(string)] = fields[i+1].(string)
	}
	_, err := decodeAssignment(h)
	return err
}
