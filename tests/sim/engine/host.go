package engine

import "slices"

// Host is a machine on a network.
type Host struct {
	n      *Network
	name   string
	procs  []*Process // that live
	down   bool
	frozen bool
	boots  int
}

// Host adds a machine that runs.
func (n *Network) Host(name string) *Host {
	h := &Host{n: n, name: name}
	n.hosts = append(n.hosts, h)
	return h
}

// Name is what the host was called.
func (h *Host) Name() string { return h.name }

// Up reports whether it is switched on; it may be frozen.
func (h *Host) Up() bool { return !h.down }

// Frozen reports whether it was frozen.
func (h *Host) Frozen() bool { return h.frozen }

func (h *Host) runs() bool { return !h.down && !h.frozen }

// Process begins an empty process on the host; on one that is down it is dead at
// once.
func (h *Host) Process(name string, c Clock) *Process {
	p := h.n.e.Process(name, c)
	p.host = h
	if h.down {
		p.dead = true
		return p
	}
	if h.frozen {
		p.stopAt = p.Now()
	}
	h.procs = append(h.procs, p)
	return p
}

// Crash takes the power away: every process dies, and no peer is told. What it
// has sent still arrives.
func (h *Host) Crash() {
	if h.down {
		return
	}
	h.n.note(h, "goes down")
	h.down, h.frozen = true, false
	var own *Process // which may be the one that runs, and does not come back then
	for _, p := range slices.Backward(slices.Clone(h.procs)) {
		if h.n.e.cur != nil && h.n.e.cur.p == p {
			own = p
			continue
		}
		p.Kill()
	}
	if own != nil {
		own.Kill()
	}
}

// Boot switches it on again, with no process and no stream: a peer that still
// sends on one of before is told that it is no more.
func (h *Host) Boot() {
	if !h.down {
		return
	}
	h.n.note(h, "boots")
	h.down = false
	h.boots++
	h.n.retry()
}

// Freeze stops the whole machine: its processes stop and it answers nothing. The
// clocks of the processes go on; see Process.Lag for a machine whose clock does
// not.
func (h *Host) Freeze() {
	if !h.runs() {
		return
	}
	h.n.note(h, "freezes")
	for _, p := range h.procs {
		p.stopping()
	}
	h.frozen = true
}

// Thaw has it carry on where it was.
func (h *Host) Thaw() {
	if !h.frozen {
		return
	}
	h.n.note(h, "thaws")
	h.frozen = false
	for _, p := range h.procs {
		p.resuming()
	}
	h.n.retry()
}
