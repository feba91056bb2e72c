package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// Kind is one of the two configuration files.
type Kind string

// The two kinds, by the names that the files usually have.
const (
	KindPairs Kind = "mmm.conf"
	KindAgent Kind = "mmm-agent.conf"
)

// KindOf tells what the file at path is by the sections and keys in it. Only one
// without any section that tells, or that cannot be read, is what its name says.
func KindOf(path string) Kind {
	f, _ := open(path)
	agent := false
	for _, s := range f.sections {
		if slices.ContainsFunc([]string{"primaryhost", "secondaryhost", "uniqsign"}, func(key string) bool { return has(s.entries, key) }) {
			return KindPairs
		}
		agent = agent || s.name == "mysql"
	}
	if agent || strings.Contains(filepath.Base(path), "agent") {
		return KindAgent
	}
	return KindPairs
}
