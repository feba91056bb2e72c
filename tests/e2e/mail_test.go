package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const operator = "dba@example.org"

// mailServer starts a real mail server.
func mailServer(t *testing.T) *harness.MailServer {
	t.Helper()
	if err := harness.MissingMail(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := lab.NewMailServer(ctx, harness.MailOptions{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Process().Kill() })
	return m
}

// mailing raises a stage with some agents that mail through m.
func mailing(t *testing.T, m *harness.MailServer, agents int) *stage {
	t.Helper()
	return raise(t, options{
		agent: map[string]string{
			"send_mail": "1", "email_server": "127.0.0.1", "email_port": strconv.Itoa(m.Port()), "email_receiver": operator + ", second@example.org",
			"email_tls": "required", "email_tls_ca": m.CA,
		},
		daemons: append([]string{harness.Monitor, harness.Identify}, slices.Repeat([]string{harness.Agent}, agents)...),
	})
}

// mailed waits for the mails whose subject has the words, and checks after a while that there is no more than one.
func (s *stage) mailed(m *harness.MailServer, words string) harness.Delivered {
	s.Helper()
	wanted := func(d harness.Delivered) bool { return strings.Contains(d.Subject, words) }
	s.await(30*time.Second, func(ctx context.Context) error {
		_, err := m.WaitMails(ctx, 1, wanted)
		return err
	})
	s.must(harness.Holds(s.Context(), 3*time.Second, "one mail about "+words, func(context.Context) (bool, string) {
		all, err := m.Mails()
		if err != nil {
			return false, err.Error()
		}
		found := slices.DeleteFunc(all, func(d harness.Delivered) bool { return !wanted(d) })
		return len(found) == 1, fmt.Sprintf("%d mails", len(found))
	}))
	all, err := m.Mails()
	s.must(err)
	i := slices.IndexFunc(all, wanted)
	return all[i]
}

// says checks that a mail has all texts.
func (s *stage) says(d harness.Delivered, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if !strings.Contains(d.Body, text) {
			s.Errorf("the mail %q does not say %q:\n%s", d.Subject, text, d.Body)
		}
	}
}

// Two agents run; each change is one mail, as a person reads it.
func TestMail(t *testing.T) {
	m := mailServer(t)
	s := mailing(t, m, 2)
	first := s.mailed(m, "first start")
	if want := fmt.Sprintf("[mmm] %s: first start none -> %s (epoch 1)", harness.ServiceTag, s.a.Addr()); first.Subject != want {
		t.Errorf("subject %q, want %q", first.Subject, want)
	}
	if !first.TLS {
		t.Error("sent without TLS, which is required")
	}

	before := s.record()
	s.a.Kill()
	change := s.moved(before, s.b)
	d := s.mailed(m, "failover")
	if want := fmt.Sprintf("[mmm] %s: failover %s -> %s (epoch %d)", harness.ServiceTag, s.a.Addr(), s.b.Addr(), change.Record.Epoch); d.Subject != want {
		t.Errorf("subject %q, want %q", d.Subject, want)
	}
	proof := "proof        " + string(change.Record.Proof)
	if risk, is := strings.CutPrefix(string(change.Record.Proof), "risk: "); is {
		proof = "risk         " + risk
	}
	s.says(d, proof, "left behind  nothing by the last sample of "+string(s.a.Addr()), "cause        failover: ", string(s.a.Addr()), string(s.b.Addr()), "tag          "+harness.ServiceTag,
		"Steps of the change", "  seen", "  opened", "on "+string(s.b.Addr())+" under order "+fmt.Sprint(change.Record.Epoch), "asked by     nobody, it was automatic")
	if len(d.To) != 2 || d.Header.Get("Auto-Submitted") != "auto-generated" || d.Header.Get("X-Mmm-Tag") != harness.ServiceTag {
		t.Errorf("to %s, header %v", d.To, d.Header)
	}
	t.Logf("as it arrived:\n%s\n%s", d.Subject, d.Body)

	s.must(s.a.Start(s.short()))
	s.whole(s.b)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatal(out)
	}
	s.open(s.a)
	d = s.mailed(m, "switchover")
	if want := fmt.Sprintf("[mmm] %s: switchover %s -> %s (epoch %d)", harness.ServiceTag, s.b.Addr(), s.a.Addr(), s.record().Epoch); d.Subject != want {
		t.Errorf("subject %q, want %q", d.Subject, want)
	}
	s.says(d, "proof        fence acknowledged", "left behind  none known", "asked by     ", "asked for a switchover", "on "+string(s.b.Addr())+" under order", "on "+string(s.a.Addr())+" under order")
	t.Logf("as it arrived:\n%s\n%s", d.Subject, d.Body)

	all, err := m.Mails()
	s.must(err)
	for _, d := range all {
		t.Log(d.Subject)
	}
	if len(all) != 3 {
		t.Errorf("%d mails arrived, want three", len(all))
	}
}

// A server that comes back with transactions of its own is one mail.
func TestMailOfAQuarantine(t *testing.T) {
	m := mailServer(t)
	s := mailing(t, m, 2)
	// B receives nothing more, so that A has what nobody else has when it dies.
	before := s.record()
	s.must(s.b.Exec(s.short(), "STOP REPLICA IO_THREAD"))
	s.must(s.a.Exec(s.short(), "CREATE DATABASE only_here"))
	s.a.Kill()
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	s.await(20*time.Second, func(ctx context.Context) error {
		_, err := s.WaitReport(ctx, s.a, "quarantine", func(r cluster.Report) bool { return r.Deed == cluster.DeedQuarantine })
		return err
	})
	d := s.mailed(m, "quarantine")
	if want := fmt.Sprintf("[mmm] %s: quarantine %s (epoch %d)", harness.ServiceTag, s.a.Addr(), s.record().Epoch); d.Subject != want {
		t.Errorf("subject %q, want %q", d.Subject, want)
	}
	s.says(d, "errant       ", "left behind  "+string(s.a.Addr())+" is back and has ", "active       "+string(s.b.Addr()), "rebuild "+string(s.a.Addr()))
	s.mailed(m, "failover")
}

// Each server of the pair comes up as another one, as without its auto.cnf: nobody loses
// his role by it, there is one mail of each, and the pair is whole as before.
func TestMailOfAnotherServer(t *testing.T) {
	m := mailServer(t)
	s := mailing(t, m, 2)
	before := s.record()
	ready := func() {
		s.whole(s.a)
		s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	}
	ready()
	w := s.write(1, 10*time.Millisecond)
	tool := func(args ...string) {
		out, err := s.Tool(s.short(), "mmmctl", append(args, "--tag", harness.ServiceTag)...)
		s.must(err)
		if out.Code != 0 {
			t.Fatal(out)
		}
	}
	for _, x := range []struct {
		server    *harness.Server
		role, way string
	}{
		{s.a, "active", "discard nothing there"},
		{s.b, "passive", "it is compared like any other"},
	} {
		tool("pause", "--reason", "auto.cnf") // so that the other does not take over meanwhile
		x.server.Kill()
		s.must(x.server.Rename())
		s.must(x.server.Start(s.short()))
		d := s.mailed(m, "another server behind "+string(x.server.Addr())+", the "+x.role)
		tool("resume")
		s.says(d, "another server than before is behind this address: its server_", "mmmctl rejoin --tag "+harness.ServiceTag+" --node "+string(s.b.Addr()), x.way)
		t.Logf("as it arrived:\n%s\n%s", d.Subject, d.Body)
		ready()
		if now := s.record(); now.Epoch != before.Epoch {
			t.Errorf("the role moved: %+v", now)
		}
	}
	after := s.record()
	s.a.Kill()
	s.moved(after, s.b)
	s.settle(s.b, w)
}

// A mail server that takes the connection and says nothing changes nothing about
// a failover; what it did not take arrives when it recovers.
func TestAMailServerThatHangs(t *testing.T) {
	m := mailServer(t)
	s := mailing(t, m, 1)
	s.mailed(m, "first start")
	const rounds = 3
	from, to := s.a, s.b
	// failovers gives how long each took, from the fault seen to the server open, in milliseconds.
	failovers := func() []float64 {
		var took []float64
		for range rounds {
			before := s.record()
			from.Kill()
			moments := s.moved(before, to).Moments
			took = append(took, float64(moments[len(moments)-1].At.Sub(moments[0].At).Microseconds())/1000)
			s.must(from.Start(s.short()))
			s.whole(to)
			s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, from) })
			from, to = to, from
		}
		slices.Sort(took)
		return took
	}
	well := failovers()
	s.must(m.Process().Signal(syscall.SIGSTOP))
	hung := failovers()
	t.Logf("failovers took %.1f ms with a mail server that is well, %.1f ms with one that hangs", well, hung)
	if hung[rounds/2] > 2*well[rounds/2]+100 {
		t.Errorf("a failover takes %.1f ms when the mail server hangs, %.1f ms when it is well", hung[rounds/2], well[rounds/2])
	}
	for _, d := range s.Daemons() {
		if d.Name == harness.Agent {
			// A reload is not held up, and loses nothing.
			s.must(d.Signal(syscall.SIGHUP))
		}
	}
	s.must(m.Process().Signal(syscall.SIGCONT))
	s.await(150*time.Second, func(ctx context.Context) error {
		_, err := m.WaitMails(ctx, 2*rounds, func(d harness.Delivered) bool { return strings.Contains(d.Subject, "failover") })
		return err
	})
	all, err := m.Mails()
	s.must(err)
	ids := map[string]int{}
	for _, d := range all {
		ids[d.Header.Get("Message-Id")]++
		t.Log(d.Subject, d.Header.Get("Message-Id"))
	}
	if len(ids) != 1+2*rounds {
		t.Errorf("%d different mails arrived, want %d", len(ids), 1+2*rounds)
	}
}

// An agent whose mail is set wrongly works without: it says so in log and status,
// and a reload in time sends what waits.
func TestMailIsSetWrongly(t *testing.T) {
	m := mailServer(t)
	settings := map[string]string{
		"send_mail": "1", "email_server": "127.0.0.1", "email_port": strconv.Itoa(m.Port()), "email_receiver": operator,
		"email_tls": "required", "email_tls_ca": m.CA + ".gone",
	}
	s := raise(t, options{agent: settings})
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	s.shown("json", `"code": "`+cluster.NoteMail+`"`, "the agent sends no mail: email_tls_ca: ")
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the agent's log names the mail that it does not send", func(context.Context) (bool, string) {
			log := s.Log("mmm-agent", 200)
			for line := range strings.Lines(log) {
				if strings.Contains(line, "mail not sent yet") && strings.Contains(line, "failover "+string(s.a.Addr())) {
					return true, ""
				}
			}
			return false, log
		})
	})
	settings["email_tls_ca"] = m.CA
	s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag, Agent: settings}))
	s.must(s.Daemon(harness.Agent).Signal(syscall.SIGHUP))
	s.mailed(m, "failover")
}
