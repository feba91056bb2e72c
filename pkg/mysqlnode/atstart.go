package mysqlnode

import (
	"context"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// startsClosed finds whether the server comes up with read_only=1, and with
// super_read_only=1 where there is one. What the server still tells of its
// configuration counts more than what was seen at its last start.
func (k *checker) startsClosed(ctx context.Context) error {
	const item, superItem = "read_only at start", "super_read_only at start"
	configured, kept, err := k.configured(ctx)
	if err != nil {
		return err
	}
	name := "read_only"
	if k.conn.dialect.superReadOnly {
		name = "super_read_only"
	}
	line := name + "=ON"
	fix := line
	if kept {
		fix = "RESET PERSIST IF EXISTS read_only; RESET PERSIST IF EXISTS super_read_only; -- and in the option file:\n" + line
	}
	const later = "an agent or a person has set it since, and no monitor has seen a start: see that the option file has "

	found, how := startValue(configured.ReadOnly, k.options.AtStart.ReadOnly)
	switch found {
	case cluster.Yes:
		k.ok(item, "on, "+how)
	case cluster.No:
		k.fail(item, "off, "+how+": after a crash the server comes back open", fix)
	default:
		k.unknown(item, later+line, "")
	}
	if !k.conn.dialect.superReadOnly || found == cluster.No {
		return nil
	}
	found, how = startValue(configured.SuperReadOnly, k.options.AtStart.SuperReadOnly)
	switch found {
	case cluster.Yes:
		k.ok(superItem, "on, "+how)
	case cluster.No:
		k.warn(superItem, "off, "+how+": until an agent seals it, a server that returns takes writes of accounts with CONNECTION_ADMIN or SUPER", fix)
	default:
		k.unknown(superItem, later+line, "")
	}
	return nil
}

func startValue(configured, seen cluster.Tri) (value cluster.Tri, how string) {
	if configured != cluster.Unknown {
		return configured, "set by the configuration"
	}
	return seen, "as seen at the first contact after a start"
}

// configured are the switches as they will be at the next start, as far as the
// server still tells; kept when SET PERSIST has a hand in it.
func (k *checker) configured(ctx context.Context) (start AtStart, kept bool, err error) {
	if k.conn.dialect.origins == "" {
		return AtStart{}, false, nil
	}
	got, err := k.conn.query(ctx, "check", k.conn.dialect.origins)
	if err != nil && number(err) == 0 {
		return AtStart{}, false, err
	}
	if err != nil || len(got) != 1 {
		return AtStart{}, false, nil
	}
	var readOnly, super origin
	if !k.conn.dialect.superReadOnly {
		super = origin{given: cluster.No, silent: true}
	}
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
		case "COMPILED", "COMPILE-TIME":
			o.given, o.silent = cluster.No, true
		default:
			o.given = value
		}
	}
	return startOf(readOnly, super), kept, nil
}

// origin is where the value of one switch comes from.
type origin struct {
	next    cluster.Tri // what the server keeps for its next start
	given   cluster.Tri // the present value, when the configuration has set it
	silent  bool        // the configuration does not name it
	changed bool        // a SET GLOBAL has named it
}

// startOf is how a server with these origins starts. SET GLOBAL read_only=0 takes
// super_read_only away too, and super_read_only=1 sets read_only too, without a
// word about it in the other's origin. What is kept for the next start counts
// more than the configuration, read_only=0 even beside super_read_only=1 in it;
// with both kept the later one counts, which is not told: so off.
func startOf(readOnly, super origin) AtStart {
	s := AtStart{ReadOnly: readOnly.given, SuperReadOnly: super.given}
	if super.given == cluster.No && !super.silent && readOnly.changed {
		s.SuperReadOnly = cluster.Unknown
	}
	if readOnly.given == cluster.Yes && super.changed {
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
