package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// simulated are the packages whose loops also run in a simulator's time: they
// wait, count time and run things side by side through pkg/sched alone.
var simulated = []string{"pkg/agent", "pkg/identify", "pkg/monitor"}

// ownTime are names of the standard library, by package, that wait, tell the
// time or make chance; empty stands for all of a package.
var ownTime = map[string][]string{
	"time":         impureCalls["time"],
	"context":      {"WithCancel", "WithCancelCause", "WithDeadline", "WithDeadlineCause", "WithTimeout", "WithTimeoutCause", "AfterFunc"},
	"sync":         {"WaitGroup", "Cond", "NewCond"},
	"math/rand":    {},
	"math/rand/v2": {},
	"crypto/rand":  {},
}

func TestSimulatedLoopsKeepToSched(t *testing.T) {
	checked := map[string]int{}
	for _, p := range list(t, "") {
		if !slices.Contains(simulated, p.folder()) {
			continue
		}
		for _, name := range p.GoFiles {
			checked[p.folder()]++
			for _, fault := range loopFaults(t, filepath.Join(p.Dir, name), nil) {
				t.Errorf("%s/%s", p.folder(), fault)
			}
		}
	}
	for _, folder := range simulated {
		if checked[folder] == 0 {
			t.Errorf("no file of %s was looked at", folder)
		}
	}
}

// loopFaults are the places of one file that have a time or concurrency of their own.
func loopFaults(t *testing.T, name string, source any) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}
	var found []string
	fault := func(n ast.Node, text string) {
		found = append(found, fmt.Sprintf("%s:%d %s: go through pkg/sched", filepath.Base(name), set.Position(n.Pos()).Line, text))
	}
	called := map[string]string{} // the package behind each name in the file
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatalf("import of %s: %v", name, err)
		}
		banned, known := ownTime[path]
		switch {
		case known && (len(banned) == 0 || i.Name != nil && i.Name.Name == "."):
			fault(i, "imports "+path)
		case i.Name != nil:
			called[i.Name.Name] = path
		default:
			called[filepath.Base(path)] = path
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			fault(n, "starts a goroutine")
		case *ast.SelectStmt:
			fault(n, "selects")
		case *ast.SendStmt:
			fault(n, "sends on a channel")
		case *ast.ChanType:
			fault(n, "has a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				fault(n, "receives from a channel")
			}
		case *ast.SelectorExpr:
			if from, ok := n.X.(*ast.Ident); ok && slices.Contains(ownTime[called[from.Name]], n.Sel.Name) {
				fault(n, "uses "+called[from.Name]+"."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// Each rule is broken once, so that the rules are known to bite.
func TestLoopRulesBite(t *testing.T) {
	for _, c := range []struct {
		imports, body string
		faults        int
	}{
		{`"time"`, "_ = time.Second", 0},
		{`"context"`, "_ = context.Background()", 0},
		{`"sync"`, "var mu sync.Mutex; mu.Lock()", 0},
		{`"time"`, "_ = time.Now()", 1},
		{`"time"`, "f := time.Since; _ = f", 1},
		{`clock "time"`, "_ = clock.NewTimer(0)", 1},
		{`. "time"`, "_ = Now()", 1},
		{`"time"`, "time.Sleep(1)", 1},
		{`"time"`, "time.AfterFunc(1, nil)", 1},
		{`"context"`, "_, _ = context.WithTimeout(nil, 0)", 1},
		{`"context"`, "_, _ = context.WithCancel(nil)", 1},
		{`"sync"`, "var wg sync.WaitGroup; wg.Wait()", 1},
		{`"math/rand/v2"`, "", 1},
		{`"fmt"`, "go fmt.Sprint()", 1},
		{`"fmt"`, "select {}", 1},
		{`"fmt"`, "var c chan int; _ = c", 1},
		{`"fmt"`, "c <- 1", 1},
		{`"fmt"`, "<-c", 1},
	} {
		source := "package p\nimport " + c.imports + "\nfunc f() {\n" + c.body + "\n}\n"
		if got := loopFaults(t, "p.go", source); len(got) != c.faults {
			t.Errorf("%s: %s: faults %q, want %d", c.imports, c.body, got, c.faults)
		}
	}
}
