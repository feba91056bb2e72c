package statefile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/statefile"
)

const (
	sign  = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
	other = cluster.UniqSign("another")
	node  = cluster.Endpoint("10.0.21.5:3308")
)

type memories = map[cluster.UniqSign]cluster.Memory

func memory(epoch cluster.Epoch, locked ...string) cluster.Memory {
	m := cluster.Memory{Record: cluster.Assignment{Epoch: epoch, Version: 2, Phase: cluster.PhaseSteady, Active: node}}
	for _, text := range locked {
		a, err := cluster.ParseAccount(text)
		if err != nil {
			panic(err)
		}
		if m.Locked == nil {
			m.Locked = map[cluster.Endpoint][]cluster.Account{}
		}
		m.Locked[node] = append(m.Locked[node], a)
	}
	return m
}

func file(t *testing.T, path string) *statefile.File {
	t.Helper()
	f := statefile.New(path)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "state", "agent.state") }

func load(t *testing.T, f *statefile.File, want memories) {
	t.Helper()
	got, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
}

func save(t *testing.T, f *statefile.File, all memories) {
	t.Helper()
	if err := f.Save(all); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	p := path(t)
	f := file(t, p)
	load(t, f, nil)
	all := memories{sign: memory(7, "app@%", "a@b@10.0.%"), other: memory(1)}
	save(t, f, all)
	_ = f.Close()
	g := file(t, p)
	load(t, g, all)
	// Pairs that are not named stay, accounts that are no longer named go.
	save(t, g, memories{sign: memory(8)})
	load(t, g, memories{sign: memory(8), other: memory(1)})
	if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// What of a pair has not changed is written as it was, whatever it is; the file stays one that people can read.
func TestTheFileIsIndented(t *testing.T) {
	p := path(t)
	f := file(t, p)
	load(t, f, nil)
	for _, all := range []memories{{}, {sign: memory(7, "app@%", "a@b@10.0.%")}, {other: memory(1), sign: memory(8)}, {other: memory(1)}} {
		save(t, f, all)
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var flat, again bytes.Buffer
		if err := errors.Join(json.Compact(&flat, text), json.Indent(&again, flat.Bytes(), "", "  ")); err != nil {
			t.Fatal(err)
		}
		if again.WriteByte('\n'); again.String() != string(text) {
			t.Errorf("after %v the file is\n%s", all, text)
		}
	}
	g := statefile.New(p)
	got, _ := g.Load()
	if want := (memories{sign: memory(8), other: memory(1)}); !cmp.Equal(got, want) {
		t.Errorf("loaded %v", got)
	}
}

// One of many pairs changes.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := statefile.New(filepath.Join(b.TempDir(), "agent.state"))
			defer func() { _ = f.Close() }()
			if _, err := f.Load(); err != nil {
				b.Fatal(err)
			}
			all := memories{}
			for i := range n {
				all[cluster.UniqSign(fmt.Sprintf("%032x", i))] = memory(1)
			}
			epoch := cluster.Epoch(1)
			for b.Loop() {
				epoch++
				all[cluster.UniqSign(fmt.Sprintf("%032x", 0))] = memory(epoch)
				if err := f.Save(all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestNothingIsSavedBeforeTheFileIsRead(t *testing.T) {
	if err := file(t, path(t)).Save(memories{sign: memory(7)}); !errors.Is(err, statefile.ErrUnread) {
		t.Errorf("Save = %v, want ErrUnread", err)
	}
}

// A crash between the writing of the new content and its rename, and one in the
// middle of the writing.
func TestACrashBeforeTheRenameLeavesTheOldContent(t *testing.T) {
	p := path(t)
	f := file(t, p)
	load(t, f, nil)
	save(t, f, memories{sign: memory(7)})
	_ = f.Close()
	for _, left := range []string{`{"format": 1, "pairs": {"x": {"rec`, `{"format": 1, "pairs": {}}`, ""} {
		if err := os.WriteFile(p+".tmp", []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		g := file(t, p)
		load(t, g, memories{sign: memory(7)})
		save(t, g, memories{sign: memory(7)})
		if _, err := os.Stat(p + ".tmp"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the temporary file is left over: %v", err)
		}
		_ = g.Close()
	}
}

func TestACorruptFileIsMovedAside(t *testing.T) {
	for name, text := range map[string]string{
		"half of it":         `{"format": 1, "pairs": {"a": {"record": {"epo`,
		"empty":              ``,
		"another document":   `[1, 2]`,
		"no pairs":           `{"format": 1}`,
		"a record of text":   `{"format": 1, "pairs": {"a": {"record": "x"}}}`,
		"an account without": `{"format": 1, "pairs": {"a": {"record": {}, "locked": {"h:1": ["nobody"]}}}}`,
		"an absurd epoch":    `{"format": 1, "pairs": {"a": {"record": {"epoch": 9007199254740993, "version": 1}}}}`,
		"zeros":              "\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			p := path(t)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
			f := file(t, p)
			got, err := f.Load()
			if !errors.Is(err, statefile.ErrCorrupt) || len(got) != 0 {
				t.Fatalf("Load = %v, %v; want ErrCorrupt and nothing", got, err)
			}
			if aside, err := os.ReadFile(p + ".corrupt"); err != nil || string(aside) != text {
				t.Errorf("moved aside: %q, %v", aside, err)
			}
			save(t, f, memories{sign: memory(7)})
			load(t, f, memories{sign: memory(7)})
		})
	}
}

func TestFieldsOfALaterVersionAreKept(t *testing.T) {
	p := path(t)
	text := `{"format": 9, "colour": "red", "pairs": {"` + string(sign) + `": {"record": {"epoch": 3, "version": 1, "phase": "steady"},
		"lease": {"until": 5}, "locked": {"h:1": ["app@%"]}}}}`
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	f := file(t, p)
	got, err := f.Load()
	if err != nil || got[sign].Record.Epoch != 3 || len(got[sign].Locked["h:1"]) != 1 {
		t.Fatalf("Load = %+v, %v", got, err)
	}
	save(t, f, memories{sign: memory(7)})
	var kept struct {
		Colour string
		Pairs  map[cluster.UniqSign]struct {
			Lease  struct{ Until int }
			Record cluster.Assignment
			Locked map[string][]string
		}
	}
	data, err := os.ReadFile(p)
	if err = errors.Join(err, json.Unmarshal(data, &kept)); err != nil {
		t.Fatal(err)
	}
	pair := kept.Pairs[sign]
	if kept.Colour != "red" || pair.Lease.Until != 5 || pair.Record.Epoch != 7 || len(pair.Locked) != 0 {
		t.Errorf("written: %s", data)
	}
}

func TestAFullDiskChangesNothing(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	p := path(t)
	f := file(t, p)
	load(t, f, nil)
	save(t, f, memories{sign: memory(7)})
	if err := os.Symlink("/dev/full", p+".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(memories{sign: memory(8)}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save = %v, want no space left", err)
	}
	load(t, f, memories{sign: memory(7)})
	// There is room again.
	save(t, f, memories{sign: memory(8)})
	load(t, f, memories{sign: memory(8)})
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	for _, p := range []string{"/proc/nowhere/agent.state", "/proc/agent.state"} {
		f := file(t, p)
		if got, err := f.Load(); err == nil || len(got) != 0 {
			t.Errorf("Load of %s = %v, %v; want an error", p, got, err)
		}
		if err := f.Save(memories{sign: memory(7)}); err == nil {
			t.Errorf("Save of %s succeeded", p)
		}
	}
	if os.Getuid() == 0 {
		return
	}
	p := path(t)
	f := file(t, p)
	load(t, f, nil)
	save(t, f, memories{sign: memory(7)})
	if err := os.Chmod(filepath.Dir(p), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(memories{sign: memory(8)}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Save = %v, want a refusal", err)
	}
	load(t, f, memories{sign: memory(7)})
}

func TestTheSecondOneReadsAndWritesWhenTheFirstHasEnded(t *testing.T) {
	p := path(t)
	first, second := file(t, p), file(t, p)
	load(t, first, nil)
	save(t, first, memories{sign: memory(7)})
	got, err := second.Load()
	if !errors.Is(err, statefile.ErrInUse) || got[sign].Record.Epoch != 7 {
		t.Errorf("Load beside another = %v, %v; want ErrInUse and its content", got, err)
	}
	if err := second.Save(memories{sign: memory(9)}); !errors.Is(err, statefile.ErrInUse) {
		t.Errorf("Save beside another = %v, want ErrInUse", err)
	}
	save(t, first, memories{sign: memory(8, "app@%")})
	_ = first.Close()
	if err := second.Save(memories{sign: memory(7)}); !errors.Is(err, statefile.ErrUnread) {
		t.Errorf("Save over what was not read = %v, want ErrUnread", err)
	}
	load(t, second, memories{sign: memory(8, "app@%")})
	save(t, second, memories{sign: memory(9)})
}

// TestHold is the other process of TestAnotherProcess.
func TestHold(t *testing.T) {
	p := os.Getenv("STATEFILE_TO_HOLD")
	if p == "" {
		t.Skip("it is the other process of TestAnotherProcess")
	}
	f := statefile.New(p)
	if _, err := f.Load(); err != nil {
		t.Fatal(err)
	}
	save(t, f, memories{sign: memory(5)})
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestAnotherProcess(t *testing.T) {
	p := path(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHold$", "-test.v")
	cmd.Env = append(os.Environ(), "STATEFILE_TO_HOLD="+p)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	buf, said := make([]byte, 256), ""
	for !strings.Contains(said, "held") {
		n, err := out.Read(buf)
		if said += string(buf[:n]); err != nil {
			t.Fatalf("the other process said %q: %v", said, err)
		}
	}
	f := file(t, p)
	if got, err := f.Load(); !errors.Is(err, statefile.ErrInUse) || got[sign].Record.Epoch != 5 {
		t.Errorf("Load = %v, %v; want ErrInUse and epoch 5", got, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	load(t, f, memories{sign: memory(5)})
	save(t, f, memories{sign: memory(6)})
}
