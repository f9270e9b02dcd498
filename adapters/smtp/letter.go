package smtp

import (
	"bytes"
	"cmp"
	"net/mail"
	"strings"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// maxSubject bounds a subject, in runes.
const maxSubject = 200

// recipient reads an address of the channel: one address and nothing beside it.
func recipient(to string) (string, error) {
	a, err := mail.ParseAddress(to)
	if err != nil || a.Address != to || !plain(to) {
		return "", &threat.Fault{Kind: threat.Invalid, What: "not one mail address", Place: "/to"}
	}
	return to, nil
}

// ids gives a message's own id and those that it refers to: the case's, which no message bears, and, for one that takes
// another back, that one's. They are the same whenever the same message is written.
func (s *SMTP) ids(m adapters.Message) (own string, refers []string) {
	thread := "case-" + m.CaseID.String() + "@" + s.domain
	attempt := m.AttemptID.String() + "@" + s.domain
	if m.CaseID == uuid.Nil { // what is about no case starts a thread of its own
		return attempt, nil
	}
	if m.Resolve {
		return m.AttemptID.String() + ".over@" + s.domain, []string{thread, attempt}
	}
	return attempt, []string{thread}
}

// letter writes a message as it goes over the wire (RFC 5322), with its id.
func (s *SMTP) letter(m adapters.Message) (id string, wire []byte, err error) {
	to, err := recipient(m.To)
	if err != nil {
		return "", nil, err
	}
	if m.AttemptID == uuid.Nil {
		return "", nil, &threat.Fault{Kind: threat.Invalid, What: "a message without its attempt", Place: "/attempt_id"}
	}
	defect := func(err error) (string, []byte, error) {
		return "", nil, s.redact.Fault(&threat.Fault{Kind: threat.Internal, What: "the mail cannot be written", Err: err})
	}
	g := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := g.FromFormat(s.from.Name, s.from.Address); err != nil {
		return defect(err)
	}
	if err := g.To(to); err != nil {
		return defect(err)
	}
	id, refers := s.ids(m)
	for i, r := range refers {
		refers[i] = "<" + r + ">"
	}
	g.Subject(cmp.Or(threat.Inert(m.Subject, maxSubject), "Firebreak needs you"))
	g.SetDateWithValue(s.now())
	g.SetMessageIDWithValue(id)
	if len(refers) > 0 {
		g.SetGenHeaderPreformatted(gomail.HeaderInReplyTo, refers[len(refers)-1])
		g.SetGenHeaderPreformatted(gomail.HeaderReferences, strings.Join(refers, " "))
	}
	g.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office answers
	g.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	g.SetGenHeaderPreformatted("List-Id", "Firebreak <firebreak."+s.domain+">")
	if m.Severity >= threat.SeverityHigh && !m.Resolve {
		g.SetImportance(gomail.ImportanceHigh)
	}
	g.SetBodyString(gomail.TypeTextPlain, text(m))
	if m.HTML != "" {
		g.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	var b bytes.Buffer
	if _, err := g.WriteTo(&b); err != nil {
		return defect(err)
	}
	return id, b.Bytes(), nil
}

// text is the plain part, with the link where the text has none.
func text(m adapters.Message) string {
	t := strings.ReplaceAll(m.Text, "\x00", "\uFFFD")
	if m.Link != "" && !strings.Contains(t, m.Link) {
		t += "\n" + m.Link + "\n"
	}
	return t
}
