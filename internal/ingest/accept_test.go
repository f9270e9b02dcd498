package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

var tenant = uuid.MustParse("0190a000-0000-7000-8000-000000000001")

type rig struct {
	*Service
	store   *memory
	clock   *clockwork
	metrics *counts
	pages   *pages
}

// detector is a stand-in for a product: the adapters have tests of their own, and ingest may not import them.
type detector func(body []byte) ([]adapters.Finding, error)

func (d detector) Detect(body []byte) ([]adapters.Finding, error) { return d(body) }

func newRig(t testing.TB, edit func(*Deps)) *rig {
	t.Helper()
	r := &rig{clock: &clockwork{now: start}, metrics: &counts{}, pages: &pages{}}
	r.store = newMemory(r.clock)
	d := Deps{Store: r.store, Decide: decider(fine), Now: r.clock.Now, Metrics: r.metrics, Page: r.pages.Page,
		Poll: 5 * time.Millisecond, Retry: time.Millisecond, Detectors: map[string]Source{"toy": {Title: "Toy", Detector: detector(toy)}}}
	if edit != nil {
		edit(&d)
	}
	r.Service = New(d)
	return r
}

// toy reads a list of words: an address is a finding with it, "skip" and "bad" are what they say, "fail" fails the body.
func toy(body []byte) ([]adapters.Finding, error) {
	var words []string
	if err := json.Unmarshal(body, &words); err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "it is no list of words", Place: "/"}
	}
	var out []adapters.Finding
	var err error
	for i, w := range words {
		raw, _ := json.Marshal(w)
		f := adapters.Finding{Raw: raw}
		switch w {
		case "skip":
			f.Skip = "a heartbeat"
		case "bad":
			f.Unreadable = &threat.Fault{Kind: threat.Invalid, What: "a bad word", Place: fmt.Sprintf("/%d", i)}
		case "fail":
			err = &threat.Fault{Kind: threat.Invalid, What: "a word that fails", Place: fmt.Sprintf("/%d", i)}
			continue
		default:
			f.Title, f.At, f.Severity = "a <b>word</b>\x00", start.Add(-time.Minute), threat.SeverityMedium
			f.Techniques = []string{"T1110", "x"}
			f.Observables = []threat.Observable{{Kind: threat.ObservableIP, Value: w, Bearing: threat.BearingAdversary}}
		}
		out = append(out, f)
	}
	return out, err
}

func fault(t testing.TB, err error) *threat.Fault {
	t.Helper()
	var f *threat.Fault
	require.ErrorAs(t, err, &f)
	return f
}

// notes gives what we added to an event.
func notes(t testing.TB, d threat.Detection) ocsf.Note {
	t.Helper()
	var e struct {
		Unmapped struct {
			Firebreak ocsf.Note `json:"firebreak"`
		} `json:"unmapped"`
	}
	require.NoError(t, json.Unmarshal(d.OCSF, &e))
	return e.Unmapped.Firebreak
}

func TestAcceptOCSF(t *testing.T) {
	r := newRig(t, nil)
	body := ocsfFinding(t, "f-1", start.Add(-time.Minute), func(m map[string]any) { m["typo"] = 1 })
	got, err := r.AcceptOCSF(t.Context(), tenant, "token-1", []byte(body))
	require.NoError(t, err)
	require.Len(t, got.IDs, 1)
	assert.Equal(t, Receipt{IDs: got.IDs, Unknown: 1}, got)
	require.Len(t, r.store.all, 1)
	d := r.store.all[0]
	assert.Equal(t, got.IDs[0], d.ID)
	assert.JSONEq(t, body, string(d.Raw))
	assert.Equal(t, ocsf.Note{Unknown: 1, UnknownAt: []string{"/typo"}}, notes(t, d))
	d.ID, d.Raw, d.OCSF = uuid.Nil, nil, nil
	assert.Equal(t, threat.Detection{TenantID: tenant, Seq: 1, Product: "ocsf", Sensor: "token-1", UID: "f-1", Title: "C2 beacon",
		Severity: threat.SeverityHigh, At: start.Add(-time.Minute), ReceivedAt: start, DedupKey: "ocsf|Acme|Sensor|f-1",
		Observables: []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.66", Bearing: threat.BearingAdversary}},
		State:       threat.DetectionReceived}, d)
	assert.Equal(t, 1, r.metrics.get("ocsf received"))
}

func TestAcceptMixedBatch(t *testing.T) {
	r := newRig(t, nil)
	bad := ocsfFinding(t, "f-2", start, func(m map[string]any) { m["severity_id"] = 42 })
	closed := ocsfFinding(t, "f-3", start, func(m map[string]any) { m["activity_id"], m["type_uid"] = 3, 200403 })
	body := "[" + strings.Join([]string{ocsfFinding(t, "f-1", start, nil), bad, closed, "7", ocsfFinding(t, "f-4", start, nil)}, ",") + "]"
	got, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(body))
	require.NoError(t, err)
	require.Len(t, got.IDs, 4)
	assert.Equal(t, 2, got.Quarantined)
	assert.Equal(t, 1, got.Skipped)
	assert.Equal(t, []ItemNote{
		{Item: 1, ID: uuid.NullUUID{UUID: got.IDs[1], Valid: true}, State: "quarantined", Place: "/1/severity_id", Why: "42 is none of 0 to 6, 99"},
		{Item: 2, State: "skipped", Why: "its product closed the finding"},
		{Item: 3, ID: uuid.NullUUID{UUID: got.IDs[2], Valid: true}, State: "quarantined", Place: "/3", Why: "the item is not an object"},
	}, got.Notes)
	states := map[threat.DetectionState]int{}
	for _, d := range r.store.all {
		states[d.State]++
		if d.State == threat.DetectionQuarantined {
			assert.NotEmpty(t, d.Reason)
			assert.NotEmpty(t, d.Raw)
			assert.NotEmpty(t, d.DedupKey)
			assert.Equal(t, start, d.At)
			assert.Empty(t, d.OCSF)
		}
	}
	assert.Equal(t, map[threat.DetectionState]int{threat.DetectionReceived: 2, threat.DetectionQuarantined: 2}, states)
	assert.Equal(t, bad, string(r.store.all[1].Raw), "kept as it was sent")
	assert.Equal(t, 2, r.metrics.get("ocsf quarantined"))
}

func TestRefusals(t *testing.T) {
	r := newRig(t, nil)
	good := ocsfFinding(t, "f", start, nil)
	bad := ocsfFinding(t, "f", start, func(m map[string]any) { delete(m, "time") })
	for name, c := range map[string]struct {
		product, body string
		kind          threat.FaultKind
		place         string
	}{
		"empty":                  {"ocsf", "", threat.Invalid, ""},
		"malformed":              {"ocsf", `{"a":`, threat.Invalid, "byte 5"},
		"cut in the middle":      {"ocsf", "[" + good + ",{", threat.Invalid, fmt.Sprintf("byte %d", len(good)+3)},
		"missing field":          {"ocsf", bad, threat.Invalid, "/time"},
		"nothing readable":       {"ocsf", "[" + bad + "," + bad + "]", threat.Invalid, "/0/time"},
		"another class":          {"ocsf", `{"class_uid":1007}`, threat.Invalid, "/class_uid"},
		"oversize":               {"ocsf", strings.Repeat(" ", MaxBody+1), threat.TooLarge, ""},
		"too many":               {"ocsf", "[" + strings.Repeat("{},", 500) + "{}]", threat.TooLarge, ""},
		"unknown product":        {"acme\x1b", "[]", threat.NotFound, "product"},
		"a product's malformed":  {"toy", "{", threat.Invalid, "/"},
		"a product's oversize":   {"toy", strings.Repeat(" ", MaxBody+1), threat.TooLarge, ""},
		"a product's unreadable": {"toy", `["bad","bad"]`, threat.Invalid, "/0"},
		"a product's too many":   {"toy", "[" + strings.Repeat(`"x",`, 500) + `"x"]`, threat.TooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.AcceptProduct(t.Context(), tenant, "s", c.product, []byte(c.body))
			f := fault(t, err)
			assert.Equal(t, c.kind, f.Kind)
			assert.Equal(t, c.place, f.Place)
			assert.Equal(t, Receipt{}, got)
			assert.NotContains(t, f.Error(), "\x1b")
		})
	}
	assert.Empty(t, r.store.all, "nothing is kept of a refused body")
	assert.Equal(t, 4, r.metrics.get("toy refused"))
	assert.Equal(t, 1, r.metrics.get("unknown refused"), "a name that a sender chose is no label of a metric")
	assert.Contains(t, fault(t, func() error {
		_, err := r.AcceptProduct(t.Context(), tenant, "s", "x", nil)
		return err
	}()).Next, "toy, ocsf")
}

func TestStoreFaultKeepsNothing(t *testing.T) {
	r := newRig(t, nil)
	down := threat.Faultf(threat.Unavailable, "the disk is full")
	r.store.fail = func(string, uuid.UUID) error { return down }
	got, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(ocsfFinding(t, "f", start, nil)))
	assert.ErrorIs(t, err, down)
	assert.Empty(t, got.IDs)
	assert.Equal(t, 1, r.metrics.get("ocsf refused"))
}

func TestAcceptProduct(t *testing.T) {
	r := newRig(t, nil)
	got, err := r.AcceptProduct(t.Context(), tenant, "conn-1", "toy", []byte(`["203.0.113.9","skip","bad","fail","not an address"]`))
	require.NoError(t, err)
	assert.Equal(t, 2, got.Quarantined, "the bad word, and the body of which one word failed")
	assert.Equal(t, 1, got.Skipped)
	require.Len(t, got.IDs, 4)
	d := r.store.all[0]
	assert.Equal(t, "toy", d.Product)
	assert.Equal(t, "a <b>word</b>\uFFFD", d.Title)
	assert.Equal(t, []string{"T1110"}, d.Techniques)
	assert.Regexp(t, `^toy\|sha256:[0-9a-f]{64}$`, d.DedupKey)
	f, err := ocsf.Parse(d.OCSF, "")
	require.NoError(t, err)
	assert.Equal(t, "Toy", f.Product)
	assert.Equal(t, d.DedupKey, f.UID)
	last := r.store.all[2]
	assert.Empty(t, last.Observables)
	assert.NotNil(t, last.Observables)
	assert.Equal(t, 1, notes(t, last).Dropped)
	assert.Contains(t, notes(t, last).Reasons[0], "not an IP address")
	assert.Contains(t, string(r.store.all[3].Raw), "fail", "the whole body, because the detector did not tell the part")

	got, err = r.AcceptProduct(t.Context(), tenant, "s", "toy", []byte(`["skip"]`))
	require.NoError(t, err)
	assert.Equal(t, 1, got.Skipped)
	assert.Empty(t, got.IDs)
	b, err := json.Marshal(got)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"ids":[]`)
}

func TestClocks(t *testing.T) {
	for name, c := range map[string]struct {
		off  time.Duration
		want threat.ClockMark
	}{
		"now": {0, ""}, "just ahead": {ClockAhead, ""}, "ahead": {ClockAhead + time.Second, threat.ClockAhead}, "far ahead": {70 * 365 * 24 * time.Hour, threat.ClockAhead},
		"just behind": {-ClockBehind, ""}, "behind": {-ClockBehind - time.Second, threat.ClockBehind}, "1970": {-start.Sub(time.Unix(0, 0)), threat.ClockBehind},
	} {
		r := newRig(t, nil)
		_, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(ocsfFinding(t, "f", start.Add(c.off), nil)))
		require.NoError(t, err, name)
		assert.Equal(t, c.want, r.store.all[0].Clock, name)
		assert.Equal(t, start.Add(c.off), r.store.all[0].At, name)
	}
}

func TestAThousandObservables(t *testing.T) {
	r := newRig(t, nil)
	_, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(ocsfFinding(t, "f", start, func(m map[string]any) {
		var list []any
		for i := range 998 {
			list = append(list, map[string]any{"type_id": 2, "value": fmt.Sprintf("198.51.%d.%d", i/250, i%250)})
		}
		list = append(list, map[string]any{"type_id": 2, "value": "300.1.1.1"},
			map[string]any{"type_id": 2, "value": "203.0.113.66", "reputation": map[string]any{"score_id": 10}})
		m["observables"] = list
	})))
	require.NoError(t, err)
	d := r.store.all[0]
	require.Len(t, d.Observables, threat.MaxCorrelated)
	assert.Equal(t, threat.Observable{Kind: threat.ObservableIP, Value: "203.0.113.66", Bearing: threat.BearingAdversary}, d.Observables[0],
		"the adversary's address is not hidden behind the others")
	assert.Equal(t, "198.51.0.0", d.Observables[1].Value)
	n := notes(t, d)
	assert.Equal(t, 999-threat.MaxCorrelated, n.Beyond)
	assert.Equal(t, 1, n.Dropped)
	assert.Contains(t, string(d.OCSF), "198.51.3.247", "the rest stays in the record")
}

func TestObservablesAreCanonical(t *testing.T) {
	in := []threat.Observable{
		{Kind: threat.ObservableIP, Value: "::ffff:203.0.113.7"}, {Kind: threat.ObservableIP, Value: "203.0.113.7", Bearing: threat.BearingAdversary},
		{Kind: threat.ObservableDomain, Value: "EVIL.example.COM.", Bearing: threat.BearingAdversary}, {Kind: threat.ObservableDomain, Value: "evil.example.com", Bearing: threat.BearingVictim},
		{Kind: threat.ObservableUser, Value: "a\x00b"}, {Kind: threat.ObservableUser, Value: "<script>\x1b"}, {Kind: "colour", Value: "red"},
		{Kind: threat.ObservableIP, Value: "fe80::1%eth0"}, {Kind: threat.ObservableProcess, Value: strings.Repeat("x", 3000)},
	}
	got, note := canonical(in, nil)
	assert.Equal(t, []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.7", Bearing: threat.BearingAdversary},
		{Kind: threat.ObservableDomain, Value: "evil.example.com"}, {Kind: threat.ObservableUser, Value: "<script>\x1b"}}, got)
	assert.Equal(t, 4, note.Dropped)
	assert.Len(t, note.Reasons, 4)
	for _, r := range note.Reasons {
		assert.NotContains(t, r, "\x00")
	}
}

func TestOwnNetworks(t *testing.T) {
	networks := []string{"198.51.100.0/24", "nonsense"}
	var fails error
	r := newRig(t, func(d *Deps) {
		d.Networks = func(context.Context, uuid.UUID) ([]string, error) { return networks, fails }
	})
	_, err := r.AcceptProduct(t.Context(), tenant, "s", "toy", []byte(`["198.51.100.9","203.0.113.9"]`))
	require.NoError(t, err)
	assert.Equal(t, threat.BearingVictim, r.store.all[0].Observables[0].Bearing, "the tenant's own address is not the adversary's")
	assert.Equal(t, threat.BearingAdversary, r.store.all[1].Observables[0].Bearing)
	fails = errors.New("down")
	_, err = r.AcceptProduct(t.Context(), tenant, "s", "toy", []byte(`["198.51.100.9"]`))
	require.NoError(t, err, "a finding is worth more than its bearings")
	assert.Equal(t, threat.BearingAdversary, r.store.all[2].Observables[0].Bearing)
}

func TestNamesAreInert(t *testing.T) {
	r := newRig(t, nil)
	_, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(ocsfFinding(t, "u\x00\u202e", start, func(m map[string]any) {
		m["finding_info"].(map[string]any)["title"] = "<img src=x onerror=alert(1)>\x1b[2J\u202e" + strings.Repeat("x", 500)
	})))
	require.NoError(t, err)
	d := r.store.all[0]
	assert.True(t, strings.HasPrefix(d.Title, "<img src=x onerror=alert(1)>\uFFFD[2J\uFFFDxxx"), d.Title)
	assert.Equal(t, ocsf.MaxTitle+1, utf8.RuneCountInString(d.Title))
	assert.Equal(t, "u\uFFFD\uFFFD", d.UID)
	assert.Regexp(t, `^ocsf\|sha256:`, d.DedupKey)
}

func TestDedupKeys(t *testing.T) {
	r := newRig(t, nil)
	for _, uid := range []string{"a", "a", "b", strings.Repeat("x", 300) + "1", strings.Repeat("x", 300) + "2"} {
		_, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte(ocsfFinding(t, uid, start, nil)))
		require.NoError(t, err)
	}
	k := func(i int) string { return r.store.all[i].DedupKey }
	assert.Equal(t, k(0), k(1))
	assert.NotEqual(t, k(0), k(2))
	assert.NotEqual(t, k(3), k(4), "long ids that differ at their end")
}

func TestSources(t *testing.T) {
	open := func(v any, err error) adapters.Product {
		return adapters.Product{Info: adapters.Info{Name: "toy", Title: "Toy"}, Open: func(threat.Connection, string) (any, error) { return v, err }}
	}
	got, err := Sources(open(detector(toy), nil))
	require.NoError(t, err)
	assert.Equal(t, "Toy", got["toy"].Title)
	for _, list := range [][]adapters.Product{{open(1, nil)}, {open(nil, errors.New("x"))}, {open(detector(toy), nil), open(detector(toy), nil)}} {
		_, err = Sources(list...)
		assert.True(t, threat.Is(err, threat.Internal))
	}
}

func TestSharedOCSFSamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sharedData(t, "samples", "ocsf"), "*.json"))
	require.NoError(t, err)
	var bodies []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var s struct{ Raw string }
		require.NoError(t, json.Unmarshal(b, &s))
		bodies = append(bodies, s.Raw)
	}
	r := newRig(t, nil)
	got, err := r.AcceptOCSF(t.Context(), tenant, "s", []byte("["+strings.Join(bodies, ",")+"]"))
	require.NoError(t, err)
	assert.Len(t, got.IDs, len(files))
	assert.Equal(t, len(files)-1, got.Quarantined, "one of the samples is a Detection Finding")
	for _, n := range got.Notes {
		assert.Equal(t, fmt.Sprintf("/%d/class_uid", n.Item), n.Place)
	}
}

func FuzzAcceptOCSF(f *testing.F) {
	f.Add([]byte(ocsfFinding(f, "f-1", start, nil)))
	f.Add([]byte("[" + ocsfFinding(f, "f-1", start, nil) + `,7,{"class_uid":2004}]`))
	f.Add([]byte(ocsfFinding(f, "f-1", start, nil) + "\n{broken\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRig(t, nil)
		got, err := r.AcceptOCSF(t.Context(), tenant, "s", body)
		if err != nil {
			if k := threat.KindOf(err); k != threat.Invalid && k != threat.TooLarge {
				t.Fatalf("kind %s: %v", k, err)
			}
			if len(r.store.all) > 0 {
				t.Fatal("something of a refused body was kept")
			}
			return
		}
		if len(got.IDs) != len(r.store.all) || len(got.Notes) != got.Quarantined+got.Skipped {
			t.Fatalf("%+v of %d", got, len(r.store.all))
		}
		for _, d := range r.store.all {
			for _, s := range []string{d.UID, d.Title, d.DedupKey, d.Reason} {
				if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Fatalf("%q", s)
				}
			}
			if d.State == threat.DetectionReceived && (!json.Valid(d.OCSF) || !utf8.Valid(d.OCSF)) {
				t.Fatalf("%q", d.OCSF)
			}
			if len(d.Observables) > threat.MaxCorrelated {
				t.Fatalf("%d observables", len(d.Observables))
			}
			for _, o := range d.Observables {
				if c, err := o.Canonical(); err != nil || c != o || strings.ContainsRune(o.Value, 0) {
					t.Fatalf("%+v is not canonical: %v", o, err)
				}
			}
			if _, err := json.Marshal(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkAcceptOCSF(b *testing.B) {
	list := make([]string, MaxBatch)
	for i := range list {
		list[i] = ocsfFinding(b, fmt.Sprint("f-", i), start, nil)
	}
	body := []byte("[" + strings.Join(list, ",") + "]")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r := newRig(b, nil)
		if _, err := r.AcceptOCSF(b.Context(), tenant, "s", body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWorkOnEveryCorePanicsWhereItIsWaitedFor(t *testing.T) {
	done := make([]bool, 100)
	onEveryCore(len(done), func(i int) { done[i] = true })
	require.NotContains(t, done, false)
	require.PanicsWithValue(t, "a defect", func() {
		onEveryCore(100, func(i int) {
			if i == 40 {
				panic("a defect")
			}
		})
	})
	onEveryCore(0, func(int) { t.Fatal("there is no work") })
}
