package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Timeline tells what happened in a case, by time: its detections at the time at which they happened, what was done about
// them and what people said from the journal, and the tenant's mode and stop switch while it was open. NotFound for an
// unknown case. What an erased entry said is not told.
func (s *Store) Timeline(ctx context.Context, caseID uuid.UUID) (out []threat.TimelineRow, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		c, err := t.caseRow(ctx, caseID)
		if err != nil {
			return err
		}
		if out, err = t.detectionLines(ctx, caseID); err != nil {
			return err
		}
		told, err := t.entryLines(ctx, c)
		if err != nil {
			return err
		}
		out = append(out, told...)
		slices.SortStableFunc(out, func(a, b threat.TimelineRow) int { return a.At.Compare(b.At) })
		return nil
	})
	return out, err
}

const (
	maxTold    = 300 // runes of one text in a timeline
	timeFormat = "2006-01-02 15:04:05 UTC"
)

func at(t time.Time) string { return t.UTC().Format(timeFormat) }

// detectionLines tells a case's detections; repetitions stand with what they repeat.
func (t *tx) detectionLines(ctx context.Context, caseID uuid.UUID) ([]threat.TimelineRow, error) {
	rows, err := collect[detectionRow](t.query(ctx, detectionSelect+`case_id = ?1 ORDER BY seq`, caseID))(scanDetection)
	if err != nil {
		return nil, err
	}
	type repeats struct {
		n    int
		last time.Time
	}
	again := map[string]*repeats{} // by dedup key
	for _, d := range rows {
		if d.State == threat.DetectionDuplicate {
			r := again[d.DedupKey]
			if r == nil {
				r = &repeats{}
				again[d.DedupKey] = r
			}
			r.n++
			r.last = happened(d)
		}
	}
	var out []threat.TimelineRow
	for _, d := range rows {
		if d.State == threat.DetectionDuplicate {
			continue
		}
		row := threat.TimelineRow{At: happened(d), Kind: threat.RowDetection, Tactic: strings.Join(d.Techniques, ", "),
			Text: threat.Inert(d.Title, maxTold) + " (" + d.Product + ")", Actor: d.Sensor, Ref: detectionSubject(d.ID)}
		if d.Adversary() {
			row.Kind = threat.RowAdversary
		}
		if d.Clock != threat.ClockFine {
			row.Text += "; its sensor's clock is " + string(d.Clock) + ", so that this is when it came in"
		}
		if r := again[d.DedupKey]; r != nil {
			row.Text += fmt.Sprintf("; repeated %s, last at %s", counted(r.n, "time"), at(r.last))
			delete(again, d.DedupKey)
		}
		out = append(out, row)
	}
	return out, nil
}

// happened is when a detection happened, as far as its clock can be believed.
func happened(d detectionRow) time.Time {
	if d.Clock != threat.ClockFine {
		return d.ReceivedAt
	}
	return d.At
}

// said is what the payloads of the entries that a timeline tells have between them.
type said struct {
	Adopted    bool               `json:"adopted"`
	Attempt    uuid.NullUUID      `json:"attempt"`
	Body       threat.RequestBody `json:"body"`
	By         string             `json:"by"`
	Chain      []threat.ChainStep `json:"chain"`
	Channel    string             `json:"channel"`
	Connection uuid.UUID          `json:"connection_id"`
	Detail     string             `json:"detail"`
	Ending     string             `json:"ending"`
	Error      string             `json:"error"`
	Expires    time.Time          `json:"expires_at"`
	From       string             `json:"from"`
	Guard      string             `json:"guard"`
	HoldUntil  *time.Time         `json:"hold_until"`
	Kind       string             `json:"kind"`
	Left       bool               `json:"left"`
	Mode       threat.Mode        `json:"mode"`
	Name       string             `json:"name"`
	Number     int64              `json:"number"`
	On         bool               `json:"on"`
	Outcome    threat.Outcome     `json:"outcome"`
	Person     uuid.UUID          `json:"person"`
	Reason     string             `json:"reason"`
	Rounds     int                `json:"rounds"`
	Severity   threat.Severity    `json:"severity"`
	State      string             `json:"state"`
	Subject    string             `json:"subject"`
	Surface    string             `json:"surface"`
	Target     threat.Target      `json:"target"`
	Text       string             `json:"text"`
	Threat     threat.ThreatState `json:"threat"`
	Title      string             `json:"title"`
	To         string             `json:"to"`
	Until      time.Time          `json:"until"`
	Verb       string             `json:"verb"`
	Verdict    threat.VerdictKind `json:"verdict"`
	Via        string             `json:"via"`
	Why        string             `json:"why"`
}

// told is one entry on its way into a timeline.
type told struct {
	entry threat.Entry
	said
	names       map[string]string    // of people, by actor
	connections map[uuid.UUID]string // names
}

// entryLines tells what the journal holds about a case, and of its tenant's switches while the case was open.
func (t *tx) entryLines(ctx context.Context, c threat.Case) ([]threat.TimelineRow, error) {
	entries, err := t.entries(ctx, `j.case_id = ?1 AND j.kind NOT IN ('decision.recorded', 'detection.assigned',
		'detection.duplicate') ORDER BY j.seq`, c.ID)
	if err != nil {
		return nil, err
	}
	until := t.now
	if c.ClosedAt != nil {
		until = *c.ClosedAt
	}
	switches, err := t.entries(ctx, `j.org_id = ?1 AND j.kind IN ('tenant.mode', 'tenant.stop') AND j.at >= ?2 AND j.at <= ?3
		ORDER BY j.seq`, c.TenantID, micros(c.OpenedAt), micros(until))
	if err != nil {
		return nil, err
	}
	var list []told
	entries = append(entries, switches...)
	slices.SortFunc(entries, func(a, b threat.Entry) int { return cmp.Compare(a.Seq, b.Seq) }) // one chain
	for _, e := range entries {
		n := told{entry: e}
		if !e.Erased {
			if err := json.Unmarshal(e.Payload, &n.said); err != nil {
				return nil, threat.Faultf(threat.Internal, "entry %d cannot be read: %w", e.Seq, err)
			}
		}
		list = append(list, n)
	}
	names, err := t.namesIn(ctx, list)
	if err != nil {
		return nil, err
	}
	connections, err := t.connectionNames(ctx, c.TenantID)
	if err != nil {
		return nil, err
	}
	over := map[string]bool{} // messages that came to something
	for _, n := range list {
		if n.entry.Kind == threat.EntryAttempt && n.State != string(threat.AttemptSending) {
			over[n.entry.Subject] = true
		}
	}
	var out []threat.TimelineRow
	for _, n := range list {
		line, ok := lines[n.entry.Kind]
		if !ok || n.entry.Kind == threat.EntryAttempt && n.State == string(threat.AttemptSending) && over[n.entry.Subject] {
			continue
		}
		n.names, n.connections = names, connections
		row := threat.TimelineRow{At: n.entry.At, Kind: line.kind, Actor: n.who(n.entry.Actor), Ref: n.entry.Subject}
		if n.entry.Erased {
			row.Text = string(n.entry.Kind) + ": what was said here was erased"
		} else {
			row.Text = line.text(n)
		}
		out = append(out, row)
	}
	return out, nil
}

// namesIn gives the names of the people that entries speak of.
func (t *tx) namesIn(ctx context.Context, list []told) (map[string]string, error) {
	ids := map[uuid.UUID]bool{}
	for _, n := range list {
		if text, ok := strings.CutPrefix(n.entry.Actor, "person:"); ok {
			if id, err := uuid.Parse(text); err == nil {
				ids[id] = true
			}
		}
		ids[n.Person] = true
	}
	delete(ids, uuid.Nil)
	wanted := make([]uuid.UUID, 0, len(ids))
	for id := range ids {
		wanted = append(wanted, id)
	}
	out := map[string]string{}
	for chunk := range padded(anys(sortedIDs(wanted))) {
		people, err := collect[threat.Person](t.query(ctx, personSelect+`id IN `+places(1, len(chunk)), chunk...))(scanPerson)
		if err != nil {
			return nil, err
		}
		for _, p := range people {
			out["person:"+p.ID.String()] = p.Name
		}
	}
	return out, nil
}

func (t *tx) connectionNames(ctx context.Context, tenant uuid.UUID) (map[uuid.UUID]string, error) {
	out := map[uuid.UUID]string{}
	_, err := collect[struct{}](t.query(ctx, `SELECT id, name FROM connections WHERE tenant_id = ?1`, tenant))(
		func(r *sql.Rows) (struct{}, error) {
			var id uuid.UUID
			var name string
			err := r.Scan(&id, &name)
			out[id] = name
			return struct{}{}, err
		})
	return out, err
}

// who gives a person's name, or the actor as it stands.
func (n told) who(actor string) string {
	if name, ok := n.names[actor]; ok {
		return name
	}
	return actor
}

// device gives a connection's name.
func (n told) device() string {
	if name, ok := n.connections[n.Connection]; ok {
		return name
	}
	return "a connection"
}

// counted gives "1 contact" and "2 contacts".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// because adds a reason, when there is one.
func because(text, why string) string {
	if why == "" {
		return text
	}
	return text + ": " + threat.Inert(why, maxTold)
}

// deed gives what is done to what, in words: "block an address (203.0.113.66)".
func deed(name string, targets ...threat.Target) string {
	words := name
	if v, ok := verb.Find(name); ok {
		words = v.Title
	}
	values := make([]string, len(targets))
	for i, target := range targets {
		values[i] = threat.Inert(target.Value, maxTold)
	}
	return words + " (" + strings.Join(values, ", ") + ")"
}

func (n told) deed() string { return deed(n.Verb, n.Target) }
