package status

import (
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Who is behind an address, and of which release, is told of the server that answers.
func TestStrangersAreTold(t *testing.T) {
	told := func(change func(*cluster.Snapshot), code string) string {
		t.Helper()
		notes := sceneReport(t, func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment.Known = map[cluster.Endpoint]string{nodeA: "1", nodeB: "1"}
			change(s)
		}).Tags[0].Notes
		i := slices.IndexFunc(notes, func(r cluster.Reason) bool { return r.Code == code })
		if i < 0 {
			return ""
		}
		return notes[i].Text
	}
	other := func(o *cluster.Observation) { o.Server.Identity = "7" }
	if got := told(func(s *cluster.Snapshot) { spoil(s, nodeB, other) }, CodeReplaced); !strings.Contains(got, "its server_id is 7, and was 1") || !strings.Contains(got, "mmmctl rejoin") {
		t.Errorf("another server: %q", got)
	}
	if got := told(func(s *cluster.Snapshot) { spoil(s, nodeA, other) }, CodeReplaced); !strings.HasPrefix(got, string(nodeA)+", the active: another server") || !strings.Contains(got, "mmmctl rejoin --tag mysql3308 --node "+string(nodeB)) {
		t.Errorf("another server in the place of the active: %q", got)
	}
	if got := told(func(s *cluster.Snapshot) {
		spoil(s, nodeB, other)
		spoil(s, nodeB, down(cluster.CauseRefused))
	}, CodeReplaced); got != "" {
		t.Errorf("a server that is away: %q", got)
	}
	if got := told(func(*cluster.Snapshot) {}, CodeReplaced); got != "" {
		t.Errorf("the servers that are known: %q", got)
	}
	older := func(o *cluster.Observation) { o.Server.Version = "10.5.23-MariaDB" }
	if got := told(func(s *cluster.Snapshot) { spoil(s, nodeB, older) }, CodeOlder); !strings.Contains(got, "10.5.23-MariaDB") {
		t.Errorf("an older passive: %q", got)
	}
	if got := told(func(s *cluster.Snapshot) { spoil(s, nodeA, older) }, CodeOlder); got != "" {
		t.Errorf("an older active: %q", got)
	}
	for range 20 {
		if got := told(func(s *cluster.Snapshot) {
			spoil(s, nodeB, older)
			s.Observations[nodeA]["mon2"] = cluster.Observation{Monitor: "mon2", Node: nodeA, Cause: cluster.CauseRefused}
		}, CodeOlder); got == "" {
			t.Fatal("an older passive, and a monitor that has never seen the active: nothing is told")
		}
	}
}
