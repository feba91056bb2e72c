package imports

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mmm-manager/mmm-manager/"

type level int

const (
	pure    level = iota // imports pure packages and the pure part of the standard library
	ground               // the clock and concurrency of the services' loops: imports pure
	adapter              // one outside system each: imports pure
	service              // imports pure, declares the small interfaces it needs
	process              // configuration and process: imports pure
	wiring               // puts adapters, services and process together for several programs
	mains                // one program each: imports everything below
	tests                // imports whatever it tests
)

// levels give each package its level; a folder stands for what is below it.
var levels = map[string]level{
	"pkg/cluster":   pure,
	"pkg/gtid":      pure,
	"pkg/failover":  pure,
	"pkg/lease":     pure,
	"pkg/reconcile": pure,
	"pkg/safeguard": pure,

	"pkg/sched": ground,

	"pkg/binlog":    adapter,
	"pkg/mail":      adapter,
	"pkg/mysqlnode": adapter,
	"pkg/process":   adapter,
	"pkg/redisbus":  adapter,
	"pkg/statefile": adapter,

	"pkg/agent":    service,
	"pkg/control":  service,
	"pkg/identify": service,
	"pkg/monitor":  service,
	"pkg/notify":   service,
	"pkg/status":   service,

	"pkg/config": process,
	"pkg/daemon": process,

	"pkg/tags": wiring,

	"cmd":   mains,
	"tests": tests,
}

// owners are the only folders that talk to an outside system, by the package it takes.
var owners = map[string][]string{
	"database/sql":                                 {"pkg/mysqlnode"},
	"github.com/go-mysql-org/go-mysql/mysql":       {"pkg/binlog"},
	"github.com/go-mysql-org/go-mysql/replication": {"pkg/binlog"},
	"github.com/go-sql-driver/mysql":               {"pkg/mysqlnode"},
	"github.com/redis/go-redis/v9":                 {"pkg/redisbus"},
	"github.com/wneessen/go-mail":                  {"pkg/mail"},
	"github.com/wneessen/go-mail/smtp":             {"pkg/mail"},
	"gopkg.in/ini.v1":                              {"pkg/config"},
	"github.com/spf13/cobra":                       {"pkg/daemon", "cmd"},
}

// impure are packages of the standard library that no pure package imports.
var impure = []string{
	"context", "crypto/rand", "database/sql", "io/fs", "log", "log/slog", "math/rand", "math/rand/v2",
	"net/http", "os", "os/exec", "os/signal", "os/user", "plugin", "runtime", "sync", "sync/atomic", "syscall", "unsafe",
}

// impureCalls are functions that no pure package calls.
var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"net":  {"Dial", "DialTimeout", "Listen", "ListenPacket", "LookupHost", "LookupIP", "LookupAddr", "ResolveTCPAddr", "Interfaces", "InterfaceAddrs"},
	"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// pkg is what go list says of one package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func (p pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module) }

func TestImportDirection(t *testing.T) {
	for _, tags := range []string{"", "failpoint"} {
		packages := list(t, tags)
		if len(packages) < 5 {
			t.Fatalf("go list names %d packages: it cannot have looked at the module", len(packages))
		}
		for _, p := range packages {
			for _, fault := range faults(p) {
				t.Errorf("tags %q: %s", tags, fault)
			}
		}
	}
}

func TestPureCode(t *testing.T) {
	for _, p := range list(t, "") {
		at, _ := levelOf(p.folder())
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			for _, fault := range codeFaults(t, file, nil, at) {
				t.Errorf("%s/%s", p.folder(), fault)
			}
		}
	}
}

// faults are the edges of one package that go against the levels.
func faults(p pkg) []string {
	var found []string
	folder := p.folder()
	at, known := levelOf(folder)
	if !known {
		return []string{fmt.Sprintf("%s has no level: give it one in tests/imports", folder)}
	}
	for _, imported := range p.Imports {
		if at < tests {
			if own, ok := owners[imported]; ok && !slices.ContainsFunc(own, func(o string) bool { return isIn(folder, o) }) {
				found = append(found, fmt.Sprintf("%s imports %s: only %s does", folder, imported, strings.Join(own, ", ")))
			}
		}
		target, ours := strings.CutPrefix(imported, module)
		switch {
		case !ours && at == pure:
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") || slices.Contains(impure, imported) {
				found = append(found, fmt.Sprintf("%s is pure and imports %s", folder, imported))
			}
		case ours:
			to, known := levelOf(target)
			if !known || !allowed(folder, at, target, to) {
				found = append(found, fmt.Sprintf("%s must not import %s", folder, target))
			}
		}
	}
	return found
}

func allowed(folder string, from level, target string, to level) bool {
	switch {
	case to == pure, from == tests:
		return to != mains
	case to == ground && from == service:
		return true
	case from == wiring, from == mains:
		return to < from || root(folder) == root(target)
	}
	// A package may be cut into several below its own folder.
	return root(folder) == root(target)
}

// codeFaults are calls and statements of one file that its level does not allow.
func codeFaults(t *testing.T, name string, source any, at level) []string {
	t.Helper()
	if at == tests {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}
	var found []string
	fault := func(n ast.Node, text string) {
		found = append(found, fmt.Sprintf("%s:%d %s", filepath.Base(name), set.Position(n.Pos()).Line, text))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if at == pure {
				fault(n, "is pure and starts a goroutine")
			}
		case *ast.SelectorExpr:
			from, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			call := from.Name + "." + n.Sel.Name
			switch {
			case at == pure && slices.Contains(impureCalls[from.Name], n.Sel.Name):
				fault(n, "is pure and uses "+call)
			case call == "time.Sleep":
				fault(n, "sleeps: wait for an event instead")
			case at != mains && (call == "os.Exit" || strings.HasPrefix(call, "log.Fatal")):
				fault(n, "ends the process: only cmd does")
			}
		}
		return true
	})
	return found
}

// Each rule is broken once, so that the rules are known to bite.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		folder, imports string
		fault           bool
	}{
		{"pkg/failover", "pkg/gtid", false},
		{"pkg/failover", "pkg/mysqlnode", true},
		{"pkg/failover", "context", true},
		{"pkg/failover", "github.com/rs/zerolog", true},
		{"pkg/gtid", "pkg/config", true},
		{"pkg/mysqlnode", "pkg/cluster", false},
		{"pkg/mysqlnode", "pkg/redisbus", true},
		{"pkg/mysqlnode", "pkg/monitor", true},
		{"pkg/agent", "pkg/reconcile", false},
		{"pkg/agent", "pkg/agent/failpoint", false},
		{"pkg/agent", "pkg/sched", false},
		{"cmd/mmm-agent", "pkg/sched", false},
		{"pkg/failover", "pkg/sched", true},
		{"pkg/redisbus", "pkg/sched", true},
		{"pkg/sched", "pkg/agent", true},
		{"pkg/agent", "pkg/mysqlnode", true},
		{"pkg/agent", "pkg/identify", true},
		{"pkg/agent", "pkg/daemon", true},
		{"pkg/monitor", "github.com/redis/go-redis/v9", true},
		{"pkg/config", "pkg/cluster", false},
		{"pkg/config", "pkg/redisbus", true},
		{"pkg/redisbus", "cmd/mmm-agent", true},
		{"cmd/mmm-agent", "pkg/mysqlnode", false},
		{"cmd/mmm-agent", "tests/harness", true},
		{"cmd/mmm-agent", "cmd/mmm-monitor", true},
		{"pkg/tags", "pkg/redisbus", false},
		{"pkg/tags", "cmd/mmm-monitor", true},
		{"pkg/monitor", "pkg/tags", true},
		{"tests/e2e", "pkg/redisbus", false},
		{"tests/e2e", "database/sql", false},
		{"pkg/novelty", "fmt", true},
	} {
		imported := c.imports
		if strings.HasPrefix(imported, "pkg/") || strings.HasPrefix(imported, "cmd/") || strings.HasPrefix(imported, "tests/") {
			imported = module + imported
		}
		got := faults(pkg{ImportPath: module + c.folder, Imports: []string{imported}})
		if (len(got) > 0) != c.fault {
			t.Errorf("%s imports %s: faults %q, want a fault: %v", c.folder, c.imports, got, c.fault)
		}
	}
	for _, c := range []struct {
		body  string
		at    level
		fault bool
	}{
		{"_ = time.Second", pure, false},
		{"_ = time.Now()", pure, true},
		{"go func() {}()", pure, true},
		{"go func() {}()", service, false},
		{"time.Sleep(1)", service, true},
		{"time.Sleep(1)", tests, false},
		{"os.Exit(1)", process, true},
		{"os.Exit(1)", mains, false},
	} {
		source := "package p\nfunc f() {\n" + c.body + "\n}\n"
		if got := codeFaults(t, "p.go", source, c.at); (len(got) > 0) != c.fault {
			t.Errorf("%s at level %d: faults %q, want a fault: %v", c.body, c.at, got, c.fault)
		}
	}
}

func levelOf(folder string) (level, bool) {
	for at := folder; at != "." && at != "/"; at = filepath.Dir(at) {
		if l, ok := levels[at]; ok {
			return l, true
		}
	}
	return 0, false
}

func isIn(folder, of string) bool { return folder == of || strings.HasPrefix(folder, of+"/") }

// root is the folder below pkg or cmd that a package belongs to.
func root(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func list(t *testing.T, tags string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", tags, "-json=ImportPath,Dir,GoFiles,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("list packages: %v", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, p)
	}
}
