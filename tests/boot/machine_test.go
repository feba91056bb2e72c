package boot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// packages are what the small Debian holds beside its base.
const packages = "systemd,systemd-sysv,logrotate,procps,redis-server,mariadb-server-core,mariadb-client-core"

// machine is a booted system.
type machine struct {
	t    *testing.T
	root string
	init string // the number of its process 1, seen from outside
}

// image returns a tar file of the system, which it makes where there is none yet.
func image(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(cache, "mmm-manager", "boot-bookworm.tar")
	if _, err := os.Stat(tar); err == nil {
		return tar
	}
	if err := os.MkdirAll(filepath.Dir(tar), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include="+packages, "bookworm", tar+".new.tar"))
	if err := os.Rename(tar+".new.tar", tar); err != nil {
		t.Fatal(err)
	}
	return tar
}

// must runs a command to its end and returns what it printed.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String()
}

// unpack makes the root of a machine; prepare may change it before it boots.
func unpack(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "root")}
	if err := os.Mkdir(m.root, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("tar", "-xf", image(t), "-C", m.root))
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(m.root, name))
	return string(text)
}

// cgroups is where cgroup2 is mounted, also beside version 1.
func cgroups() string {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			return dir
		}
	}
	return ""
}

// boot starts the machine and switches it off when the test ends.
func (m *machine) boot() {
	t := m.t
	t.Helper()
	group := filepath.Join(cgroups(), fmt.Sprintf("mmm-boot-%d", os.Getpid()))
	cmd := exec.Command("bash", "init.sh", m.root, group)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// Whatever ends the test ends unshare, that ends process 1, that ends the rest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if m.init != "" {
			_ = exec.Command("kill", "-s", "SIGRTMIN+4", m.init).Run() // poweroff.target
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
	})
	m.until("systemd is process 1", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("it has ended: %v\n%s", err, out.String())
		default:
		}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		pid := strings.TrimSpace(string(children))
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		if pid == "" || strings.TrimSpace(string(name)) != "systemd" {
			return false
		}
		m.init = pid
		return true
	})
	m.until("the system runs", func() bool {
		state, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	})
}

// command is one that runs on the machine.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", m.init, "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w"}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER=cat", "HOME=/root"}
	return cmd
}

func (m *machine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := m.command(ctx, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, m.journal())
	}
	return out
}

// journal is the end of what systemd and the daemons noted.
func (m *machine) journal() string {
	if m.init == "" {
		return ""
	}
	text, _ := m.try("sh", "-c", "journalctl --no-pager -o short-monotonic -n 60; tail -n 20 /var/log/mmm-manager/*.log")
	return text
}

// show is one property of a unit.
func (m *machine) show(unit, property string) string {
	m.t.Helper()
	return m.run("systemctl", "show", "--value", "-p", property, unit)
}

// until waits for something to become true.
func (m *machine) until(what string, is func() bool) time.Duration {
	m.t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > 45*time.Second {
			m.t.Fatalf("waited in vain until %s\n%s", what, m.journal())
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}
