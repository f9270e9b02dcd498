// Package pagerduty calls people by PagerDuty: events of the Events API v2 out, signed v3 webhooks back, so that an
// acknowledgement there counts. An incident is one attempt: its deduplication key is made of the attempt's id, so that a
// repeated call rings once.
//
// https://developer.pagerduty.com/docs/events-api-v2/overview
package pagerduty

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// DefaultBase is where events go.
const DefaultBase = "https://events.pagerduty.com/v2"

// Info describes the adapter.
var Info = adapters.Info{Name: "pagerduty", Title: "PagerDuty",
	Secret: "the routing key of an Events API v2 integration and, behind a blank, the signing secret of a v3 webhook subscription; " +
		"without the second no answer comes back, and a call never counts towards unreachable",
	Settings: []adapters.Setting{
		{Name: "base_url", Default: DefaultBase,
			Meaning: "where events go, when it is not PagerDuty's own address (the EU's is https://events.eu.pagerduty.com/v2)"},
		{Name: "compromised", Meaning: "true keeps messages off this channel, while it may be in an attacker's hands", Default: "false"},
	},
}

// Options replace what the adapter reaches outside of itself.
type Options struct {
	Transport http.RoundTripper // nil is the shared one
	Now       func() time.Time  // nil is time.Now
}

// Product is the registry's row.
func Product(o Options) adapters.Product {
	return adapters.Product{Info: Info, Open: func(c threat.Connection, secret string) (any, error) { return Open(c, secret, o) }}
}

// PagerDuty is one integration of one service there.
type PagerDuty struct {
	client  *adapters.Client
	key     string // routing key
	signing string // of webhooks; empty when none come
	redact  *adapters.Redactor
}

var _ adapters.Notifier = (*PagerDuty)(nil)

// Open makes the channel for a connection. Faults are Invalid with the place of the setting or of the secret.
func Open(c threat.Connection, secret string, o Options) (*PagerDuty, error) {
	key, signing, err := Credential(secret)
	if err != nil {
		return nil, err
	}
	base := c.Settings["base_url"]
	if base == "" {
		base = DefaultBase
	}
	client, err := adapters.NewClient(adapters.ClientOptions{Base: base, Transport: o.Transport, Now: o.Now,
		Secrets: secrets(key, signing)})
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, Place: "/settings/base_url",
			What: "base_url is not an http or https URL without credentials, query and fragment"}
	}
	return &PagerDuty{client: client, key: key, signing: signing, redact: adapters.NewRedactor(secrets(key, signing)...)}, nil
}

// Credential takes a secret apart: the routing key and, behind white space, the signing secret of webhooks, which may be
// missing. Invalid for anything else.
func Credential(secret string) (routingKey, signing string, err error) {
	parts := strings.Fields(secret)
	if len(parts) == 0 || len(parts) > 2 || len(secret) > 1024 || strings.ContainsFunc(secret, func(r rune) bool { return r > '~' }) {
		return "", "", &threat.Fault{Kind: threat.Invalid, Place: "/secret",
			What: "PagerDuty's credential is a routing key and, behind a blank, the signing secret of its webhooks"}
	}
	if len(parts) == 2 {
		signing = parts[1]
	}
	return parts[0], signing, nil
}

// secrets lists what may never show.
func secrets(parts ...string) []string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Channel tells that it rings, that answers come back only where webhooks are signed, and that everybody on the service sees
// an incident.
func (p *PagerDuty) Channel() adapters.Channel {
	return adapters.Channel{Name: Info.Name, Interruptive: true, TwoWay: p.signing != "", Keyed: true, Shared: true}
}

// DedupKey is the deduplication key of an attempt: what PagerDuty calls the incident's key in its webhooks.
func DedupKey(attempt uuid.UUID) string { return "firebreak-" + attempt.String() }

// Attempt reads what DedupKey wrote.
func Attempt(key string) (uuid.UUID, bool) {
	rest, ok := strings.CutPrefix(key, "firebreak-")
	id, err := uuid.Parse(rest)
	return id, ok && err == nil && DedupKey(id) == key
}

// Notify triggers the incident of an attempt, or resolves it. A repeated call changes nothing there. Faults: Invalid for an
// event or a routing key that PagerDuty refuses, RateLimited with RetryAfter, Unavailable when it was not reached, Unknown
// when no answer came: then it may be sent again.
func (p *PagerDuty) Notify(ctx context.Context, m adapters.Message) (adapters.Delivery, error) {
	if m.AttemptID == uuid.Nil {
		return adapters.Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "a message without its attempt", Place: "/attempt_id"}
	}
	if m.Resolve {
		return p.enqueue(ctx, p.event("resolve", m.AttemptID))
	}
	return p.enqueue(ctx, p.trigger(m))
}

// Acknowledge tells PagerDuty that somebody acknowledged elsewhere, so that it stops ringing. Faults are Notify's.
func (p *PagerDuty) Acknowledge(ctx context.Context, attempt uuid.UUID) error {
	_, err := p.enqueue(ctx, p.event("acknowledge", attempt))
	return err
}
