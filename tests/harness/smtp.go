package harness

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed smtp.py
var mailScript string

// python is Debian's, which has aiosmtpd; another one in PATH may not.
const python = "/usr/bin/python3"

// MailOptions describe a mail server; the zero value takes everything from everybody.
type MailOptions struct {
	// User and Password, when set, are demanded; in the clear only without TLS.
	User, Password string
	// TLS offers STARTTLS; Implicit begins with TLS instead.
	TLS, Implicit bool
	// NoMechanisms are ways to log in that are not offered.
	NoMechanisms []string
	// Refuse and Defer are receivers answered with 550 and 451; Busy is how many
	// mails are answered with 451 at their end before one is taken.
	Refuse, Defer []string
	Busy          int
}

// MailServer is an aiosmtpd.
type MailServer struct {
	// CA is the file with the certificate that vouches for the server.
	CA string

	lab  *Lab
	dir  string
	port int
	opts MailOptions
	proc *Process
}

// Delivered is one mail as a mail client sees it.
type Delivered struct {
	Helo          string
	From          string // of the envelope
	To            []string
	TLS           bool
	Authenticated bool
	Raw           []byte
	Header        mail.Header
	Subject       string // decoded
	Body          string // decoded
}

// MissingMail says why there can be no mail server, nil when there can.
func MissingMail() error {
	if out, err := exec.Command(python, "-c", "import aiosmtpd").CombinedOutput(); err != nil {
		return fmt.Errorf("python3-aiosmtpd is not installed (scripts/deps.sh installs it): %w: %s", err, lastLines(string(out), 1))
	}
	return nil
}

// NewMailServer starts a mail server on 127.0.0.1.
func (l *Lab) NewMailServer(ctx context.Context, opts MailOptions) (*MailServer, error) {
	if err := MissingMail(); err != nil {
		return nil, err
	}
	dir, err := l.folder("mail")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	m := &MailServer{lab: l, dir: dir, port: port, opts: opts, CA: filepath.Join(dir, "cert.pem")}
	if opts.TLS || opts.Implicit {
		if err := selfSigned(m.CA, filepath.Join(dir, "key.pem")); err != nil {
			return nil, err
		}
	}
	return m, m.Start(ctx)
}

// Start starts the server, again after it was killed; mails of before stay.
func (m *MailServer) Start(ctx context.Context) error {
	out, err := os.OpenFile(filepath.Join(m.dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start mail server: %w", err)
	}
	defer out.Close()
	keep, err := os.MkdirTemp(m.dir, "kept-")
	if err != nil {
		return fmt.Errorf("start mail server: %w", err)
	}
	args := []string{"-c", mailScript, "--port", strconv.Itoa(m.port), "--dir", keep, "--busy", strconv.Itoa(m.opts.Busy)}
	for _, a := range m.opts.Refuse {
		args = append(args, "--refuse", a)
	}
	for _, a := range m.opts.Defer {
		args = append(args, "--defer", a)
	}
	if m.opts.User != "" {
		args = append(args, "--user", m.opts.User, "--password", m.opts.Password, "--no-mech", strings.Join(m.opts.NoMechanisms, " "))
	}
	if m.opts.TLS || m.opts.Implicit {
		args = append(args, "--cert", m.CA, "--key", filepath.Join(m.dir, "key.pem"))
	}
	if m.opts.Implicit {
		args = append(args, "--implicit")
	}
	if m.lab.cred != nil {
		for _, file := range []string{keep, filepath.Join(m.dir, "key.pem")} {
			if err := os.Chown(file, int(m.lab.cred.Uid), int(m.lab.cred.Gid)); err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("start mail server: %w", err)
			}
		}
	}
	if m.proc, err = m.lab.start(processSpec{path: python, args: args, dir: m.dir, stdout: out, asServer: true}); err != nil {
		return err
	}
	return Until(ctx, "the mail server listens", func(ctx context.Context) (bool, string) {
		if !m.proc.Running() {
			return false, "it ended: " + tailFile(filepath.Join(m.dir, "out.log"), 5)
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Addr())
		if err != nil {
			return false, err.Error()
		}
		_ = conn.Close()
		return true, ""
	})
}

// Addr is host:port.
func (m *MailServer) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)) }

// Port is the port alone.
func (m *MailServer) Port() int { return m.port }

// Process is the running server.
func (m *MailServer) Process() *Process { return m.proc }

// Mails are all mails taken so far, the oldest first.
func (m *MailServer) Mails() ([]Delivered, error) {
	files, err := filepath.Glob(filepath.Join(m.dir, "kept-*", "*.json"))
	if err != nil {
		return nil, err
	}
	type dated struct {
		at   time.Time
		name string
	}
	var all []dated
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("read mails: %w", err)
		}
		all = append(all, dated{info.ModTime(), name})
	}
	slices.SortFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
	var mails []Delivered
	for _, f := range all {
		data, err := os.ReadFile(f.name)
		if err != nil {
			return nil, fmt.Errorf("read mails: %w", err)
		}
		var kept struct {
			Delivered
			Text []byte
		}
		if err := json.Unmarshal(data, &kept); err != nil {
			return nil, fmt.Errorf("read mail %s: %w", f.name, err)
		}
		d := kept.Delivered
		if err := d.Read(kept.Text); err != nil {
			return nil, fmt.Errorf("read mail %s: %w", f.name, err)
		}
		mails = append(mails, d)
	}
	return mails, nil
}

// Read decodes the text of a mail as a mail client does.
func (d *Delivered) Read(raw []byte) error {
	d.Raw = raw
	msg, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	d.Header = msg.Header
	if d.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return err
	}
	body := msg.Body
	if strings.EqualFold(msg.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	d.Body = strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}

// WaitMails waits until n mails were taken that satisfy wanted, and gives them.
func (m *MailServer) WaitMails(ctx context.Context, n int, wanted func(Delivered) bool) ([]Delivered, error) {
	var found []Delivered
	err := Until(ctx, fmt.Sprintf("%d mails arrive", n), func(context.Context) (bool, string) {
		all, err := m.Mails()
		if err != nil {
			return false, err.Error()
		}
		found = slices.DeleteFunc(slices.Clone(all), func(d Delivered) bool { return !wanted(d) })
		var subjects []string
		for _, d := range all {
			subjects = append(subjects, d.Subject)
		}
		return len(found) >= n, fmt.Sprintf("%d of %d mails, subjects %q", len(found), len(all), subjects)
	})
	return found, err
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}
