package mysql

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Machine is a host that one server runs on.
type Machine struct {
	*Server
	host  *engine.Host
	clock engine.Clock

	// Of the present run of the server.
	p     *engine.Process
	port  *engine.Port[*client]
	dumps *engine.Port[*sender]
	armed time.Duration // when the server is next advanced; 0 for no time
	sends []*sender     // to replicas that are connected
	link  *link         // from its source; nil when it has none
	ears  []*Ear        // that wait for the end of the run
}

// NewMachine puts a server on a host; it does not run yet.
func NewMachine(host *engine.Host, c engine.Clock, o Options) *Machine {
	m := &Machine{Server: engine.Left[Server](host), host: host, clock: c}
	m.empty(o)
	m.run()
	m.p.Kill()
	pump := m.pump
	m.Committed = func() {
		if len(m.sends) > 0 {
			m.p.Post(pump)
		}
	}
	return m
}

// run begins a process that listens.
func (m *Machine) run() {
	m.p = m.host.Process("mysqld "+string(m.Addr()), m.clock)
	m.port = engine.Listen(m.p, m.accept)
	m.dumps = engine.Listen(m.p, m.dumpTo)
	m.armed, m.sends, m.ears = 0, nil, nil
}

// Ear waits for the end of one run of a server, as an agent of its host does.
type Ear struct {
	m *Machine
	p *engine.Process // whose code f is
	f func()
}

// Ear makes one for code of p; nil of a server that does not run or is on another host.
func (m *Machine) Ear(p *engine.Process) *Ear {
	if !m.p.Alive() || m.host != p.Host() {
		return nil
	}
	return &Ear{m: m, p: p}
}

// OnEnd has f called at the end.
func (e *Ear) OnEnd(f func()) {
	e.f = f
	e.m.ears = append(e.m.ears, e)
}

// Close has it called no more.
func (e *Ear) Close() error {
	e.f = nil
	return nil
}

// ended tells who waits for it.
func (m *Machine) ended() {
	for _, e := range m.ears {
		e.p.Post(func() {
			if e.f != nil {
				e.f()
			}
		})
	}
	m.ears = nil
}

// Process is the present run of the server, or the last one: who pauses it
// pauses the server, and only that. Kill is the machine's.
func (m *Machine) Process() *engine.Process { return m.p }

// Host is where it runs.
func (m *Machine) Host() *engine.Host { return m.host }

// Start starts the server, and the host where it is down.
func (m *Machine) Start() {
	if m.p.Alive() {
		return
	}
	m.Kill()
	m.host.Boot()
	m.run()
	if m.link != nil {
		m.link.run()
	}
	m.Server.Start(m.p.Now())
	m.arm()
}

// Kill ends the server's process; its host closes its connections and refuses
// new ones.
func (m *Machine) Kill() {
	m.ended()
	m.p.Kill()
	m.Server.Kill(m.p.Now())
}

// PowerOff ends the host with all that runs there: nobody is told.
func (m *Machine) PowerOff() {
	m.host.Crash()
	m.Server.Kill(m.p.Now())
}

// onTime is how late a timer may be of a process that was not stopped: its clock is rounded.
const onTime = time.Millisecond

// arm sees that the server is advanced when it is due.
func (m *Machine) arm() {
	due := m.Due()
	if due == Never || m.armed != 0 && m.armed <= due {
		return
	}
	m.armed = due
	m.p.After(max(0, due-m.p.Now()), func() {
		if m.armed == due {
			m.armed = 0
		}
		if m.p.Now()-due > onTime {
			m.woken(m.p.Now())
		}
		m.Advance(m.p.Now())
		m.arm()
	})
}

// client is what the server keeps of a connection.
type client struct {
	m   *Machine
	end *engine.End
	x   *Session // nil before the log-in
}

// served is called after each request: from now on the server waits for the next.
func (c *client) served() {
	if c.x != nil {
		c.x.heard(c.m.p.Now())
	}
	c.m.arm()
}

func (m *Machine) accept(end *engine.End) *client {
	c := &client{m: m, end: end}
	end.OnBroken(func() {
		if c.x != nil && !c.x.Ended() {
			m.Hangup(m.p.Now(), c.x)
		}
	})
	return c
}

func (c *client) login(user string, inner bool) (self *client, err error) {
	c.x, err = c.m.Login(user, inner, c.end.Close)
	return c, err
}

// sender is the sending side of one replica's connection.
type sender struct {
	m    *Machine
	end  *engine.End
	dump *Dump
	acks bool // the replica acknowledges
	// take is called at the replica, with the place in the binary log; a heartbeat is nil.
	take func(*Txn, int)
}

func (m *Machine) dumpTo(end *engine.End) *sender {
	d := &sender{m: m, end: end}
	end.OnBroken(func() {
		m.sends = slices.DeleteFunc(m.sends, func(o *sender) bool { return o == d })
		if d.acks {
			m.acks.serves--
		}
	})
	return d
}

func (d *sender) begin(h Hello, period time.Duration, take func(*Txn, int)) (err error) {
	if d.dump, err = d.m.Dump(h); err != nil {
		return err
	}
	d.take = take
	d.m.sends = append(d.m.sends, d)
	d.m.p.Post(d.pump)
	d.beat(period)
	return nil
}

func (m *Machine) pump() {
	for _, d := range m.sends {
		d.pump()
	}
}

func (d *sender) pump() {
	for t := d.dump.Next(); t != nil; t = d.dump.Next() {
		at := d.dump.Sent()
		d.end.Send(func() { d.take(t, at) })
	}
}

func (d *sender) beat(period time.Duration) {
	d.m.p.After(period, func() {
		if d.end.Err() == nil {
			d.end.Send(func() { d.take(nil, 0) })
			d.beat(period)
		}
	})
}
