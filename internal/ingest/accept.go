package ingest

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// Receipt is what a sender is told once everything is durable.
type Receipt struct {
	IDs         []uuid.UUID `json:"ids"`             // of every record kept, in the body's order, quarantined ones among them
	Quarantined int         `json:"quarantined"`     // kept raw, because they could not be read
	Skipped     int         `json:"skipped"`         // no findings: not kept
	Unknown     int         `json:"unknown"`         // attributes that OCSF 1.8 does not know, kept
	Notes       []ItemNote  `json:"notes,omitempty"` // of each item that is quarantined or skipped
}

// ItemNote says what became of an item that was not simply received.
type ItemNote struct {
	Item  int           `json:"item"`            // its place in the body, from 0
	ID    uuid.NullUUID `json:"id"`              // of its record, when quarantined
	State string        `json:"state"`           // quarantined or skipped
	Place string        `json:"place,omitempty"` // where it could not be read
	Why   string        `json:"why"`
}

// item is one part of a body on its way into the store: a detection, or a reason for having none.
type item struct {
	detection threat.Detection
	skip      string
	fault     error // unreadable
	raw       []byte
	unknown   int
}

// AcceptOCSF takes OCSF 1.8 Detection Findings: one object, an array of them, or one on each line. sensor names the token
// or connection that sent them. A finding whose activity is Close is skipped: its product says that it is over.
// Faults: Invalid with the place when nothing of the body can be read, TooLarge over MaxBody or MaxBatch, and the store's
// own; after each of them nothing was kept.
func (s *Service) AcceptOCSF(ctx context.Context, tenant uuid.UUID, sensor string, body []byte) (Receipt, error) {
	parts, _, err := ocsf.Split(body)
	if err != nil {
		return s.refuse(ctx, tenant, ProductOCSF, err)
	}
	now := s.now()
	own := s.networks(ctx, tenant)
	items := make([]item, len(parts))
	onEveryCore(len(parts), func(i int) { items[i] = readOCSF(parts[i], now, own) })
	return s.keep(ctx, tenant, sensor, ProductOCSF, now, items)
}

// onEveryCore does n independent pieces of work. What one of them panics with comes out here, where somebody may recover.
func onEveryCore(n int, work func(i int)) {
	var all sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), n)
	panics := make(chan any, workers)
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			defer func() {
				if p := recover(); p != nil {
					panics <- p
				}
			}()
			for i := w; i < n; i += workers {
				work(i)
			}
		}()
	}
	all.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}

// readOCSF reads one finding of a body.
func readOCSF(p ocsf.Item, now time.Time, own []netip.Prefix) item {
	it := item{raw: p.Raw, fault: p.Err}
	if p.Err != nil {
		return it
	}
	f, err := ocsf.Parse(p.Raw, p.Place)
	switch {
	case err != nil:
		it.fault = err
	case f.Activity == ocsf.ActivityClose:
		it.skip = "its product closed the finding"
	default:
		it.unknown = f.Unknown
		it.detection, it.fault = fromOCSF(f, p.Raw, now, own)
	}
	return it
}

// AcceptProduct takes a body in a product's own format. NotFound when no sensor of that name is known; else as AcceptOCSF.
func (s *Service) AcceptProduct(ctx context.Context, tenant uuid.UUID, sensor, product string,
	body []byte,
) (Receipt, error) {
	if product == ProductOCSF {
		return s.AcceptOCSF(ctx, tenant, sensor, body)
	}
	source, ok := s.d.Detectors[product]
	if !ok {
		f := threat.Faultf(threat.NotFound, "no sensor is called %q", threat.Inert(product, 32))
		names := append(slices.Sorted(maps.Keys(s.d.Detectors)), ProductOCSF)
		f.Place, f.Next = "product", "known ones: "+strings.Join(names, ", ")
		return s.refuse(ctx, tenant, "unknown", f)
	}
	if len(body) > MaxBody {
		return s.refuse(ctx, tenant, product,
			threat.Faultf(threat.TooLarge, "the body has %d bytes; the limit is %d", len(body), MaxBody))
	}
	found, err := source.Detector.Detect(body)
	if err != nil && len(found) == 0 {
		return s.refuse(ctx, tenant, product, err)
	}
	if len(found) > MaxBatch {
		return s.refuse(ctx, tenant, product,
			threat.Faultf(threat.TooLarge, "the body has %d findings; the limit is %d", len(found), MaxBatch))
	}
	now := s.now()
	own := s.networks(ctx, tenant)
	items := make([]item, 0, len(found)+1)
	for _, f := range found {
		it := item{raw: f.Raw, skip: f.Skip, fault: f.Unreadable}
		if it.fault == nil && it.skip == "" {
			it.detection, it.fault = fromProduct(f, product, source.Title, tenant, now, own)
		}
		items = append(items, it)
	}
	if err != nil {
		// What the detector could not read it did not tell apart: the whole body is kept beside the findings.
		items = append(items, item{raw: body, fault: err})
	}
	return s.keep(ctx, tenant, sensor, product, now, items)
}

// keep writes the items in one transaction. When none could be read the body is refused as a whole.
func (s *Service) keep(ctx context.Context, tenant uuid.UUID, sensor, product string, now time.Time,
	items []item,
) (Receipt, error) {
	r := Receipt{IDs: []uuid.UUID{}}
	var ds []threat.Detection
	var unread error
	read := 0
	at := map[int]int{} // item: its place in ds
	for i, it := range items {
		switch {
		case it.fault != nil:
			if unread == nil {
				unread = it.fault
			}
			it.detection = quarantined(it, product)
			r.Quarantined++
		case it.skip != "":
			read++
			r.Skipped++
			r.Notes = append(r.Notes, ItemNote{Item: i, State: "skipped", Why: threat.Inert(it.skip, maxReason)})
			continue
		default:
			read++
		}
		d := it.detection
		d.TenantID, d.Product, d.Sensor, d.ReceivedAt = tenant, product, sensor, now
		if d.State == threat.DetectionQuarantined {
			d.At = now
		}
		r.Unknown += it.unknown
		at[i] = len(ds)
		ds = append(ds, d)
	}
	if read == 0 {
		return s.refuse(ctx, tenant, product, unread)
	}
	if len(ds) > 0 {
		kept, err := s.d.Store.AcceptDetections(ctx, ds)
		if err != nil {
			return s.refuse(ctx, tenant, product, err)
		}
		if len(kept) != len(ds) {
			return s.refuse(ctx, tenant, product, threat.Faultf(threat.Internal,
				"the store kept %d of %d detections", len(kept), len(ds)))
		}
		for _, d := range kept {
			r.IDs = append(r.IDs, d.ID)
		}
	}
	for i, it := range items {
		if it.fault != nil {
			place, why := explain(it.fault)
			r.Notes = append(r.Notes, ItemNote{Item: i, ID: uuid.NullUUID{UUID: r.IDs[at[i]], Valid: true},
				State: "quarantined", Place: place, Why: why})
		}
	}
	slices.SortStableFunc(r.Notes, func(a, b ItemNote) int { return a.Item - b.Item })
	received := len(ds) - r.Quarantined
	for outcome, n := range map[string]int{"received": received, "quarantined": r.Quarantined, "skipped": r.Skipped} {
		if n > 0 {
			s.d.Metrics.Detections(product, outcome, n)
		}
	}
	s.d.Log.InfoContext(ctx, "detections taken in", "tenant", tenant, "product", product, "sensor", sensor,
		"received", received, "quarantined", r.Quarantined, "skipped", r.Skipped, "unknown", r.Unknown)
	if received > 0 {
		s.Wake()
	}
	return r, nil
}

// refuse counts and logs a body of which nothing was kept.
func (s *Service) refuse(ctx context.Context, tenant uuid.UUID, product string, err error) (Receipt, error) {
	s.d.Metrics.Detections(product, "refused", 1)
	level := s.d.Log.InfoContext
	if k := threat.KindOf(err); k == threat.Internal || k == threat.Unavailable {
		level = s.d.Log.ErrorContext
	}
	level(ctx, "detections refused", "tenant", tenant, "product", product, "kind", threat.KindOf(err), "error", err)
	return Receipt{}, err
}

// quarantined is the record of what could not be read: raw, with the reason. It goes to no triage.
func quarantined(it item, product string) threat.Detection {
	place, why := explain(it.fault)
	if place != "" {
		why += " (at " + place + ")"
	}
	raw := it.raw
	return threat.Detection{
		Title: "a finding that could not be read", Observables: []threat.Observable{}, Raw: raw,
		DedupKey: digestKey("quarantine|"+product, string(raw)), State: threat.DetectionQuarantined,
		Reason: threat.Inert(why, maxReason),
	}
}

// explain gives the place and the words of a fault; what is no fault is a defect of ours and keeps its words to the log.
func explain(err error) (place, why string) {
	var f *threat.Fault
	if !errors.As(err, &f) {
		return "", "it could not be read"
	}
	return threat.Inert(f.Place, 200), threat.Inert(f.What, maxReason)
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }
