package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func killed(first, floor float64, lost int) run {
	return run{group: group{"mysql", causeKill, agentsLocal, load500, cluster.SemiSync, 1}, First: first, Floor: floor, Acknowledged: 100, Lost: lost,
		Steps: map[string]float64{harness.Opened: first - 5}}
}

func TestBoundsHoldByMediansAndLosses(t *testing.T) {
	for _, c := range []struct {
		name string
		runs []run
		want []bool
	}{
		{"three floors, though over 180 ms", []run{killed(240, 90, 0), killed(260, 90, 0), killed(900, 90, 0)}, []bool{true, false, true}},
		{"within 100 ms", []run{killed(90, 5, 0)}, []bool{true, true, true}},
		{"one row lost", []run{killed(90, 5, 0), killed(90, 5, 1)}, []bool{true, true, false}},
		{"the role stayed", []run{{group: killed(0, 0, 0).group, Stayed: true, Floor: 5}}, []bool{false, false, true}},
	} {
		sums := summarize(c.runs)
		if len(sums) != 1 {
			t.Fatalf("%s: %d groups", c.name, len(sums))
		}
		var got []bool
		for _, b := range sums[0].bounds() {
			got = append(got, b.holds)
		}
		if len(got) != len(c.want) || got[0] != c.want[0] || got[1] != c.want[1] || got[2] != c.want[2] {
			t.Errorf("%s: %v, want %v: %+v", c.name, got, c.want, sums[0].bounds())
		}
	}
}

func TestGapsEndAfterTheMoment(t *testing.T) {
	start := time.Now()
	at := func(client, ms int) harness.Ack {
		return harness.Ack{Row: harness.Row{Client: client}, At: start.Add(time.Duration(ms) * time.Millisecond)}
	}
	acks := []harness.Ack{at(1, 0), at(1, 300), at(2, 310), at(1, 400), at(2, 440), at(1, 450)}
	if anybody, client := gaps(acks, start.Add(350*time.Millisecond)); anybody != 90 || client != 130 {
		t.Errorf("nobody wrote for %v ms, a client for %v; want 90 and 130", anybody, client)
	}
}

func TestTheFewestRunsAreFilledFirst(t *testing.T) {
	all := cells("mysql", []string{causeKill, causeStop, causeCut}, []string{agentsAll, agentsLocal}, []string{load500}, nil, 1)
	if len(all) != 7 {
		t.Fatalf("%d cells: %v", len(all), all)
	}
	count := map[group]int{}
	var runs []run
	for range 1000 {
		turn, times := lacking(all, runs, 12)
		if len(turn) == 0 {
			break
		}
		for range times {
			for i, g := range turn {
				if g.stage() != turn[0].stage() {
					t.Fatalf("two stages at once: %v", turn)
				}
				r := run{group: g}
				if i == 0 && count[g]%3 == 1 && len(runs)%2 == 0 {
					r.Failed = "not well"
				} else {
					count[g]++
				}
				runs = append(runs, r)
			}
		}
		least := 1000
		for _, g := range all {
			least = min(least, count[g])
		}
		for _, g := range all {
			if count[g] > least+3*visit {
				t.Fatalf("%s has %d runs, another %d", g, count[g], least)
			}
		}
	}
	for _, g := range all {
		if count[g] < 12 {
			t.Errorf("%s has %d runs in the end", g, count[g])
		}
	}
}

func TestRunsOfOtherVersionsDoNotFill(t *testing.T) {
	now := killed(90, 30, 0)
	now.Product, now.Version = "2", "9.7"
	product, server := now, now
	product.Product, server.Version = "1", "9.6"
	runs := []run{now, product, server, now.failed(errors.New("not well"))}
	if n := (&matrix{product: "2", version: "9.7"}).have(runs, now.group); n != 1 {
		t.Errorf("%d runs of these versions, want 1", n)
	}
	if n := (&matrix{product: "2", version: "9.7", any: true}).have(runs, now.group); n != 3 {
		t.Errorf("%d runs of any version, want 3", n)
	}
}

func TestRunsAreKeptAndMakeARecord(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "runs.jsonl")
	want := []run{killed(90, 30, 0), killed(110, 30, 0), killed(9999, 30, 7).failed(errors.New("the pair is not well\nfor many reasons")), {group: group{"mariadb", causeFreeze, agentsAll, load500, cluster.Async, 1}, Stayed: true}}
	for _, r := range want {
		if err := add(file, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := load(file)
	if err != nil || len(got) != 4 || got[1].First != 110 || got[0].group != want[0].group || got[2].Failed != "the pair is not well" || !got[3].Stayed {
		t.Fatalf("%v, %+v", err, got)
	}
	if err := writeRecord(dir, file); err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	writeTables(&table, got)
	for _, words := range []string{"| SIGKILL | local | 500 | semisync | 2, 1 failed | 30 | **90** | 110 | 110 |", "| disk frozen | all | 500 | async | 1 | - | stays |"} {
		if !strings.Contains(table.String(), words) {
			t.Errorf("no %q in\n%s", words, table.String())
		}
	}
	lines := xml.NewDecoder(bytes.NewReader(plot(summarize(got))))
	bars := 0
	for {
		token, err := lines.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 1 {
		t.Errorf("%d bars, want that of the one cause by which the role moved", bars)
	}
}
