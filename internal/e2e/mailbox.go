//go:build e2e

package e2e

import (
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is a real mail server on loopback that keeps what it takes.
type mailbox struct {
	host, port string
	mu         sync.Mutex
	mails      []string // each with its recipients before it
	t          testing.TB
}

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mailbox{t: t}
	if b.host, b.port, err = net.SplitHostPort(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{b: b}, nil }))
	s.Domain, s.ErrorLog = "mail.example", log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // it ends with the server
	t.Cleanup(func() { _ = s.Close(); <-done })
	return b
}

// settings are those of a connection to the server.
func (b *mailbox) settings() map[string]string {
	return map[string]string{"host": b.host, "port": b.port, "tls": "none", "from": "Firebreak <firebreak@provider.example>"}
}

// wait gives the first mail.
func (b *mailbox) wait(most time.Duration) string {
	b.t.Helper()
	var first string
	Eventually(b.t, most, "a mail arrives", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.mails) > 0 {
			first = b.mails[0]
		}
		return first != ""
	})
	return first
}

// delivery is one connection to the server.
type delivery struct {
	b  *mailbox
	to string
}

func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error { d.to += to + "\n"; return nil }

func (d *delivery) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	d.b.mails = append(d.b.mails, d.to+string(text))
	return nil
}

func (d *delivery) Reset() { d.to = "" }

func (d *delivery) Logout() error { return nil }
