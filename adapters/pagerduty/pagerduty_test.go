package pagerduty_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/pagerduty"
	"github.com/firebreak/firebreak/internal/threat"
)

const (
	routingKey = "R0UT1NGk3yR0UT1NGk3yR0UT1NGk3y00"
	signing    = "s1gn1ng/Secret+of=webhooks"
)

// provider is PagerDuty's events endpoint: incidents by their key. It takes an event apart as the vendor's page says.
type provider struct {
	mu        sync.Mutex
	incidents []adaptertest.Received
	events    []map[string]any
	check     func(r *http.Request) error
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	say := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v2/enqueue" {
		say(404, `{}`)
		return
	}
	if p.check != nil {
		if err := p.check(r); err != nil {
			say(400, `{"status":"invalid event","message":"Event object is invalid","errors":["the spec does not allow it"]}`)
			return
		}
	}
	var e struct {
		Key     string `json:"routing_key"`
		Action  string `json:"event_action"`
		Dedup   string `json:"dedup_key"`
		Payload struct {
			Summary string            `json:"summary"`
			Details map[string]string `json:"custom_details"`
		} `json:"payload"`
	}
	body, _ := io.ReadAll(r.Body)
	var whole map[string]any
	if json.Unmarshal(body, &e) != nil || json.Unmarshal(body, &whole) != nil || e.Dedup == "" || e.Action == "trigger" && e.Payload.Summary == "" {
		say(400, `{"status":"invalid event","message":"Event object is invalid","errors":["bad `+e.Key+`"]}`)
		return
	}
	if e.Key != routingKey {
		say(400, `{"status":"invalid event","message":"`+e.Key+` is not a routing key","errors":[]}`)
		return
	}
	p.events = append(p.events, whole)
	i := slices.IndexFunc(p.incidents, func(r adaptertest.Received) bool { return r.Key == e.Dedup })
	switch {
	case i >= 0:
		p.incidents[i].Resolved = e.Action == "resolve"
	case e.Action == "trigger":
		p.incidents = append(p.incidents, adaptertest.Received{Key: e.Dedup, Subject: e.Payload.Summary, Text: e.Payload.Details["message"]})
	}
	say(202, `{"status":"success","message":"Event processed","dedup_key":"`+e.Dedup+`"}`)
}

func (p *provider) received() []adaptertest.Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.incidents)
}

func open(t *testing.T, base, secret string, rt http.RoundTripper) *pagerduty.PagerDuty {
	t.Helper()
	p, err := pagerduty.Open(threat.Connection{Settings: map[string]string{"base_url": base}}, secret, pagerduty.Options{Transport: rt})
	require.NoError(t, err)
	return p
}

func TestConformance(t *testing.T) {
	faults := map[adaptertest.ChannelFault]adaptertest.Fault{adaptertest.MessageLimited: adaptertest.Status429, adaptertest.MessageHangs: adaptertest.TimeoutBefore,
		adaptertest.MessageLost: adaptertest.TimeoutAfter, adaptertest.MessageDown: adaptertest.Refused}
	adaptertest.RunChannel(t, adaptertest.ChannelHarness{Info: pagerduty.Info, To: "on-call", Secrets: []string{routingKey, signing},
		Open: func(t *testing.T) *adaptertest.ChannelBench {
			p := &provider{}
			proxy := adaptertest.NewProxy(t, p)
			proxy.Secret = routingKey + " " + signing
			b := &adaptertest.ChannelBench{Notifier: open(t, proxy.URL+"/v2", routingKey+" "+signing, proxy.Transport(http.DefaultTransport)), Received: p.received}
			b.Arm = func(f adaptertest.ChannelFault) {
				if f == adaptertest.MessageRefused {
					b.Notifier = open(t, proxy.URL+"/v2", "another-"+routingKey+" "+signing, nil)
					return
				}
				proxy.Arm(faults[f], adaptertest.OpApply)
			}
			return b
		},
		Excuse: map[adaptertest.ChannelFault]string{adaptertest.MessageDenied: "PagerDuty answers a routing key that it does not know with 400, as a refusal for good"}})
}

// TestEveryStatus puts each status before the adapter: what may be sent again is told apart from what may not.
func TestEveryStatus(t *testing.T) {
	for status, want := range map[int]threat.FaultKind{200: threat.Unknown, 201: threat.Unknown, 202: "", 204: threat.Unknown, 301: threat.Invalid, 400: threat.Invalid,
		401: threat.Unauthenticated, 403: threat.Forbidden, 404: threat.NotFound, 413: threat.TooLarge, 429: threat.RateLimited, 500: threat.Unknown,
		502: threat.Unknown, 503: threat.Unavailable, 504: threat.Unknown} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"status":"success","message":"Event processed"}`)
		}))
		_, err := open(t, s.URL, routingKey, nil).Notify(t.Context(), adapters.Message{AttemptID: uuid.New(), To: "x", Subject: "s"})
		require.Equal(t, want, threat.KindOf(err), "%d: %v", status, err)
		if want == threat.RateLimited {
			var f *threat.Fault
			require.True(t, errors.As(err, &f))
			require.Equal(t, 7*time.Second, f.RetryAfter)
		}
		s.Close()
	}
	// A 202 that is no acceptance, and one of another key.
	for _, body := range []string{`<html>`, `{}`, `{"status":"queued"}`, `{"status":"success","dedup_key":"other"}`, `{"status":"` + routingKey + `"}`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(202)
			_, _ = io.WriteString(w, body)
		}))
		_, err := open(t, s.URL, routingKey, nil).Notify(t.Context(), adapters.Message{AttemptID: uuid.New(), To: "x", Subject: "s"})
		require.Equal(t, threat.Unknown, threat.KindOf(err), body)
		require.NotContains(t, err.Error(), routingKey)
		s.Close()
	}
}

// TestEventsMatchTheSpecification checks every kind of event against the vendor's OpenAPI document.
func TestEventsMatchTheSpecification(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile(sharedData(t, "specs", "pagerduty-events-v2.openapi.json"))
	require.NoError(t, err)
	item := doc.Paths.Find("/enqueue")
	require.NotNil(t, item)
	check := func(r *http.Request) error {
		return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: r,
			Route:   &routers.Route{Spec: doc, Path: "/enqueue", PathItem: item, Method: http.MethodPost, Operation: item.Post},
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}})
	}
	// The check is no rubber stamp.
	bad := httptest.NewRequest(http.MethodPost, "/enqueue", strings.NewReader(`{"routing_key":"x","event_action":"explode"}`))
	bad.Header.Set("Content-Type", "application/json")
	require.Error(t, check(bad))

	p := &provider{check: check}
	s := httptest.NewServer(p)
	defer s.Close()
	d := open(t, s.URL+"/v2", routingKey, nil)
	for severity := threat.SeverityUnknown; severity <= threat.SeverityFatal; severity++ {
		m := adapters.Message{AttemptID: uuid.New(), CaseID: uuid.New(), To: "x", Subject: "[FB-7] High: beaconing", Text: strings.Repeat("é", 100_000),
			Link: "https://firebreak.example/cases/FB-7", Severity: severity}
		got, err := d.Notify(t.Context(), m)
		require.NoError(t, err)
		require.True(t, got.Accepted)
		require.Equal(t, pagerduty.DedupKey(m.AttemptID), got.ProviderID)
		require.NoError(t, d.Acknowledge(t.Context(), m.AttemptID))
		m.Resolve = true
		_, err = d.Notify(t.Context(), m)
		require.NoError(t, err)
	}
	m := adapters.Message{AttemptID: uuid.New(), To: "x"} // nothing but an attempt
	_, err = d.Notify(t.Context(), m)
	require.NoError(t, err)
	first := p.events[0]
	require.Equal(t, "trigger", first["event_action"])
	require.Equal(t, "https://firebreak.example/cases/FB-7", first["client_url"])
	require.Equal(t, "info", first["payload"].(map[string]any)["severity"])
	require.Equal(t, "critical", p.events[18]["payload"].(map[string]any)["severity"])
	require.Equal(t, []any{"acknowledge", "resolve"}, []any{p.events[1]["event_action"], p.events[2]["event_action"]})
}

func TestOpen(t *testing.T) {
	r, err := adapters.NewRegistry(pagerduty.Product(pagerduty.Options{}))
	require.NoError(t, err)
	c := threat.Connection{Adapter: "pagerduty"}
	o, err := r.Open(c, routingKey, adapters.Options{})
	require.NoError(t, err)
	require.Equal(t, adapters.Channel{Name: "pagerduty", Interruptive: true, TwoWay: false, Keyed: true, Shared: true}, o.Notifier.Channel(),
		"what cannot bring an answer back never counts towards unreachable")
	o, err = r.Open(c, routingKey+"\n"+signing+"\n", adapters.Options{})
	require.NoError(t, err)
	require.True(t, o.Notifier.Channel().TwoWay)
	for _, secret := range []string{"", " ", "a b c", strings.Repeat("x", 2000), "kéy"} {
		_, err := r.Open(c, secret, adapters.Options{})
		require.True(t, threat.Is(err, threat.Invalid), "%q: %v", secret, err)
		if s := strings.TrimSpace(secret); len(s) > 5 {
			require.NotContains(t, err.Error(), s)
		}
	}
	c.Settings = map[string]string{"base_url": "ftp://x"}
	_, err = r.Open(c, routingKey, adapters.Options{})
	var f *threat.Fault
	require.True(t, errors.As(err, &f))
	require.Equal(t, "/settings/base_url", f.Place)
	_, err = open(t, "http://127.0.0.1:1", routingKey, nil).Notify(context.Background(), adapters.Message{To: "x"})
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
}
