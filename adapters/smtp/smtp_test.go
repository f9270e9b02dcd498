package smtp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/smtp"
	"github.com/firebreak/firebreak/internal/threat"
)

var night = time.Date(2026, 3, 2, 3, 12, 0, 0, time.UTC)

func open(t *testing.T, settings map[string]string, secret string) *smtp.SMTP {
	t.Helper()
	s, err := smtp.Open(threat.Connection{Settings: settings}, secret, smtp.Options{Now: func() time.Time { return night }})
	require.NoError(t, err)
	return s
}

func message() adapters.Message {
	return adapters.Message{AttemptID: uuid.New(), CaseID: uuid.New(), To: "ada@customer.example", Subject: "[FB-7] High: Übergriff", Severity: threat.SeverityHigh,
		Text: "Hello Ada,\n\n.\nA threat is active.\n", HTML: "<p>Hello Ada</p>", Link: "https://firebreak.example/ack/abc"}
}

func TestConformance(t *testing.T) {
	adaptertest.RunChannel(t, adaptertest.ChannelHarness{Info: smtp.Info, To: "ada@customer.example", Secrets: []string{password},
		Open: func(t *testing.T) *adaptertest.ChannelBench {
			s := start(t, false, true)
			b := &adaptertest.ChannelBench{Notifier: open(t, s.settings(smtp.TLSStart), password),
				Received: func() []adaptertest.Received { return s.seen(t) }}
			b.Arm = func(f adaptertest.ChannelFault) {
				if f == adaptertest.MessageDown {
					down := s.settings(smtp.TLSStart)
					down["port"] = closedPort(t)
					b.Notifier = open(t, down, password)
				}
				s.arm(f)
			}
			return b
		}})
}

// TestEncryption goes each way, against a certificate that only the connection's own setting trusts.
func TestEncryption(t *testing.T) {
	for _, mode := range []string{smtp.TLSNone, smtp.TLSStart, smtp.TLSImplicit} {
		for _, auths := range []bool{false, true} {
			s := start(t, mode == smtp.TLSImplicit, auths)
			secret := ""
			if auths {
				secret = password
			}
			n := open(t, s.settings(mode), secret)
			require.NoError(t, n.Test(t.Context()), mode)
			d, err := n.Notify(t.Context(), message())
			require.NoError(t, err, mode)
			require.True(t, d.Accepted)
			got := s.all()
			require.Len(t, got, 1)
			require.Equal(t, mode != smtp.TLSNone, got[0].tls)
			require.Equal(t, "alerts@provider.example", got[0].from)
			require.Equal(t, []string{"ada@customer.example"}, got[0].to)
			require.Equal(t, auths, s.signIns == 2)
			if mode == smtp.TLSNone {
				continue
			}
			unknown := s.settings(mode)
			unknown["ca"] = ""
			_, err = open(t, unknown, secret).Notify(t.Context(), message())
			require.True(t, threat.Is(err, threat.Unavailable), "%v", err)
			require.ErrorContains(t, err, "certificate")
			require.Len(t, s.all(), 1)
		}
	}
}

// TestNoDowngrade has somebody in between take the offer of encryption away: nothing is said to them, above all no password.
func TestNoDowngrade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "220 mail.test\r\n")
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		_, _ = io.WriteString(c, "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n")
		rest, _ := io.ReadAll(c)
		heard <- string(b[:n]) + string(rest)
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	_, err = open(t, map[string]string{"host": "127.0.0.1", "port": port, "from": "a@b.example", "username": username}, password).Notify(t.Context(), message())
	require.True(t, threat.Is(err, threat.Unavailable), "%v", err)
	require.ErrorContains(t, err, "STARTTLS")
	require.Equal(t, "EHLO b.example\r\n", <-heard)
}

func TestLetter(t *testing.T) {
	s := start(t, false, false)
	n := open(t, s.settings(smtp.TLSStart), "")
	m := message()
	d, err := n.Notify(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, m.AttemptID.String()+"@provider.example", d.ProviderID)
	over := m
	over.Resolve, over.Subject = true, "[FB-7] no answer needed"
	_, err = n.Notify(t.Context(), over)
	require.NoError(t, err)
	again := message()
	again.CaseID = m.CaseID
	_, err = n.Notify(t.Context(), again)
	require.NoError(t, err)

	got := s.all()
	h, bodies := parts(t, got[0].raw)
	thread := "<case-" + m.CaseID.String() + "@provider.example>"
	for name, want := range map[string]string{
		"Message-Id": "<" + m.AttemptID.String() + "@provider.example>", "In-Reply-To": thread, "References": thread,
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "List-Id": "Firebreak <firebreak.provider.example>",
		"From": `"Firebreak" <alerts@provider.example>`, "To": "<ada@customer.example>", "Importance": "high", "Date": "Mon, 02 Mar 2026 03:12:00 +0000",
		"Bcc": "", "Mime-Version": "1.0",
	} {
		require.Equal(t, want, h.Get(name), name)
	}
	require.Equal(t, "Hello Ada,\r\n\r\n.\r\nA threat is active.\r\n\r\n"+m.Link+"\r\n", crlf(bodies["text/plain"]))
	require.Contains(t, bodies["text/html"], "<p>Hello Ada</p>")
	require.Equal(t, "[FB-7] High: Übergriff", s.seen(t)[0].Subject)
	for _, line := range strings.Split(got[0].raw, "\r\n") {
		require.LessOrEqual(t, len(line), 998, "RFC 5322, 2.1.1")
	}

	h, _ = parts(t, got[1].raw)
	require.Equal(t, "<"+m.AttemptID.String()+".over@provider.example>", h.Get("Message-Id"))
	require.Equal(t, "<"+m.AttemptID.String()+"@provider.example>", h.Get("In-Reply-To"))
	require.Equal(t, thread+" <"+m.AttemptID.String()+"@provider.example>", h.Get("References"))
	h, _ = parts(t, got[2].raw)
	require.Equal(t, thread, h.Get("References"), "mails of one case stand together")
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// TestReplies puts every class of reply before the adapter, to the recipient and to the message.
func TestReplies(t *testing.T) {
	reply := func(code, a, b, c int) *gosmtp.SMTPError {
		return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{a, b, c}, Message: "no, and " + password}
	}
	for _, tt := range []struct {
		reply *gosmtp.SMTPError
		want  threat.FaultKind
	}{
		{reply(421, 4, 3, 2), threat.Unavailable}, {reply(421, 4, 7, 0), threat.RateLimited}, {reply(450, 4, 2, 0), threat.Unavailable},
		{reply(450, 4, 7, 1), threat.RateLimited}, {reply(451, 4, 3, 0), threat.Unavailable}, {reply(452, 4, 5, 3), threat.RateLimited},
		{reply(500, 5, 5, 2), threat.Invalid}, {reply(530, 5, 7, 0), threat.Unauthenticated}, {reply(535, 5, 7, 8), threat.Unauthenticated},
		{reply(550, 5, 1, 1), threat.Invalid}, {reply(550, 5, 7, 1), threat.Forbidden}, {reply(552, 5, 3, 4), threat.TooLarge},
		{reply(553, 5, 1, 3), threat.Invalid}, {reply(554, 5, 6, 0), threat.Forbidden},
	} {
		for _, final := range []bool{false, true} {
			s := start(t, false, false)
			if final {
				s.final = tt.reply
			} else {
				s.reply = tt.reply
			}
			_, err := open(t, s.settings(smtp.TLSNone), "").Notify(t.Context(), message())
			require.Equal(t, tt.want, threat.KindOf(err), "%d, final %v: %v", tt.reply.Code, final, err)
			var f *threat.Fault
			require.True(t, errors.As(err, &f))
			require.Equal(t, !final && tt.reply.Code/100 == 5, f.Place == "/to")
			require.Empty(t, s.all())
		}
	}
}

// TestDropped cuts the connection at each stage: only what happens after the message was begun is unknown.
func TestDropped(t *testing.T) {
	script := []string{"220 mail.test\r\n", "250 mail.test\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"}
	for n := range len(script) + 1 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			b := make([]byte, 4096)
			for i, line := range script[:n] {
				if i > 0 {
					_, _ = c.Read(b)
				}
				_, _ = io.WriteString(c, line)
			}
			if n > 0 {
				_, _ = c.Read(b) // a command, or the message, that is never answered
			}
		}()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		_, err = open(t, map[string]string{"host": "127.0.0.1", "port": port, "tls": "none", "from": "a@b.example"}, "").Notify(t.Context(), message())
		want := threat.Unavailable
		if n == len(script) {
			want = threat.Unknown
		}
		require.Equal(t, want, threat.KindOf(err), "after %d lines: %v", n, err)
		require.NoError(t, l.Close())
		<-done
	}
}

func TestCancelled(t *testing.T) {
	s := start(t, false, false)
	s.arm(adaptertest.MessageHangs)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	n := open(t, s.settings(smtp.TLSNone), "")
	go func() { _, err := n.Notify(ctx, message()); failed <- err }()
	cancel()
	require.True(t, threat.Is(<-failed, threat.Unavailable))
}

func TestOpen(t *testing.T) {
	good := func() map[string]string { return map[string]string{"host": "mail.example", "from": "a@b.example"} }
	r, err := adapters.NewRegistry(smtp.Product(smtp.Options{}))
	require.NoError(t, err)
	o, err := r.Open(threat.Connection{Adapter: "smtp", Settings: good()}, "", adapters.Options{})
	require.NoError(t, err)
	require.Equal(t, adapters.Channel{Name: "smtp", TwoWay: true}, o.Notifier.Channel())
	for name, tt := range map[string]struct {
		edit   func(map[string]string)
		secret string
		place  string
	}{
		"no host":              {func(s map[string]string) { delete(s, "host") }, "", "/settings/host"},
		"a host with its port": {func(s map[string]string) { s["host"] = "mail.example:25" }, "", "/settings/host"},
		"a URL":                {func(s map[string]string) { s["host"] = "smtp://mail.example" }, "", "/settings/host"},
		"no port":              {func(s map[string]string) { s["port"] = "70000" }, "", "/settings/port"},
		"an unknown tls":       {func(s map[string]string) { s["tls"] = "maybe" }, "", "/settings/tls"},
		"no sender":            {func(s map[string]string) { s["from"] = "nobody" }, "", "/settings/from"},
		"two senders":          {func(s map[string]string) { s["from"] = "a@b.example, c@d.example" }, "", "/settings/from"},
		"a sender with a line": {func(s map[string]string) { s["from"] = "a@b.example\r\nBcc: x@y.example" }, "", "/settings/from"},
		"no certificate":       {func(s map[string]string) { s["ca"] = "x" }, "", "/settings/ca"},
		"a password alone":     {func(map[string]string) {}, password, "/settings/username"},
		"a name alone":         {func(s map[string]string) { s["username"] = username }, "", "/secret"},
		"a password in clear":  {func(s map[string]string) { s["username"], s["tls"] = username, "none" }, password, "/settings/tls"},
		"an unknown setting":   {func(s map[string]string) { s["hots"] = "x" }, "", "/settings/hots"},
	} {
		settings := good()
		tt.edit(settings)
		_, err := r.Open(threat.Connection{Adapter: "smtp", Settings: settings}, tt.secret, adapters.Options{})
		var f *threat.Fault
		require.True(t, errors.As(err, &f), name)
		require.Equal(t, threat.Invalid, f.Kind, name)
		require.Equal(t, tt.place, f.Place, name)
		require.NotContains(t, err.Error(), password)
	}
}
