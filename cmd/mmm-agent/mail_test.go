package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/notify"
)

// An agent that cannot mail starts and is reloaded all the same, and says so.
func TestStartsWithoutMail(t *testing.T) {
	dir := t.TempDir()
	conf, logs := filepath.Join(dir, "mmm-agent.conf"), filepath.Join(dir, "log")
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	redis := nobody.Addr().String()
	_ = nobody.Close()
	write := func(more string) {
		text := fmt.Sprintf("[mysql]\nuser=u\npassword=p\nstate_file=%s\nsend_mail=1\nemail_receiver=dba@example.com\n%s\n[redis]\nhost=%s\n[log]\nlogfile=%s\n",
			filepath.Join(dir, "state"), more, redis, logs)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := func(want string, times int) {
		t.Helper()
		text, err := os.ReadFile(logs)
		if err != nil || strings.Count(string(text), want) != times {
			t.Errorf("%q is not %d times in the log: %v\n%s", want, times, err, text)
		}
	}
	const gone = `email_tls_ca: \"/nonexistent/ca.pem\" cannot be read: no such file or directory`
	write("email_tls_ca=/nonexistent/ca.pem")
	p, err := newProgram(&daemon.Flags{Conf: conf})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	said(gone, 2) // the configuration's fault, and what comes of it
	notes := mailNotes(p.conf)
	if len(notes) != 1 || notes[0].Code != cluster.NoteMail || !strings.HasPrefix(notes[0].Text, "the agent sends no mail: email_tls_ca: ") {
		t.Errorf("notes: %v", notes)
	}
	first := p.running

	write("email_port=25")
	p.reload()
	if p.running == first || mailNotes(p.conf) != nil {
		t.Errorf("a mended file is not taken: %+v", p.conf.Email)
	}
	second := p.running
	write("email_port=smtp")
	p.reload()
	if p.running == second || len(mailNotes(p.conf)) != 1 {
		t.Errorf("a file in which mail alone is at fault is not taken: %+v", p.conf.Email)
	}
	said("configuration not reloaded", 0)
	said(`"no mail is sent"`, 2)
}

// A mail that the configuration does not let go stays to be sent.
func TestMailThatCannotGoIsLeft(t *testing.T) {
	s := noSender{}
	s.Receivers, s.Fault = []string{"dba@example.com", "night@example.com"}, "email_port: is none"
	for _, to := range [][]string{nil, {"night@example.com"}} {
		want := to
		if to == nil {
			want = s.Receivers
		}
		r, err := s.Send(t.Context(), notify.Mail{}, to)
		if err == nil || err.Error() != s.Fault || len(r.To) > 0 || !slices.Equal(r.Left, want) {
			t.Errorf("to %v: %+v, %v", to, r, err)
		}
	}
}
