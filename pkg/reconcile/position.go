package reconcile

import (
	"errors"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

var errFlavours = errors.New("one server is MySQL, the other MariaDB")

// Channel is the replication channel of the newest answer.
func (s Sample) Channel() cluster.Channel { return s.Server.Channel }

func applied(s cluster.Server, target string) (bool, error) {
	return Contains(s.Flavor, s.Executed, target)
}

// Contains reports whether the position have contains want; both in gtid text.
func Contains(f cluster.Flavor, have, want string) (bool, error) {
	h, err := gtid.Parse(f, have)
	if err != nil {
		return false, err
	}
	w, err := gtid.Parse(f, want)
	if err != nil {
		return false, err
	}
	return h.Contains(w), nil
}

// Lacks returns what the position have lacks of want, all in gtid text; empty when it lacks nothing.
func Lacks(f cluster.Flavor, have, want string) (string, error) {
	h, err := gtid.Parse(f, have)
	if err != nil {
		return "", err
	}
	w, err := gtid.Parse(f, want)
	if err != nil {
		return "", err
	}
	return w.Minus(h).String(), nil
}

// listed is target without what s does not list since it was set up anew from a copy, and
// has: see gtid.Set.WithoutForgotten.
func listed(s cluster.Server, target string) string {
	want, err := gtid.Parse(s.Flavor, target)
	if err != nil {
		return target
	}
	has, err := gtid.Parse(s.Flavor, s.Executed)
	if err != nil {
		return target
	}
	return want.WithoutForgotten(has).String()
}

func join(f cluster.Flavor, a, b string) (string, error) {
	s, err := gtid.Parse(f, a)
	if err != nil {
		return "", err
	}
	t, err := gtid.Parse(f, b)
	if err != nil {
		return "", err
	}
	return s.Union(t).String(), nil
}

// Join returns the union of two positions in gtid text.
func Join(f cluster.Flavor, a, b string) (string, error) { return join(f, a, b) }

type relation int

const (
	unordered  relation = iota // not contained, but the active was read too early to say so
	subset                     // the active has everything that the passive has
	suspicious                 // it lacks something, not yet confirmed
	errant                     // it lacks something for good
	unreadable                 // cannot be compared; why says so
)

// awaited reports whether what the passive has more is what commits of the active wait
// for: MySQL lists it there only when it is acknowledged.
func (in *Input) awaited(more gtid.Set, active cluster.Server) bool {
	return active.Flavor == cluster.MySQL && active.Acks.Waiting > 0 && active.ReadOnly == cluster.No && more.WithoutOrigin(active.Identity).IsEmpty()
}

type comparison struct {
	relation
	set string // suspicious, errant, and unordered while something was suspicious before
	why cluster.Reason
}

// compare relates the passive's transactions to the active's. Containment is
// proven by reads in any order, since the active only grows; the lack of it only
// when the active was read after the passive.
func (in *Input) compare(passive, active Sample) comparison {
	if passive.PosBegan == 0 || active.PosBegan == 0 {
		return comparison{relation: unordered, set: in.Memory.Suspect}
	}
	if !passive.Server.GTIDMode || !active.Server.GTIDMode {
		return comparison{relation: unreadable, why: ReasonNoGTID}
	}
	f := passive.Server.Flavor
	if f != active.Server.Flavor {
		return comparison{relation: unreadable, why: reasonPosition(errFlavours)}
	}
	has, err := in.Sets.Parse(f, passive.Server.Executed)
	if err != nil {
		return comparison{relation: unreadable, why: reasonPosition(err)}
	}
	known, err := in.Sets.Parse(f, active.Server.Executed)
	if err != nil {
		return comparison{relation: unreadable, why: reasonPosition(err)}
	}
	if known.Contains(has) || in.awaited(has.Minus(known), active.Server) || safeguard.Off(safeguard.SubsetCheck) {
		return comparison{relation: subset}
	}
	prior, err := in.Sets.Parse(f, in.Memory.Suspect)
	if err == nil && !prior.IsEmpty() && has.Contains(prior) && !known.Contains(prior) {
		c := comparison{relation: suspicious, set: in.Memory.Suspect}
		if active.PosBegan > in.Memory.SuspectTick && in.Now-in.Memory.SuspectAt >= ConfirmErrant {
			c.relation, c.set = errant, in.Memory.Suspect
		}
		return c
	}
	if active.PosBegan < passive.PosEnded {
		return comparison{relation: unordered}
	}
	return comparison{relation: suspicious, set: has.Minus(known).String()}
}
