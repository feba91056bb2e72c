package mysqlnode

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What the check says of the next start is what the next start shows, whatever
// was set since the last one; where it does not know, what was seen then counts.
func TestCheckForetellsTheNextStart(t *testing.T) {
	mysql9.need(t)
	const readOnly, super = "read_only at start", "super_read_only at start"
	const open = "read_only=OFF\nsuper_read_only=OFF\n"
	const sealed, half = "super_read_only=ON\n", "read_only=ON\nsuper_read_only=OFF\n"
	kind, configure := withOptionFile(t)
	configure(sealed)
	s := startServer(t, kind, 1)
	for name, c := range map[string]struct {
		file       string
		statements []string
		want       AtStart
	}{
		"nothing was set":                            {sealed, nil, AtStart{cluster.Yes, cluster.Yes}},
		"opened by hand":                             {sealed, []string{"SET GLOBAL read_only = 0"}, AtStart{}},
		"opened by an agent":                         {sealed, []string{"SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0"}, AtStart{}},
		"closed by an agent":                         {sealed, []string{"SET GLOBAL super_read_only = 1"}, AtStart{}},
		"configured open, closed by an agent":        {open, []string{"SET GLOBAL super_read_only = 1"}, AtStart{}},
		"configured open":                            {open, nil, AtStart{cluster.No, cluster.No}},
		"read_only alone, opened":                    {half, []string{"SET GLOBAL read_only = 0"}, AtStart{}},
		"read_only alone":                            {half, nil, AtStart{cluster.Yes, cluster.No}},
		"kept for the next start":                    {open, []string{"SET PERSIST super_read_only = 1", "SET GLOBAL read_only = 0"}, AtStart{cluster.Yes, cluster.Yes}},
		"kept open for the next start":               {sealed, []string{"SET PERSIST_ONLY super_read_only = 0", "SET PERSIST_ONLY read_only = 0"}, AtStart{cluster.No, cluster.No}},
		"read_only kept open, super_read_only is on": {sealed, []string{"SET PERSIST_ONLY read_only = 0"}, AtStart{cluster.No, cluster.Yes}},
		"kept, but not to be read":                   {open + "persisted_globals_load=OFF\n", []string{"SET PERSIST_ONLY super_read_only = 1"}, AtStart{cluster.No, cluster.No}},
	} {
		s.do("RESET PERSIST")
		s.kill()
		configure(c.file)
		s.start()
		for _, text := range c.statements {
			s.do(text)
		}
		if starts, err := s.connect(monitorUser).StartsClosed(t.Context()); err != nil || starts != c.want.ReadOnly {
			t.Errorf("%s: StartsClosed: %v, %v, want %v", name, starts, err, c.want.ReadOnly)
		}
		conn := s.connect(agentUser)
		check := func(seen AtStart) []Finding {
			list, err := conn.Check(t.Context(), CheckOptions{AtStart: seen})
			must(t, err)
			return list
		}
		list := check(AtStart{})
		for item, known := range map[string]cluster.Tri{readOnly: c.want.ReadOnly, super: c.want.SuperReadOnly} {
			if item == super && c.want.ReadOnly == cluster.No {
				continue // said already
			}
			f := find(t, list, item)
			bad := map[string]Severity{readOnly: SeverityFail, super: SeverityWarn}[item]
			if expected := map[cluster.Tri]Severity{cluster.Yes: SeverityOK, cluster.No: bad, cluster.Unknown: SeverityUnknown}[known]; f.Severity != expected {
				t.Errorf("%s: %+v, want %s", name, f, expected)
			}
			if strings.Contains(name, "kept") && f.Severity != SeverityOK && f.Severity != SeverityUnknown {
				if keeps := !strings.Contains(name, "not to be read"); strings.Contains(f.Fix, "RESET PERSIST") != keeps {
					t.Errorf("%s: %+v", name, f)
				}
			}
			if f.Severity == SeverityUnknown && (f.Fix != "" || !strings.Contains(f.Text, "see that the option file has super_read_only=ON")) {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if c.want == (AtStart{}) {
			list = check(AtStart{cluster.Yes, cluster.Yes})
			for _, item := range []string{readOnly, super} {
				if f := find(t, list, item); f.Severity != SeverityOK {
					t.Errorf("%s, seen on at the start: %+v", name, f)
				}
			}
			for told, severity := range map[cluster.Tri]Severity{cluster.Yes: SeverityOK, cluster.No: SeverityFail} {
				list, err := conn.Check(t.Context(), CheckOptions{StartsClosed: told, AtStart: AtStart{-told, cluster.Yes}})
				must(t, err)
				if f := find(t, list, readOnly); f.Severity != severity || !strings.Contains(f.Text, "as the server told") {
					t.Errorf("%s, told %v and seen %v: %+v", name, told, -told, f)
				}
			}
			continue
		}
		s.kill()
		s.start()
		ro, sro := s.closed()
		if got := (AtStart{cluster.TriOf(ro), cluster.TriOf(sro)}); got != c.want {
			t.Errorf("%s: it starts with %+v", name, got)
		}
	}
}

// withOptionFile is mysql9 with an option file, without which the server does not
// read what it keeps for the next start.
func withOptionFile(t *testing.T) (kind *brand, configure func(text string)) {
	file := filepath.Join(t.TempDir(), "my.cnf")
	kind = &brand{name: "mysql", flavor: cluster.MySQL, script: true, accounts: mysql9.accounts, template: mysql9.template,
		args:    slices.DeleteFunc(slices.Clone(mysql9.args), func(a string) bool { return strings.Contains(a, "read-only") }),
		command: slices.Clone(mysql9.command)}
	kind.command[slices.Index(kind.command, "--no-defaults")] = "--defaults-file=" + file
	return kind, func(text string) { must(t, os.WriteFile(file, []byte("[mysqld]\n"+text), 0o644)) }
}

// A monitor learns how a server comes up while nobody has set read_only since its start.
func TestStartsClosed(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		for _, step := range []struct {
			statement, option string
			want              cluster.Tri
		}{
			{"", "--read-only=1", cluster.Yes},
			{"SET GLOBAL read_only = 0", "", cluster.Unknown},
			{"SET GLOBAL read_only = 1", "", cluster.Unknown},
			{"", "--read-only=0 --skip-super-read-only", cluster.No},
		} {
			if step.option != "" {
				s.kill()
				options := strings.Fields(step.option)
				if kind.flavor == cluster.MariaDB {
					options = options[:1]
				}
				s.start(options...)
			}
			if step.statement != "" {
				s.do(step.statement)
			}
			if got, err := s.connect(monitorUser).StartsClosed(t.Context()); err != nil || got != step.want {
				t.Errorf("%s %s: %v, %v, want %v", step.option, step.statement, got, err, step.want)
			}
		}
	})
}

// What came from SET PERSIST at the last start, and is kept no longer, says
// nothing of the next one, and nor does what was told then, or seen at that start.
func TestWhatIsNoLongerKeptIsNoConfiguration(t *testing.T) {
	mysql9.need(t)
	const readOnly, super = "read_only at start", "super_read_only at start"
	kind, configure := withOptionFile(t)
	configure("")
	s := startServer(t, kind, 1)
	for name, c := range map[string]struct {
		file        string
		kept, reset string
		// What the check says of read_only and super_read_only, and whether the next start is closed.
		before, after [2]Severity
		closed        bool
	}{
		"super_read_only, open in the file": {"read_only=OFF\nsuper_read_only=OFF\n", "SET PERSIST super_read_only = 1", "RESET PERSIST",
			[2]Severity{SeverityOK, SeverityOK}, [2]Severity{SeverityUnknown, SeverityUnknown}, false},
		"read_only, open in the file": {"read_only=OFF\nsuper_read_only=OFF\n", "SET PERSIST read_only = 1", "RESET PERSIST",
			[2]Severity{SeverityOK, SeverityWarn}, [2]Severity{SeverityUnknown, SeverityWarn}, false},
		"super_read_only, not in the file": {"", "SET PERSIST super_read_only = 1", "RESET PERSIST",
			[2]Severity{SeverityOK, SeverityOK}, [2]Severity{SeverityUnknown, SeverityUnknown}, false},
		"kept open, closed in the file": {"super_read_only=ON\n", "SET PERSIST super_read_only = 0", "RESET PERSIST",
			[2]Severity{}, [2]Severity{SeverityUnknown, SeverityUnknown}, true},
		"one of two is still kept": {"", "SET PERSIST read_only = 1; SET PERSIST super_read_only = 1", "RESET PERSIST read_only",
			[2]Severity{SeverityOK, SeverityOK}, [2]Severity{SeverityOK, SeverityOK}, true},
	} {
		s.do("RESET PERSIST")
		s.kill()
		configure(c.file)
		s.start()
		for text := range strings.SplitSeq(c.kept, "; ") {
			s.do(text)
		}
		s.kill()
		s.start()
		ro, sro := s.closed()
		seen := AtStart{cluster.TriOf(ro), cluster.TriOf(sro)}
		conn := s.connect(agentUser)
		check := func(when string, want [2]Severity) {
			list, err := conn.Check(t.Context(), CheckOptions{StartsClosed: seen.ReadOnly, AtStart: seen})
			must(t, err)
			for i, item := range []string{readOnly, super} {
				if want[i] == "" {
					continue // another test's
				}
				f := find(t, list, item)
				if f.Severity != want[i] {
					t.Errorf("%s, %s: %+v, want %s", name, when, f, want[i])
				}
				if f.Severity == SeverityUnknown && (!strings.Contains(f.Text, "SET PERSIST, which keeps it no longer: see that the option file has super_read_only=ON") || f.Fix != "") {
					t.Errorf("%s, %s: %+v", name, when, f)
				}
			}
		}
		check("kept", c.before)
		s.do(c.reset)
		check("kept no longer", c.after)
		s.kill()
		s.start()
		if ro, _ := s.closed(); ro != c.closed {
			t.Errorf("%s: it starts with read_only=%v", name, ro)
		}
	}
}
