package redisbus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Assignment reads the record alone; a zero one means that there is none. A
// record that cannot be read is an error, not "none".
func (b *Bus) Assignment(ctx context.Context, u cluster.UniqSign) (cluster.Assignment, error) {
	op := "read assignment of " + string(u)
	key := keysOf(u).assignment()
	var cmd *redis.MapStringStringCmd
	cmds, err := b.pipelined(ctx, func(pipe redis.Pipeliner) { cmd = pipe.HGetAll(ctx, key) })
	if err := b.checkCmds(op, err, cmds...); err != nil {
		return cluster.Assignment{}, err
	}
	a, err := decodeAssignment(cmd.Val())
	if err != nil {
		return cluster.Assignment{}, b.wrap(op, &ValueError{Key: key, Text: err.Error()})
	}
	return a, nil
}

// encodeAssignment gives fields and values; every field is written each time,
// so that nothing of an earlier record shows through. since_ms is Redis's to write.
func encodeAssignment(a cluster.Assignment) []any {
	eligible := make([]string, len(a.Eligible))
	for i, e := range a.Eligible {
		eligible[i] = string(e)
	}
	return []any{
		"epoch", strconv.FormatUint(uint64(a.Epoch), 10),
		"version", strconv.FormatUint(a.Version, 10),
		"phase", string(a.Phase),
		"active", string(a.Active),
		"passive", string(a.Passive),
		"from", string(a.From),
		"to", string(a.To),
		"target", a.Target,
		"eligible", strings.Join(eligible, ","),
		"durability", string(a.Durability),
		"durability_conf", string(a.Configured),
		"waits", flag(a.Waits),
		"blocked", flag(a.Blocked),
		"cause", a.Cause,
		"proof", string(a.Proof),
		"reason", a.Reason,
		"actor", a.Actor,
		"loss", a.Loss,
		"left", a.Left,
		"estimated", flag(a.Estimated),
		"epoch_table", a.EpochTable,
		"write_limit_ms", strconv.FormatInt(a.WriteLimitMS, 10),
		"lease_ms", strconv.FormatInt(a.LeaseMS, 10),
		"known", encodeKnown(a.Known),
		"replaced", encodeKnown(a.Replaced),
	}
}

// encodeKnown gives "host:port=who" for each server, separated by commas.
func encodeKnown(all map[cluster.Endpoint]string) string {
	var parts []string
	for _, e := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, string(e)+"="+all[e])
	}
	return strings.Join(parts, ",")
}

// decodeKnown passes over what encodeKnown did not write: that counts as not known.
func decodeKnown(text string) map[cluster.Endpoint]string {
	var all map[cluster.Endpoint]string
	for part := range strings.SplitSeq(text, ",") {
		node, who, ok := strings.Cut(part, "=")
		e, err := cluster.ParseEndpoint(node)
		if !ok || err != nil || who == "" {
			continue
		}
		if all == nil {
			all = map[cluster.Endpoint]string{}
		}
		all[e] = who
	}
	return all
}

func flag(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

// decodeAssignment reads a record strictly: what is half understood is not
// understood. Unknown fields are passed over; no fields at all are no record.
func decodeAssignment(h map[string]string) (cluster.Assignment, error) {
	if len(h) == 0 {
		return cluster.Assignment{}, nil
	}
	d := decoder{h: h}
	a := cluster.Assignment{
		Epoch:      cluster.Epoch(d.number("epoch")),
		Version:    d.number("version"),
		Phase:      cluster.Phase(h["phase"]),
		Active:     d.endpoint("active"),
		Passive:    d.endpoint("passive"),
		From:       d.endpoint("from"),
		To:         d.endpoint("to"),
		Target:     h["target"],
		Eligible:   d.endpoints("eligible"),
		Durability: cluster.Durability(h["durability"]),
		Configured: cluster.Durability(h["durability_conf"]),
		Waits:      d.flag("waits"),
		Blocked:    d.flag("blocked"),
		Cause:      h["cause"],
		Proof:      cluster.Proof(h["proof"]),
		Reason:     h["reason"],
		Actor:      h["actor"],
		Loss:       h["loss"],
		Left:       h["left"],
		Estimated:  d.flag("estimated"),
		EpochTable: h["epoch_table"],
		Known:      decodeKnown(h["known"]),
		Replaced:   decodeKnown(h["replaced"]),
	}
	if h["since_ms"] != "" {
		a.SinceMS = int64(d.number("since_ms"))
	}
	if h["write_limit_ms"] != "" {
		a.WriteLimitMS = int64(d.number("write_limit_ms"))
	}
	if h["lease_ms"] != "" {
		a.LeaseMS = int64(d.number("lease_ms"))
	}
	if d.err != nil {
		return cluster.Assignment{}, d.err
	}
	if err := checkAssignment(a); err != nil {
		return cluster.Assignment{}, err
	}
	return a, nil
}

// checkAssignment holds what every record fulfils, read or to be written.
func checkAssignment(a cluster.Assignment) error {
	if a.Epoch == 0 {
		return fmt.Errorf("epoch is 0")
	}
	if a.Epoch > cluster.MaxEpoch || a.Version > uint64(cluster.MaxEpoch) {
		return fmt.Errorf("epoch %d, version %d: no pair gets beyond %d", a.Epoch, a.Version, cluster.MaxEpoch)
	}
	if a.From != "" && a.From == a.To {
		return fmt.Errorf("from and to are both %s", a.From)
	}
	if err := checkLease(a.LeaseMS); err != nil {
		return err
	}
	switch a.Phase {
	case cluster.PhaseRevoked:
		if a.Active != "" || a.Passive != "" {
			return fmt.Errorf("phase is revoked, yet active is %q and passive is %q", a.Active, a.Passive)
		}
	case cluster.PhaseSteady, cluster.PhaseOpening, cluster.PhaseSwitching:
		if a.Active == "" {
			return fmt.Errorf("phase is %s, yet there is no active", a.Phase)
		}
		if a.Active == a.Passive {
			return fmt.Errorf("active and passive are both %s", a.Active)
		}
	default:
		return fmt.Errorf("phase %q is unknown", a.Phase)
	}
	return nil
}

// decoder reads fields of a record and keeps the first fault.
type decoder struct {
	h   map[string]string
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) number(field string) uint64 {
	text := d.h[field]
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		d.fail("%s %q is not a number", field, text)
		return 0
	}
	return n
}

func (d *decoder) flag(field string) bool {
	switch d.h[field] {
	case "", "0":
		return false
	case "1":
		return true
	}
	d.fail("%s %q is neither 0 nor 1", field, d.h[field])
	return false
}

func (d *decoder) endpoint(field string) cluster.Endpoint {
	return d.address(field, d.h[field])
}

func (d *decoder) address(field, text string) cluster.Endpoint {
	if text == "" {
		return ""
	}
	e, err := cluster.ParseEndpoint(text)
	if err != nil {
		d.fail("%s: %w", field, err)
	} else if string(e) != text {
		d.fail("%s: address %q is not written as %q", field, text, e)
	}
	return e
}

func (d *decoder) endpoints(field string) []cluster.Endpoint {
	if d.h[field] == "" {
		return nil
	}
	var all []cluster.Endpoint
	for text := range strings.SplitSeq(d.h[field], ",") {
		if text == "" {
			d.fail("%s %q has an empty entry", field, d.h[field])
		}
		all = append(all, d.address(field, text))
	}
	return all
}
