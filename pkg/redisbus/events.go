package redisbus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// KindUnreadable is the Kind of an event whose entry in the stream cannot be
// read; its Reason says why.
const KindUnreadable = "unreadable"

// Events reads the newest n entries of the audit trail, the newest first.
func (b *Bus) Events(ctx context.Context, u cluster.UniqSign, n int) ([]cluster.Event, error) {
	if n <= 0 {
		return nil, nil
	}
	cmd := b.client.XRevRangeN(ctx, keysOf(u).events(), "+", "-", int64(n))
	if err := b.checkCmds("read events of "+string(u), cmd.Err(), cmd); err != nil {
		return nil, err
	}
	events := make([]cluster.Event, 0, len(cmd.Val()))
	for _, entry := range cmd.Val() {
		events = append(events, decodeEvent(entry.ID, entry.Values["event"]))
	}
	return events, nil
}

func decodeEvent(id string, value any) cluster.Event {
	var e cluster.Event
	text, ok := value.(string)
	if !ok {
		return cluster.Event{ID: id, Kind: KindUnreadable, Reason: "the entry has no field event"}
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return cluster.Event{ID: id, Kind: KindUnreadable, Reason: fmt.Sprintf("the entry cannot be read: %v", err)}
	}
	e.ID = id
	if e.Assignment.SinceMS == 0 && e.Assignment.Exists() {
		ms, _, _ := strings.Cut(id, "-")
		e.Assignment.SinceMS, _ = strconv.ParseInt(ms, 10, 64)
	}
	return e
}
