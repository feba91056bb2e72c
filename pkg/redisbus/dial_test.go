package redisbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	made := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key))
	return authority{must[*x509.Certificate](t)(x509.ParseCertificate(der)), key, pemOf("CERTIFICATE", der)}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// serve gives the arguments that let a redis-server speak TLS on a port beside
// its plain one, and the address of that port.
func (a authority) serve(t testing.TB, until time.Time, names ...string) (addr string, args []string) {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	made := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: until}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			made.IPAddresses = append(made.IPAddresses, ip)
		} else {
			made.DNSNames = append(made.DNSNames, name)
		}
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, made, a.cert, &key.PublicKey, a.key))
	secret := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	dir := t.TempDir()
	for name, text := range map[string]string{"ca": a.pem, "cert": pemOf("CERTIFICATE", der), "key": pemOf("PRIVATE KEY", secret)} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	addr = freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	return addr, []string{"--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", filepath.Join(dir, "ca"),
		"--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key")}
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	addr, args := a.serve(t, time.Now().Add(time.Hour), "127.0.0.1")
	s := newReal(t, args...)
	b := newBus(t, Options{Addr: addr, TLS: true, CA: a.pem})
	for name, err := range everyCall(t.Context(), b) {
		if err != nil && !strings.Contains(err.Error(), ErrNotLeader.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sub := b.Subscribe(t.Context(), Channels{All: true})
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	s.real.kill()
	ok(t, s.real.start())
	untilResubscribed(t, sub, 3*time.Second)
	ok(t, b.Ping(t.Context()))
}

func TestErrorsOfTLS(t *testing.T) {
	a := newAuthority(t)
	addr, args := a.serve(t, time.Now().Add(time.Hour), "redis.example")
	s := newReal(t, args...)
	good, args := a.serve(t, time.Now().Add(time.Hour), "127.0.0.1")
	newReal(t, args...)
	expired, args := a.serve(t, time.Now().Add(-time.Hour), "127.0.0.1")
	newReal(t, args...)
	strict, args := a.serve(t, time.Now().Add(time.Hour), "127.0.0.1")
	newReal(t, append(args, "--tls-auth-clients", "yes")...)
	for name, c := range map[string]struct {
		o    Options
		want []string
	}{
		"an authority that nobody named": {Options{Addr: good, TLS: true}, []string{"unknown authority", "tls_ca"}},
		"another authority":              {Options{Addr: good, TLS: true, CA: newAuthority(t).pem}, []string{"unknown authority", "tls_ca"}},
		"another name":                   {Options{Addr: addr, TLS: true, CA: a.pem}, []string{"127.0.0.1", "as its certificate names it"}},
		"an old certificate":             {Options{Addr: expired, TLS: true, CA: a.pem}, []string{"expired", "renew the certificate"}},
		"a wish for a certificate":       {Options{Addr: strict, TLS: true, CA: a.pem}, []string{"tls-auth-clients"}},
		"TLS to a plain port":            {Options{Addr: s.addr, TLS: true, CA: a.pem, DialTimeout: 100 * time.Millisecond}, []string{"begin TLS with " + s.addr, "set tls=0"}},
		"plain to a port with TLS":       {Options{Addr: addr}, []string{"tls=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, c.o)
			for range 3 {
				err := b.Ping(t.Context())
				for _, want := range c.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%v, want %q", err, want)
					}
				}
			}
		})
	}
}
