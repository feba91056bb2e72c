package world

import (
	"fmt"
	"math/rand/v2"
)

// What faults happen to.

var servers = [2]string{"db-a", "db-b"}

// The hosts of who is active and passive as a round begins.
const (
	TheActive  = "active"
	ThePassive = "passive"
)

func onNothing(*rand.Rand, *Spec, *Fault) {}

func onNumber(n int) func(*rand.Rand, *Spec, *Fault) {
	return func(r *rand.Rand, _ *Spec, f *Fault) { f.N = 1 + r.IntN(n) }
}

func onServer(r *rand.Rand, _ *Spec, f *Fault) {
	f.On = servers[r.IntN(2)]
	if r.IntN(4) == 0 {
		f.On = TheActive
	}
}

func onDaemon(r *rand.Rand, s *Spec, f *Fault) {
	all := s.daemons()
	f.On = all[r.IntN(len(all))]
}

func onAgent(r *rand.Rand, s *Spec, f *Fault) { f.On = fmt.Sprintf("agent%d", 1+r.IntN(s.Agents)) }

func onHost(r *rand.Rand, s *Spec, f *Fault) {
	all := s.machines()
	f.On = all[r.IntN(len(all))]
}

func onLink(r *rand.Rand, s *Spec, f *Fault) {
	onHost(r, s, f)
	if r.IntN(2) == 0 {
		f.On = servers[r.IntN(2)]
	}
	for f.To = f.On; f.To == f.On; {
		all := s.machines()
		f.To = all[r.IntN(len(all))]
	}
}

func onDoor(r *rand.Rand, s *Spec, f *Fault) {
	onServer(r, s, f)
	f.N = 1 + r.IntN(3)
}

func onThreads(r *rand.Rand, s *Spec, f *Fault) {
	onServer(r, s, f)
	f.N = 1 + r.IntN(3)
}

// daemons are the names of the daemons, machines those of the hosts.
func (s *Spec) daemons() []string {
	var all []string
	for _, of := range []struct {
		name string
		n    int
	}{{"mon", s.Monitors}, {"id", s.Identifies}, {"agent", s.Agents}} {
		for i := range of.n {
			all = append(all, fmt.Sprintf("%s%d", of.name, i+1))
		}
	}
	return all
}

func (s *Spec) machines() []string {
	all := []string{servers[0], servers[1], "redis"}
	for _, d := range s.daemons() {
		if !s.Local || d[:2] != "ag" {
			all = append(all, d)
		}
	}
	return all
}

// means is the name of the host that a fault names in a round that begins now. A
// pair that has no active yet has the one that it would have begun with.
func (w *world) means(name string) string {
	if name != TheActive && name != ThePassive {
		return name
	}
	active := w.db[1]
	if a := w.record().Active; a != "" {
		active = w.server(a)
	} else if w.spec.Home {
		active = w.db[0]
	}
	if name == ThePassive {
		return active.other.name
	}
	return active.name
}

func (w *world) on(f Fault) *server { return w.db[min(1, int(f.On[3]-'a'))] }
