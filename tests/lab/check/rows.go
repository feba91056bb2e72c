package check

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// Rows compares acknowledged rows with those that are there. An acknowledged row that
// a server lacks is a finding where a promise held from its invocation to its return; where
// none did it is counted, once. Findings are, too: a row that nobody has asked for or
// that was certainly refused, one that is there twice, and one that one server alone holds.
func Rows(r Round) ([]Finding, Sums) {
	var found []Finding
	var sums Sums
	find := func(format string, args ...any) {
		found = append(found, Finding{"rows", fmt.Sprintf(format, args...)})
	}
	held := map[cluster.Endpoint]map[id]bool{}
	asked := map[id]history.Outcome{}
	for _, op := range r.Ops {
		if op.IsRow() {
			asked[id{op.Client, op.Seq}] = op.Outcome
		}
	}
	for _, e := range r.servers() {
		held[e] = map[id]bool{}
		var doubled, invented, refused []id
		for _, row := range r.Tables[e].Rows {
			i := idOf(row)
			if held[e][i] {
				doubled = append(doubled, i)
				continue
			}
			held[e][i] = true
			switch outcome, ok := asked[i]; {
			case !ok:
				invented = append(invented, i)
			case outcome == history.Refused:
				refused = append(refused, i)
			}
		}
		for what, rows := range map[string][]id{"that are there twice": doubled, "that nobody has written": invented, "that were refused": refused} {
			if len(rows) > 0 {
				find("%s holds %s %s", e, some(rows), what)
			}
		}
	}
	lost := map[cluster.Endpoint][]id{}
	for _, op := range r.Ops {
		if !op.IsRow() {
			continue
		}
		i := id{op.Client, op.Seq}
		there, missing := false, false
		for _, e := range r.servers() {
			if held[e][i] {
				there = true
				continue
			}
			missing = true
			if op.Outcome == history.OK && r.promised(op) {
				lost[e] = append(lost[e], i)
			}
		}
		switch op.Outcome {
		case history.OK:
			sums.Acknowledged++
			if missing && r.promised(op) {
				sums.LostPromised++
			} else if missing {
				sums.LostUnpromised++
			}
		case history.Unknown:
			sums.Unknown++
			if there {
				sums.UnknownPresent++
			}
		case history.Refused:
			sums.Refused++
		}
	}
	for _, e := range r.servers() {
		if len(lost[e]) > 0 {
			find("%s lacks %s that were acknowledged while it was promised that both servers have them", e, some(lost[e]))
		}
		for _, other := range r.servers() {
			if other == e {
				continue
			}
			var alone []id
			for i := range held[e] {
				if !held[other][i] {
					alone = append(alone, i)
				}
			}
			if len(alone) > 0 {
				find("%s holds %s that %s lacks", e, some(alone), other)
			}
		}
	}
	return found, sums
}
