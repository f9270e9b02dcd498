package lab

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/suricata"
	"github.com/firebreak/firebreak/internal/feed"
	"github.com/firebreak/firebreak/internal/threat"
)

const (
	feedToken   = "fbf_the-simulated-firewall"
	sensorToken = "fbt_the-simulated-sensor"
)

// firebreak is the outside of Firebreak: the real feed handler over lists in memory, and an inbox for sensors.
type firebreak struct {
	*httptest.Server
	t          *testing.T
	connection uuid.UUID

	mu       sync.Mutex
	now      func() time.Time
	entries  map[string]map[string]time.Time // by list and value: until when
	revision map[string]int64
	changed  time.Time
	down     bool // the feed answers 503
	refuse   int  // status of the next posts; 0 accepts
	asked    []string
	found    []adapters.Finding
	onFound  func(adapters.Finding)
}

func newFirebreak(t *testing.T) *firebreak {
	t.Helper()
	f := &firebreak{t: t, connection: uuid.New(), now: time.Now, entries: map[string]map[string]time.Time{threat.FeedIPs: {},
		threat.FeedDomains: {}}, revision: map[string]int64{}}
	lists := feed.New(feed.Options{Lists: f, Log: slog.New(slog.DiscardHandler), Authenticate: func(_ context.Context, token string) (feed.Subscriber, error) {
		if token != feedToken {
			return feed.Subscriber{}, threat.Faultf(threat.NotFound, "no such token")
		}
		return feed.Subscriber{Connection: threat.Connection{ID: f.connection}, Firewall: firewallName}, nil
	}})
	mux := http.NewServeMux()
	mux.HandleFunc("/feeds/", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.Header.Get("If-None-Match"))
		down := f.down
		f.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		lists.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /v1/tenants/{tenant}/sensors/suricata", f.detect)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// detect reads a post with the real decoder.
func (f *firebreak) detect(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+sensorToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	f.mu.Lock()
	status := f.refuse
	f.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	found, err := suricata.Adapter{}.Detect(body)
	if err != nil {
		f.t.Errorf("%v in %s", err, body)
	}
	var receipt struct {
		IDs []uuid.UUID `json:"ids"`
	}
	for _, x := range found {
		if x.Unreadable != nil || x.Skip != "" {
			f.t.Errorf("%v %s in %s", x.Unreadable, x.Skip, x.Raw)
		}
		receipt.IDs = append(receipt.IDs, uuid.New())
		f.mu.Lock()
		f.found = append(f.found, x)
		hook := f.onFound
		f.mu.Unlock()
		if hook != nil {
			hook(x)
		}
	}
	w.WriteHeader(http.StatusAccepted)
	if err := json.NewEncoder(w).Encode(receipt); err != nil {
		f.t.Error(err)
	}
}

func (f *firebreak) FeedEntries(_ context.Context, c uuid.UUID, list string, now time.Time) ([]threat.FeedEntry, int64, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []threat.FeedEntry
	for v, until := range f.entries[list] {
		if now.Before(until) {
			out = append(out, threat.FeedEntry{ConnectionID: c, List: list, Value: v, Until: until})
		}
	}
	return out, f.revision[list], f.changed, nil
}

func (f *firebreak) RecordFetch(context.Context, uuid.UUID, string, string, int64, time.Time) error {
	return nil
}

func (f *firebreak) block(list, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[list][value] = f.now().Add(time.Hour)
	f.revision[list]++
	f.changed = f.now()
}

func (f *firebreak) release(list, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.entries[list], value)
	f.revision[list]++
	f.changed = f.now()
}

func (f *firebreak) set(fn func()) { f.mu.Lock(); defer f.mu.Unlock(); fn() }

func (f *firebreak) findings() []adapters.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]adapters.Finding(nil), f.found...)
}

// network is a network before this Firebreak. Its clock is the test's where one is given.
func (f *firebreak) network(now func() time.Time, pace Pace) *Network {
	f.t.Helper()
	n, err := NewNetwork(NetworkOptions{SensorURL: f.URL + "/v1/tenants/acme/sensors/suricata", SensorToken: sensorToken,
		Feed: []string{f.URL + "/feeds/" + feedToken}, Now: now, Pace: pace})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// story gathers steps.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) tell(text string) { s.mu.Lock(); defer s.mu.Unlock(); s.lines = append(s.lines, text) }

// has reports whether steps with these words came, in this order.
func (s *story) has(words ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.lines {
		if len(words) > 0 && strings.Contains(line, words[0]) {
			words = words[1:]
		}
	}
	return len(words) == 0
}

// eventually waits for something that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
