package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mmm-manager/mmm-manager/tests/lab/check"
)

// key names what sums are of.
type key struct {
	DB   string `json:"db"`
	Mode string `json:"mode"`
	Plan string `json:"plan"`
}

// sums are what happened in one round, or in many.
type sums struct {
	check.Sums
	Rounds   int            `json:"rounds"`
	Faults   map[string]int `json:"faults"`
	Switches int            `json:"switches"`
	// Reported are transactions that the record said were left behind.
	Reported int `json:"reported"`
	// Discarded and Rebuilt count what a person did for a server that asked for it.
	Discarded int `json:"discarded"`
	Rebuilt   int `json:"rebuilt"`
	// Slowest is the longest that a pair took to be well, or to ask for a person.
	Slowest time.Duration `json:"slowest"`
	// Duals are the times, one for each round with any, in which two servers acknowledged.
	Duals    []time.Duration `json:"duals,omitempty"`
	Findings int             `json:"findings"`
}

func (s *sums) add(o sums) {
	s.Sums.Add(o.Sums)
	s.Rounds += o.Rounds
	if s.Faults == nil {
		s.Faults = map[string]int{}
	}
	for kind, n := range o.Faults {
		s.Faults[kind] += n
	}
	s.Switches += o.Switches
	s.Reported += o.Reported
	s.Discarded += o.Discarded
	s.Rebuilt += o.Rebuilt
	s.Slowest = max(s.Slowest, o.Slowest)
	for _, d := range o.Duals {
		if d > 0 {
			s.Duals = append(s.Duals, d)
		}
	}
	s.Findings += o.Findings
}

func (s *sums) faults() (n int) {
	for _, of := range s.Faults {
		n += of
	}
	return n
}

// line tells the sums of one round.
func (s *sums) line() string {
	text := fmt.Sprintf("%d changes of role, %d acknowledged, %d lost", s.Switches, s.Acknowledged, s.LostPromised+s.LostUnpromised)
	if s.LostUnpromised > 0 {
		text += fmt.Sprintf(" (%d of them unpromised, %d reported)", s.LostUnpromised, s.Reported)
	}
	if s.ToldLate > 0 {
		text += fmt.Sprintf(", %d told late", s.ToldLate)
	}
	if s.DualRows > 0 {
		text += fmt.Sprintf(", two writers for %d ms (%d rows)", s.Dual.Milliseconds(), s.DualRows)
	}
	return text
}

func (s *sums) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d faults in %d rounds: %s\n", s.faults(), s.Rounds, s.line())
	fmt.Fprintf(w, "slowest to be well %.1f s; a person discarded %d times and rebuilt %d; registers: %d linearizable, %d unknown, %d rounds skipped; %d findings\n",
		s.Slowest.Seconds(), s.Discarded, s.Rebuilt, s.Registers, s.RegistersUnknown, s.RegistersSkipped, s.Findings)
	for _, kind := range slices.Sorted(maps.Keys(s.Faults)) {
		fmt.Fprintf(w, "  %4d %s\n", s.Faults[kind], kind)
	}
}

// entry is one line of the record.
type entry struct {
	Key key `json:"key"`
	sums
}

const (
	recordFile = "lab/record.json"
	readme     = "README.md"
	beginMark  = "<!-- record of the laboratory: written by make lab RECORD=1 -->"
	endMark    = "<!-- end of the record -->"
)

// addRecord adds sums to the record in the folder of tests, and writes its table anew; one at a time, since two
// laboratories may end at once.
func addRecord(dir string, k key, s sums) (err error) {
	locked, err := os.Open(filepath.Join(dir, readme))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locked.Close()) }()
	if err := unix.Flock(int(locked.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the record: %w", err)
	}
	path := filepath.Join(dir, recordFile)
	var all []entry
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		if err := json.Unmarshal(data, &all); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	i := slices.IndexFunc(all, func(e entry) bool { return e.Key == k })
	if i < 0 {
		all = append(all, entry{Key: k})
		i = len(all) - 1
	}
	all[i].add(s)
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Key.Plan, b.Key.Plan), cmp.Compare(a.Key.Mode, b.Key.Mode), cmp.Compare(a.Key.DB, b.Key.DB))
	})
	if data, err = json.MarshalIndent(all, "", "\t"); err != nil {
		return err
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return writeTable(filepath.Join(dir, readme), all)
}

// writeTable replaces what stands between both marks.
func writeTable(path string, all []entry) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(data), beginMark)
	_, tail, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		return fmt.Errorf("write the record into %s: it lacks the lines %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(head+beginMark+"\n\n"+table(all)+"\n"+endMark+tail), 0o644)
}

// table is the record for people. That nothing happened in n rounds bounds its rate by 3/n with 95 % confidence.
func table(all []entry) string {
	var b strings.Builder
	b.WriteString("| plan | mode | server | rounds | faults | changes of role | acknowledged | lost, promised | lost, not promised (reported) | two writers, ms: rounds, median, longest | slowest to be well, s | rate of a promised loss, 95 % | findings |\n")
	b.WriteString("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, e := range all {
		bound := "-"
		if e.LostPromised == 0 && e.Rounds > 0 {
			bound = fmt.Sprintf("< %.3g %% of rounds", 100*math.Min(1, 3/float64(e.Rounds)))
		}
		duals := slices.Sorted(slices.Values(e.Duals))
		dual := "0"
		if n := len(duals); n > 0 {
			dual = fmt.Sprintf("%d, %d, %d", n, duals[n/2].Milliseconds(), duals[n-1].Milliseconds())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d (%d) | %s | %.1f | %s | %d |\n", e.Key.Plan, e.Key.Mode, e.Key.DB,
			e.Rounds, e.faults(), e.Switches, e.Acknowledged, e.LostPromised, e.LostUnpromised, e.Reported, dual, e.Slowest.Seconds(), bound, e.Findings)
	}
	kinds := map[string]int{}
	for _, e := range all {
		for kind, n := range e.Faults {
			kinds[kind] += n
		}
	}
	b.WriteString("\n| fault | times |\n|---|---:|\n")
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&b, "| %s | %d |\n", kind, kinds[kind])
	}
	return b.String()
}
