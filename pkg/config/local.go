package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Host is what a machine is called and reached by.
type Host struct {
	Names []string
	Addrs []netip.Addr
}

// ThisHost is the machine that this program runs on.
func ThisHost() (Host, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return Host{}, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return Host{}, fmt.Errorf("read the name of this machine: %w", err)
	}
	return hostOf(name, addrs), nil
}

func hostOf(name string, addrs []net.Addr) Host {
	h := Host{Names: []string{name}}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			h.Addrs = append(h.Addrs, prefix.Addr().Unmap())
		}
	}
	return h
}

// Has reports whether the host of e is an address or a name of the machine. It asks
// no name server: a name that only that knows is not taken for the machine's own.
func (h Host) Has(e cluster.Endpoint) bool {
	host := strings.TrimSuffix(strings.ToLower(e.Host()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || slices.Contains(h.Addrs, addr.WithZone("")) || slices.Contains(h.Addrs, addr)
	}
	return host == "localhost" || slices.ContainsFunc(h.Names, func(name string) bool { return sameName(host, strings.ToLower(name)) })
}

// sameName reports whether two names are equal, the domain left out where only
// one has it.
func sameName(a, b string) bool {
	shortA, _, longA := strings.Cut(a, ".")
	shortB, _, longB := strings.Cut(b, ".")
	if longA && longB {
		return a == b
	}
	return a != "" && shortA == shortB
}

// Mine reports whether the agent, running on h, is to work on the server e: on
// each one unless its scope is local.
func (a *Agent) Mine(e cluster.Endpoint, h Host) bool {
	switch {
	case a.Scope != ScopeLocal:
		return true
	case a.Local != nil:
		return slices.Contains(a.Local, e)
	}
	return h.Has(e)
}
