package control

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestPromised(t *testing.T) {
	b := newBus()
	for _, c := range []struct {
		name string
		a    cluster.Assignment
		want string
	}{
		{"all is well", cluster.Assignment{Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, Waits: true, Eligible: []cluster.Endpoint{nodeB}}, "every commit waits until 10.0.21.7:3308 has received it"},
		{"not all is there yet", cluster.Assignment{Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, Waits: true}, "commits wait for 10.0.21.7:3308, which may not take over"},
		{"a record that names no passive", cluster.Assignment{Phase: cluster.PhaseSteady, Active: nodeA, Waits: true}, "commits wait for 10.0.21.7:3308, which may not take over"},
		{"the passive is away", cluster.Assignment{Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB}, "commits do not wait at present"},
		{"nobody is active", cluster.Assignment{Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, Waits: true}, "nobody is active"},
	} {
		c.a.Epoch, c.a.Version, c.a.Durability = 8, 1, cluster.SemiSync
		b.snap.Assignment = c.a
		if out, err := service(b).Promised(context.Background(), pair); err != nil || !strings.Contains(out.Answer, c.want) {
			t.Errorf("%s: %q, %v", c.name, out.Answer, err)
		}
	}
	b.down = errDown
	var e *Error
	if _, err := service(b).Promised(context.Background(), pair); !errors.As(err, &e) || e.Exit != ExitUnreachable {
		t.Errorf("without the bus: %v", err)
	}
}
