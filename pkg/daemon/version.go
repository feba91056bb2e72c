package daemon

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set at link time: -ldflags "-X github.com/mmm-manager/mmm-manager/pkg/daemon.version=2.0.0 ...".
var (
	version string // 2.0.0
	commit  string // full or abbreviated hash
	built   string // 2026-11-21
)

// Build says what a program was made from.
type Build struct {
	Version, Commit, Date string // "unknown" where nobody noted it
	Modified              bool   // the sources differed from the commit
	Go, Platform          string
}

// BuildInfo is this program's Build, from the linker's words or else from what
// the Go tool noted.
func BuildInfo() Build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(version, commit, built, info)
}

func buildOf(version, commit, built string, info *debug.BuildInfo) Build {
	b := Build{Version: version, Commit: commit, Date: built, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && b.Commit == "":
				b.Commit = s.Value
			case s.Key == "vcs.time" && b.Date == "" && len(s.Value) >= 10:
				b.Date = s.Value[:10]
			case s.Key == "vcs.modified" && commit == "":
				b.Modified = s.Value == "true"
			}
		}
	}
	for _, text := range []*string{&b.Version, &b.Commit, &b.Date} {
		if *text == "" {
			*text = "unknown"
		}
	}
	if len(b.Commit) > 7 {
		b.Commit = b.Commit[:7]
	}
	return b
}

// Line is what --version prints: "mmm-monitor 2.0.0 (commit abc1234, built 2026-11-21, go1.26.8 linux/amd64)".
func (b Build) Line(program string) string {
	commit := b.Commit
	if b.Modified {
		commit += "+"
	}
	return fmt.Sprintf("%s %s (commit %s, built %s, %s %s)", program, b.Version, commit, b.Date, b.Go, b.Platform)
}
