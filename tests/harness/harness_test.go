package harness_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// The laboratory proves itself with servers alone: a pair that replicates both
// ways, an application that fails over when a person opens the other server,
// rows counted right, lost ones too, and nothing left behind.
func TestLaboratory(t *testing.T) {
	if missing := harness.Missing(); len(missing) > 0 {
		harnessSkip(t, missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	lab, err := harness.NewLab(harness.Options{Log: t.Output()})
	must(t, err)
	defer lab.Close()

	pair, err := lab.NewPair(ctx, harness.PairOptions{})
	must(t, err)
	must(t, pair.A.Exec(ctx, "SET GLOBAL read_only=0"))
	nodes := []cluster.Endpoint{pair.A.Addr(), pair.B.Addr()}
	w, err := lab.StartWriter(harness.WriterOptions{Nodes: nodes, Clients: 2, Every: time.Millisecond})
	must(t, err)
	must(t, w.WaitMore(ctx, 50))

	// What B never receives is lost when A dies: the tally has to see it.
	must(t, pair.B.Exec(ctx, "STOP REPLICA IO_THREAD"))
	must(t, w.WaitMore(ctx, 20))
	pair.A.Kill()
	killed := time.Now()
	must(t, harness.Until(ctx, "B applied what it received", func(ctx context.Context) (bool, string) {
		has, err := pair.B.OwnTransactions(ctx, pair.A)
		if err != nil {
			return false, err.Error()
		}
		c, err := pair.B.Channel(ctx)
		return err == nil && has >= c.Received(pair.A), fmt.Sprintf("%d of %d", has, c.Received(pair.A))
	}))
	must(t, pair.B.Exec(ctx, "SET GLOBAL read_only=0"))
	ack, err := w.WaitAck(ctx, killed, pair.B.Addr())
	must(t, err)
	t.Logf("first row on the other server after %v", ack.At.Sub(killed))
	w.Stop()
	tally, err := pair.B.Tally(ctx, w)
	must(t, err)
	t.Log(tally)
	if len(tally.Lost) < 20 || len(tally.Lost) >= tally.Acknowledged-50 || len(tally.Invented) != 0 {
		t.Errorf("tally of the survivor: %v; want at least the 20 lost that it could not receive, nothing invented", tally)
	}

	must(t, pair.A.Start(ctx))
	if closed, err := pair.A.ReadOnly(ctx); err != nil || !closed {
		t.Errorf("restarted server: read_only %v, %v; want closed", closed, err)
	}
	ahead, err := pair.A.OwnTransactions(ctx, pair.A)
	must(t, err)
	known, err := pair.B.OwnTransactions(ctx, pair.A)
	must(t, err)
	if ahead < known+20 {
		t.Errorf("restarted server has %d transactions of its own, the survivor %d of them; want at least 20 more", ahead, known)
	}

	must(t, pair.B.Process().Freeze())
	must(t, pair.B.Process().Thaw())
	pids := lab.PIDs()
	if len(pids) != 2 {
		t.Errorf("processes that run: %d, want 2", len(pids))
	}
	must(t, lab.Close())
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is left over", pid)
		}
	}
	if _, err := os.Stat(lab.Dir()); !os.IsNotExist(err) {
		t.Errorf("folder %s is left over: %v", lab.Dir(), err)
	}
}

func TestUntilSaysWhatWasSeenLast(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	n := 0
	err := harness.Until(ctx, "the count is a thousand", func(context.Context) (bool, string) {
		n++
		return false, fmt.Sprintf("count %d", n)
	})
	if err == nil || !strings.Contains(err.Error(), "the count is a thousand") || !strings.Contains(err.Error(), "last seen: count") {
		t.Errorf("error is %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func harnessSkip(t *testing.T, missing []string) {
	t.Helper()
	text := "not installed: " + strings.Join(missing, ", ") + "; make test gets them"
	if harness.MissingIsFailure() {
		t.Fatal(text)
	}
	t.Skip("SKIPPED: " + text)
}
