package failover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// heardOf are the monitors that have a sample of a member, and those among them
// that mmm.conf does not name, sorted.
func (s *situation) heardOf() (named, strange []string) {
	named = make([]string, 0, len(s.st.views))
	for _, by := range s.st.views {
		switch {
		case !s.p.Pair.Has(by.voice.node):
		case slices.Contains(s.p.Monitors, by.voice.name):
			named = append(named, by.voice.name)
		default:
			strange = append(strange, by.voice.name)
		}
	}
	slices.Sort(named)
	slices.Sort(strange)
	return slices.Compact(named), slices.Compact(strange)
}

// fewMonitors says that so few of the monitors named are heard that no majority
// could see the active dead; ok when enough are.
func (s *situation) fewMonitors() (no cluster.Reason, ok bool) {
	if len(s.p.Monitors) == 0 {
		return cluster.Reason{}, true
	}
	named, _ := s.heardOf()
	if len(named) >= s.p.majority() {
		return cluster.Reason{}, true
	}
	return why(FewMonitors, "%s, and %d must see a server dead: %s", s.heardWords(len(named)), s.p.majority(), s.mute(named)), false
}

func (s *situation) heardWords(heard int) string {
	if n := len(s.p.Monitors); n > 1 {
		return fmt.Sprintf("%d of %d monitors are heard", heard, n)
	}
	return "the monitor is not heard"
}

func (s *situation) mute(heard []string) string {
	away := slices.DeleteFunc(slices.Clone(s.p.Monitors), func(m string) bool { return slices.Contains(heard, m) })
	return "no word from " + strings.Join(away, ", ")
}

// monitorNotes are what a person should know of the monitors while enough are heard.
func (s *situation) monitorNotes() []cluster.Reason {
	if len(s.p.Monitors) == 0 {
		return nil
	}
	var notes []cluster.Reason
	named, strange := s.heardOf()
	if len(named) >= s.p.majority() && len(named) < len(s.p.Monitors) {
		notes = append(notes, why(MonitorAway, "%s: %s", s.heardWords(len(named)), s.mute(named)))
	}
	for _, name := range strange {
		notes = append(notes, why(StrangeMonitor, "monitor %s does not count: monitors in mmm.conf names %s", name, strings.Join(s.p.Monitors, ", ")))
	}
	return notes
}
