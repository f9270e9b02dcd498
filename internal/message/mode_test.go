package message

import (
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestAChangeOfModeIsToldWithWhatItMeans(t *testing.T) {
	f := ModeFacts{Tenant: threat.Organisation{Name: "Acme <b>"}, Person: threat.Person{Name: "Ben", Zone: "Europe/Berlin"}, By: "Ada\x1b[31m",
		Was: threat.ModeCollaborate, Mode: threat.ModeAuthorize, Eradicate: true, Words: "see evil.example.net\r\nBcc: x@example.org",
		At: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), Link: "https://firebreak.example/tenants/acme"}
	m := ModeChanged(f)
	if m.Subject != "The response mode of Acme <b> is now authorize" || m.Link != f.Link || strings.ContainsAny(m.Subject, "\r\n") {
		t.Errorf("%+v", m)
	}
	for _, want := range []string{"Hello Ben,", "from collaborate to authorize", "09:00", "consented to it", "evil[.]example[.]net Bcc:", "at once",
		"What cannot be undone is granted, too.", "stop switch", f.Link} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("%q is missing in %s", want, m.Text)
		}
	}
	if strings.Contains(m.Text, "\x1b") || strings.Contains(m.Text, "\r") || strings.Contains(m.HTML, "<b>") {
		t.Errorf("%s", m.Text)
	}
	for _, mode := range []threat.Mode{threat.ModeNotify, threat.ModeCollaborate, threat.ModeCollaborateUnreachable, threat.ModeAuthorize} {
		f.Mode, f.Was, f.Tenant.Simulated = mode, mode, true
		if m := ModeChanged(f); strings.Contains(m.Text, "{") || strings.Contains(m.Text, "\n\n\n") || !strings.HasPrefix(m.Subject, "[SIMULATED] ") {
			t.Errorf("%s: %s %s", mode, m.Subject, m.Text)
		}
	}
}
