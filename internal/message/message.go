// Package message writes what people read when they are told of a case. It is pure: the same facts give the same message,
// in the person's language and with times in their zone. It sends nothing, and knows no channel.
//
// What an attacker may have chosen (titles, targets, reasons that quote them) is inert in every part: no control character,
// no markup, and nothing that a mail program would turn into a link.
package message

import (
	"bytes"
	"cmp"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Facts are what a message is made of.
type Facts struct {
	Case      threat.Case
	Tenant    threat.Organisation
	Person    threat.Person // whom it is for; their language and zone are used
	Responses []threat.Response
	Requests  []threat.Request // the open ones are asked about
	Assets    []threat.Asset   // those that targets are, or are on, for their names
	Mode      threat.Mode
	AckLink   string // acknowledges, once; may be empty
	CaseLink  string // shows the case
	Now       time.Time
}

// Message is what a channel brings.
type Message struct {
	Subject  string
	Text     string // plain
	HTML     string
	Link     string // to acknowledge, or to the case where there is no such link
	Severity threat.Severity
}

// section is a part of a message: a heading and its lines. Text and HTML are written from the same sections.
type section struct {
	Heading string
	Lines   []string
	Link    string // below the lines
	Words   string // of the link
}

// writer writes in one language.
type writer struct {
	language string
	words    map[key]string
	zone     *time.Location
	f        Facts
}

// newWriter takes the person's language, or English, and the person's zone, or UTC.
func newWriter(f Facts) writer {
	language, _, _ := strings.Cut(strings.ToLower(f.Person.Language), "-")
	if catalogues[language] == nil {
		language = "en"
	}
	zone, err := time.LoadLocation(f.Person.Zone)
	if err != nil || f.Person.Zone == "Local" {
		zone = time.UTC
	}
	return writer{language: language, words: catalogues[language], zone: zone, f: f}
}

// say gives a sentence with its places filled in: say(k, "{name}", value, ...). Values are inert already, and are not looked
// through for places.
func (w writer) say(k key, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(w.words[k])
}

// Attempt is the message to one contact about a case that needs them: what happened, what was done, what is asked or
// recommended, what silence means, and how to acknowledge.
func Attempt(f Facts) Message {
	w := newWriter(f)
	sections := []section{{Lines: w.opening()}, {Heading: w.say(headHappened), Lines: w.happened()}}
	for _, s := range []section{{Heading: w.say(headDid), Lines: w.did()}, {Heading: w.say(headAsk), Lines: w.ask()},
		{Heading: w.say(headRecommend), Lines: w.recommend()}} {
		if len(s.Lines) > 0 {
			sections = append(sections, s)
		}
	}
	sections = append(sections, section{Heading: w.say(headSilence), Lines: w.silence()})
	if f.AckLink != "" {
		sections = append(sections, section{Heading: w.say(headAck), Lines: []string{w.say(ackMeans)}, Link: f.AckLink,
			Words: w.say(ackWords)})
	}
	if f.CaseLink != "" {
		sections = append(sections, section{Heading: w.say(headCase), Lines: []string{w.say(caseMeans)}, Link: f.CaseLink,
			Words: w.say(caseWords)})
	}
	return w.message(w.subject(subjectAttempt), sections)
}

// Resolve is the message that takes the others back: nobody has to answer any more.
func Resolve(f Facts) Message {
	w := newWriter(f)
	f.AckLink = ""
	w.f = f
	sections := []section{{Lines: w.opening()}, {Heading: w.say(headOver), Lines: w.over()}}
	if lines := w.did(); len(lines) > 0 {
		sections = append(sections, section{Heading: w.say(headDid), Lines: lines})
	}
	if f.CaseLink != "" {
		sections = append(sections, section{Heading: w.say(headCase), Lines: []string{w.say(caseMeans)}, Link: f.CaseLink,
			Words: w.say(caseWords)})
	}
	return w.message(w.subject(subjectResolve), sections)
}

func (w writer) message(subject string, sections []section) Message {
	m := Message{Subject: subject, Severity: w.f.Case.Severity, Link: cmp.Or(w.f.AckLink, w.f.CaseLink)}
	var text strings.Builder
	for i, s := range sections {
		if i > 0 {
			text.WriteString("\n")
		}
		if s.Heading != "" {
			text.WriteString(s.Heading + "\n")
		}
		for _, line := range s.Lines {
			text.WriteString(line + "\n")
		}
		if s.Link != "" {
			text.WriteString(s.Link + "\n")
		}
	}
	m.Text = text.String()
	var page bytes.Buffer
	// Writing three plain fields into memory does not fail; if it ever did, the channel would send the text alone.
	if err := sheet.Execute(&page, struct {
		Language, Subject string
		Sections          []section
	}{w.language, subject, sections}); err == nil {
		m.HTML = page.String()
	}
	return m
}

// sheet is the HTML of every message; html/template escapes what is put into it.
var sheet = template.Must(template.New("message").Parse(`<!DOCTYPE html>
<html lang="{{.Language}}"><head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body style="font-family:sans-serif;font-size:16px;line-height:1.5;max-width:40em">
{{range .Sections}}{{if .Heading}}<h2 style="font-size:17px;margin:1.2em 0 0.2em">{{.Heading}}</h2>
{{end}}{{range .Lines}}<p style="margin:0.2em 0">{{.}}</p>
{{end}}{{if .Link}}<p style="margin:0.6em 0"><a href="{{.Link}}">{{.Words}}</a></p>
{{end}}{{end}}</body></html>
`))

// sorted gives the responses by their number, without those that another one replaced.
func (w writer) sorted() []threat.Response {
	out := slices.DeleteFunc(slices.Clone(w.f.Responses), func(r threat.Response) bool { return r.State == threat.ResponseSuperseded })
	slices.SortStableFunc(out, func(a, b threat.Response) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// open gives the requests that wait for an answer now, the one that ends first before the others.
func (w writer) open() []threat.Request {
	out := slices.DeleteFunc(slices.Clone(w.f.Requests), func(r threat.Request) bool {
		return r.State != threat.RequestOpen || !w.f.Now.Before(r.ExpiresAt)
	})
	slices.SortStableFunc(out, func(a, b threat.Request) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return out
}
