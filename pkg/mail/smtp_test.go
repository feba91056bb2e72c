package mail_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mail"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/mmm-manager/mmm-manager/tests/harness.newLauncher.func1"))
}

const (
	anna   = "anna@example.org"
	ben    = "ben@example.org"
	nobody = "nobody@example.org"
)

// serve starts a real mail server.
func serve(t *testing.T, o harness.MailOptions) *harness.MailServer {
	t.Helper()
	if err := harness.MissingMail(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := lab.NewMailServer(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// options are those of a sender through s, which trusts it.
func options(t *testing.T, s *harness.MailServer) mail.Options {
	t.Helper()
	o := mail.Options{Server: "127.0.0.1", Port: s.Port(), TLS: mail.TLSOpportunistic, Receivers: []string{anna, "Ben <" + ben + ">"}, Host: "agent.example.org"}
	if pem, err := os.ReadFile(s.CA); err == nil {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AppendCertsFromPEM(pem)
	}
	return o
}

func sender(t *testing.T, o mail.Options) *mail.Sender {
	t.Helper()
	s, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func message() mail.Message {
	return mail.Message{
		Subject: "[mmm] mysql3308: failover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)",
		Body:    "two lines,\nthe second with 50 % = ü\n", ID: "mmm.0123456789abcdef", Date: time.UnixMilli(1_800_000_000_000),
		Headers: map[string]string{"X-MMM-Tag": "mysql3308"},
	}
}

// send sends within ten seconds.
func send(t *testing.T, s *mail.Sender, m mail.Message, to []string) (mail.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, m, to)
}

func only(t *testing.T, s *harness.MailServer) harness.Delivered {
	t.Helper()
	mails, err := s.Mails()
	if err != nil {
		t.Fatal(err)
	}
	if len(mails) != 1 {
		t.Fatalf("%d mails arrived, want one", len(mails))
	}
	return mails[0]
}

func TestAMailArrivesAsWritten(t *testing.T) {
	s := serve(t, harness.MailOptions{})
	r, err := send(t, sender(t, options(t, s)), message(), nil)
	if err != nil || len(r.Sent) != 2 || len(r.Left)+len(r.Refused) != 0 || !strings.Contains(r.By, s.Addr()) {
		t.Fatalf("%+v, %v", r, err)
	}
	got := only(t, s)
	if got.Subject != message().Subject || got.Body != message().Body {
		t.Errorf("subject %q, body %q", got.Subject, got.Body)
	}
	if got.From != "mmm-manager@agent.example.org" || got.Helo != "agent.example.org" || !slices.Equal(got.To, []string{anna, ben}) {
		t.Errorf("envelope from %s to %s, greeted as %q", got.From, got.To, got.Helo)
	}
	for name, want := range map[string]string{
		"Message-Id": "<mmm.0123456789abcdef@mmm-manager>", "Auto-Submitted": "auto-generated", "X-Mmm-Tag": "mysql3308",
	} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
	if at, err := got.Header.Date(); err != nil || at.UnixMilli() != 1_800_000_000_000 {
		t.Errorf("dated %s, %v", at, err)
	}
	to, err := got.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Name != "Ben" {
		t.Errorf("to %v, %v", to, err)
	}
	if from, err := got.Header.AddressList("From"); err != nil || len(from) != 1 || from[0].Address != got.From {
		t.Errorf("from %v, %v", from, err)
	}
}

func TestEncryptionAndPasswords(t *testing.T) {
	const user, password = "mmm", "s3cret word"
	for _, c := range []struct {
		name     string
		server   harness.MailOptions
		change   func(o *mail.Options)
		fault    string
		secure   bool
		loggedIn bool
	}{
		{"STARTTLS is used when it is offered", harness.MailOptions{TLS: true}, nil, "", true, false},
		{"a certificate nobody vouches for is good enough where nothing is required", harness.MailOptions{TLS: true}, func(o *mail.Options) { o.RootCAs = nil }, "", true, false},
		{"who was named to vouch for the server is asked", harness.MailOptions{TLS: true}, func(o *mail.Options) { o.RootCAs = x509.NewCertPool() }, "certificate", false, false},
		{"required without STARTTLS", harness.MailOptions{}, func(o *mail.Options) { o.TLS = mail.TLSRequired }, "offers no STARTTLS", false, false},
		{"required with a certificate that nobody vouches for", harness.MailOptions{TLS: true}, func(o *mail.Options) { o.TLS, o.RootCAs = mail.TLSRequired, x509.NewCertPool() }, "certificate", false, false},
		{"required and verified", harness.MailOptions{TLS: true}, func(o *mail.Options) { o.TLS = mail.TLSRequired }, "", true, false},
		{"off", harness.MailOptions{TLS: true}, func(o *mail.Options) { o.TLS = mail.TLSOff }, "", false, false},
		{"log in under TLS", harness.MailOptions{TLS: true, User: user, Password: password}, func(o *mail.Options) { o.User, o.Password = user, password }, "", true, true},
		{"log in the old way", harness.MailOptions{TLS: true, User: user, Password: password, NoMechanisms: []string{"PLAIN"}}, func(o *mail.Options) { o.User, o.Password = user, password }, "", true, true},
		{"no password to a server that nobody vouches for", harness.MailOptions{TLS: true, User: user, Password: password}, func(o *mail.Options) { o.User, o.Password, o.RootCAs = user, password, x509.NewCertPool() }, "certificate", false, false},
		{"no password in the clear", harness.MailOptions{User: user, Password: password}, func(o *mail.Options) { o.User, o.Password = user, password }, "not sent without", false, false},
		{"a password in the clear when a person says so", harness.MailOptions{User: user, Password: password}, func(o *mail.Options) { o.User, o.Password, o.TLS = user, password, mail.TLSOff }, "", false, true},
		{"a wrong password", harness.MailOptions{TLS: true, User: user, Password: password}, func(o *mail.Options) { o.User, o.Password = user, "an0ther secret" }, "log in as mmm", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.server)
			o := options(t, s)
			if c.change != nil {
				c.change(&o)
			}
			r, err := send(t, sender(t, o), message(), nil)
			if c.fault == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := only(t, s); got.TLS != c.secure || got.Authenticated != c.loggedIn {
					t.Errorf("TLS %v, logged in %v", got.TLS, got.Authenticated)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || len(r.Left) != 2 || len(r.Refused) != 0 {
				t.Errorf("%+v, %v: want %q, and both receivers worth another try", r, err, c.fault)
			}
			for _, secret := range []string{password, "an0ther secret"} {
				if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret))) {
					t.Errorf("the error tells the password: %s", text)
				}
			}
			if mails, _ := s.Mails(); len(mails) > 0 {
				t.Errorf("%d mails arrived", len(mails))
			}
		})
	}
}

// On port 465 the connection begins with TLS; STARTTLS is not asked for.
func TestPort465BeginsWithTLS(t *testing.T) {
	const user, password = "mmm", "s3cret word"
	for _, c := range []struct {
		name   string
		server harness.MailOptions
		change func(o *mail.Options)
		fault  string
	}{
		{"without a password", harness.MailOptions{Implicit: true}, nil, ""},
		{"log in", harness.MailOptions{Implicit: true, User: user, Password: password}, func(o *mail.Options) { o.User, o.Password = user, password }, ""},
		{"required and verified", harness.MailOptions{Implicit: true}, func(o *mail.Options) { o.TLS = mail.TLSRequired }, ""},
		{"required with a certificate that nobody vouches for", harness.MailOptions{Implicit: true}, func(o *mail.Options) { o.TLS, o.RootCAs = mail.TLSRequired, nil }, "begin TLS: "},
		{"no password to a server that nobody vouches for", harness.MailOptions{Implicit: true, User: user, Password: password}, func(o *mail.Options) { o.User, o.Password, o.RootCAs = user, password, nil }, "begin TLS: "},
		{"a server that does not begin with TLS", harness.MailOptions{TLS: true}, nil, "begin TLS: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.server)
			o := options(t, s)
			o.Port = 465
			if c.change != nil {
				c.change(&o)
			}
			m := sender(t, o)
			m.DialInstead(s.Addr())
			r, err := send(t, m, message(), nil)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) || len(r.Left) != 2 || strings.Contains(err.Error(), password) {
					t.Errorf("%+v, %v: want %q, and both receivers worth another try", r, err, c.fault)
				}
				if mails, _ := s.Mails(); len(mails) > 0 {
					t.Errorf("%d mails arrived", len(mails))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := only(t, s); !got.TLS || got.Authenticated != (o.User != "") {
				t.Errorf("TLS %v, logged in %v", got.TLS, got.Authenticated)
			}
		})
	}
}

func TestOneRefusedReceiverDoesNotTakeTheMailFromTheOthers(t *testing.T) {
	s := serve(t, harness.MailOptions{Refuse: []string{nobody}, Defer: []string{ben}})
	o := options(t, s)
	o.Receivers = []string{nobody, ben, anna}
	m := sender(t, o)
	r, err := send(t, m, message(), nil)
	if err == nil || !slices.Equal(r.Sent, []string{anna}) || !slices.Equal(r.Left, []string{ben}) || !slices.Equal(r.Refused, []string{nobody}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if text := err.Error(); !strings.Contains(text, nobody) || !strings.Contains(text, "no such user here") || strings.Contains(text, "\n") {
		t.Errorf("%q", text)
	}
	if got := only(t, s); !slices.Equal(got.To, []string{anna}) || len(got.Header["To"]) != 1 || !strings.Contains(got.Header.Get("To"), nobody) {
		t.Errorf("sent to %s, header To %q", got.To, got.Header["To"])
	}
	r, err = send(t, m, message(), []string{nobody})
	if err == nil || len(r.Sent)+len(r.Left) != 0 || len(r.Refused) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = send(t, m, message(), []string{"gone@example.org", anna})
	if err == nil || !slices.Equal(r.Sent, []string{anna}) || !slices.Equal(r.Refused, []string{"gone@example.org"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestABusyServerIsWorthAnotherTry(t *testing.T) {
	s := serve(t, harness.MailOptions{Busy: 1})
	m := sender(t, options(t, s))
	r, err := send(t, m, message(), nil)
	if err == nil || len(r.Left) != 2 || len(r.Sent)+len(r.Refused) != 0 || !strings.Contains(err.Error(), "451") {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := send(t, m, message(), r.Left); err != nil {
		t.Fatal(err)
	}
	only(t, s)
}

func TestAServerThatIsAway(t *testing.T) {
	s := serve(t, harness.MailOptions{})
	s.Process().Kill()
	r, err := send(t, sender(t, options(t, s)), message(), nil)
	if err == nil || len(r.Left) != 2 || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%+v, %v", r, err)
	}
}

// hang accepts connections and lets f speak on each until the test ends.
func hang(t *testing.T, f func(conn net.Conn, ended <-chan struct{})) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f(conn, ended)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { close(ended); _ = ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).Port
}

func TestAServerThatHangs(t *testing.T) {
	for name, speak := range map[string]func(conn net.Conn, ended <-chan struct{}){
		"silent": func(_ net.Conn, ended <-chan struct{}) { <-ended },
		"silent after the greeting": func(conn net.Conn, ended <-chan struct{}) {
			fmt.Fprint(conn, "220 mail\r\n")
			<-ended
		},
		"one byte at a time": func(conn net.Conn, ended <-chan struct{}) {
			for {
				if _, err := conn.Write([]byte("2")); err != nil {
					return
				}
				select {
				case <-ended:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := sender(t, mail.Options{Server: "127.0.0.1", Port: hang(t, speak), Receivers: []string{anna}})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			r, err := m.Send(ctx, message(), nil)
			if d := time.Since(began); d > 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || len(r.Left) != 1 {
				t.Errorf("after %s: %+v, %v", d, r, err)
			}
		})
	}
}

func TestAServerThatNeverStopsTalking(t *testing.T) {
	port := hang(t, func(conn net.Conn, _ <-chan struct{}) {
		flood := []byte(strings.Repeat("220-word\r\n", 1000))
		for {
			if _, err := conn.Write(flood); err != nil {
				return
			}
		}
	})
	r, err := send(t, sender(t, mail.Options{Server: "127.0.0.1", Port: port, Receivers: []string{anna}}), message(), nil)
	if err == nil || !strings.Contains(err.Error(), "without end") || len(err.Error()) > 500 || len(r.Left) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A server that tells the password back, as it is and as it was sent.
func TestNoPasswordInAnError(t *testing.T) {
	const password = "pa55word"
	port := hang(t, func(conn net.Conn, _ <-chan struct{}) {
		buf := make([]byte, 1000)
		fmt.Fprint(conn, "220 mail\r\n")
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if text := string(buf[:n]); strings.HasPrefix(text, "EHLO") {
				fmt.Fprint(conn, "250-mail\r\n250 AUTH PLAIN\r\n")
			} else {
				fmt.Fprintf(conn, "535 not %s, nor %s\r\n", strings.TrimSpace(text), password)
			}
		}
	})
	o := mail.Options{Server: "127.0.0.1", Port: port, TLS: mail.TLSOff, User: "mmm", Password: cluster.Secret(password), Receivers: []string{anna}}
	_, err := send(t, sender(t, o), message(), nil)
	sent := base64.StdEncoding.EncodeToString([]byte("\x00mmm\x00" + password))
	if text := fmt.Sprintf("%v|%+v|%v", err, err, errors.Unwrap(err)); err == nil || strings.Contains(text, password) || strings.Contains(text, sent) || !strings.Contains(text, "***") {
		t.Errorf("%s", text)
	}
}

var messageID = regexp.MustCompile(`^<[A-Za-z0-9.-]+@mmm-manager>$`)

// Whatever a host, a tag or a reason is called: the mail arrives, has the headers
// it should have and no others.
func TestHostileNames(t *testing.T) {
	s := serve(t, harness.MailOptions{})
	for i, evil := range []string{
		"", " ", ".", "-", "localhost", "a b", "host\r\nBcc: evil@example.org", "host\nRCPT TO:<evil@example.org>\n", "\x00\x01\x7f", "zürich.example", "日本",
		strings.Repeat("x", 300), strings.Repeat("x.", 300), "\r\n.\r\nMAIL FROM:<evil@example.org>\r\n", "a@b", "<>", `"quoted"`, "=?utf-8?q?=0aBcc:_evil?=", "\xff\xfe", "\u2028Bcc: evil", "-rf", "[::1]",
		"a\u202eb", "..", strings.Repeat("ü", 300),
	} {
		o := options(t, s)
		o.Host = evil
		m := message()
		m.Subject = "[mmm] " + evil + ": failover"
		m.Body = evil + "\n.\n" + evil
		m.ID = evil
		m.Headers = map[string]string{"X-MMM-Tag": evil, "X-" + evil: "v"}
		if _, err := send(t, sender(t, o), m, nil); err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		mails, err := s.Mails()
		if err != nil || len(mails) != i+1 {
			t.Fatalf("%q: %d mails, %v", evil, len(mails), err)
		}
		got := mails[i]
		if !slices.Equal(got.To, []string{anna, ben}) || strings.ContainsAny(got.Helo, " \r\n<>@_") || got.Helo == "" || len(got.Helo) > 255 || !ascii(got.Helo) {
			t.Errorf("%q: to %s, greeted as %q", evil, got.To, got.Helo)
		}
		if _, err := netmail.ParseAddress(got.From); err != nil || !strings.HasPrefix(got.From, "mmm-manager@") || len(got.From) > 254 {
			t.Errorf("%q: from %q: %v", evil, got.From, err)
		}
		for name, values := range got.Header {
			known := slices.Contains([]string{"From", "To", "Subject", "Message-Id", "Date", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted", "X-Mmm-Tag"}, name)
			if len(values) != 1 || !known && !strings.HasPrefix(name, "X-") {
				t.Errorf("%q: header %s: %q", evil, name, values)
			}
		}
		if id := got.Header.Get("Message-Id"); !messageID.MatchString(id) {
			t.Errorf("%q: Message-ID %q", evil, id)
		}
		if !strings.HasPrefix(got.Subject, "[mmm]") || strings.ContainsAny(got.Subject, "\r\n") || len([]rune(got.Subject)) > 200 {
			t.Errorf("%q: subject %q", evil, got.Subject)
		}
		for l := range strings.SplitSeq(string(got.Raw), "\r\n") {
			if len(l) > 998 || strings.ContainsAny(l, "\r\n\x00") || !ascii(l) {
				t.Errorf("%q: line %q", evil, l)
			}
		}
	}
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

func TestAddressesThatCannotBe(t *testing.T) {
	for _, bad := range []string{"", "anna", "anna@", "a@b\r\nBcc: c@d", `"a b"@example.org`, "a@b, c@d"} {
		if _, err := mail.New(mail.Options{Receivers: []string{bad}}); err == nil {
			t.Errorf("receiver %q is accepted", bad)
		}
		if bad == "" {
			continue
		}
		if _, err := mail.New(mail.Options{Sender: bad, Receivers: []string{anna}}); err == nil {
			t.Errorf("sender %q is accepted", bad)
		}
	}
	if _, err := mail.New(mail.Options{}); err == nil {
		t.Error("no receivers are accepted")
	}
}
