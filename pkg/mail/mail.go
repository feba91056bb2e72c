package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// The values of Options.TLS.
const (
	TLSOpportunistic = "opportunistic" // STARTTLS when it is offered
	TLSRequired      = "required"      // nothing without a verified certificate
	TLSOff           = "off"
)

// implicitTLS is the port on which a connection begins with TLS.
const implicitTLS = 465

// Options say how mail is sent.
type Options struct {
	// Server is the mail server's name or address; empty for the machine's own
	// sendmail or mailx. Port 465 begins with TLS.
	Server   string
	Port     int
	User     string
	Password cluster.Secret
	TLS      string
	// RootCAs vouch for the server, nil for those of the system. Given, they are
	// asked even where TLS is only opportunistic.
	RootCAs *x509.CertPool
	// Sender is who the mail is from; empty for mmm-manager at this machine.
	Sender    string
	Receivers []string
	// Host is the name of this machine, as the system gives it.
	Host string
	// Path is where sendmail and mailx are looked for; nil for the usual places.
	Path []string
}

// Message is what is sent to all receivers.
type Message struct {
	Subject string
	Body    string
	// ID is what stands before the @ of the Message-ID.
	ID   string
	Date time.Time
	// Headers are further ones; their names are the program's own.
	Headers map[string]string
}

// Result says which receivers have the mail.
type Result struct {
	Sent []string
	// Left did not get it and are worth another try.
	Left []string
	// Refused will not get it by trying again.
	Refused []string
	// By names the way it went, for the log.
	By string
}

// Sender sends mail in one way. It may be used by many goroutines at once.
type Sender struct {
	o         Options
	from      mail.Address
	receivers map[string]mail.Address
	connect   func(ctx context.Context, network, addr string) (net.Conn, error)
}

// New checks the addresses of o.
func New(o Options) (*Sender, error) {
	o.Host = hostName(o.Host)
	s := &Sender{o: o, from: mail.Address{Address: "mmm-manager@" + o.Host}, receivers: map[string]mail.Address{},
		connect: (&net.Dialer{Timeout: dialTimeout}).DialContext}
	if o.Sender != "" {
		a, err := parseAddress(o.Sender)
		if err != nil {
			return nil, fmt.Errorf("mail's sender: %w", err)
		}
		s.from = a
	}
	if len(o.Receivers) == 0 {
		return nil, errors.New("mail has no receivers")
	}
	for _, text := range o.Receivers {
		a, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("mail's receiver: %w", err)
		}
		s.receivers[text] = a
	}
	return s, nil
}

func parseAddress(text string) (mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, fmt.Errorf("parse address %q: %w", text, err)
	}
	// A quoted local part may hold anything.
	if a.Address != line(a.Address, mostAddress) || strings.ContainsAny(a.Address, " <>") {
		return mail.Address{}, fmt.Errorf("parse address %q: blanks, brackets and control characters cannot be sent", text)
	}
	return *a, nil
}

// Send sends m to the receivers of Options that to names, nil for all. The error
// is not nil when one of them does not have it.
func (s *Sender) Send(ctx context.Context, m Message, to []string) (Result, error) {
	if to == nil {
		to = s.o.Receivers
	}
	var known, unknown []string
	for _, text := range to {
		if _, ok := s.receivers[text]; ok {
			known = append(known, text)
		} else {
			unknown = append(unknown, text)
		}
	}
	var r Result
	var err error
	switch {
	case len(known) == 0:
	case s.o.Server != "":
		r, err = s.smtp(ctx, m, known)
	default:
		r, err = s.local(ctx, m, known)
	}
	if len(unknown) > 0 {
		r.Refused = append(r.Refused, unknown...)
		err = errors.Join(err, fmt.Errorf("send mail: %s is no longer a receiver", strings.Join(unknown, ", ")))
	}
	return r, err
}

// text is the whole message, its lines ended by CR LF.
func (s *Sender) text(m Message) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP))
	msg.FromMailAddress(&s.from)
	all := make([]*mail.Address, 0, len(s.o.Receivers))
	for _, text := range s.o.Receivers {
		a := s.receivers[text]
		all = append(all, &a)
	}
	msg.ToMailAddress(all...)
	msg.Subject(header(m.Subject))
	msg.SetMessageIDWithValue(cmp.Or(word(m.ID), "mmm") + "@mmm-manager")
	msg.SetDateWithValue(m.Date)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	for name, value := range m.Headers {
		msg.SetGenHeader(gomail.Header(word(name)), header(value))
	}
	msg.SetBodyString(gomail.TypeTextPlain, body(m.Body))
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	return b.Bytes(), nil
}
