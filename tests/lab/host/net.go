// Package host makes hosts out of network namespaces: each with an address, a name and
// programs of its own, joined by a bridge, and with packet filters that cut them off from each other.
//
// It works in the network and mount namespaces of its process, which have to be its own:
// whoever made them ends everything in here by ending the process.
package host

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

const (
	// Bridge is the device that joins the hosts.
	Bridge = "lab0"
	// operator is the address of the laboratory itself, whom no fault cuts off.
	operator = "10.77.0.254"
)

// Net is some hosts and the bridge between them.
type Net struct{ hosts []*Host }

// NewNet makes the bridge.
func NewNet() (*Net, error) {
	for _, line := range []string{"link set lo up", "link add " + Bridge + " type bridge", "addr add " + operator + "/24 dev " + Bridge, "link set " + Bridge + " up"} {
		if err := ip(line); err != nil {
			return nil, fmt.Errorf("make the bridge: %w", err)
		}
	}
	return &Net{}, nil
}

// Hosts are all hosts, in the order in which they were added.
func (n *Net) Hosts() []*Host { return n.hosts }

// Close takes the hosts and the bridge away, when no program runs there any more.
func (n *Net) Close() error {
	var all error
	for _, h := range n.hosts {
		all = errors.Join(all, ip("link del "+h.Outer()), h.netns.Close())
		close(h.jobs)
	}
	return errors.Join(all, ip("link del "+Bridge))
}

// Host is the host with this name, nil when there is none.
func (n *Net) Host(name string) *Host {
	for _, h := range n.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// Add makes a host and joins it to the others.
func (n *Net) Add(name string) (*Host, error) {
	h := &Host{name: name, addr: fmt.Sprintf("10.77.0.%d", 11+len(n.hosts)), jobs: make(chan func())}
	thread, err := h.enter()
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	for _, line := range []string{
		"link add " + h.Outer() + " type veth peer name in-" + name,
		fmt.Sprintf("link set in-%s netns %d", name, thread),
		"link set " + h.Outer() + " master " + Bridge + " up",
	} {
		if err := ip(line); err != nil {
			return nil, fmt.Errorf("make host %s: %w", name, err)
		}
	}
	for _, line := range []string{"link set lo up", "link set in-" + name + " name eth0", "addr add " + h.addr + "/24 dev eth0", "link set eth0 up"} {
		if err := h.run("", "ip", strings.Fields(line)...); err != nil {
			return nil, fmt.Errorf("make host %s: %w", name, err)
		}
	}
	n.hosts = append(n.hosts, h)
	return h, nil
}

func ip(line string) error {
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// How says what becomes of the packets that a cut concerns.
type How struct {
	verdict string
	name    string
}

// The kinds of cuts.
var (
	// Drop is silence.
	Drop = How{"drop", "drop"}
	// Reset ends each connection that sends something, and refuses new ones.
	Reset = How{"meta l4proto tcp reject with tcp reset", "reset"}
)

// Loss drops so many packets of a hundred.
func Loss(percent int) How {
	return How{fmt.Sprintf("numgen random mod 100 < %d drop", percent), fmt.Sprintf("loss of %d %%", percent)}
}

// String names the kind.
func (h How) String() string { return h.name }

// Cut is what becomes of packets from one host to another; From nil is all other hosts.
type Cut struct {
	From, To *Host
	How      How
}

func (c Cut) rule() string {
	if c.From == nil {
		return "iifname eth0 ip saddr != " + operator + " " + c.How.verdict
	}
	return "ip saddr " + c.From.addr + " " + c.How.verdict
}

// Both are the cuts of both ways between two hosts.
func Both(a, b *Host, how How) []Cut { return []Cut{{a, b, how}, {b, a, how}} }

// Alone are the cuts between one host and all others.
func (n *Net) Alone(h *Host, how How) []Cut {
	cuts := []Cut{{nil, h, how}}
	for _, other := range n.hosts {
		if other != h {
			cuts = append(cuts, Cut{h, other, how})
		}
	}
	return cuts
}

// Apply makes cuts beside those that are there.
func (n *Net) Apply(cuts ...Cut) error { return n.change(cuts, (*Host).add) }

// Heal ends cuts that Apply has made.
func (n *Net) Heal(cuts ...Cut) error { return n.change(cuts, (*Host).remove) }

func (n *Net) change(cuts []Cut, change func(*Host, string)) error {
	touched := map[*Host]bool{}
	for _, c := range cuts {
		change(c.To, c.rule())
		touched[c.To] = true
	}
	var all error
	for _, h := range n.hosts {
		if touched[h] {
			all = errors.Join(all, h.filter())
		}
	}
	return all
}
