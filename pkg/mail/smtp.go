package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	dialTimeout = 10 * time.Second
	// sendTimeout bounds a whole delivery for a caller without a deadline.
	sendTimeout = 45 * time.Second
	// mostAnswer is what is read of a mail server in one delivery, in bytes.
	mostAnswer = 256 << 10
)

// ErrNoEncryption is a password that would have to go over an open line.
var ErrNoEncryption = errors.New("the server offers no TLS, and the password is not sent without; email_tls=off allows it")

// smtp sends m through the configured server in one transaction.
func (s *Sender) smtp(ctx context.Context, m Message, to []string) (Result, error) {
	addr := net.JoinHostPort(s.o.Server, strconv.Itoa(s.o.Port))
	r := Result{Left: to, By: "smtp " + addr}
	fail := func(err error) (Result, error) {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			doing, _, _ := strings.Cut(err.Error(), ": ")
			err = fmt.Errorf("%s: no answer in time: %w", doing, context.Cause(ctx))
		}
		return r, &Error{Op: "send mail through " + addr, Text: s.scrub(err.Error()), Err: err}
	}
	text, err := s.text(m)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	c, err := s.dial(ctx, addr)
	if err != nil {
		return fail(err)
	}
	defer c.Close()
	if err := c.Mail("<" + s.from.Address + ">"); err != nil {
		if permanent(err) {
			r.Left, r.Refused = nil, to
		}
		return fail(fmt.Errorf("sender %s: %w", s.from.Address, err))
	}
	var taken, left, refused []string
	var faults []error
	for _, receiver := range to {
		err := c.Rcpt("<" + s.receivers[receiver].Address + ">")
		switch {
		case err == nil:
			taken = append(taken, receiver)
			continue
		case !answered(err):
			return fail(err)
		case permanent(err):
			refused = append(refused, receiver)
		default:
			left = append(left, receiver)
		}
		faults = append(faults, fmt.Errorf("receiver %s: %w", s.receivers[receiver].Address, err))
	}
	if len(taken) == 0 {
		r.Left, r.Refused = left, refused
		return fail(errors.Join(faults...))
	}
	if err := data(c, text); err != nil {
		if permanent(err) {
			refused = append(refused, taken...)
		} else {
			left = append(left, taken...)
		}
		r.Left, r.Refused = left, refused
		return fail(errors.Join(append(faults, err)...))
	}
	_ = c.Quit()
	r.Sent, r.Left, r.Refused = taken, left, refused
	if len(faults) > 0 {
		return fail(errors.Join(faults...))
	}
	return r, nil
}

func data(c *smtp.Client, text []byte) error {
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("send text: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end of text: %w", err)
	}
	return nil
}

// dial connects, greets, encrypts and logs in.
func (s *Sender) dial(ctx context.Context, addr string) (*smtp.Client, error) {
	conn, err := s.connect(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	// The connection lives as long as the context, however the other side behaves.
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, err := s.greet(ctx, &bounded{Conn: conn, left: mostAnswer})
	if err != nil {
		unhook()
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (s *Sender) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	var err error
	implicit := s.o.Port == implicitTLS
	if implicit {
		t := tls.Client(conn, s.tlsConfig())
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("begin TLS: %w", err)
		}
		conn = t
	}
	c, err := smtp.NewClient(conn, s.o.Server)
	if err != nil {
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	// A non-ASCII sender or receiver needs it, and others lose nothing by its absence.
	c.SkipSMTPUTF8(isASCII(s.from.Address) && !slices.ContainsFunc(s.o.Receivers, func(r string) bool { return !isASCII(s.receivers[r].Address) }))
	if err := c.Hello(s.o.Host); err != nil {
		return nil, fmt.Errorf("greet as %s: %w", s.o.Host, err)
	}
	encrypted := implicit
	if offered, _ := c.Extension("STARTTLS"); !implicit && s.o.TLS != TLSOff {
		switch {
		case offered:
			if err := c.StartTLS(s.tlsConfig()); err != nil {
				return nil, fmt.Errorf("start TLS: %w", err)
			}
			encrypted = true
		case s.o.TLS == TLSRequired:
			return nil, errors.New("the server offers no STARTTLS, and email_tls is required")
		}
	}
	if s.o.User == "" {
		return c, nil
	}
	if !encrypted && s.o.TLS != TLSOff {
		return nil, ErrNoEncryption
	}
	auth, err := s.auth(c)
	if err != nil {
		return nil, err
	}
	if err := c.Auth(auth); err != nil {
		return nil, fmt.Errorf("log in as %s: %w", line(s.o.User, mostAddress), err)
	}
	return c, nil
}

// tlsConfig verifies the server where that was asked for, somebody was named to
// vouch for it, or a password follows; encryption that is only opportunistic is
// better unverified than not at all.
func (s *Sender) tlsConfig() *tls.Config {
	return &tls.Config{
		ServerName: s.o.Server, MinVersion: tls.VersionTLS12, RootCAs: s.o.RootCAs,
		InsecureSkipVerify: s.o.TLS != TLSRequired && s.o.User == "" && s.o.RootCAs == nil,
	}
}

// auth takes the best way to log in that both sides know.
func (s *Sender) auth(c *smtp.Client) (smtp.Auth, error) {
	_, offered := c.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offered))
	user, password := s.o.User, s.o.Password.Reveal()
	for _, way := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(user, password)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(user, password)},
		{"PLAIN", smtp.PlainAuth("", user, password, s.o.Server, true)},
		{"LOGIN", smtp.LoginAuth(user, password, s.o.Server, true)},
	} {
		if slices.Contains(ways, way.name) {
			return way.auth, nil
		}
	}
	return nil, fmt.Errorf("log in as %s: the server offers no way that is known (%s)", line(user, mostAddress), line(offered, 100))
}

// bounded ends a connection whose other side never stops talking.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the server sends without end")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// answered reports whether err is an answer of the server.
func answered(err error) bool {
	_, ok := errors.AsType[*textproto.Error](err)
	return ok
}

// permanent reports whether the server said that trying again is of no use.
func permanent(err error) bool {
	answer, ok := errors.AsType[*textproto.Error](err)
	return ok && answer.Code >= 500 && answer.Code < 600
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

// Error is a mail that not everybody has.
type Error struct {
	Op   string
	Text string // the cause, in one line and without secrets
	Err  error
}

// Error gives one line.
func (e *Error) Error() string { return e.Op + ": " + e.Text }

// Unwrap gives no text of the cause, which may hold what Text leaves out: only
// whether the time was over.
func (e *Error) Unwrap() error {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, ErrNoEncryption, io.EOF} {
		if errors.Is(e.Err, known) {
			return known
		}
	}
	return nil
}

// scrub takes passwords out of what a server or a program answered.
func (s *Sender) scrub(text string) string {
	password := s.o.Password.Reveal()
	if password != "" {
		for _, secret := range []string{
			password, base64.StdEncoding.EncodeToString([]byte(password)),
			base64.StdEncoding.EncodeToString([]byte("\x00" + s.o.User + "\x00" + password)),
		} {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return line(text, mostError)
}
