package pagerduty

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// SignatureHeader carries the signatures of a v3 webhook.
const SignatureHeader = "X-PagerDuty-Signature"

// The types of events that mean something here. Others are real and are passed over.
const (
	EventAcknowledged = "incident.acknowledged"
	EventResolved     = "incident.resolved"
	EventPing         = "pagey.ping"
)

// Limits of a webhook.
const (
	MaxWebhook = 1 << 20            // bytes of a body
	maxAge     = 7 * 24 * time.Hour // PagerDuty repeats a delivery for a while; what is older is somebody's copy
	maxAhead   = 5 * time.Minute
)

// Webhook is one event that PagerDuty sent, its signature checked. What happens on a repetition is for who keeps EventID.
type Webhook struct {
	EventID  string
	Type     string
	DedupKey string        // of the incident, empty when it has none
	Attempt  uuid.NullUUID // that the incident was triggered for, when the key is ours
	Person   bool          // a user did it there, and no integration, workflow or timer
	Agent    string        // the name of who or what did it there, inert; may be empty
	AgentID  string        // PagerDuty's id of them
	At       time.Time     // UTC
}

// ParseWebhook checks and reads a v3 webhook: secret is the subscription's signing secret, body the request's bytes as they
// came. Unauthenticated without a right signature over them, TooLarge, Invalid for a body that is no event, and Expired for
// one that is more than a week old.
//
// https://developer.pagerduty.com/docs/verifying-webhook-signatures
func ParseWebhook(secret string, header http.Header, body []byte, now time.Time) (Webhook, error) {
	if len(body) > MaxWebhook {
		return Webhook{}, threat.Faultf(threat.TooLarge, "a webhook of more than %d bytes", MaxWebhook)
	}
	if secret == "" {
		return Webhook{}, &threat.Fault{Kind: threat.Unauthenticated, What: "this connection takes no webhooks",
			Next: "put the signing secret of the webhook subscription behind the routing key"}
	}
	if !signed(secret, header.Values(SignatureHeader), body) {
		return Webhook{}, threat.Faultf(threat.Unauthenticated, "the webhook's signature is missing or wrong")
	}
	return read(body, now)
}

// Webhook is ParseWebhook with the connection's own signing secret.
func (p *PagerDuty) Webhook(header http.Header, body []byte, now time.Time) (Webhook, error) {
	return ParseWebhook(p.signing, header, body, now)
}

// signed reports whether one of the signatures is ours: there are several while a secret is rotated. Every one is compared
// in constant time.
func signed(secret string, headers []string, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	want := mac.Sum(nil)
	ok := false
	for _, one := range strings.Split(strings.Join(headers, ","), ",") {
		sum, found := strings.CutPrefix(strings.TrimSpace(one), "v1=")
		if !found || len(sum) != hex.EncodedLen(sha256.Size) {
			continue
		}
		got, err := hex.DecodeString(sum)
		if err == nil && hmac.Equal(got, want) {
			ok = true
		}
	}
	return ok
}

func read(body []byte, now time.Time) (Webhook, error) {
	var in struct {
		Event struct {
			ID    string    `json:"id"`
			Type  string    `json:"event_type"`
			At    time.Time `json:"occurred_at"`
			Agent *struct {
				ID      string `json:"id"`
				Summary string `json:"summary"`
				Type    string `json:"type"`
			} `json:"agent"`
			Data struct {
				Type string `json:"type"`
				Key  string `json:"incident_key"`
			} `json:"data"`
		} `json:"event"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Webhook{}, &threat.Fault{Kind: threat.Invalid, What: "the webhook's body is not the JSON that was expected", Place: "/"}
	}
	e := in.Event
	bad := func(what, place string) (Webhook, error) {
		return Webhook{}, &threat.Fault{Kind: threat.Invalid, What: what, Place: place}
	}
	switch {
	case e.ID == "" || len(e.ID) > 128:
		return bad("an event without its id", "/event/id")
	case e.Type == "" || len(e.Type) > 128:
		return bad("an event without its type", "/event/event_type")
	case e.At.IsZero() || e.At.After(now.Add(maxAhead)):
		return bad("an event without its time, or of the future", "/event/occurred_at")
	case e.At.Before(now.Add(-maxAge)):
		return Webhook{}, &threat.Fault{Kind: threat.Expired, What: "the event is more than a week old", Place: "/event/occurred_at"}
	case len(e.Data.Key) > 255:
		return bad("an incident's key is longer than 255 characters", "/event/data/incident_key")
	}
	w := Webhook{EventID: threat.Inert(e.ID, 128), Type: threat.Inert(e.Type, 128), DedupKey: threat.Inert(e.Data.Key, 255),
		At: e.At.UTC()}
	if e.Agent != nil {
		w.Person = e.Agent.Type == "user_reference" || e.Agent.Type == "user"
		w.Agent, w.AgentID = threat.Inert(e.Agent.Summary, 100), threat.Inert(e.Agent.ID, 64)
	}
	if id, ok := Attempt(w.DedupKey); ok {
		w.Attempt = uuid.NullUUID{UUID: id, Valid: true}
	}
	return w, nil
}
