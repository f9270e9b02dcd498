package engine

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/firebreak/firebreak/internal/threat"
)

// Dial names an outside cluster and how it is reached.
type Dial struct {
	Address   string // host:port
	Namespace string // Namespace when empty; it must be there already
	TLS       TLS
	APIKey    string // sent as a bearer; only over TLS, or to this machine
}

// TLS says how the connection to an outside cluster is secured. Any field that is set turns it on.
type TLS struct {
	On         bool   // with the system's roots
	CAFile     string // roots in place of the system's, PEM
	CertFile   string // our certificate, PEM; needs KeyFile
	KeyFile    string // its key, PEM
	ServerName string // the name that the certificate must bear, in place of the address's host
}

func (t TLS) on() bool {
	return t.On || t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != ""
}

// config gives nil when TLS is off.
func (t TLS) config() (*tls.Config, error) {
	if !t.on() {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "the roots for Temporal cannot be read",
				Place: "--temporal-tls-ca", Err: err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "the file of roots for Temporal holds no certificate",
				Place: "--temporal-tls-ca", Next: "give a PEM file"}
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "our certificate for Temporal cannot be used",
				Place: "--temporal-tls-cert", Next: "give --temporal-tls-cert and --temporal-tls-key, both PEM and belonging together", Err: err}
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// dial connects to an outside cluster and checks that the namespace is there.
func (e *Engine) dial(ctx context.Context, o Options) error {
	d := *o.Dial
	if d.Namespace != "" {
		e.namespace = d.Namespace
	}
	e.address = d.Address
	host, _, err := net.SplitHostPort(d.Address)
	if err != nil {
		return &threat.Fault{Kind: threat.Invalid, What: "the address of Temporal is not host:port",
			Place: "--temporal-address", Err: err}
	}
	conf, err := d.TLS.config()
	if err != nil {
		return err
	}
	if d.APIKey != "" && conf == nil && !loopback(host) {
		return &threat.Fault{Kind: threat.Invalid, What: "an API key would go to Temporal in clear", Place: "--temporal-api-key-file",
			Next: "turn TLS on with --temporal-tls-server-name or --temporal-tls-ca"}
	}
	if err := e.connect(ctx, o, d.APIKey, conf); err != nil {
		return err
	}
	return e.namespaceThere(ctx)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// connect sets the client.
func (e *Engine) connect(ctx context.Context, o Options, bearer string, conf *tls.Config) error {
	data, failures := converters(o)
	opts := client.Options{
		HostPort:  e.address,
		Namespace: e.namespace,
		// Not the default, which tells the name of the machine.
		Identity:         fmt.Sprintf("firebreak-%d-%s", os.Getpid(), rand.Text()[:8]),
		DataConverter:    data,
		FailureConverter: failures,
		Interceptors:     o.Interceptors,
		Logger:           sdklog.NewStructuredLogger(slog.New(sdkLog{o.Log.Handler(), &polling{}})),
		ConnectionOptions: client.ConnectionOptions{
			TLS:                  conf,
			TLSDisabled:          conf == nil,
			GetSystemInfoTimeout: 5 * time.Second,
		},
	}
	if bearer != "" {
		opts.Credentials = client.NewAPIKeyStaticCredentials(bearer)
	}
	c, err := client.DialContext(ctx, opts)
	if err != nil {
		return refused(err, "Temporal cannot be reached")
	}
	e.client = c
	return nil
}

// namespaceThere gives NotFound, with the way to make it, for a namespace that the cluster does not have.
func (e *Engine) namespaceThere(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := e.client.WorkflowService().DescribeNamespace(ctx,
		&workflowservice.DescribeNamespaceRequest{Namespace: e.namespace})
	var missing *serviceerror.NamespaceNotFound
	if errors.As(err, &missing) {
		return &threat.Fault{Kind: threat.NotFound, What: "Temporal has no namespace " + threat.Inert(e.namespace, 80),
			Place: "--temporal-namespace",
			Next:  "make it with: temporal operator namespace create --retention 24h " + threat.Inert(e.namespace, 80), Err: err}
	}
	if err != nil {
		return refused(err, "Temporal does not tell about the namespace")
	}
	return nil
}

// refused classes an error of the cluster.
func refused(err error, what string) error {
	var denied *serviceerror.PermissionDenied
	f := &threat.Fault{Kind: threat.Unavailable, What: what, Place: "--temporal-address", Err: err,
		Next: "check that it runs, and that address, TLS and credential are right"}
	if errors.As(err, &denied) {
		f.Kind, f.What, f.Next = threat.Forbidden, "Temporal refuses our credential", "check the API key or the certificate"
	}
	return f
}
