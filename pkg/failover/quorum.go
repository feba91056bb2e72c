package failover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// hears reports whether monitor has a sample of a member.
func (s *situation) hears(monitor string) bool {
	return slices.ContainsFunc(s.st.views, func(by row[heard]) bool {
		return by.voice.name == monitor && s.p.Pair.Has(by.voice.node)
	})
}

// monitorsHeard is how many of the monitors that mmm.conf names have a sample of a member.
func (s *situation) monitorsHeard() int {
	n := 0
	for _, name := range s.p.Monitors {
		if s.hears(name) {
			n++
		}
	}
	return n
}

// strangeMonitors are the monitors that have one and that mmm.conf does not name, sorted.
func (s *situation) strangeMonitors() []string {
	var strange []string
	for _, by := range s.st.views {
		if s.p.Pair.Has(by.voice.node) && !slices.Contains(s.p.Monitors, by.voice.name) {
			strange = append(strange, by.voice.name)
		}
	}
	slices.Sort(strange)
	return slices.Compact(strange)
}

// fewMonitors says that so few of the monitors named are heard that no majority
// could see the active dead; ok when enough are.
func (s *situation) fewMonitors() (no cluster.Reason, ok bool) {
	if len(s.p.Monitors) == 0 {
		return cluster.Reason{}, true
	}
	heard := s.monitorsHeard()
	if heard >= s.p.majority() {
		return cluster.Reason{}, true
	}
	return why(FewMonitors, "%s, and %d must see a server dead: %s", s.heardWords(heard), s.p.majority(), s.mute()), false
}

func (s *situation) heardWords(heard int) string {
	if n := len(s.p.Monitors); n > 1 {
		return fmt.Sprintf("%d of %d monitors are heard", heard, n)
	}
	return "the monitor is not heard"
}

func (s *situation) mute() string {
	away := slices.DeleteFunc(slices.Clone(s.p.Monitors), s.hears)
	return "no word from " + strings.Join(away, ", ")
}

// monitorNotes are what a person should know of the monitors while enough are heard.
func (s *situation) monitorNotes() []cluster.Reason {
	if len(s.p.Monitors) == 0 {
		return nil
	}
	var notes []cluster.Reason
	if heard := s.monitorsHeard(); heard >= s.p.majority() && heard < len(s.p.Monitors) {
		notes = append(notes, why(MonitorAway, "%s: %s", s.heardWords(heard), s.mute()))
	}
	for _, name := range s.strangeMonitors() {
		notes = append(notes, why(StrangeMonitor, "monitor %s does not count: monitors in mmm.conf names %s", name, strings.Join(s.p.Monitors, ", ")))
	}
	return notes
}
