package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"time"
)

// mutant is a build with one safeguard left out.
type mutant struct {
	name     string // its build tag
	constant string // of pkg/safeguard
	words    string // what holds while the safeguard is there
}

// mutants are read from the source of pkg/safeguard, in its order.
func mutants(source string) ([]mutant, error) {
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("read safeguards: %w", err)
	}
	var all []mutant
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			text, ok := v.Values[0].(*ast.BasicLit)
			if !ok {
				return nil, fmt.Errorf("read safeguards: %s is no text", v.Names[0].Name)
			}
			name, err := strconv.Unquote(text.Value)
			_, words, said := strings.Cut(strings.Join(strings.Fields(v.Doc.Text()), " "), ": ")
			if err != nil || !said {
				return nil, fmt.Errorf("read safeguards: %s has no sentence", v.Names[0].Name)
			}
			all = append(all, mutant{name, v.Names[0].Name, strings.TrimSuffix(words, ".")})
		}
	}
	return all, nil
}

// row is what became of one mutant.
type row struct {
	mutant
	own       bool // it has a schedule of its own
	violation string
	seed      uint64
	ran       uint64
	took      time.Duration
	err       error
}

// by says what caught the mutant.
func (r row) by() string {
	switch {
	case r.err != nil:
		return "- (" + r.err.Error() + ")"
	case r.violation == "":
		return "**survives**"
	case r.own:
		return r.violation + ", own schedule"
	}
	return r.violation
}

const head = "| mutant | the safeguard that is left out | caught by | worlds | seconds |\n|---|---|---|---|---|\n"

func (r row) String() string {
	return fmt.Sprintf("| `%s` | %s | %s | %d | %.1f |\n", r.name, r.words, r.by(), r.ran, r.took.Seconds())
}
