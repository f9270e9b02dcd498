//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/threat"
)

// edited gives a finding with some of its attributes changed; a nil takes one away.
func edited(t *testing.T, uid string, more map[string]any) json.RawMessage {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(attack(uid, "203.0.113.200"), &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range more {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return must[[]byte](t)(json.Marshal(m))
}

// zip packs a text, as senders may.
func zip(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBadInput sends what nobody should send to the running program: each is answered with its status and its place, or kept
// and marked, and the server lives.
func TestBadInput(t *testing.T) {
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	f := NewFront(admin, "bad", threat.ModeCollaborate, hasty())
	good := attack("good", "203.0.113.201")
	large := bytes.Repeat([]byte(" "), 1<<20+1)
	deep := []byte(strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000))
	many := make([]json.RawMessage, 501)
	for i := range many {
		many[i] = attack(fmt.Sprint(i), "203.0.113.202")
	}
	at, products := f.detections(), "/v1/tenants/bad/sensors/"
	t.Run("refused", func(t *testing.T) {
		for name, x := range map[string]struct {
			path   string
			token  string
			body   []byte
			header []string
			status int
			kind   threat.FaultKind
			place  string // a part of it
		}{
			"no JSON":             {path: at, body: []byte(`{"class_uid":2004,`), status: 400, kind: threat.Invalid, place: "byte 18"},
			"nothing":             {path: at, body: nil, status: 400, kind: threat.Invalid},
			"another class":       {path: at, body: edited(t, "c", map[string]any{"class_uid": 2001}), status: 400, kind: threat.Invalid, place: "/class_uid"},
			"no metadata":         {path: at, body: edited(t, "m", map[string]any{"metadata": nil}), status: 400, kind: threat.Invalid, place: "/metadata"},
			"a time that is none": {path: at, body: edited(t, "t", map[string]any{"time": "now"}), status: 400, kind: threat.Invalid, place: "/time"},
			"nested for ever":     {path: at, body: deep, status: 400, kind: threat.Invalid},
			"over the size":       {path: at, body: large, status: 413, kind: threat.TooLarge},
			"over the size, packed": {path: at, body: zip(t, large), header: []string{"Content-Encoding", "gzip"}, status: 413,
				kind: threat.TooLarge},
			"over the batch":      {path: at, body: must[[]byte](t)(json.Marshal(many)), status: 413, kind: threat.TooLarge},
			"no gzip":             {path: at, body: good, header: []string{"Content-Encoding", "gzip"}, status: 400, kind: threat.Invalid, place: "Content-Encoding"},
			"another encoding":    {path: at, body: good, header: []string{"Content-Encoding", "br"}, status: 415, kind: threat.Unsupported, place: "Content-Encoding"},
			"an unknown tenant":   {path: "/v1/tenants/nobody/detections", body: good, status: 404, kind: threat.NotFound},
			"a strange tenant":    {path: "/v1/tenants/%00%0a..%2f/detections", body: good, status: 404, kind: threat.NotFound},
			"an unknown product":  {path: products + "toaster", body: good, status: 404, kind: threat.NotFound, place: "product"},
			"another's format":    {path: products + "suricata", body: []byte(`[]`), status: 400, kind: threat.Invalid},
			"CrowdSec's, broken":  {path: products + "crowdsec", body: []byte(`[{"scenario":`), status: 400, kind: threat.Invalid},
			"nobody":              {path: at, token: "none", body: good, status: 401, kind: threat.Unauthenticated},
			"a firewall's token":  {path: at, token: f.token, body: good, status: 401, kind: threat.Unauthenticated},
			"an unknown field":    {path: "/v1/tenants/bad/stop", token: f.Contact.Secret, body: []byte(`{"on":true,"wy":"a typo"}`), status: 400, kind: threat.Invalid, place: "/wy"},
			"a field that lacks":  {path: "/v1/tenants/bad/stop", token: f.Contact.Secret, body: []byte(`{"on":true}`), status: 400, kind: threat.Invalid, place: "/why"},
			"a number for a text": {path: "/v1/tenants/bad/stop", token: f.Contact.Secret, body: []byte(`{"on":true,"why":7}`), status: 400, kind: threat.Invalid, place: "/why"},
		} {
			t.Run(name, func(t *testing.T) {
				token := x.token
				if token == "" {
					token = f.SensorToken
				}
				a := s.send(x.path, token, x.body, x.header...)
				if a.status != x.status || a.problem.Kind != x.kind || !strings.Contains(a.problem.Place, x.place) {
					t.Errorf("%d %q at %q instead of %d %q at %q: %s", a.status, a.problem.Kind, a.problem.Place, x.status, x.kind, x.place, a.body)
				}
				if a.problem.Detail == "" || a.problem.Detail != threat.Inert(a.problem.Detail, 1000) {
					t.Errorf("its words are %q", a.problem.Detail)
				}
			})
		}
	})
	if n := len(f.detectionsIn("")); n != 0 {
		t.Errorf("%d detections were kept of what was refused", n)
	}
	t.Run("quarantined", func(t *testing.T) {
		bad := edited(t, "q", map[string]any{"severity_id": "high\u0000<script>"})
		body := must[[]byte](t)(json.Marshal([]json.RawMessage{good, bad, json.RawMessage(`"a text"`)}))
		a := s.send(at, f.SensorToken, body)
		var r ingest.Receipt
		if err := json.Unmarshal(a.body, &r); err != nil || a.status != http.StatusAccepted || len(r.IDs) != 3 || r.Quarantined != 2 || len(r.Notes) != 2 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		if !strings.HasPrefix(r.Notes[0].Place, "/1/severity_id") || r.Notes[0].Item != 1 || !strings.HasPrefix(r.Notes[1].Place, "/2") {
			t.Errorf("the places are %+v", r.Notes)
		}
		listed := f.detectionsIn(threat.DetectionQuarantined)
		if len(listed) != 2 {
			t.Errorf("%d quarantined records are listed", len(listed))
		}
		var d wire.Detection
		f.Contact.get("/v1/detections/"+r.IDs[1].String(), &d)
		if d.Raw != string(bad) || !strings.Contains(d.Reason, "severity_id") || d.CaseID.Valid {
			t.Errorf("it is kept as %+v", d)
		}
	})
	t.Run("taken", func(t *testing.T) {
		const dangerous = "<img src=x onerror=alert(1)>\u202e\u0000\x1b[31mgnp.exe\r\nSet-Cookie: a=b"
		var crowd []any
		for i := range 1001 {
			crowd = append(crowd, map[string]any{"type_id": 2, "value": fmt.Sprintf("198.51.%d.%d", 100+i/250, 1+i%250)})
		}
		wrong := []any{map[string]any{"type_id": 2, "value": "999.1.2.3"}, map[string]any{"type_id": 2, "value": "::ffff:203.0.113.203"},
			map[string]any{"type_id": 2, "value": "010.0.0.1"}, map[string]any{"type_id": 1, "value": dangerous}, map[string]any{"type_id": "x"}}
		findings := map[string]json.RawMessage{
			"ahead":   edited(t, "ahead", map[string]any{"time": time.Now().Add(time.Hour).UnixMilli()}),
			"behind":  edited(t, "behind", map[string]any{"time": time.Now().Add(-30 * 24 * time.Hour).UnixMilli()}),
			"crowd":   edited(t, "crowd", map[string]any{"observables": crowd, "evidences": nil}),
			"wrong":   edited(t, "wrong", map[string]any{"observables": wrong, "evidences": nil}),
			"markup":  edited(t, "markup", map[string]any{"finding_info": map[string]any{"uid": dangerous, "title": dangerous}}),
			"unknown": edited(t, "unknown", map[string]any{"zzz_mine": map[string]any{"deep": dangerous}}),
		}
		got := map[string]wire.Detection{}
		for name, x := range findings {
			ids := f.post(s, x)
			if len(ids) != 1 {
				t.Fatalf("%s is not accepted", name)
			}
			Eventually(t, 30*time.Second, name+" has its case", func() bool {
				var d wire.Detection
				f.Contact.get("/v1/detections/"+ids[0].String(), &d)
				got[name] = d
				return d.State == threat.DetectionAssigned || d.State == threat.DetectionDuplicate
			})
		}
		if got["ahead"].Clock != threat.ClockAhead || got["behind"].Clock != threat.ClockBehind || got["crowd"].Clock != threat.ClockFine {
			t.Errorf("clocks: %q %q %q", got["ahead"].Clock, got["behind"].Clock, got["crowd"].Clock)
		}
		if n := len(got["crowd"].Observables); n != threat.MaxCorrelated {
			t.Errorf("%d of 1001 observables are correlated", n)
		}
		for _, o := range got["wrong"].Observables {
			if o.Value == "999.1.2.3" || o.Value == "010.0.0.1" || strings.HasPrefix(o.Value, "::ffff") {
				t.Errorf("an observable is %q", o.Value)
			}
		}
		if title := got["markup"].Title; title != threat.Inert(title, 1000) {
			t.Errorf("its title is %q", title)
		}
		for _, k := range f.AllCases() {
			for _, page := range []string{"/cases/" + k.Name, "/"} {
				if b := f.page(page); bytes.Contains(b, []byte("<img src=x")) || bytes.ContainsAny(b, "\x00\x1b") || bytes.Contains(b, []byte("\u202e")) {
					t.Errorf("%s shows an attacker's markup", page)
				}
			}
			out := f.Contact.Say("case", "show", k.Name)
			if strings.ContainsAny(out, "\x00\x1b\r") || strings.Contains(out, "\u202e") {
				t.Errorf("`case show` writes control characters: %q", out)
			}
		}
	})
	if s.Ended() || s.status("/readyz") != http.StatusOK {
		t.Fatalf("the server is gone or not ready: %s", tail(s.Output(), 4000))
	}
	for _, word := range []string{"panic", "goroutine "} {
		if strings.Contains(s.Output(), word) {
			t.Errorf("the log tells of a %s", word)
		}
	}
	if strings.Contains(s.Output(), "\x1b[31m") || strings.Contains(s.Output(), f.SensorToken) {
		t.Error("the log holds control characters or a token")
	}
	s.proved()
}

// detectionsIn lists a customer's detections in a state; "" is all.
func (c *Customer) detectionsIn(state threat.DetectionState) []threat.Detection {
	c.t.Helper()
	var out wire.List[threat.Detection]
	path := "/v1/tenants/" + c.Slug + "/detections?limit=200"
	if state != "" {
		path += "&state=" + string(state)
	}
	c.Contact.get(path, &out)
	return out.Items
}

// page fetches a page of the console as the contact sees it.
func (c *Customer) page(path string) []byte {
	c.t.Helper()
	r := must[*http.Request](c.t)(http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.server.URL+path, nil))
	r.AddCookie(&http.Cookie{Name: wire.SessionCookie, Value: c.Contact.Secret})
	res := must[*http.Response](c.t)(http.DefaultClient.Do(r))
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %d %v", path, res.StatusCode, err)
	}
	return b.Bytes()
}
