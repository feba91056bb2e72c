package cluster

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Tag names one pair in mmm.conf; it is also the systemd instance.
type Tag string

// UniqSign is the opaque identity of one pair, part of its Redis keys:
// 32 hexadecimal digits as mmm-uniqsign makes them, any printable word without
// blanks or braces as older files have it.
type UniqSign string

// Endpoint is the address of one server as the configuration writes it,
// "host:port". Two endpoints are the same server only when the texts are equal.
type Endpoint string

// ParseEndpoint checks and normalises "host:port"; the host may be a name, an
// IPv4 address or an IPv6 address in brackets.
func ParseEndpoint(text string) (Endpoint, error) {
	text = strings.TrimSpace(text)
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("parse address %q: want host:port", text)
	}
	if host == "" {
		return "", fmt.Errorf("parse address %q: no host before the colon", text)
	}
	if strings.ContainsAny(host, " \t\r\n,;'\"`\\{}") {
		return "", fmt.Errorf("parse address %q: the host has a character that no host name has", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("parse address %q: port %q is not a number from 1 to 65535", text, port)
	}
	return Endpoint(net.JoinHostPort(host, strconv.FormatUint(n, 10))), nil
}

// Host is the part before the port, without brackets; empty when e is.
func (e Endpoint) Host() string {
	host, _, err := net.SplitHostPort(string(e))
	if err != nil {
		return ""
	}
	return host
}

// Port is the part after the host; 0 when e is empty.
func (e Endpoint) Port() int {
	_, port, err := net.SplitHostPort(string(e))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}

// Pair is what the configuration says about one tag's servers.
type Pair struct {
	Tag         Tag
	UniqSign    UniqSign
	Primary     Endpoint
	Secondary   Endpoint
	ServiceMode ServiceMode
}

// Members are the servers of the pair, the primary host first.
func (p Pair) Members() []Endpoint { return []Endpoint{p.Primary, p.Secondary} }

// Other is the member that is not e; empty when e is no member.
func (p Pair) Other(e Endpoint) Endpoint {
	switch e {
	case p.Primary:
		return p.Secondary
	case p.Secondary:
		return p.Primary
	}
	return ""
}

// Has reports whether e is a member.
func (p Pair) Has(e Endpoint) bool { return e != "" && (e == p.Primary || e == p.Secondary) }

// ServiceMode says whether one server of the pair takes writes or both do.
type ServiceMode int

// The two service modes; only ActivePassive is acted on.
const (
	ActiveActive  ServiceMode = 0
	ActivePassive ServiceMode = 1
)

// Epoch numbers assignments; it only grows. 0 means none.
type Epoch uint64

// MaxEpoch bounds epochs and versions: no pair ever gets near it, so that a
// record which says more is broken, and one more than any is still a number.
const MaxEpoch Epoch = 1 << 53

// Credible reports whether a pair may have come to e: an epoch that is believed
// leaves room for all that are to come after it.
func (e Epoch) Credible() bool { return e <= MaxEpoch/2 }

// Order names one state of the assignment: the epoch and the version within it.
// Agents acknowledge orders by it.
type Order struct {
	Epoch   Epoch  `json:"epoch"`
	Version uint64 `json:"version"`
}

// Before reports whether o is older than p.
func (o Order) Before(p Order) bool {
	if o.Epoch != p.Epoch {
		return o.Epoch < p.Epoch
	}
	return o.Version < p.Version
}

// String gives "epoch.version".
func (o Order) String() string { return fmt.Sprintf("%d.%d", o.Epoch, o.Version) }

// Secret is a password or token. It prints as *** wherever it is formatted;
// Reveal gives the text.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// Format hides the secret under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText hides the secret in JSON and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
