package pagerduty_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters/pagerduty"
	"github.com/firebreak/firebreak/internal/threat"
)

var now = time.Date(2026, 3, 2, 3, 12, 0, 0, time.UTC)

// webhook writes an event as the vendor's page on webhooks shows it.
func webhook(kind, key string, at time.Time) []byte {
	return []byte(fmt.Sprintf(`{"event":{"id":"01DQ5ZJ8GXKQ4YV3K8Q7J1B2C3","event_type":%q,"resource_type":"incident","occurred_at":%q,
		"agent":{"html_url":"https://acme.pagerduty.com/users/PLH1HKV","id":"PLH1HKV","self":"https://api.pagerduty.com/users/PLH1HKV","summary":"Ada\u202e","type":"user_reference"},
		"client":null,"data":{"id":"PGR0VU2","type":"incident","status":"acknowledged","incident_key":%q,"title":"[FB-7] High"}}}`, kind, at.Format(time.RFC3339Nano), key))
}

func sign(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return "v1=" + hex.EncodeToString(m.Sum(nil))
}

func header(values ...string) http.Header {
	return http.Header{http.CanonicalHeaderKey(pagerduty.SignatureHeader): values}
}

func TestWebhook(t *testing.T) {
	attempt := uuid.New()
	body := webhook(pagerduty.EventAcknowledged, pagerduty.DedupKey(attempt), now.Add(-time.Minute))
	want := pagerduty.Webhook{EventID: "01DQ5ZJ8GXKQ4YV3K8Q7J1B2C3", Type: pagerduty.EventAcknowledged, DedupKey: pagerduty.DedupKey(attempt),
		Attempt: uuid.NullUUID{UUID: attempt, Valid: true}, Person: true, Agent: "Ada\ufffd", AgentID: "PLH1HKV", At: now.Add(-time.Minute)}
	good := sign(signing, body)
	// The vendor's own library agrees about the signature.
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	r.Header = header(good)
	require.NoError(t, webhookv3.VerifySignature(r, signing))

	for name, h := range map[string]http.Header{
		"one":                      header(good),
		"two, while one rotates":   header(sign("old", body) + "," + good),
		"two, with a blank":        header(good + ", " + sign("new", body)),
		"two headers":              header(sign("old", body), good),
		"a version still to come":  header("v2=abc," + good),
		"beside something strange": header("v1=zz,,=,v1," + good),
	} {
		got, err := pagerduty.ParseWebhook(signing, h, body, now)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	flipped := []byte(good)
	flipped[10] ^= 1
	for name, h := range map[string]http.Header{
		"none":               {},
		"empty":              header(""),
		"another secret":     header(sign("other", body)),
		"a bit flipped":      header(string(flipped)),
		"cut":                header(good[:20]),
		"without a version":  header(strings.TrimPrefix(good, "v1=")),
		"of another version": header("v2=" + strings.TrimPrefix(good, "v1=")),
		"of another body":    header(sign(signing, append(body, ' '))),
	} {
		_, err := pagerduty.ParseWebhook(signing, h, body, now)
		require.True(t, threat.Is(err, threat.Unauthenticated), "%s: %v", name, err)
		require.NotContains(t, err.Error(), signing)
		require.NotContains(t, err.Error(), good[3:20])
	}
	// Without a signing secret nothing is let in, however it is signed.
	_, err := pagerduty.ParseWebhook("", header(sign("", body)), body, now)
	require.True(t, threat.Is(err, threat.Unauthenticated))
	p := open(t, "http://127.0.0.1:1", routingKey, nil)
	_, err = p.Webhook(header(sign("", body)), body, now)
	require.True(t, threat.Is(err, threat.Unauthenticated))
	got, err := open(t, "http://127.0.0.1:1", routingKey+" "+signing, nil).Webhook(header(good), body, now)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestWebhookKinds(t *testing.T) {
	ping := []byte(`{"event":{"id":"01","event_type":"pagey.ping","resource_type":"pagey","occurred_at":"2026-03-02T03:12:00Z","agent":null,"client":null,"data":{"message":"Hello from your friend Pagey!","type":"ping"}}}`)
	got, err := pagerduty.ParseWebhook(signing, header(sign(signing, ping)), ping, now)
	require.NoError(t, err)
	require.Equal(t, pagerduty.Webhook{EventID: "01", Type: pagerduty.EventPing, At: now}, got)
	for _, key := range []string{"somebody-elses", "firebreak-", "firebreak-x", "firebreak-" + strings.ToUpper(uuid.NewString())[:35] + "F"} {
		body := webhook(pagerduty.EventResolved, key, now)
		got, err := pagerduty.ParseWebhook(signing, header(sign(signing, body)), body, now)
		require.NoError(t, err)
		require.False(t, got.Attempt.Valid, key)
		require.Equal(t, key, got.DedupKey)
	}
}

func TestWhatNoUserDidIsNoPersonsWord(t *testing.T) {
	body := string(webhook(pagerduty.EventAcknowledged, pagerduty.DedupKey(uuid.New()), now))
	for agent, person := range map[string]bool{"user_reference": true, "user": true, "service_reference": false,
		"events_api_v2_inbound_integration_reference": false, "": false} {
		b := []byte(strings.Replace(body, "user_reference", agent, 1))
		got, err := pagerduty.ParseWebhook(signing, header(sign(signing, b)), b, now)
		require.NoError(t, err)
		require.Equal(t, person, got.Person, agent)
	}
}

func TestBadWebhooks(t *testing.T) {
	for body, want := range map[string]threat.FaultKind{
		``:                                      threat.Invalid,
		`null`:                                  threat.Invalid,
		`[]`:                                    threat.Invalid,
		`{}`:                                    threat.Invalid,
		`{"event":{"id":7}}`:                    threat.Invalid,
		`{"event":{"id":"1","event_type":"x"}}`: threat.Invalid,
		string(webhook("", "k", now)):           threat.Invalid,
		string(webhook(pagerduty.EventAcknowledged, "k", now.Add(time.Hour))):       threat.Invalid,
		string(webhook(pagerduty.EventAcknowledged, strings.Repeat("k", 300), now)): threat.Invalid,
		string(webhook(pagerduty.EventAcknowledged, "k", now.Add(-8*24*time.Hour))): threat.Expired,
		strings.Repeat(" ", pagerduty.MaxWebhook+1):                                 threat.TooLarge,
	} {
		_, err := pagerduty.ParseWebhook(signing, header(sign(signing, []byte(body))), []byte(body), now)
		require.Equal(t, want, threat.KindOf(err), "%.60s: %v", body, err)
	}
}

func FuzzWebhook(f *testing.F) {
	f.Add(webhook(pagerduty.EventAcknowledged, "k", now))
	f.Add([]byte(`{"event":{"id":"1","event_type":"x","occurred_at":"2026-03-02T03:12:00Z"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := pagerduty.ParseWebhook(signing, header(sign(signing, body)), body, now)
		if err == nil && (w.EventID == "" || w.Type == "" || w.At.IsZero()) {
			t.Errorf("%+v", w)
		}
		if _, err := pagerduty.ParseWebhook(signing, header(sign("other", body)), body, now); err == nil {
			t.Error("a wrong signature was taken")
		}
	})
}
