package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestEveryPageIsSound(t *testing.T) {
	for _, p := range every() {
		t.Run(pageName(p.person, p.path), func(t *testing.T) {
			w := newWorld()
			w.alarms = []Alarm{{At: now, What: "nobody could be reached"}}
			sound(t, w.get(t, p.person, p.path))
		})
	}
}

func TestEmptyPagesAreSound(t *testing.T) {
	for _, p := range every() {
		t.Run(pageName(p.person, p.path), func(t *testing.T) {
			w := newWorld()
			for _, m := range []any{w.timeline, w.detections, w.decisions, w.escalations, w.responses, w.claims, w.consents,
				w.contacts,
				w.assets, w.links, w.entries, w.feed, w.fetches, w.labels} {
				reflect.ValueOf(m).Clear()
			}
			w.lab = LabView{Slug: "northwind"}
			sound(t, w.get(t, p.person, p.path))
		})
	}
}

func TestStatesInTroubleAreSound(t *testing.T) {
	for _, p := range every() {
		t.Run(pageName(p.person, p.path), func(t *testing.T) {
			w := newWorld()
			w.stops[rootID] = Stop{On: true, Why: "maintenance", By: "person:" + adminID.String()}
			w.policy.Stale, w.policy.Error, w.policy.ErrorAt, w.policy.Stuck = true, "respond/respond.rego:12: unsafe var", now, 2
			for _, id := range []uuid.UUID{caseID, eastCaseID} {
				c := w.cases[id]
				c.ClosedAt, c.ClosedBy, c.CloseReason, c.Threat = &now, "person:"+analystID.String(), "over", threat.ThreatResolved
				w.cases[id] = c
			}
			for id, r := range w.requests {
				r.State, r.ClosedWhy, r.ClosedAt, r.Supersedes = threat.RequestSuperseded, "a narrower one took its place", &now,
					valid(requestID1)
				w.requests[id] = r
			}
			for id, r := range w.responses {
				r.State, r.Ending, r.EndingBy = threat.ResponseHeld, "its time is up", "person:"+contactID.String()
				w.responses[id] = r
			}
			sound(t, w.get(t, p.person, p.path))
		})
	}
}

// hostile is what an attacker might name something.
var hostile = "\u202e\u0000\u001b[31m\u200b<evil onload=alert(1)>\"'><script>alert(1)</script>{{.}}\u2066" +
	strings.Repeat("A", 4000)

// ours are fields that no attacker fills: we make or check them.
var ours = []string{"Slug", "Adapter", "List", "Digest", "Verb", "AckBy", "AskedBy", "ClosedBy", "EndingBy", "Actor",
	"By", "ID", "Zone"}

// spoil makes every text in a value hostile.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.CanSet() {
			v.SetString(hostile)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != reflect.TypeFor[fs.FS]() {
			spoil(v.Elem())
		}
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !slices.Contains(ours, v.Type().Field(i).Name) {
				spoil(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.CanSet() && v.Len() > 0 {
			v.SetBytes([]byte("{\"" + hostile))
			return
		}
		for i := range v.Len() {
			spoil(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			x := reflect.New(v.Type().Elem()).Elem()
			x.Set(v.MapIndex(k))
			spoil(x)
			v.SetMapIndex(k, x)
		}
	}
}

func TestHostileNamesAreInertEverywhere(t *testing.T) {
	for _, p := range every() {
		t.Run(pageName(p.person, p.path), func(t *testing.T) {
			w := newWorld()
			w.alarms = []Alarm{{At: now, What: "x"}}
			w.stops[northID] = Stop{On: true, Why: "x", By: "person:" + contactID.String()}
			w.policy.Stale = true
			scenario := w.lab.Scenarios[0].ID
			for _, part := range []any{w.people, w.cases, w.timeline, w.detections, w.decisions, w.escalations, w.attempts,
				w.responses, w.requests,
				w.consents, w.contacts, w.assets, w.links, w.stops, w.entries, w.feed, w.fetches, &w.policy, w.labels, w.alarms,
				&w.lab} {
				spoil(reflect.ValueOf(part))
			}
			for i := range w.orgs {
				w.orgs[i].Name = hostile
			}
			w.lab.Scenarios[0].ID = scenario
			a := w.get(t, p.person, p.path)
			sound(t, a)
			if strings.Contains(a.Body.String(), "<script>alert") || strings.Contains(a.Body.String(), "<evil") {
				t.Error("markup stands unescaped")
			}
		})
	}
}

func TestEveryTemplateIsWalked(t *testing.T) {
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	pages := newWorld().console(t).pages
	if len(pages) != len(files)-2 { // layout and parts are no pages
		t.Errorf("%d pages of %d files", len(pages), len(files))
	}
	for name := range pages {
		c := newWorld().console(t)
		delete(c.pages, name)
		broken := slices.ContainsFunc(every(), func(p visit) bool {
			r := httptest.NewRequest(http.MethodGet, p.path, nil)
			if p.person != uuid.Nil {
				r.AddCookie(as(p.person))
			}
			rec := httptest.NewRecorder()
			c.ServeHTTP(rec, r)
			return rec.Code == http.StatusInternalServerError || name == "error" &&
				rec.Header().Get("Content-Type") == "text/plain; charset=utf-8"
		})
		if !broken {
			t.Errorf("no page of every() shows the template %s", name)
		}
	}
}

func TestABadTemplateStopsTheStart(t *testing.T) {
	good := fstest.MapFS{"templates/layout.html": {Data: []byte(`{{define "layout"}}{{template "main" .}}{{end}}`)},
		"templates/parts.html": {Data: []byte(``)}, "templates/x.html": {Data: []byte(`{{define "main"}}{{end}}`)}}
	if _, err := parsePages(good); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"syntax": `{{define "main"}}{{if}}{{end}}`, "no main": `<p>`,
		"no such function": `{{define "main"}}{{nope .}}{{end}}`} {
		files := fstest.MapFS{"templates/layout.html": good["templates/layout.html"],
			"templates/parts.html": good["templates/parts.html"],
			"templates/x.html":     {Data: []byte(bad)}}
		if _, err := parsePages(files); err == nil || !strings.Contains(err.Error(), "x.html") && name != "no main" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Deps{}); !threat.Is(err, threat.Invalid) {
		t.Errorf("without dependencies: %v", err)
	}
}

// pairsShown are the colours that stand on one another, with the contrast that WCAG 2.2 asks for (1.4.3, 1.4.11).
var pairsShown = []struct {
	fore, back string
	least      float64
}{
	{"ink", "bg", 4.5}, {"ink", "panel", 4.5}, {"ink", "sunken", 4.5}, {"soft", "bg", 4.5}, {"soft", "panel", 4.5},
	{"soft", "sunken", 4.5},
	{"link", "bg", 4.5}, {"link", "panel", 4.5}, {"link", "sunken", 4.5}, {"accent-ink", "accent", 4.5},
	{"danger", "panel", 4.5},
	{"danger", "sunken", 4.5}, {"danger-ink", "danger", 4.5}, {"bad", "bad-bg", 4.5}, {"warn", "warn-bg", 4.5},
	{"good", "good-bg", 4.5}, {"busy", "busy-bg", 4.5},
	{"quiet", "quiet-bg", 4.5}, {"ink", "bad-bg", 4.5}, {"ink", "warn-bg", 4.5}, {"ink", "good-bg", 4.5},
	{"ink", "busy-bg", 4.5},
	{"ink", "quiet-bg", 4.5}, {"link", "bad-bg", 4.5}, {"link", "warn-bg", 4.5}, {"soft", "bad-bg", 4.5},
	{"adversary", "panel", 4.5}, {"detection", "panel", 4.5},
	{"action", "panel", 4.5}, {"notable", "panel", 4.5}, {"sim", "sim-bg", 4.5}, {"sim", "sim-line", 4.5},
	{"sim", "panel", 4.5}, {"sim", "bg", 4.5}, {"good", "panel", 4.5},
	{"edge", "panel", 3}, {"edge", "bg", 3}, {"focus", "bg", 3}, {"focus", "panel", 3}, {"accent", "bg", 3},
	{"accent", "panel", 3}, {"danger", "bg", 3},
}

func TestContrast(t *testing.T) {
	css, err := staticFiles.ReadFile("static/console.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}\n")
	for scheme, block := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
			colours[m[1]] = m[2]
		}
		for _, p := range pairsShown {
			if c := contrast(t, colours[p.fore], colours[p.back]); c < p.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, and needs %.1f", scheme, p.fore, p.back, c, p.least)
			}
		}
	}
}
