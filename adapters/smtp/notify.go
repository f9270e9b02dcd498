package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// stage is how far a conversation with the server has got.
type stage string

const (
	connecting stage = "to connect"
	encrypting stage = "to encrypt the connection"
	signingIn  stage = "to sign in"
	addressing stage = "to name the recipient"
	beginning  stage = "to begin the message"
	sending    stage = "to take the message" // from here on it may have been taken
)

// Notify hands a message to the mail server. Faults: Invalid for an address that is none or that the server does not know,
// Forbidden when it refuses to carry the mail, Unauthenticated, RateLimited, TooLarge, Unavailable when it is away or says
// later, and Unknown when it was given the message and did not answer.
func (s *SMTP) Notify(ctx context.Context, m adapters.Message) (adapters.Delivery, error) {
	id, wire, err := s.letter(m)
	if err != nil {
		return adapters.Delivery{}, err
	}
	c, err := s.dial(ctx)
	if err != nil {
		return adapters.Delivery{}, err
	}
	defer c.end()
	said, err := c.deliver(ctx, m.To, wire)
	if err != nil {
		return adapters.Delivery{}, err
	}
	return adapters.Delivery{Accepted: true, ProviderID: id, Detail: s.redact.Text(said)}, nil
}

// Test connects and signs in, and sends nothing.
func (s *SMTP) Test(ctx context.Context) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	if err := c.client.Noop(); err != nil {
		return s.fault(beginning, err)
	}
	return nil
}

// conversation is one connection to the server.
type conversation struct {
	s      *SMTP
	conn   net.Conn
	client *smtp.Client
	stop   func() bool
	done   bool // the message was taken: a farewell is due
}

// dial connects, encrypts and signs in. The connection ends with ctx, whatever is being waited for.
func (s *SMTP) dial(ctx context.Context) (*conversation, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, s.fault(connecting, err)
	}
	c := &conversation{s: s, conn: conn}
	c.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a connection that is gone has ended too
	if err := c.greet(ctx); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

func (c *conversation) greet(ctx context.Context) (err error) {
	secured := &tls.Config{ServerName: c.s.host, RootCAs: c.s.roots, MinVersion: tls.VersionTLS12}
	if c.s.tls == TLSImplicit {
		over := tls.Client(c.conn, secured)
		if err := over.HandshakeContext(ctx); err != nil {
			return c.s.fault(encrypting, err)
		}
		c.conn = over
	}
	if c.client, err = smtp.NewClient(c.conn, c.s.host); err != nil {
		return c.s.fault(connecting, err)
	}
	if err := c.client.Hello(c.s.domain); err != nil {
		return c.s.fault(connecting, err)
	}
	if c.s.tls == TLSStart {
		if ok, _ := c.client.Extension("STARTTLS"); !ok {
			return &threat.Fault{Kind: threat.Unavailable, Next: "see who answers there, and set tls to what the server offers",
				What: "the mail server offers no encryption (STARTTLS), which the connection demands"}
		}
		if err := c.client.StartTLS(secured); err != nil {
			return c.s.fault(encrypting, err)
		}
	}
	if c.s.user == "" {
		return nil
	}
	how, err := c.s.auth(c.client)
	if err != nil {
		return err
	}
	if err := c.client.Auth(how); err != nil {
		return c.s.fault(signingIn, err)
	}
	return nil
}

// auth picks a way to sign in that the server offers. PLAIN and LOGIN show the password to it, and go only over an
// encrypted connection or to this machine.
func (s *SMTP) auth(c *smtp.Client) (smtp.Auth, error) {
	_, offered := c.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offered))
	for _, w := range ways {
		if w == "SCRAM-SHA-256" {
			return smtp.ScramSHA256Auth(s.user, s.password), nil
		}
	}
	for _, w := range ways {
		switch w {
		case "PLAIN":
			return smtp.PlainAuth("", s.user, s.password, s.host, s.tls == TLSNone), nil
		case "LOGIN":
			return smtp.LoginAuth(s.user, s.password, s.host, s.tls == TLSNone), nil
		}
	}
	return nil, &threat.Fault{Kind: threat.Unauthenticated, What: "the mail server offers no way to sign in that is known here",
		Next: "leave username out if it asks for none"}
}

// deliver gives the message to the server, and what it said when it took it.
func (c *conversation) deliver(ctx context.Context, to string, wire []byte) (string, error) {
	c.client.SkipSMTPUTF8(ascii(to) && ascii(c.s.from.Address))
	if err := c.client.Mail("<" + c.s.from.Address + ">"); err != nil {
		return "", c.s.fault(beginning, err)
	}
	if err := c.client.Rcpt("<" + to + ">"); err != nil {
		return "", c.s.fault(addressing, err)
	}
	w, err := c.client.Data()
	if err != nil {
		return "", c.s.fault(beginning, err)
	}
	adapters.HandedOver(ctx)
	if _, err := w.Write(wire); err != nil {
		return "", c.s.fault(sending, err)
	}
	if err := w.Close(); err != nil {
		return "", c.s.fault(sending, err)
	}
	c.done = true
	if d, ok := w.(*smtp.DataCloser); ok {
		return d.ServerResponse(), nil
	}
	return "", nil
}

// end says farewell after a delivery, and closes the connection. After anything else it only closes: a command would end a
// message that was cut, as if it were whole.
func (c *conversation) end() {
	if c.done {
		_ = c.client.Quit() // the message was taken; how the server answers a farewell does not matter
	}
	c.stop()
	_ = c.conn.Close()
}

func ascii(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) }

// enhanced finds an enhanced status code (RFC 3463) at the start of a reply.
var enhanced = regexp.MustCompile(`^([245])\.(\d{1,3})\.\d{1,3}\b`)

// fault gives an error of a stage the kind that says what its reader can do.
func (s *SMTP) fault(at stage, err error) error {
	f := &threat.Fault{Kind: threat.Unavailable, What: "the mail server did not answer when it was asked " + string(at), Err: err}
	var reply *textproto.Error
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var broken net.Error
	switch {
	case errors.As(err, &reply):
		f.Kind, f.Place = replyKind(reply, at), place(reply, at)
		f.What = "the mail server refused " + string(at) + ": " + reply.Error()
		f.Err = nil // its text is there already
	case errors.As(err, &cert), errors.As(err, &unknown):
		f.What, f.Next = "the mail server's certificate is not one that is trusted here", "set ca to the certificate that signed it"
	case at == sending:
		f.Kind, f.What = threat.Unknown, "the mail server was given the message and did not answer"
		f.Next = "do not send it again by itself"
	case at == signingIn && !errors.As(err, &broken):
		f.Kind, f.What = threat.Unauthenticated, "signing in at the mail server failed: "+err.Error()
	}
	if f.Kind == threat.Unauthenticated {
		f.Next = "check username and the connection's credential"
	}
	return s.redact.Fault(f)
}

// replyKind classes a reply by its code and, where it has one, its enhanced code (RFC 5321, RFC 3463, RFC 4954).
func replyKind(r *textproto.Error, at stage) threat.FaultKind {
	security := false // x.7.x: policy, reputation and rates
	if e := enhanced.FindStringSubmatch(r.Msg); e != nil {
		security = e[2] == "7"
	}
	switch {
	case r.Code == 452, r.Code/100 == 4 && security && at != signingIn:
		return threat.RateLimited
	case r.Code/100 == 4:
		return threat.Unavailable
	case r.Code == 530, r.Code == 534, r.Code == 535, r.Code == 538, r.Code/100 == 5 && at == signingIn:
		return threat.Unauthenticated
	case r.Code == 552:
		return threat.TooLarge
	case r.Code == 554, r.Code/100 == 5 && security:
		return threat.Forbidden
	case r.Code/100 == 5:
		return threat.Invalid
	case at == sending:
		return threat.Unknown // a reply that means nothing after the message
	}
	return threat.Unavailable
}

// place tells where a refusal points: at the recipient, or nowhere.
func place(r *textproto.Error, at stage) string {
	if at == addressing && r.Code/100 == 5 {
		return "/to"
	}
	return ""
}
