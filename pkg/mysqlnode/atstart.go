package mysqlnode

import (
	"context"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// startsClosed finds whether the server comes up with read_only=1, and with
// super_read_only=1 where there is one. What the server still tells of its
// configuration counts more than what it told before the switches were set, and
// that more than what was seen at its last start.
func (k *checker) startsClosed(ctx context.Context) error {
	const item, superItem = "read_only at start", "super_read_only at start"
	next, err := k.conn.nextStart(ctx)
	if err != nil {
		return err
	}
	name := "read_only"
	if k.conn.dialect.superReadOnly {
		name = "super_read_only"
	}
	line := name + "=ON"
	fix := line
	if next.kept {
		fix = "RESET PERSIST IF EXISTS read_only; RESET PERSIST IF EXISTS super_read_only; -- and in the option file:\n" + line
	}
	unknown := func(item string, lapsed bool) {
		why := "an agent or a person has set it since, and no monitor has seen a start"
		if lapsed {
			why = "at the last start it came from SET PERSIST, which keeps it no longer"
		}
		k.unknown(item, why+": see that the option file has "+line, "")
	}

	lapsed := next.readOnlyLapsed || next.superLapsed
	found, how := startValue(next.ReadOnly, k.options.StartsClosed, k.options.AtStart.ReadOnly, lapsed)
	switch found {
	case cluster.Yes:
		k.ok(item, "on, "+how)
	case cluster.No:
		k.fail(item, "off, "+how+": after a crash the server comes back open", fix)
	default:
		unknown(item, lapsed)
	}
	if !k.conn.dialect.superReadOnly || found == cluster.No {
		return nil
	}
	found, how = startValue(next.SuperReadOnly, cluster.Unknown, k.options.AtStart.SuperReadOnly, next.superLapsed)
	switch found {
	case cluster.Yes:
		k.ok(superItem, "on, "+how)
	case cluster.No:
		k.warn(superItem, "off, "+how+": until an agent seals it, a server that returns takes writes of accounts with CONNECTION_ADMIN or SUPER", fix)
	default:
		unknown(superItem, next.superLapsed)
	}
	return nil
}

// startValue prefers what is configured, then what was told; neither that nor what
// was seen counts where the last start had a value that has lapsed since.
func startValue(configured, told, seen cluster.Tri, lapsed bool) (value cluster.Tri, how string) {
	switch {
	case configured != cluster.Unknown:
		return configured, "set by the configuration"
	case lapsed:
		return cluster.Unknown, ""
	case told != cluster.Unknown:
		return told, "as the server told before it was set"
	}
	return seen, "as seen at the first contact after a start"
}

// nextStart are the switches as they will be at the next start, as far as the
// server still tells.
type nextStart struct {
	AtStart
	kept bool // SET PERSIST has a hand in it
	// The last start took the switch from SET PERSIST, the next one will not.
	readOnlyLapsed, superLapsed bool
}

// StartsClosed tells what read_only will be at the next start; not known where the server
// does not say, or may not, or somebody has set it since the last.
func (c *Conn) StartsClosed(ctx context.Context) (cluster.Tri, error) {
	next, err := c.nextStart(ctx)
	return next.ReadOnly, err
}

func (c *Conn) nextStart(ctx context.Context) (nextStart, error) {
	if c.dialect.origins == "" {
		return nextStart{}, nil
	}
	got, err := c.query(ctx, "read where read_only comes from on", c.dialect.origins)
	if err != nil && number(err) == 0 {
		return nextStart{}, err
	}
	if err != nil || len(got) != 1 {
		return nextStart{}, nil
	}
	var readOnly, super origin
	if !c.dialect.superReadOnly {
		super = origin{given: cluster.No, silent: true}
	}
	kept := false
	for i := range got[0].rows {
		r := got[0].row(i)
		o := &readOnly
		if strings.EqualFold(r.text("name"), "super_read_only") {
			o = &super
		}
		value := cluster.TriOf(on(r.text("value")))
		switch r.text("origin") {
		case persisted:
			o.next, kept = value, true
		case "DYNAMIC", "SQL":
			o.changed = true
		case "PERSISTED":
			o.loaded = true
		case "COMPILED", "COMPILE-TIME":
			o.given, o.silent = cluster.No, true
		default:
			o.given = value
		}
	}
	return nextStart{AtStart: startOf(readOnly, super), kept: kept, readOnlyLapsed: readOnly.lapsed(), superLapsed: super.lapsed()}, nil
}

// origin is where the value of one switch comes from.
type origin struct {
	next    cluster.Tri // what the server keeps for its next start
	given   cluster.Tri // the present value, when the configuration has set it
	silent  bool        // the configuration does not name it
	changed bool        // a SET GLOBAL has named it
	loaded  bool        // what was kept before the last start has set it
}

// lapsed reports whether the last start took the value from what is kept no longer.
func (o origin) lapsed() bool { return o.loaded && o.next == cluster.Unknown }

// startOf is how a server with these origins starts. SET GLOBAL read_only=0 takes
// super_read_only away too, and super_read_only=1, by SET GLOBAL or kept, sets
// read_only too, without a word about it in the other's origin. What is kept for the next start counts
// more than the configuration, read_only=0 even beside super_read_only=1 in it;
// with both kept the later one counts, which is not told: so off.
func startOf(readOnly, super origin) AtStart {
	s := AtStart{ReadOnly: readOnly.given, SuperReadOnly: super.given}
	if super.given == cluster.No && !super.silent && readOnly.changed {
		s.SuperReadOnly = cluster.Unknown
	}
	if readOnly.given == cluster.Yes && (super.changed || super.loaded) {
		s.ReadOnly = cluster.Unknown
	}
	if super.next != cluster.Unknown {
		s.SuperReadOnly = super.next
	}
	switch {
	case readOnly.next != cluster.Unknown:
		s.ReadOnly = readOnly.next
	case s.SuperReadOnly == cluster.Yes:
		s.ReadOnly = cluster.Yes
	case s.ReadOnly == cluster.No && s.SuperReadOnly == cluster.Unknown:
		s.ReadOnly = cluster.Unknown // super_read_only sets it where it is on
	}
	return s
}
