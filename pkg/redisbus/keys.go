package redisbus

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	pairsKey      = "mmm:pairs"
	lookPrefix    = "mmm:{"
	lookSuffix    = "}:look"
	lookPattern   = lookPrefix + "*" + lookSuffix
	membersPrefix = "mysql-"
	membersSuffix = "-members"
)

// keys names the records of one pair.
type keys struct{ old, new string }

func keysOf(u cluster.UniqSign) keys {
	return keys{old: "mysql-" + string(u) + "-", new: "mmm:{" + string(u) + "}:"}
}

func (k keys) serviceMode() string             { return k.old + "servicemode" }
func (k keys) primary() string                 { return k.old + "primaryhost" }
func (k keys) secondary() string               { return k.old + "secondaryhost" }
func (k keys) members() string                 { return k.old + "members" }
func (k keys) mode() string                    { return k.old + "mode" }
func (k keys) master() string                  { return k.old + "master" }
func (k keys) check(e cluster.Endpoint) string { return k.old + string(e) + "-check" }

func (k keys) assignment() string  { return k.new + "assignment" }
func (k keys) leader() string      { return k.new + "leader" }
func (k keys) token() string       { return k.new + "token" }
func (k keys) grant() string       { return k.new + "grant" }
func (k keys) monitors() string    { return k.new + "monitors" }
func (k keys) request() string     { return k.new + "request" }
func (k keys) pause() string       { return k.new + "pause" }
func (k keys) verdict() string     { return k.new + "verdict" }
func (k keys) events() string      { return k.new + "events" }
func (k keys) incarnation() string { return k.new + "incarnation" }
func (k keys) held() string        { return k.new + "held" }
func (k keys) look() string        { return k.new + "look" }
func (k keys) view(monitor string, e cluster.Endpoint) string {
	return k.new + "view:" + monitor + ":" + string(e)
}
func (k keys) report(e cluster.Endpoint) string { return k.new + "report:" + string(e) }
func (k keys) notice(name string) string        { return k.new + "notice:" + name }
func (k keys) locked(e cluster.Endpoint) string { return k.new + "locked:" + string(e) }

// uniqSignOfLook is the pair whose look channel this is.
func uniqSignOfLook(channel string) (cluster.UniqSign, bool) {
	rest, ok := strings.CutPrefix(channel, lookPrefix)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, lookSuffix)
	u := cluster.UniqSign(rest)
	return u, ok && checkUniqSign(u) == nil
}

// checkUniqSign refuses what cannot stand in a key or in the channel message.
func checkUniqSign(u cluster.UniqSign) error {
	text := string(u)
	if text == "" {
		return fmt.Errorf("uniqsign is empty")
	}
	if len(text) > 128 {
		return fmt.Errorf("uniqsign has %d characters, at most 128 are allowed", len(text))
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("uniqsign %q is not text", text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || r == '{' || r == '}' {
			return fmt.Errorf("uniqsign %q holds %q: only printable characters without blanks and braces are allowed", text, r)
		}
	}
	return nil
}
