package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/rpc/encryption"
)

// bearer is the one credential that the frontend accepts, with every right. Whoever brings none has no claims, and is
// refused all but the health checks.
type bearer string

var _ authorization.ClaimMapper = bearer("")

// GetClaims checks an Authorization header.
func (b bearer) GetClaims(info *authorization.AuthInfo) (*authorization.Claims, error) {
	if subtle.ConstantTimeCompare([]byte(info.AuthToken), []byte("Bearer "+string(b))) != 1 {
		return nil, nil // no claims; an error would be logged, as often as a stranger likes
	}
	return &authorization.Claims{Subject: "firebreak", System: authorization.RoleAdmin}, nil
}

// certificates secure what the server's parts say to one another: they listen on ports too, and ask for no credential, so
// each shows a certificate that lives in this process only.
type certificates struct{ server, client *tls.Config }

var _ encryption.TLSConfigProvider = (*certificates)(nil)

const internalName = "firebreak-internal"

func newCertificates() (*certificates, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{ // its own root: who holds the key is us
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: internalName},
		DNSNames:              []string{internalName},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().AddDate(20, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	pair := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}}
	return &certificates{
		server: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: pair,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
		client: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: pair, RootCAs: roots, ServerName: internalName},
	}, nil
}

func (c *certificates) GetInternodeServerConfig() (*tls.Config, error) { return c.server.Clone(), nil }
func (c *certificates) GetInternodeClientConfig() (*tls.Config, error) { return c.client.Clone(), nil }

// The frontend is for us alone, on this machine: the credential goes there in clear.
func (c *certificates) GetFrontendServerConfig() (*tls.Config, error) { return nil, nil }
func (c *certificates) GetFrontendClientConfig() (*tls.Config, error) { return nil, nil }

func (c *certificates) GetRemoteClusterClientConfig(string) (*tls.Config, error) { return nil, nil }

func (c *certificates) GetExpiringCerts(time.Duration) (expiring, expired encryption.CertExpirationMap, err error) {
	return nil, nil, nil
}
