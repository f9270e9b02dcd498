package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// fromOCSF makes the detection of a finding that was sent as OCSF.
func fromOCSF(f ocsf.Finding, raw []byte, now time.Time, own []netip.Prefix) (threat.Detection, error) {
	title := f.Title
	if title == "" {
		title = "finding " + f.UID + " of " + f.Product
	}
	d := threat.Detection{
		UID: clean(f.UID, maxUID), Title: clean(title, ocsf.MaxTitle), Severity: f.Severity, Techniques: f.Techniques,
		Raw: raw, At: f.At, Clock: clock(f.At, now), State: threat.DetectionReceived,
		DedupKey: key(ProductOCSF + "|" + f.Vendor + "|" + f.Product + "|" + f.UID),
	}
	var note ocsf.Note
	all, note := canonical(f.Observables, own)
	d.Observables = correlated(all, &note)
	note.Uncorrelated = f.Uncorrelated
	note.Unknown, note.UnknownAt = f.Unknown, f.UnknownAt
	if f.Malformed > 0 {
		note.Dropped += f.Malformed
		note.Reasons = append(note.Reasons, "observables without a type_id or a value")
	}
	var err error
	d.OCSF, err = ocsf.Annotate(raw, note)
	return d, err
}

// fromProduct makes the detection of a product's finding, and writes it as OCSF.
func fromProduct(f adapters.Finding, product, title string, tenant uuid.UUID, now time.Time,
	own []netip.Prefix,
) (threat.Detection, error) {
	if f.At.IsZero() {
		f.At = now
	}
	d := threat.Detection{
		TenantID: tenant, Product: product, UID: clean(f.UID, maxUID), Title: clean(f.Title, ocsf.MaxTitle),
		Severity: f.Severity, Raw: f.Raw, At: f.At.UTC(), ReceivedAt: now, Clock: clock(f.At, now),
		State: threat.DetectionReceived,
	}
	if d.Title == "" {
		d.Title = "finding of " + title
	}
	if d.Severity < threat.SeverityUnknown || d.Severity > threat.SeverityFatal {
		d.Severity = threat.SeverityUnknown
	}
	for _, t := range f.Techniques {
		if t = ocsf.Technique(t); t != "" {
			d.Techniques = append(d.Techniques, t)
		}
	}
	switch {
	case f.DedupKey != "":
		d.DedupKey = key(f.DedupKey)
	case f.UID != "":
		d.DedupKey = key(product + "|" + f.UID)
	default:
		d.DedupKey = digestKey(product, string(f.Raw))
	}
	all, note := canonical(f.Observables, own)
	d.Observables = correlated(all, &note)
	var err error
	d.OCSF, err = ocsf.FromFinding(d, ocsf.Origin{Name: title}, all, note)
	return d, err
}

// canonical gives observables in canonical form, each once. Those that have none are dropped and counted in the note: an
// address that is no address does not cost the finding. What two of them put on opposite sides is unknown; what lies in
// the tenant's own networks is not the adversary's but the customer's, whatever the sensor knows of them.
func canonical(in []threat.Observable, own []netip.Prefix) ([]threat.Observable, ocsf.Note) {
	var note ocsf.Note
	out := make([]threat.Observable, 0, len(in))
	index := make(map[string]int, len(in))
	for _, o := range in {
		c, err := o.Canonical()
		if err == nil && strings.ContainsRune(c.Value, 0) {
			err = threat.Faultf(threat.Invalid, "a %s with a NUL in it", c.Kind)
		}
		if err != nil {
			note.Dropped++
			var f *threat.Fault
			if errors.As(err, &f) && len(note.Reasons) < maxDropReasons {
				note.Reasons = append(note.Reasons, threat.Inert(f.What, 160))
			}
			continue
		}
		if c.Kind == threat.ObservableIP && c.Bearing == threat.BearingAdversary && within(c.Value, own) {
			c.Bearing = threat.BearingVictim
		}
		k := string(c.Kind) + ":" + c.Value
		i, twice := index[k]
		switch {
		case !twice:
			index[k] = len(out)
			out = append(out, c)
		case out[i].Bearing == threat.BearingUnknown:
			out[i].Bearing = c.Bearing
		case c.Bearing != threat.BearingUnknown && c.Bearing != out[i].Bearing:
			out[i].Bearing = threat.BearingUnknown
		}
	}
	return out, note
}

// correlated gives the observables that a detection carries: at most threat.MaxCorrelated, the adversary's first, so that
// nobody hides an address behind a thousand others. The rest stays in the OCSF event and is counted.
func correlated(all []threat.Observable, note *ocsf.Note) []threat.Observable {
	if len(all) <= threat.MaxCorrelated {
		return all
	}
	out := make([]threat.Observable, 0, threat.MaxCorrelated)
	for _, first := range []bool{true, false} {
		for _, o := range all {
			if (o.Bearing == threat.BearingAdversary) == first && len(out) < threat.MaxCorrelated {
				out = append(out, o)
			}
		}
	}
	note.Beyond = len(all) - len(out)
	return out
}

func within(address string, nets []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, p := range nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// networks reads the tenant's own networks. Without them a detection is worth more than a refusal.
func (s *Service) networks(ctx context.Context, tenant uuid.UUID) []netip.Prefix {
	if s.d.Networks == nil {
		return nil
	}
	list, err := s.d.Networks(ctx, tenant)
	if err != nil {
		s.d.Log.WarnContext(ctx, "a tenant's networks could not be read; bearings stay as the sensor told",
			"tenant", tenant, "error", err)
		return nil
	}
	var out []netip.Prefix
	for _, v := range list {
		p, err := threat.CanonicalPrefix(v)
		if err != nil {
			s.d.Log.WarnContext(ctx, "a network of a tenant cannot be read", "tenant", tenant, "error", err)
			continue
		}
		out = append(out, p)
	}
	return out
}

// clock marks an event time that cannot be right.
func clock(at, now time.Time) threat.ClockMark {
	switch {
	case at.After(now.Add(ClockAhead)):
		return threat.ClockAhead
	case at.Before(now.Add(-ClockBehind)):
		return threat.ClockBehind
	}
	return threat.ClockFine
}

// clean makes text of a sensor fit for a line and for every database.
func clean(s string, limit int) string {
	return threat.Inert(strings.TrimSpace(s), limit)
}

// maxKey is the longest deduplication key that is kept as it is, in bytes.
const maxKey = 200

// key gives a deduplication key as it is when it is short and plain, else by its digest.
func key(s string) string {
	if len(s) <= maxKey && s == threat.Inert(s, maxKey) {
		return s
	}
	prefix, _, _ := strings.Cut(s, "|")
	return digestKey(threat.Inert(prefix, 32), s)
}

func digestKey(prefix, s string) string {
	sum := sha256.Sum256([]byte(s))
	return prefix + "|sha256:" + hex.EncodeToString(sum[:])
}
