package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/fault"
)

// mutant is a build with one safeguard left out, and what shows that it is.
type mutant struct {
	name  string // its build tag
	words string // what holds while the safeguard is there
	path  string // of the script
	// settings are arguments of the laboratory in the script's first line.
	settings []setting
	script   fault.Script
}

type setting struct{ name, value string }

func (m mutant) setting(name string) string {
	for _, s := range m.settings {
		if s.name == name {
			return s.value
		}
	}
	return ""
}

// most is how many rounds a pair gets.
func (m mutant) most() int {
	if n, err := strconv.Atoi(m.setting("rounds")); err == nil {
		return n
	}
	return len(m.script)
}

var safeguards = regexp.MustCompile(`(?m)^\t// \w+: (.+)\.\n\t\w+ +Safeguard = "(\w+)"$`)

// mutants are the safeguards of a source that have a script, in the order of that source.
func mutants(source, scripts string) ([]mutant, error) {
	code, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("read safeguards: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(scripts, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, guard := range safeguards.FindAllStringSubmatch(string(code), -1) {
		m := mutant{name: guard[2], words: guard[1], path: filepath.Join(scripts, guard[2]+".txt")}
		i := slices.Index(paths, m.path)
		if i < 0 {
			continue
		}
		paths = slices.Delete(paths, i, i+1)
		if err := m.read(); err != nil {
			return nil, fmt.Errorf("read %s: %w", m.path, err)
		}
		all = append(all, m)
	}
	if len(paths) > 0 {
		return nil, fmt.Errorf("read scripts: %s belong to no safeguard", strings.Join(paths, ", "))
	}
	return all, nil
}

func (m *mutant) read() error {
	text, err := os.ReadFile(m.path)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if settings, ok := strings.CutPrefix(first, "# "); ok {
		for field := range strings.FieldsSeq(settings) {
			name, value, ok := strings.Cut(field, "=")
			if !ok {
				return fmt.Errorf("%q is no NAME=VALUE", field)
			}
			m.settings = append(m.settings, setting{name, value})
		}
	}
	m.script, err = fault.ParseScript(string(text))
	return err
}

// words of the script as the table has them.
func (m mutant) told() string {
	var rounds []string
	for _, plan := range m.script {
		rounds = append(rounds, "`"+plan.String()+"`")
	}
	text := strings.Join(rounds, ", then ")
	if mode := m.setting("mode"); mode != "" {
		text = mode + ": " + text
	}
	return text
}

// row is what became of one mutant.
type row struct {
	mutant
	found
	// blamed are findings of the programs that leave nothing out.
	blamed found
	err    error
}

func (r row) caught() bool { return r.err == nil && len(r.checkers) > 0 && len(r.blamed.checkers) == 0 }

// by says what caught the mutant.
func (r row) by() string {
	switch {
	case r.err != nil:
		return "- (" + strings.ReplaceAll(r.err.Error(), "\n", " ") + ")"
	case len(r.checkers) == 0:
		return "**survives**"
	case len(r.blamed.checkers) > 0:
		return "**nothing left out: " + strings.Join(r.blamed.checkers, ", ") + "**"
	}
	return strings.Join(r.checkers, ", ")
}

const head = "| mutant | the safeguard that is left out | caught by | script | rounds | seconds |\n|---|---|---|---|---|---|\n"

func (r row) String() string {
	return fmt.Sprintf("| `%s` | %s | %s | %s | %d | %.0f |\n", r.name, r.words, r.by(), r.told(), r.rounds, r.took.Round(time.Second).Seconds())
}
