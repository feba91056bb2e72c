package redisbus

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestParseMessage(t *testing.T) {
	const u = "8d9a4b2924dc40baa792d742cb786345"
	for name, row := range map[string]struct {
		text            string
		active, passive cluster.Endpoint
		sign            cluster.UniqSign
		epoch           cluster.Epoch
	}{
		"the predecessor's":    {"active: 10.1.1.10:3306, passive: 10.1.1.11:3306, uniqsign: " + u, "10.1.1.10:3306", "10.1.1.11:3306", u, 0},
		"ours":                 {"active: 10.1.1.10:3306, passive: 10.1.1.11:3306, uniqsign: " + u + ", epoch: 12", "10.1.1.10:3306", "10.1.1.11:3306", u, 12},
		"unknown fields":       {"v: 2, active: a:1, note: , passive: b:1, uniqsign: U, epoch: 18446744073709551615, last:", "a:1", "b:1", "U", 1<<64 - 1},
		"another order":        {"uniqsign: U, passive: b:1, active: a:1\r\n", "a:1", "b:1", "U", 0},
		"IPv6":                 {"active: [::1]:3306, passive: [fe80::2]:3306, uniqsign: U", "[::1]:3306", "[fe80::2]:3306", "U", 0},
		"signs of older files": {"active: a:1, passive: b:1, uniqsign: db-1:x,y", "a:1", "b:1", "db-1:x,y", 0},
	} {
		active, passive, sign, epoch, err := ParseMessage(row.text)
		if err != nil || active != row.active || passive != row.passive || sign != row.sign || epoch != row.epoch {
			t.Errorf("%s: %q %q %q %d, %v", name, active, passive, sign, epoch, err)
		}
	}
}

func TestParseMessageRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                 "",
		"blanks":                  " \n",
		"words":                   "hello",
		"no passive":              "active: a:1, uniqsign: U",
		"an empty passive":        "active: a:1, passive: , uniqsign: U",
		"no uniqsign":             "active: a:1, passive: b:1",
		"an empty uniqsign":       "active: a:1, passive: b:1, uniqsign: ",
		"braces in the uniqsign":  "active: a:1, passive: b:1, uniqsign: {U}",
		"a blank in the uniqsign": "active: a:1, passive: b:1, uniqsign: U V",
		"no UTF-8":                "active: a:1, passive: b:1, uniqsign: \xff",
		"control characters":      "active: a:1, passive: b:1, uniqsign: U\x00",
		"the same server":         "active: a:1, passive: a:1, uniqsign: U",
		"no port":                 "active: a, passive: b:1, uniqsign: U",
		"port 0":                  "active: a:0, passive: b:1, uniqsign: U",
		"port 65536":              "active: a:65536, passive: b:1, uniqsign: U",
		"a port with zeros":       "active: a:01, passive: b:1, uniqsign: U",
		"a quote in the host":     "active: a'b:1, passive: b:1, uniqsign: U",
		"a blank before the host": "active:  a:1, passive: b:1, uniqsign: U",
		"a field twice":           "active: a:1, active: c:1, passive: b:1, uniqsign: U",
		"an unknown field twice":  "active: a:1, x: 1, x: 2, passive: b:1, uniqsign: U",
		"an unnamed field":        ": x, active: a:1, passive: b:1, uniqsign: U",
		"a part without a name":   "active: a:1, passive: b:1, uniqsign: U, x",
		"epoch 0":                 "active: a:1, passive: b:1, uniqsign: U, epoch: 0",
		"an epoch with zeros":     "active: a:1, passive: b:1, uniqsign: U, epoch: 07",
		"an epoch with a sign":    "active: a:1, passive: b:1, uniqsign: U, epoch: +7",
		"an epoch beyond 64 bits": "active: a:1, passive: b:1, uniqsign: U, epoch: 18446744073709551616",
		"an empty epoch":          "active: a:1, passive: b:1, uniqsign: U, epoch: ",
		"more than anyone needs":  "active: a:1, passive: b:1, uniqsign: U, x: " + strings.Repeat("y", maxMessage),
	} {
		if active, passive, sign, epoch, err := ParseMessage(text); err == nil || active+passive != "" || sign != "" || epoch != 0 {
			t.Errorf("%s: %q %q %q %d, %v", name, active, passive, sign, epoch, err)
		}
	}
}

// What is accepted is written again as a message that means the same.
func FuzzParseMessage(f *testing.F) {
	f.Add("active: a:1, passive: b:1, uniqsign: U, epoch: 7")
	f.Add("active: [::1]:1, passive: b:1, uniqsign: U, x: ")
	f.Add("active:, passive:, , uniqsign: : ")
	f.Fuzz(func(t *testing.T, text string) {
		active, passive, sign, epoch, err := ParseMessage(text)
		if err != nil {
			if active+passive != "" || sign != "" || epoch != 0 {
				t.Fatal("values beside an error")
			}
			return
		}
		a := cluster.Assignment{Active: active, Passive: passive, Epoch: max(epoch, 1)}
		if _, err := formatMessage(sign, a); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeAssignment(f *testing.F) {
	f.Add("epoch", "1", "phase", "steady", "active", "a:1")
	f.Add("eligible", "a:1,,b:1", "blocked", "2", "since_ms", "-1")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string) {
		base := map[string]string{"epoch": "1", "version": "0", "phase": "steady", "active": "a:1"}
		base[k1], base[k2], base[k3] = v1, v2, v3
		a, err := decodeAssignment(base)
		if err != nil {
			return
		}
		if err := checkReadable(encodeAssignment(a)); err != nil {
			t.Fatalf("%+v is not read back: %v", a, err)
		}
	})
}
