package pagerduty

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Bounds of an event: PagerDuty cuts a summary at 1024 characters and refuses events over 512 KB.
const (
	maxSummary = 1000
	maxText    = 64 << 10
)

// event is the body of POST /enqueue (Events API v2, "Send an event").
type event struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"` // trigger, acknowledge, resolve
	DedupKey   string   `json:"dedup_key"`
	Payload    *payload `json:"payload,omitempty"`
	Client     string   `json:"client,omitempty"`
	ClientURL  string   `json:"client_url,omitempty"`
	Links      []link   `json:"links,omitempty"`
}

type payload struct {
	Summary  string            `json:"summary"`
	Severity string            `json:"severity"` // critical, error, warning, info
	Source   string            `json:"source"`
	Class    string            `json:"class"`
	Details  map[string]string `json:"custom_details"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// answer is what PagerDuty says to an event.
type answer struct {
	Status   string `json:"status"`
	Message  string `json:"message"`
	DedupKey string `json:"dedup_key"`
}

func (p *PagerDuty) event(action string, attempt uuid.UUID) event {
	return event{RoutingKey: p.key, Action: action, DedupKey: DedupKey(attempt)}
}

func (p *PagerDuty) trigger(m adapters.Message) event {
	e := p.event("trigger", m.AttemptID)
	text := m.Text
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	e.Payload = &payload{Summary: cmp.Or(threat.Inert(m.Subject, maxSummary), "Firebreak needs you"), Severity: severity(m.Severity),
		Source: "firebreak", Class: "security case", Details: map[string]string{"message": text}}
	if m.CaseID != uuid.Nil {
		e.Payload.Details["case"] = m.CaseID.String()
	}
	if p.signing != "" && m.CaseID != uuid.Nil {
		e.Payload.Details["acknowledge"] = "Acknowledge this incident here to say that you are on it. That stops the calls for a while, " +
			"and allows nothing."
	}
	if m.Link != "" {
		e.Client, e.ClientURL = "Firebreak", m.Link
		e.Links = []link{{Href: m.Link, Text: "Look and decide in Firebreak"}}
	}
	return e
}

// severity gives PagerDuty's word for a severity.
func severity(s threat.Severity) string {
	switch {
	case s >= threat.SeverityCritical:
		return "critical"
	case s == threat.SeverityHigh:
		return "error"
	case s == threat.SeverityMedium:
		return "warning"
	}
	return "info"
}

// enqueue sends an event. Only 202 with the status "success" is an acceptance: any other 2xx came from something between.
func (p *PagerDuty) enqueue(ctx context.Context, e event) (adapters.Delivery, error) {
	var said answer
	a, err := p.client.Do(ctx, adapters.Call{Method: http.MethodPost, Path: "enqueue", Body: e, Into: &said, Changes: true})
	var f *threat.Fault
	if errors.As(err, &f) && f.Kind == threat.Unknown {
		again := *f
		again.Next = "the same event may be sent again: PagerDuty knows it by its key"
		return adapters.Delivery{}, &again
	}
	if err != nil {
		return adapters.Delivery{}, err
	}
	if a.Status != http.StatusAccepted || said.Status != "success" {
		return adapters.Delivery{}, p.redact.Fault(&threat.Fault{Kind: threat.Unknown, Next: "see that base_url is PagerDuty's",
			What: "PagerDuty's answer is not the acceptance that was expected: " + said.Status + " " + said.Message})
	}
	if said.DedupKey != "" && said.DedupKey != e.DedupKey {
		return adapters.Delivery{}, p.redact.Fault(&threat.Fault{Kind: threat.Unknown, Next: "see that base_url is PagerDuty's",
			What: "PagerDuty accepted another key than was sent"})
	}
	return adapters.Delivery{Accepted: true, ProviderID: e.DedupKey, Detail: p.redact.Text(said.Message)}, nil
}
