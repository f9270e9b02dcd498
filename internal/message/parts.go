package message

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Bounds of what a message shows; the case's page has the rest.
const (
	maxTitle = 120
	maxName  = 80
	maxWhy   = 200
	maxLines = 12
)

func (w writer) subject(k key) string {
	c := w.f.Case
	s := w.say(k, "{case}", c.Name(), "{severity}", w.say(severityKey(c.Severity)), "{tenant}", inert(w.f.Tenant.Name, maxName),
		"{title}", inert(c.Title, maxTitle))
	if c.Simulated {
		s = w.say(simulatedMark) + " " + s
	}
	return s
}

func (w writer) opening() []string {
	lines := []string{w.say(greeting, "{name}", inert(w.f.Person.Name, maxName))}
	if w.f.Case.Simulated {
		lines = append(lines, w.say(simulatedNote))
	}
	return lines
}

func (w writer) happened() []string {
	c := w.f.Case
	lines := []string{
		w.say(happenedTitle, "{case}", c.Name(), "{tenant}", inert(w.f.Tenant.Name, maxName), "{title}", inert(c.Title, maxTitle)),
		w.say(happenedSeverity, "{severity}", w.say(severityKey(c.Severity))),
		w.say(threatKeys[c.Threat]),
	}
	since := happenedMany
	if c.LastDetection == 1 {
		since = happenedOne
	}
	return append(lines, w.say(since, "{n}", strconv.FormatInt(c.LastDetection, 10), "{at}", w.at(c.OpenedAt)))
}

// doneKeys say what a response has come to, for those that have come to something.
var doneKeys = map[threat.ResponseState]key{
	threat.ResponseProposed:       doneDeciding,
	threat.ResponseStale:          doneDeciding,
	threat.ResponseActing:         doneActing,
	threat.ResponseUnknown:        doneUnknown,
	threat.ResponsePendingOffline: doneOffline,
	threat.ResponseVerified:       doneInForce,
	threat.ResponseHeld:           doneHeld,
	threat.ResponseReleased:       doneReleased,
	threat.ResponseExpired:        doneExpired,
	threat.ResponseFailed:         doneFailed,
	threat.ResponseDenied:         doneDenied,
}

// did tells what was done, and what could not be. What is recommended instead stands in its own part.
func (w writer) did() []string {
	var out []string
	for _, r := range w.sorted() {
		k, ok := doneKeys[r.State]
		if !ok || w.recommended(r) {
			continue
		}
		until := ""
		if r.HoldUntil != nil {
			until = w.at(*r.HoldUntil)
		} else if k == doneHeld {
			k = doneInForce
		}
		if k == doneReleased && r.Why == verb.Done {
			k = doneOnce
		}
		line := w.say(k, "{action}", w.action(r.Verb, []threat.Target{r.Target}), "{until}", until)
		tells := r.State.Terminal() && k != doneOnce || r.State == threat.ResponseHeld || r.State == threat.ResponseActing
		if why := inert(r.Why, maxWhy); why != "" && tells {
			line += " " + w.say(because, "{why}", why)
		}
		out = append(out, line)
	}
	return w.bounded(out)
}

// recommended reports whether a response is advice: the mode lets nothing be done.
func (w writer) recommended(r threat.Response) bool {
	return w.f.Mode == threat.ModeNotify && r.State == threat.ResponseDenied
}

func (w writer) recommend() []string {
	var out []string
	for _, r := range w.sorted() {
		if w.recommended(r) {
			out = append(out, w.say(recommendAction, "{action}", w.action(r.Verb, []threat.Target{r.Target})))
		}
	}
	if len(out) > 0 {
		out = append(w.bounded(out), w.say(recommendOnly))
	}
	return out
}

func (w writer) ask() []string {
	var out []string
	for _, r := range w.open() {
		k, many := askAct, askConnections
		if r.Body.Kind == threat.RequestEnd {
			k = askEnd
		} else if verb.Once(r.Body.Verb) {
			k = askOnce
		}
		if len(r.Body.Connections) == 1 {
			many = askConnection
		}
		out = append(out, w.say(k, "{action}", w.action(r.Body.Verb, r.Body.Targets),
			"{duration}", span(time.Duration(r.Body.Seconds)*time.Second),
			"{connections}", w.say(many, "{n}", strconv.Itoa(len(r.Body.Connections))), "{until}", w.at(r.ExpiresAt)))
		for _, why := range r.Reasons[:min(len(r.Reasons), 3)] {
			out = append(out, w.say(because, "{why}", inert(why, maxWhy)))
		}
	}
	return w.bounded(out)
}

// silence tells what happens when nobody answers: in the words of each open request, or by the response mode.
func (w writer) silence() []string {
	var out []string
	for _, r := range w.open() {
		if s := inert(r.Silence, maxWhy); s != "" && !slices.Contains(out, sentence(s)) {
			out = append(out, sentence(s))
		}
	}
	if len(out) == 0 {
		if k, ok := silenceKeys[w.f.Mode]; ok {
			out = []string{w.say(k)}
		} else {
			out = []string{w.say(silenceNotify)}
		}
	}
	return append(w.bounded(out), w.say(silenceNext))
}

// over tells why nobody has to answer any more.
func (w writer) over() []string {
	c := w.f.Case
	var out []string
	switch by := inert(c.AckBy, maxName); {
	case c.ClosedAt != nil:
		out = append(out, w.say(overClosed, "{case}", c.Name(), "{at}", w.at(*c.ClosedAt)))
		if why := inert(c.CloseReason, maxWhy); why != "" {
			out = append(out, w.say(because, "{why}", why))
		}
	case c.Acknowledged(w.f.Now) && by != "" && !strings.Contains(by, ":"):
		out = append(out, w.say(overAckBy, "{case}", c.Name(), "{name}", by))
	case c.Acknowledged(w.f.Now):
		out = append(out, w.say(overAck, "{case}", c.Name()))
	default:
		out = append(out, w.say(overOther, "{case}", c.Name()))
	}
	return append(out, w.say(threatKeys[c.Threat]), w.say(overNothing))
}

// asset gives the name of the asset that a target is, or is on.
func (w writer) asset(t threat.Target) string {
	for _, a := range w.f.Assets {
		if t.AssetID.Valid && t.AssetID.UUID == a.ID {
			return a.Name
		}
	}
	return ""
}

// action tells a verb and its targets.
func (w writer) action(name string, targets []threat.Target) string {
	var names []string
	for _, t := range targets[:min(len(targets), 5)] {
		names = append(names, inert(t.Named(w.asset(t)), maxName))
	}
	if n := len(targets) - 5; n > 0 {
		names = append(names, w.say(andMore, "{n}", strconv.Itoa(n)))
	}
	target := strings.Join(names, ", ")
	if s := w.say(verbKey(name), "{target}", target); s != "" {
		return s
	}
	return inert(name, maxName) + " " + target
}

func (w writer) bounded(lines []string) []string {
	if n := len(lines) - maxLines; n > 0 {
		lines = append(lines[:maxLines:maxLines], w.say(andMore, "{n}", strconv.Itoa(n)))
	}
	return lines
}

// at writes a time in the person's zone and in UTC: "2026-03-02 03:12 CET (02:12 UTC)".
func (w writer) at(t time.Time) string {
	local, utc := t.In(w.zone), t.UTC()
	if _, off := local.Zone(); off == 0 {
		return utc.Format("2006-01-02 15:04 UTC")
	}
	shape := "15:04 UTC"
	if local.Format(time.DateOnly) != utc.Format(time.DateOnly) {
		shape = "2006-01-02 15:04 UTC"
	}
	return local.Format("2006-01-02 15:04 MST") + " (" + utc.Format(shape) + ")"
}

// span writes a duration in days, hours, minutes and seconds, the same in every language: "4 h", "1 d 2 h".
func span(d time.Duration) string {
	if d < time.Second {
		return "0 s"
	}
	var out []string
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / u.size; n > 0 {
			out = append(out, strconv.FormatInt(int64(n), 10)+" "+u.name)
			d -= n * u.size
		}
	}
	return strings.Join(out, " ")
}

// sentence makes a sentence of what a rule said: a capital at its start and a stop at its end.
func sentence(s string) string {
	if first, n := utf8.DecodeRuneInString(s); n > 0 {
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "…") {
		s += "."
	}
	return s
}
