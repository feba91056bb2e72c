package mysqlnode

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// certificate writes a self-signed certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	like := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, like, like, &private.PublicKey, private)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

func TestTLSIsUsedWhereTheServerHasIt(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		for _, encrypted := range []bool{false, true} {
			var args []string
			switch cert, key := certificate(t); {
			case encrypted:
				args = []string{"--ssl-cert=" + cert, "--ssl-key=" + key}
			case kind.flavor == cluster.MySQL:
				args = []string{"--tls-version="}
			}
			s := startServer(t, kind, 1, args...)
			// On MySQL a first login without TLS needs the server's RSA key.
			c := s.connect(monitorUser)
			got, err := c.query(t.Context(), "read the cipher of", "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
			must(t, err)
			if cipher := got[0].rows[0][1].text; (cipher != "") != encrypted {
				t.Errorf("server with TLS: %v, cipher %q", encrypted, cipher)
			}
			n := s.node(monitorUser)
			n.config.Passwd = "secret-of-ours"
			_, err = n.Connect(t.Context())
			want(t, err, cluster.CauseAccessDenied)
			s.kill()
			select {
			case <-c.Broken():
			case <-time.After(5 * time.Second):
				t.Error("the end was not noticed")
			}
		}
	})
}
