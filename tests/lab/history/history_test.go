package history

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistory(t *testing.T) {
	h, zero := New(7), time.Now()
	var group sync.WaitGroup
	for client := range 4 {
		group.Go(func() {
			for n := range 100 {
				at := zero.Add(time.Duration(n*4+client) * time.Millisecond)
				h.Add(Op{Client: client, Kind: Insert, Server: "db1:3306", Invoke: at, Return: at.Add(time.Millisecond), Outcome: OK, Seq: int64(n)})
			}
		})
	}
	group.Wait()
	ops := h.Ops()
	if len(ops) != 400 || h.Len() != 400 {
		t.Fatalf("%d operations, want 400", len(ops))
	}
	for i, op := range ops {
		if op.Round != 7 || op.Client != i%4 || op.Seq != int64(i/4) {
			t.Fatalf("operation %d is %+v: not in the order of invocation, or of no round", i, op)
		}
	}
	var file bytes.Buffer
	if err := h.WriteJSON(&file); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file.Bytes(), []byte("\n")); n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
	back, err := ReadJSON(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ops, back); diff != "" {
		t.Errorf("what was read is not what was written: %s", diff)
	}
	if _, err := ReadJSON(bytes.NewBufferString(`{"round":1}` + "\n{")); err == nil {
		t.Error("a torn line was read without an error")
	}
}

func TestWrote(t *testing.T) {
	for _, c := range []struct {
		op   Op
		want bool
	}{
		{Op{Kind: Insert, Outcome: OK}, true},
		{Op{Kind: Probe, Outcome: Unknown}, false},
		{Op{Kind: CAS, Outcome: OK}, false},
		{Op{Kind: CAS, Outcome: OK, Swapped: true}, true},
		{Op{Kind: Read, Outcome: OK}, true},
	} {
		if c.op.Wrote() != c.want {
			t.Errorf("%+v: wrote is %v", c.op, !c.want)
		}
	}
}
