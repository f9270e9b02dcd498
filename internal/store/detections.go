package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// detectionRecord is what a detection's entry says: all of it, so that the table could be made anew from the journal.
type detectionRecord struct {
	Product     string              `json:"product"`
	Sensor      string              `json:"sensor"`
	UID         string              `json:"uid,omitempty"`
	Title       string              `json:"title"`
	Severity    threat.Severity     `json:"severity"`
	Techniques  []string            `json:"techniques,omitempty"`
	At          time.Time           `json:"at"`
	ReceivedAt  time.Time           `json:"received_at"`
	Clock       threat.ClockMark    `json:"clock,omitempty"`
	DedupKey    string              `json:"dedup_key"`
	Reason      string              `json:"reason,omitempty"`
	Observables []threat.Observable `json:"observables"`
	OCSF        json.RawMessage     `json:"ocsf,omitempty"`       // byte for byte
	Raw         string              `json:"raw,omitempty"`        // as it was sent, when it is UTF-8
	RawBase64   []byte              `json:"raw_base64,omitempty"` // otherwise
	RawIsOCSF   bool                `json:"raw_is_ocsf,omitempty"`
}

// recordOf writes a detection's record. What is long goes past encoding/json: it is most of what there is to accept.
func recordOf(d threat.Detection) (json.RawMessage, error) {
	r := detectionRecord{Product: d.Product, Sensor: d.Sensor, UID: d.UID, Title: d.Title, Severity: d.Severity,
		Techniques: d.Techniques, At: d.At, ReceivedAt: d.ReceivedAt, Clock: d.Clock, DedupKey: d.DedupKey, Reason: d.Reason,
		Observables: d.Observables}
	text := utf8.Valid(d.Raw)
	r.RawIsOCSF = text && len(d.OCSF) > 0 && bytes.Equal(d.Raw, d.OCSF) && len(bytes.TrimSpace(d.Raw)) == len(d.Raw)
	if !text {
		r.RawBase64 = d.Raw
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(d.OCSF) > 0 {
		if !json.Valid(d.OCSF) {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "a detection's event is no JSON", Place: "/ocsf"}
		}
		b = slices.Grow(b, len(d.OCSF)+2*len(d.Raw)+32)
		b = append(append(append(b[:len(b)-1], `,"ocsf":`...), d.OCSF...), '}')
	}
	if text && !r.RawIsOCSF {
		b = append(appendQuoted(append(b[:len(b)-1], `,"raw":`...), d.Raw), '}')
	}
	return b, nil
}

// appendQuoted adds UTF-8 text as a JSON string.
func appendQuoted(b, text []byte) []byte {
	b = append(b, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[from:i]...)
		from = i + 1
		if c < ' ' {
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		} else {
			b = append(b, '\\', c)
		}
	}
	return append(append(b, text[from:]...), '"')
}

// fill puts into a detection what only its entry has.
func (r detectionRecord) fill(d *threat.Detection) {
	d.Observables, d.OCSF = r.Observables, r.OCSF
	switch {
	case r.RawIsOCSF:
		d.Raw = r.OCSF
	case r.RawBase64 != nil:
		d.Raw = r.RawBase64
	default:
		d.Raw = []byte(r.Raw)
	}
}

func detectionSubject(id uuid.UUID) string { return "detection:" + id.String() }

const detectionInsert = `INSERT INTO detections (id, tenant_id, entry, state, product, sensor, uid, title, severity, techniques, at,
	received_at, clock, dedup_key, reason)`

const detectionInsertColumns = 15

// AcceptDetections keeps detections of one tenant, all of them or none, in the order given, each with an entry of its own,
// and gives them with their ids and places. Those in DetectionQuarantined go to no triage. Invalid when they are of several
// tenants or in another state, NotFound for an unknown tenant, Unavailable when nothing was kept.
func (s *Store) AcceptDetections(ctx context.Context, ds []threat.Detection) ([]threat.Detection, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	tenant := ds[0].TenantID
	ds = slices.Clone(ds)
	entries := make([]threat.Entry, len(ds))
	for i := range ds {
		ds[i].ID = uuid.Must(uuid.NewV7()) // in their order
	}
	if err := inParallel(len(ds), func(i int) (err error) {
		entries[i], err = s.newDetection(&ds[i], tenant)
		return err
	}); err != nil {
		return nil, err
	}
	err := s.write(ctx, []uuid.UUID{tenant}, func(ctx context.Context, t *tx) error {
		kept, err := t.appendFresh(ctx, entries)
		if err != nil {
			return err
		}
		rows := make([]any, 0, len(ds)*detectionInsertColumns)
		owner := tenant.String()
		for i := range ds {
			d := &ds[i]
			d.Seq = kept[i].Seq
			techniques, err := listText(d.Techniques)
			if err != nil {
				return err
			}
			rows = append(rows, d.ID.String(), owner, d.Seq, string(d.State), d.Product, d.Sensor, d.UID, d.Title, int(d.Severity),
				techniques, micros(d.At), micros(d.ReceivedAt), string(d.Clock), d.DedupKey, d.Reason)
			if d.State == threat.DetectionReceived {
				t.wake(wakeReceived)
			}
		}
		return t.insertRows(ctx, detectionInsert, ``, detectionInsertColumns, rows)
	})
	if err != nil {
		return nil, err
	}
	return ds, nil
}

// newDetection checks one that is to be accepted, completes it, and gives its entry.
func (s *Store) newDetection(d *threat.Detection, tenant uuid.UUID) (threat.Entry, error) {
	if d.State == "" {
		d.State = threat.DetectionReceived
	}
	kind := threat.EntryDetectionReceived
	switch {
	case d.TenantID != tenant:
		return threat.Entry{}, threat.Faultf(threat.Invalid, "detections of several tenants in one call")
	case d.State == threat.DetectionQuarantined:
		kind = threat.EntryDetectionQuarantined
	case d.State != threat.DetectionReceived:
		return threat.Entry{}, threat.Faultf(threat.Invalid, "a detection that is new cannot be %s", d.State)
	}
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = s.clock()
	}
	if d.Observables == nil {
		d.Observables = []threat.Observable{}
	}
	d.At, d.ReceivedAt = d.At.UTC().Truncate(time.Microsecond), d.ReceivedAt.UTC().Truncate(time.Microsecond)
	payload, err := recordOf(*d)
	return threat.Entry{OrgID: tenant, Key: detectionSubject(d.ID), Kind: kind, Actor: sensorActor(d.Sensor),
		Subject: detectionSubject(d.ID), Payload: payload}, err
}

// sensorActor is who a detection's entry names: the token that brought it, or ourselves when a connection did.
func sensorActor(sensor string) string {
	if strings.HasPrefix(sensor, "token:") {
		return sensor
	}
	return threat.SystemActor
}

// listText is jsonText of a list that is mostly empty.
func listText[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	return jsonText(list)
}

const detectionColumns = `id, tenant_id, entry, state, case_id, seq, product, sensor, uid, title, severity, techniques, at,
	received_at, clock, dedup_key, reason, threat, proposals, decision_id`

const detectionSelect = `SELECT ` + detectionColumns + ` FROM detections WHERE `

// detectionRow is a detection with the place of its entry.
type detectionRow struct {
	threat.Detection
	entry int64
}

func scanDetection(r *sql.Rows) (d detectionRow, err error) {
	var at, received int64
	var techniques, proposals string
	if err := r.Scan(&d.ID, &d.TenantID, &d.entry, &d.State, &d.CaseID, &d.Seq, &d.Product, &d.Sensor, &d.UID, &d.Title, &d.Severity,
		&techniques, &at, &received, &d.Clock, &d.DedupKey, &d.Reason, &d.Threat, &proposals, &d.DecisionID); err != nil {
		return d, err
	}
	d.At, d.ReceivedAt = fromMicros(at), fromMicros(received)
	if d.Seq == 0 {
		d.Seq = d.entry
	}
	if err := fromJSON(techniques, &d.Techniques); err != nil {
		return d, err
	}
	return d, fromJSON(proposals, &d.Proposals)
}

// whole gives detections with what their entries hold: raw form, OCSF event and observables. These are missing where the
// payload was erased.
func (t *tx) whole(ctx context.Context, rows []detectionRow) ([]threat.Detection, error) {
	byTenant := map[uuid.UUID][]any{}
	for _, d := range rows {
		byTenant[d.TenantID] = append(byTenant[d.TenantID], d.entry)
	}
	records := map[string]detectionRecord{} // by subject
	for tenant, seqs := range byTenant {
		for chunk := range padded(seqs) {
			entries, err := t.entries(ctx, `j.org_id = ?1 AND j.seq IN `+places(2, len(chunk)), append([]any{tenant}, chunk...)...)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				var r detectionRecord
				if !e.Erased {
					if err := json.Unmarshal(e.Payload, &r); err != nil {
						return nil, threat.Faultf(threat.Internal, "the record of %s cannot be read: %w", e.Subject, err)
					}
				}
				records[e.Subject] = r
			}
		}
	}
	out := make([]threat.Detection, len(rows))
	for i, d := range rows {
		out[i] = d.Detection
		records[detectionSubject(d.ID)].fill(&out[i])
	}
	return out, nil
}

// paddedSizes are the lengths of lists in IN, so that few different statements exist.
var paddedSizes = []int{1, 8, 64, 500}

// padded cuts the arguments of an IN into parts of the lengths of paddedSizes; the last of a part is repeated to fill it.
func padded(args []any) func(yield func([]any) bool) {
	return func(yield func([]any) bool) {
		for most := paddedSizes[len(paddedSizes)-1]; len(args) > 0; {
			part := slices.Clone(args[:min(len(args), most)])
			args = args[len(part):]
			for _, size := range paddedSizes {
				if len(part) <= size {
					for len(part) < size {
						part = append(part, part[len(part)-1])
					}
					break
				}
			}
			if !yield(part) {
				return
			}
		}
	}
}

// anys gives a list as arguments.
func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// detections reads some, whole. where may end in order and limit.
func (t *tx) detections(ctx context.Context, where string, args ...any) ([]threat.Detection, error) {
	rows, err := collect[detectionRow](t.query(ctx, detectionSelect+where, args...))(scanDetection)
	if err != nil {
		return nil, err
	}
	return t.whole(ctx, rows)
}

// detection reads one, whole; NotFound when it is not there.
func (t *tx) detection(ctx context.Context, id uuid.UUID) (threat.Detection, error) {
	found, err := t.detections(ctx, `id = ?1`, id)
	if err == nil && len(found) == 0 {
		err = threat.Faultf(threat.NotFound, "no such detection")
	}
	if err != nil {
		return threat.Detection{}, err
	}
	return found[0], nil
}

// Detection gives one. NotFound when it is not there.
func (s *Store) Detection(ctx context.Context, id uuid.UUID) (d threat.Detection, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		d, err = t.detection(ctx, id)
		return err
	})
	return d, err
}

// maxDetections bounds a list of detections, which are read with all that they hold.
const maxDetections = 500

// DetectionsOfCase gives a case's detections in their order in it, from behind afterSeq; limit is at most 500.
func (s *Store) DetectionsOfCase(ctx context.Context, caseID uuid.UUID, afterSeq int64, limit int) (out []threat.Detection, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.detections(ctx, `case_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3`, caseID, afterSeq, bounded(limit, maxDetections))
		return err
	})
	return out, err
}

// listed are the states by which detections can be listed. They stand in the statements, since an index serves each.
var listed = map[threat.DetectionState]string{
	threat.DetectionReceived:    `state = 'received'`,
	threat.DetectionQuarantined: `state = 'quarantined'`,
	threat.DetectionSuppressed:  `state = 'suppressed'`,
	threat.DetectionAssigned:    `state = 'assigned'`,
	threat.DetectionDuplicate:   `state = 'duplicate'`,
	"":                          `TRUE`,
}

// Detections gives a tenant's detections in a state, the newest first, or all of them for the empty state; limit is at most
// 500. Invalid for an unknown state.
func (s *Store) Detections(ctx context.Context, tenant uuid.UUID, state threat.DetectionState, limit int) (out []threat.Detection,
	err error) {
	where, ok := listed[state]
	if !ok {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "unknown state of a detection", Place: "/state"}
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.detections(ctx, `tenant_id = ?1 AND `+where+` ORDER BY arrival DESC LIMIT ?2`, tenant, bounded(limit, maxDetections))
		return err
	})
	return out, err
}

// bounded gives limit, or most when it is none or more.
func bounded(limit, most int) int {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}

// LeaseReceived hands out detections that wait for triage to owner for a time: at most n, round robin between tenants, the
// oldest first within one. What is not assigned when the lease ends is handed out again.
func (s *Store) LeaseReceived(ctx context.Context, owner string, n int, lease time.Duration) (out []threat.Detection, err error) {
	if n <= 0 {
		return nil, nil
	}
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		out = nil
		tenants, err := t.inTurn(ctx, &s.receivedTurn, `detections WHERE state = 'received'`)
		if err != nil || len(tenants) == 0 {
			return err
		}
		found, err := eachTenant(ctx, t, tenants, n, `SELECT id FROM detections WHERE tenant_id = ?{tenant} AND state = 'received'
			AND lease_until <= ?1 ORDER BY arrival LIMIT ?2`, scanID, micros(t.now), n)
		if err != nil {
			return err
		}
		taken := map[uuid.UUID]detectionRow{}
		picked := roundRobin(tenants, found, n)
		for chunk := range padded(anys(picked)) {
			rows, err := collect[detectionRow](t.query(ctx, `UPDATE detections SET lease_owner = ?1, lease_until = ?2 WHERE id IN
				(SELECT id FROM detections WHERE id IN `+places(4, len(chunk))+` AND state = 'received' AND lease_until <= ?3`+
				t.skipLocked()+`) RETURNING `+detectionColumns,
				append([]any{owner, micros(t.now.Add(lease)), micros(t.now)}, chunk...)...))(scanDetection)
			if err != nil {
				return err
			}
			for _, d := range rows {
				taken[d.ID] = d
			}
		}
		var rows []detectionRow
		for _, id := range picked {
			if d, ok := taken[id]; ok {
				rows = append(rows, d)
			}
		}
		if len(rows) > 0 {
			s.receivedTurn.after(rows[len(rows)-1].TenantID)
		}
		out, err = t.whole(ctx, rows)
		return err
	})
	return out, err
}

func scanID(r *sql.Rows) (id uuid.UUID, err error) {
	err = r.Scan(&id)
	return id, err
}
