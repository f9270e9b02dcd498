package smtp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters/adaptertest"
)

const (
	username = "firebreak"
	password = "p4ss/Word+of=mail"
)

// server is a real mail server that keeps what it takes, with faults at will.
type server struct {
	host, port string
	ca         string // PEM of its certificate

	mu      sync.Mutex
	mails   []received
	fault   adaptertest.ChannelFault
	reply   *smtp.SMTPError // to the recipient
	final   *smtp.SMTPError // to the message
	gone    chan struct{}
	signIns int
	auths   bool // demanded
}

// received is one mail with its envelope.
type received struct {
	from string
	to   []string
	raw  string
	tls  bool
}

// start runs a server for the time of a test. Implicit speaks TLS from the first byte.
func start(t *testing.T, implicit, auths bool) *server {
	t.Helper()
	s := &server{gone: make(chan struct{}), auths: auths}
	cert, ca := certificate(t)
	s.ca = ca
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.host, s.port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	secured := &tls.Config{Certificates: []tls.Certificate{cert}}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{s: s, conn: c}, nil }))
	srv.Domain, srv.AllowInsecureAuth, srv.EnableSMTPUTF8 = "mail.test", true, true
	srv.ErrorLog = log.New(io.Discard, "", 0)
	if implicit {
		l = tls.NewListener(l, secured)
	} else {
		srv.TLSConfig = secured
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		close(s.gone)
		require.NoError(t, srv.Close())
		_ = l.Close() // where the server was closed before it came to listen, it does not know of it
		<-done
	})
	return s
}

// certificate makes a certificate for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s *server) arm(f adaptertest.ChannelFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *server) armed(f adaptertest.ChannelFault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault == f
}

func (s *server) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// session is one conversation.
type session struct {
	s      *server
	conn   *smtp.Conn
	signed bool
	mail   received
}

var (
	_ smtp.AuthSession = (*session)(nil)
	_ smtp.Session     = (*session)(nil)
)

func (x *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if x.s.armed(adaptertest.MessageDenied) || user != username || pass != password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "wrong password " + pass + " of " + user}
		}
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		x.signed, x.s.signIns = true, x.s.signIns+1
		return nil
	}), nil
}

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	if x.s.auths && !x.signed {
		return smtp.ErrAuthRequired
	}
	_, secured := x.conn.TLSConnectionState()
	x.mail = received{from: from, tls: secured}
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case x.s.armed(adaptertest.MessageRefused):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody here is called " + to + " " + password}
	case x.s.armed(adaptertest.MessageLimited):
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "too many mails, come later " + password}
	case x.s.armed(adaptertest.MessageHangs):
		<-x.s.gone
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.s.reply != nil {
		return x.s.reply
	}
	x.mail.to = append(x.mail.to, to)
	return nil
}

func (x *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	x.s.mu.Lock()
	if x.s.final != nil {
		defer x.s.mu.Unlock()
		return x.s.final
	}
	x.mail.raw = string(b)
	x.s.mails = append(x.s.mails, x.mail)
	x.s.mu.Unlock()
	if x.s.armed(adaptertest.MessageLost) {
		<-x.s.gone
	}
	return nil
}

func (x *session) Reset()        { x.mail = received{} }
func (x *session) Logout() error { return nil }

// parts reads a mail as a mail program does: its headers, and its bodies by their type.
func parts(t *testing.T, raw string) (mail.Header, map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	bodies := map[string]string{}
	keep := func(kind, encoding string, r io.Reader) {
		if strings.EqualFold(encoding, "quoted-printable") {
			r = quotedprintable.NewReader(r)
		}
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		kind, _, err = mime.ParseMediaType(kind)
		require.NoError(t, err)
		bodies[kind] = string(b)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		keep(kind, m.Header.Get("Content-Transfer-Encoding"), m.Body)
		return m.Header, bodies
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return m.Header, bodies
		}
		require.NoError(t, err)
		keep(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
	}
}

// seen gives the mails as the suite wants them.
func (s *server) seen(t *testing.T) []adaptertest.Received {
	t.Helper()
	var out []adaptertest.Received
	for _, m := range s.all() {
		h, bodies := parts(t, m.raw)
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		require.NoError(t, err)
		thread, _, _ := strings.Cut(h.Get("References"), " ")
		out = append(out, adaptertest.Received{Key: h.Get("Message-Id"), Thread: thread, To: strings.Join(m.to, ","), Subject: subject,
			Text: bodies["text/plain"], Resolved: strings.Contains(h.Get("Message-Id"), ".over@")})
	}
	return out
}

func (s *server) settings(mode string) map[string]string {
	out := map[string]string{"host": s.host, "port": s.port, "tls": mode, "from": "Firebreak <alerts@provider.example>", "ca": s.ca}
	if s.auths {
		out["username"] = username
	}
	return out
}

// closedPort gives a port on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	require.NoError(t, l.Close())
	return port
}
