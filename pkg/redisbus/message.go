package redisbus

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const maxMessage = 1024

// ParseMessage reads the message of the predecessor's topic,
// "active: h:p, passive: h:p, uniqsign: U", with or without our ", epoch: n".
// Fields may stand in any order and unknown ones are passed over; everything
// else that is not exactly of this form is an error. epoch is 0 when the
// message has none.
func ParseMessage(text string) (active, passive cluster.Endpoint, u cluster.UniqSign, epoch cluster.Epoch, err error) {
	fail := func(format string, args ...any) (cluster.Endpoint, cluster.Endpoint, cluster.UniqSign, cluster.Epoch, error) {
		return "", "", "", 0, fmt.Errorf("parse message: "+format, args...)
	}
	if len(text) > maxMessage {
		return fail("it has %d bytes, at most %d are read", len(text), maxMessage)
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSpace(text), ", ") {
		name, value, ok := strings.Cut(part, ": ")
		if !ok {
			name, ok = strings.CutSuffix(part, ":")
		}
		if !ok || name == "" {
			return fail("%q is not of the form \"name: value\"", part)
		}
		if _, double := found[name]; double {
			return fail("field %q stands twice", name)
		}
		found[name] = value
	}
	if active, err = messageEndpoint(found, "active"); err != nil {
		return fail("%w", err)
	}
	if passive, err = messageEndpoint(found, "passive"); err != nil {
		return fail("%w", err)
	}
	if active == passive {
		return fail("active and passive are both %s", active)
	}
	u = cluster.UniqSign(found["uniqsign"])
	if err := checkUniqSign(u); err != nil {
		return fail("%w", err)
	}
	if text, ok := found["epoch"]; ok {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 || text[0] == '0' {
			return fail("epoch %q is not a positive number", text)
		}
		epoch = cluster.Epoch(n)
	}
	return active, passive, u, epoch, nil
}

func messageEndpoint(found map[string]string, name string) (cluster.Endpoint, error) {
	text, ok := found[name]
	if !ok {
		return "", fmt.Errorf("no field %q", name)
	}
	e, err := cluster.ParseEndpoint(text)
	if err != nil {
		return "", fmt.Errorf("field %q: %w", name, err)
	}
	if string(e) != text {
		return "", fmt.Errorf("field %q: address %q is not written as %q", name, text, e)
	}
	return e, nil
}

// formatMessage makes the message of an announced assignment and checks that it
// is read back as what it says.
func formatMessage(u cluster.UniqSign, a cluster.Assignment) (string, error) {
	text := fmt.Sprintf("active: %s, passive: %s, uniqsign: %s, epoch: %d", a.Active, a.Passive, u, a.Epoch)
	active, passive, sign, epoch, err := ParseMessage(text)
	if err != nil {
		return "", fmt.Errorf("make message of assignment %s: %w", a.Order(), err)
	}
	if active != a.Active || passive != a.Passive || sign != u || epoch != a.Epoch {
		return "", fmt.Errorf("make message of assignment %s: %q does not say what it should", a.Order(), text)
	}
	return text, nil
}
