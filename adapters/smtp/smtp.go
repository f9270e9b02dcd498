// Package smtp brings messages to people by mail, through the mail server of a connection. The message's id is made of the
// attempt's, and messages of one case refer to one another, so that a mail program shows them together and knows one that
// came twice.
package smtp

import (
	"crypto/x509"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// How the connection to the mail server is encrypted.
const (
	TLSNone     = "none"     // not at all; no password goes over it, but to this machine itself
	TLSStart    = "starttls" // RFC 3207, demanded
	TLSImplicit = "tls"      // from the first byte (RFC 8314)
)

// ports are the usual ones.
var ports = map[string]int{TLSNone: 25, TLSStart: 587, TLSImplicit: 465}

// Info describes the adapter.
var Info = adapters.Info{Name: "smtp", Title: "Mail (SMTP)", Secret: "the password of username; none where the server asks for none",
	Settings: []adapters.Setting{
		{Name: "host", Meaning: "the mail server's name or address", Required: true},
		{Name: "port", Meaning: "its port, where it is not the usual one", Default: "587 with starttls, 465 with tls, 25 with none"},
		{Name: "tls", Meaning: "none, starttls or tls", Default: TLSStart},
		{Name: "from", Meaning: "who the mails are from: an address, or Name <address>", Required: true},
		{Name: "username", Meaning: "who signs in; none where the server asks for none"},
		{Name: "ca", Meaning: "certificates in PEM that sign the server's, beside the system's own"},
		{Name: "compromised", Meaning: "true keeps messages off this channel, while it may be in an attacker's hands", Default: "false"},
	},
}

// Options replace what the adapter reaches outside of itself.
type Options struct {
	Now func() time.Time // nil is time.Now
}

// Product is the registry's row.
func Product(o Options) adapters.Product {
	return adapters.Product{Info: Info, Open: func(c threat.Connection, secret string) (any, error) { return Open(c, secret, o) }}
}

// SMTP is one mail server.
type SMTP struct {
	host, address  string
	tls            string
	roots          *x509.CertPool // nil is the system's
	from           *mail.Address
	domain         string // of from; ids and the greeting are made of it
	user, password string
	redact         *adapters.Redactor
	now            func() time.Time
}

var (
	_ adapters.Notifier = (*SMTP)(nil)
	_ adapters.Tester   = (*SMTP)(nil)
)

// Open makes the channel for a connection. Faults are Invalid with the place of the setting or of the secret.
func Open(c threat.Connection, secret string, o Options) (*SMTP, error) {
	bad := func(name, what string) (*SMTP, error) {
		return nil, &threat.Fault{Kind: threat.Invalid, What: what, Place: "/settings/" + name}
	}
	s := &SMTP{host: c.Settings["host"], tls: c.Settings["tls"], user: c.Settings["username"], password: secret, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.tls == "" {
		s.tls = TLSStart
	}
	port, ok := ports[s.tls]
	if !ok {
		return bad("tls", "tls is none, starttls or tls")
	}
	if s.host == "" || len(s.host) > 253 || strings.ContainsAny(s.host, " /@\r\n\t\x00") ||
		net.ParseIP(s.host) == nil && strings.Contains(s.host, ":") {
		return bad("host", "not a mail server's name or address; its port stands in port")
	}
	if v := c.Settings["port"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 65535 {
			return bad("port", "not a port")
		}
		port = n
	}
	s.address = net.JoinHostPort(s.host, strconv.Itoa(port))
	var err error
	if s.from, err = mail.ParseAddress(c.Settings["from"]); err != nil || !plain(s.from.Address) {
		return bad("from", "not a mail address")
	}
	s.from.Name = threat.Inert(s.from.Name, 100)
	s.domain = s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:]
	if pem := c.Settings["ca"]; pem != "" {
		if s.roots, err = x509.SystemCertPool(); err != nil {
			s.roots = x509.NewCertPool()
		}
		if !s.roots.AppendCertsFromPEM([]byte(pem)) {
			return bad("ca", "no certificate in PEM")
		}
	}
	if strings.ContainsAny(s.user, "\r\n\x00") {
		return bad("username", "not a name")
	}
	switch ip := net.ParseIP(s.host); {
	case s.user == "" && secret != "":
		return bad("username", "a password without a name to it")
	case s.user != "" && secret == "":
		return nil, &threat.Fault{Kind: threat.Invalid, What: "a name without its password", Place: "/secret"}
	case s.user != "" && s.tls == TLSNone && s.host != "localhost" && !ip.IsLoopback():
		return bad("tls", "a password does not go over a connection that is not encrypted")
	}
	s.redact = adapters.NewRedactor(secret, "\x00"+s.user+"\x00"+secret)
	return s, nil
}

// plain reports whether an address can stand in a command and in a header as it is.
func plain(address string) bool {
	return len(address) <= 254 && threat.Inert(address, 254) == address && !strings.ContainsAny(address, " \"<>,;:\\()[]\r\n") &&
		strings.Count(address, "@") == 1
}

// Channel tells that mail does not ring, that its link brings an answer back, and that a mail server takes one twice.
func (s *SMTP) Channel() adapters.Channel {
	return adapters.Channel{Name: Info.Name, Interruptive: false, TwoWay: true, Keyed: false}
}
