package harness

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Topic is the channel of the predecessor's message.
const Topic = "mmm-switch-channel"

// ServiceTag is the tag of every site.
const ServiceTag = "mysql3308"

// Section is one section of a configuration file, in order.
type Section struct {
	Name string
	Keys []Key
}

// Key is one line of a section.
type Key struct{ Name, Value string }

// With returns the section with keys replaced, or added at its end.
func (s Section) With(values map[string]string) Section {
	out := Section{Name: s.Name, Keys: slices.Clone(s.Keys)}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(out.Keys, func(k Key) bool { return k.Name == name })
		if i < 0 {
			out.Keys = append(out.Keys, Key{name, values[name]})
		} else {
			out.Keys[i].Value = values[name]
		}
	}
	return out
}

// WriteConfig writes sections in the predecessor's form.
func WriteConfig(path string, sections ...Section) error {
	var b strings.Builder
	for i, s := range sections {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n", s.Name)
		for _, k := range s.Keys {
			fmt.Fprintf(&b, "%s=%s\n", k.Name, k.Value)
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// newUniqSign makes the identity of a pair.
func newUniqSign() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return hex.EncodeToString(b[:])
}
