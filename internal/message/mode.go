package message

import (
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// ModeFacts are what the message about a change of the response mode is made of.
type ModeFacts struct {
	Tenant    threat.Organisation
	Person    threat.Person // whom it is for; their language and zone are used
	By        string        // the name of who consented
	Was, Mode threat.Mode
	Eradicate bool
	Words     string // that were agreed to
	At        time.Time
	Link      string // shows the tenant; may be empty
}

// maxWords bounds how much of a consent's words a message quotes.
const maxWords = 1000

// ModeChanged tells a contact that another one changed the response mode, what that means, and what to do if it is wrong.
func ModeChanged(f ModeFacts) Message {
	w := newWriter(Facts{Person: f.Person, Tenant: f.Tenant, CaseLink: f.Link})
	tenant, mode := inert(f.Tenant.Name, maxName), w.say(modeKey(f.Mode))
	changed := []string{w.say(modeChanged, "{tenant}", tenant, "{was}", w.say(modeKey(f.Was)), "{mode}", mode,
		"{at}", w.at(f.At))}
	if by := inert(f.By, maxName); by != "" {
		changed = append(changed, w.say(modeBy, "{name}", by))
	}
	if words := inert(strings.Join(strings.Fields(f.Words), " "), maxWords); words != "" {
		changed = append(changed, w.say(modeWords, "{words}", words))
	}
	means := []string{w.say(meansKey(f.Mode))}
	if f.Eradicate {
		means = append(means, w.say(modeEradicate))
	}
	subject, opening := w.say(subjectMode, "{tenant}", tenant, "{mode}", mode), w.opening()
	if f.Tenant.Simulated {
		subject, opening = w.say(simulatedMark)+" "+subject, append(opening, w.say(simulatedNote))
	}
	sections := []section{{Lines: opening}, {Heading: w.say(headMode), Lines: changed}, {Heading: w.say(headMeans), Lines: means},
		{Heading: w.say(headNotYou), Lines: []string{w.say(modeWrong)}, Link: f.Link, Words: w.say(tenantWords)}}
	m := w.message(subject, sections)
	m.Severity = threat.SeverityInformational
	return m
}
