package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	maxBatch   = 100    // records in one post
	maxQueue   = 10_000 // records that wait; what comes on top is lost, and counted
	shortPause = 250 * time.Millisecond
	longPause  = 5 * time.Second
)

// Sensor is a simulated Suricata on the inner side of the firewall's mirror port: it sees what passes, and tells of it in
// EVE alerts with rules of the range for local use. A rule tells of the same source once in a while, as thresholds do. What
// was not answered with 202 is posted again, in order.
type Sensor struct {
	address, token string
	client         *http.Client
	now            func() time.Time
	log            *slog.Logger
	repeat         time.Duration
	wake           chan struct{}

	mu       sync.Mutex
	told     map[string]time.Time // by rule and source
	queue    []json.RawMessage
	accepted []uuid.UUID // as receipts named them
	made     int
	lost     int
	posts    int
	trouble  string
}

// SensorView is the sensor at one moment.
type SensorView struct {
	Made     int         `json:"made"`   // records written
	Queued   int         `json:"queued"` // not yet accepted
	Lost     int         `json:"lost"`   // refused for good, or one too many
	Posts    int         `json:"posts"`  // tries to post
	Accepted []uuid.UUID `json:"accepted"`
	Trouble  string      `json:"trouble,omitempty"` // of the last post
}

func newSensor(o NetworkOptions) *Sensor {
	return &Sensor{address: o.SensorURL, token: o.SensorToken, client: o.Client, now: o.Now, log: o.Log, repeat: o.Pace.Repeat,
		wake: make(chan struct{}, 1), told: map[string]time.Time{}}
}

// rule is one signature of the lab's.
type rule struct {
	id                  int
	signature, category string
	severity            int // of the class: 1 is the worst
	meta                map[string][]string
}

var (
	ruleName = rule{9000101, "LAB MALWARE DNS lookup of a controller's name (simulated)", "Domain Observed Used for C2 Detected", 1,
		map[string][]string{"mitre_tactic_name": {"Command_And_Control"}, "mitre_technique_id": {"T1071.004"},
			"signature_severity": {"Major"}}}
	ruleOrders = rule{9000102, "LAB MALWARE call for orders (simulated)", "Malware Command and Control Activity Detected", 1,
		map[string][]string{"attack_target": {"Client_Endpoint"}, "mitre_tactic_name": {"Command_And_Control"},
			"mitre_technique_id": {"T1071.001"}, "signature_severity": {"Major"}}}
	ruleScan = rule{9000103, "LAB SCAN many connections to port 445 (simulated)", "Detection of a Network Scan", 3,
		map[string][]string{"mitre_tactic_name": {"Discovery"}, "mitre_technique_id": {"T1046"}, "signature_severity": {"Minor"}}}
	ruleNoise = rule{9000104, "LAB INFO lookup of a time server (simulated)", "Misc activity", 3,
		map[string][]string{"signature_severity": {"Informational"}}}
)

// resolver answers the network's questions for names.
const resolver = "dc-01"

// Orders tells of a device that looks up its controller and gets orders from it.
func (s *Sensor) Orders(device Host, address, domain string) {
	s.alert(ruleName, device.Address, hostNamed(resolver).Address, 53, "UDP", "dns", map[string]any{
		"dns": map[string]any{"query": []map[string]any{{"type": "query", "id": rand.IntN(1 << 16), "rrname": domain, "rrtype": "A", "tx_id": 0}}}})
	s.alert(ruleOrders, device.Address, address, 80, "TCP", "http", map[string]any{
		"http": map[string]any{"hostname": domain, "url": "/orders", "http_user_agent": "nas-cam/1.0", "http_method": "GET",
			"protocol": "HTTP/1.1", "status": 200, "length": 64}})
}

// Scan tells of a device that tries a neighbour's shares.
func (s *Sensor) Scan(device, neighbour Host) {
	s.alert(ruleScan, device.Address, neighbour.Address, 445, "TCP", "", nil)
}

// Noise tells of something that is no attack.
func (s *Sensor) Noise() {
	from := hostNamed("ws-lea")
	s.alert(ruleNoise, from.Address, hostNamed(resolver).Address, 53, "UDP", "dns", map[string]any{
		"dns": map[string]any{"query": []map[string]any{{"type": "query", "id": rand.IntN(1 << 16), "rrname": "time.lab.example",
			"rrtype": "A", "tx_id": 0}}}})
}

// stamp is the form of EVE's time.
const stamp = "2006-01-02T15:04:05.000000-0700"

func (s *Sensor) alert(r rule, src, dst string, port int, proto, app string, more map[string]any) {
	now := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%d %s", r.id, src)
	if last, ok := s.told[key]; ok && now.Sub(last) < s.repeat {
		return
	}
	s.told[key] = now
	record := map[string]any{
		"timestamp": now.Format(stamp), "flow_id": rand.Int64N(1<<53-1) + 1, "in_iface": "lab0", "event_type": "alert",
		"host": "lab-sensor (simulated)", "src_ip": src, "src_port": 32768 + rand.IntN(28000), "dest_ip": dst, "dest_port": port,
		"proto": proto, "direction": "to_server",
		"alert": map[string]any{"action": "allowed", "gid": 1, "signature_id": r.id, "rev": 1, "signature": r.signature,
			"category": r.category, "severity": r.severity, "metadata": r.meta},
		"flow": map[string]any{"pkts_toserver": 6, "pkts_toclient": 5, "bytes_toserver": 640, "bytes_toclient": 820,
			"start": now.Add(-40 * time.Millisecond).Format(stamp), "src_ip": src, "dest_ip": dst},
	}
	if app != "" {
		record["app_proto"], record["tx_id"] = app, 0
	}
	for k, v := range more {
		record[k] = v
	}
	line, err := json.Marshal(record)
	if err != nil { // it holds texts and numbers only
		s.log.Error("a simulated record cannot be written", "error", err)
		return
	}
	s.made++
	if len(s.queue) >= maxQueue {
		s.lost++
		return
	}
	s.queue = append(s.queue, line)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// forget lets every rule tell of every source again.
func (s *Sensor) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.told)
}

// run posts what waits until ctx ends.
func (s *Sensor) run(ctx context.Context) {
	pause := shortPause
	for {
		again := false
		for more := true; more && ctx.Err() == nil; {
			var ok bool
			if more, ok = s.post(ctx); !ok {
				more, again = false, true
			}
		}
		if !again {
			pause = shortPause
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// post posts the oldest records. More reports whether others wait, ok whether these are done with.
func (s *Sensor) post(ctx context.Context) (more, ok bool) {
	s.mu.Lock()
	batch := append([]json.RawMessage(nil), s.queue[:min(len(s.queue), maxBatch)]...)
	s.mu.Unlock()
	if len(batch) == 0 {
		return false, true
	}
	ids, final, err := s.send(ctx, batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
	trouble := ""
	if err != nil {
		trouble = bare(err)
	}
	if trouble != "" && trouble != s.trouble {
		s.log.Warn("the simulated sensor's records were not accepted", "records", len(batch), "error", trouble, "tries_again", !final)
	}
	s.trouble = trouble
	switch {
	case err == nil:
		s.accepted = append(s.accepted, ids...)
	case final:
		s.lost += len(batch)
	default:
		return true, false
	}
	s.queue = append([]json.RawMessage(nil), s.queue[len(batch):]...)
	return len(s.queue) > 0, true
}

// send posts a batch as lines. Final reports an error that will be the same the next time.
func (s *Sensor) send(ctx context.Context, batch []json.RawMessage) (ids []uuid.UUID, final bool, err error) {
	var body bytes.Buffer
	for _, line := range batch {
		body.Write(line)
		body.WriteByte('\n')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, &body)
	if err != nil {
		return nil, true, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "firebreak-lab-sensor (simulated)")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, false, err
	case resp.StatusCode == http.StatusAccepted:
		var receipt struct {
			IDs []uuid.UUID `json:"ids"`
		}
		if err := json.Unmarshal(answer, &receipt); err != nil {
			s.log.Warn("a receipt cannot be read", "error", err)
		}
		return receipt.IDs, false, nil
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		final = true
	}
	return nil, final, threat.Faultf(threat.Unavailable, "answered %d: %s", resp.StatusCode, threat.Inert(string(answer), 200))
}

// View gives the sensor as it is now.
func (s *Sensor) View() SensorView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SensorView{Made: s.made, Queued: len(s.queue), Lost: s.lost, Posts: s.posts, Trouble: s.trouble,
		Accepted: append([]uuid.UUID(nil), s.accepted...)}
}
