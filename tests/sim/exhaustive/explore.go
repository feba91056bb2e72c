package exhaustive

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// Result is what an exploration has seen.
type Result struct {
	// Depth is how many events follow each other at most; below Options.Depth
	// when Options.Most was reached.
	Depth int
	// States are the different worlds that were reached, Events what can happen in
	// those that were looked into.
	States, Events int
	// Layers are the states first reached after so many events.
	Layers []int
	// Interleavings is how many orders of events lead from a start through Depth
	// events, or fewer where nothing more can happen.
	Interleavings uint64
	// Took is how long it took.
	Took time.Duration
	// Violation is empty when every invariant held; else it says which did not,
	// and Path is the shortest list of events that leads there, in words.
	Violation string
	Path      []string
	// Seen counts what came about, by name: an exploration that never sees a thing
	// says nothing of it.
	Seen map[string]int
}

func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "depth %d: %d states, %d events, %d interleavings, %s", r.Depth, r.States, r.Events, r.Interleavings, r.Took.Round(10*time.Millisecond))
	if r.Violation != "" {
		fmt.Fprintf(&b, "\n%s", r.Violation)
		for i, line := range r.Path {
			fmt.Fprintf(&b, "\n%3d. %s", i, line)
		}
	}
	return b.String()
}

// origin is how a state was first reached.
type origin struct {
	from uint32
	event
}

type explorer struct {
	l      *lab
	worlds []world
	cameBy []origin
	starts []Start
	slots  []uint32 // of worlds by their hash; the number plus one
	seed   maphash.Seed
	// targets are where the events of the looked-into states lead, those of the
	// state n from firsts[n] on.
	targets []uint32
	firsts  []uint32
	seen    map[string]int
}

// Explore visits every state that Options.Depth events can lead to, and judges each event.
func Explore(o Options) Result {
	began := time.Now()
	x := &explorer{l: newLab(o), slots: make([]uint32, 1<<16), seed: maphash.MakeSeed(), seen: map[string]int{}}
	r := Result{Seen: x.seen}
	for _, s := range chosen(o.Starts) {
		w := s.make(x.l)
		x.l.order(&w)
		if _, fresh := x.visit(w, origin{from: uint32(len(x.starts))}); fresh {
			x.starts = append(x.starts, s)
		}
	}
	roots := len(x.worlds)
	r.Layers = []int{roots}
	var steps []step
	for at := 0; r.Depth < o.Depth && r.Violation == ""; r.Depth++ {
		end := len(x.worlds)
		for ; at < end && r.Violation == ""; at++ {
			x.firsts = append(x.firsts, uint32(len(x.targets)))
			steps = x.l.next(x.worlds[at], steps)
			for _, s := range steps {
				x.note(at, s)
				if s.fault != "" {
					r.Violation, r.Path = s.fault, x.path(uint32(at), s.event)
					break
				}
				n, _ := x.visit(s.to, origin{uint32(at), s.event})
				x.targets = append(x.targets, n)
			}
		}
		r.Layers = append(r.Layers, len(x.worlds)-end)
		if o.Most > 0 && len(x.worlds) > o.Most {
			r.Depth++
			break
		}
	}
	r.States, r.Events = len(x.worlds), len(x.targets)
	r.Interleavings = x.count(roots, r.Depth)
	r.Took = time.Since(began)
	return r
}

// visit numbers a world; fresh reports whether it was not known.
func (x *explorer) visit(w world, by origin) (n uint32, fresh bool) {
	if 2*len(x.worlds) >= len(x.slots) {
		x.slots = make([]uint32, 2*len(x.slots))
		for i, w := range x.worlds {
			at := x.slot(w)
			for x.slots[at] != 0 {
				at = (at + 1) % uint64(len(x.slots))
			}
			x.slots[at] = uint32(i + 1)
		}
	}
	at := x.slot(w)
	for x.slots[at] != 0 {
		if n := x.slots[at] - 1; x.worlds[n] == w {
			return n, false
		}
		at = (at + 1) % uint64(len(x.slots))
	}
	x.worlds, x.cameBy = append(x.worlds, w), append(x.cameBy, by)
	x.slots[at] = uint32(len(x.worlds))
	return uint32(len(x.worlds) - 1), true
}

func (x *explorer) slot(w world) uint64 { return maphash.Comparable(x.seed, w) % uint64(len(x.slots)) }

// count is how many orders of depth events there are, and of fewer that end
// where nothing can happen.
func (x *explorer) count(roots, depth int) uint64 {
	ways, next := make([]uint64, len(x.worlds)), make([]uint64, len(x.worlds))
	for i := range roots {
		ways[i] = 1
	}
	total := uint64(0)
	for d := 0; d < depth; d++ {
		clear(next)
		for i, n := range ways {
			switch {
			case n == 0 || i >= len(x.firsts):
			case len(x.next(i)) == 0:
				total += n
			default:
				for _, to := range x.next(i) {
					next[to] += n
				}
			}
		}
		ways, next = next, ways
	}
	for _, n := range ways {
		total += n
	}
	return total
}

func (x *explorer) next(i int) []uint32 {
	if i+1 < len(x.firsts) {
		return x.targets[x.firsts[i]:x.firsts[i+1]]
	}
	return x.targets[x.firsts[i]:]
}

// path tells how the state n came about, and the event that then followed.
func (x *explorer) path(n uint32, last event) []string {
	type leg struct {
		w world
		e event
	}
	legs := []leg{{x.worlds[n], last}}
	for !x.isStart(n) {
		o := x.cameBy[n]
		legs = append(legs, leg{x.worlds[o.from], o.event})
		n = o.from
	}
	lines := []string{"start: " + x.starts[n].Name}
	who := [2]string{"1", "2"}
	for i := len(legs) - 1; i >= 0; i-- {
		lines = append(lines, x.l.words(legs[i].w, legs[i].e, who))
		if legs[i].e.swapped {
			who[0], who[1] = who[1], who[0]
		}
	}
	return lines
}

func (x *explorer) isStart(n uint32) bool { return int(n) < len(x.starts) }

// note counts what an event brings about.
func (x *explorer) note(at int, s step) {
	w := &x.worlds[at]
	switch s.act {
	case actArrive, actArriveTwice:
		m := w.mail[s.at]
		r := x.l.transition(w.redis, m)
		switch {
		case r.err == nil && m.late:
			x.seen["late transition written"]++
		case r.err == nil:
			x.seen["transition "+r.kind]++
		case m.late:
			x.seen["late transition refused"]++
		default:
			x.seen["transition refused"]++
		}
	case actResume:
		if x.l.servers.of(s.to.srv[s.at]).open {
			x.seen["late step leaves a server open"]++
		} else {
			x.seen["late step leaves a server closed"]++
		}
	case actWork:
		a, b := x.l.servers.of(w.srv[s.at]), x.l.servers.of(s.to.srv[s.at])
		if !a.open && b.open {
			x.seen["opened"]++
		}
		if a.open && !b.open {
			x.seen["closed"]++
		}
	}
	if w.late.kind != 0 && s.to.late.kind == 0 && s.act != actResume {
		x.seen["late step ended with its session"]++
	}
}
