package suricata

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// beacon is a command-and-control alert, written from the EVE format.
const beacon = `{"timestamp":"2026-03-01T02:03:04.000500+0000","flow_id":520221496542071,"event_type":"alert",
"src_ip":"10.0.0.23","src_port":50123,"dest_ip":"203.0.113.66","dest_port":443,"proto":"TCP","community_id":"1:abc=","tx_id":0,
"direction":"to_server","app_proto":"tls","alert":{"action":"allowed","gid":1,"signature_id":2030001,"rev":2,
"signature":"ET MALWARE Example CnC Beacon","category":"Malware Command and Control Activity Detected","severity":1,
"metadata":{"attack_target":["Client_Endpoint"],"signature_severity":["Critical"],"mitre_technique_id":["T1071_001"]}},
"tls":{"sni":"C2.Example.com.","version":"TLS 1.3"},"flow":{"src_ip":"10.0.0.23","dest_ip":"203.0.113.66"}}`

func edited(t testing.TB, edit func(r, alert map[string]any)) string {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(beacon))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&m))
	edit(m, m["alert"].(map[string]any))
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return string(b)
}

func one(t testing.TB, body string) adapters.Finding {
	t.Helper()
	fs, err := Adapter{}.Detect([]byte(body))
	require.NoError(t, err)
	require.Len(t, fs, 1)
	return fs[0]
}

func bearings(f adapters.Finding) map[string]threat.Bearing {
	out := map[string]threat.Bearing{}
	for _, o := range f.Observables {
		out[string(o.Kind)+":"+o.Value] = o.Bearing
	}
	return out
}

const adversary, victim, unknown = threat.BearingAdversary, threat.BearingVictim, threat.BearingUnknown

func TestProduct(t *testing.T) {
	opened, err := Product.Open(threat.Connection{}, "")
	require.NoError(t, err)
	assert.Implements(t, (*adapters.Detector)(nil), opened)
	assert.Empty(t, Product.Info.Verbs)
}

func TestBeacon(t *testing.T) {
	f := one(t, beacon)
	assert.JSONEq(t, beacon, string(f.Raw))
	f.Raw = nil
	assert.Equal(t, adapters.Finding{
		UID: "520221496542071/1:2030001/0/2026-03-01T02:03:04.0005Z", Title: "ET MALWARE Example CnC Beacon",
		Severity: threat.SeverityCritical, At: time.Date(2026, 3, 1, 2, 3, 4, 500_000, time.UTC), Techniques: []string{"T1071.001"},
		DedupKey: "suricata|1:2030001|10.0.0.23>203.0.113.66",
		Observables: []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.66", Bearing: adversary},
			{Kind: threat.ObservableIP, Value: "10.0.0.23", Bearing: victim},
			{Kind: threat.ObservableDomain, Value: "c2.example.com", Bearing: adversary}},
	}, f)
}

func TestBearings(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		edit func(r, a map[string]any)
		want map[string]threat.Bearing
	}{
		"control, an answer": {func(r, a m) {
			r["src_ip"], r["dest_ip"], r["direction"] = r["dest_ip"], r["src_ip"], "to_client"
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.23": victim, "domain:c2.example.com": adversary}},
		"control, both public": {func(r, a m) { r["src_ip"] = "198.51.100.1" },
			map[string]threat.Bearing{"ip:203.0.113.66": unknown, "ip:198.51.100.1": unknown, "domain:c2.example.com": adversary}},
		"control, both internal": {func(r, a m) { r["dest_ip"] = "10.9.9.9" },
			map[string]threat.Bearing{"ip:10.9.9.9": unknown, "ip:10.0.0.23": unknown, "domain:c2.example.com": adversary}},
		"control over DNS": {func(r, a m) {
			r["dest_ip"], r["dest_port"], r["app_proto"] = "8.8.8.8", 53, "dns"
			r["dns"] = m{"query": []any{m{"type": "query", "rrname": "Bad.Example.net"}}}
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:8.8.8.8": unknown, "ip:10.0.0.23": victim, "domain:bad.example.net": adversary}},
		"control over DNS, an answer": {func(r, a m) {
			r["src_ip"], r["src_port"], r["dest_ip"], r["dest_port"], r["app_proto"] = "8.8.8.8", 53, "10.0.0.23", 40000, "dns"
			r["dns"] = m{"version": 3, "queries": []any{m{"rrname": "bad.example.net"}}, "rrname": "bad.example.net"}
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:8.8.8.8": unknown, "ip:10.0.0.23": victim, "domain:bad.example.net": adversary}},
		"control on port 53, no DNS": {func(r, a m) {
			r["dest_port"], r["app_proto"] = 53, "failed"
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.23": victim}},
		"ordinary": {func(r, a m) { a["category"] = "Potentially Bad Traffic" },
			map[string]threat.Bearing{"ip:203.0.113.66": unknown, "ip:10.0.0.23": unknown, "domain:c2.example.com": unknown}},
		"attack on a server from outside": {func(r, a m) {
			a["category"], a["metadata"] = "Web Application Attack", m{"attack_target": []any{"Server"}}
			r["src_ip"], r["dest_ip"] = "203.0.113.66", "10.0.0.80"
			r["http"], r["tls"] = m{"hostname": "www.example.com:8080"}, nil
			delete(r, "flow")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.80": victim, "domain:www.example.com": unknown}},
		"attack on a client by a server": {func(r, a m) {
			a["category"] = "Exploit Kit Activity Detected"
			r["src_ip"], r["dest_ip"], r["direction"] = "203.0.113.66", "10.0.0.23", "to_client"
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.23": victim}},
		"our client attacks a server outside": {func(r, a m) {
			a["category"], a["metadata"] = "Web Application Attack", m{"attack_target": []any{"Web_Server"}}
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": unknown, "ip:10.0.0.23": unknown}},
		"the flow tells who asked": {func(r, a m) {
			a["category"], a["metadata"] = "Attempted Administrator Privilege Gain", m{"attack_target": []any{"server"}}
			r["src_ip"], r["dest_ip"], r["flow"] = "10.0.0.80", "203.0.113.66", m{"src_ip": "203.0.113.66"}
			delete(r, "direction")
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.80": victim}},
		"hostile and inbound": {func(r, a m) {
			a["category"], a["metadata"] = "Misc Attack", m{"attack_target": []any{"Any"}}
			r["src_ip"], r["dest_ip"] = "203.0.113.66", "10.0.0.80"
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.80": victim}},
		"hostile, an answer from outside": {func(r, a m) {
			a["category"], a["metadata"] = "Attempted Information Leak", nil
			r["src_ip"], r["dest_ip"], r["direction"] = "203.0.113.66", "10.0.0.80", "to_client"
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": unknown, "ip:10.0.0.80": unknown}},
		"lateral": {func(r, a m) {
			a["category"], a["metadata"] = "Attempted User Privilege Gain", m{"attack_target": []any{"Server"}}
			r["dest_ip"] = "10.0.0.80"
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:10.0.0.23": unknown, "ip:10.0.0.80": victim}},
		"the rule says it": {func(r, a m) {
			a["category"] = "Misc activity"
			a["source"], a["target"] = m{"ip": "203.0.113.66", "port": 443}, m{"ip": "10.0.0.23"}
			delete(r, "tls")
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.23": victim}},
		"hosts that are no domains": {func(r, a m) {
			r["http"] = m{"hostname": "203.0.113.66:8080"}
			r["tls"] = m{"sni": "localhost"}
			r["quic"] = m{"sni": "q.example.com"}
		}, map[string]threat.Bearing{"ip:203.0.113.66": adversary, "ip:10.0.0.23": victim, "domain:q.example.com": adversary}},
		"no addresses": {func(r, a m) { r["src_ip"], r["dest_ip"] = "", nil; delete(r, "tls") }, map[string]threat.Bearing{}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, bearings(one(t, edited(t, c.edit)))) })
	}
}

func TestSeverity(t *testing.T) {
	for in, want := range map[string]threat.Severity{"1": 4, "2": 3, "3": 2, "4": 1, "255": 1, "0": 0, "": 0, "-1": 0, "1.5": 0} {
		assert.Equal(t, want, severity(json.Number(in), nil), in)
	}
	for in, want := range map[string]threat.Severity{"Critical": 5, "Major": 4, "Minor": 2, "Informational": 1, "Unknown": 3} {
		assert.Equal(t, want, severity("2", []string{in}), in)
	}
}

func TestTechniques(t *testing.T) {
	assert.Equal(t, []string{"T1071"}, techniques(nil, "Malware Command And Control Activity Detected"))
	assert.Equal(t, []string{"T1190", "T1071.001"}, techniques(map[string][]string{"mitre_technique_id": {"T1190", "nope", "T1071_001"}, "mitre_attack": {"t1190"}}, "x"))
	assert.Empty(t, techniques(nil, "Misc activity"))
	b, err := os.ReadFile(sharedData(t, "attack", "enterprise-18.1.json"))
	require.NoError(t, err)
	var attack struct {
		Techniques map[string]any `json:"techniques"`
	}
	require.NoError(t, json.Unmarshal(b, &attack))
	for class, id := range classTechniques {
		assert.Contains(t, attack.Techniques, id, class)
		assert.Equal(t, strings.ToLower(class), class)
	}
}

func TestLines(t *testing.T) {
	line := strings.ReplaceAll(beacon, "\n", "")
	fs, err := Adapter{}.Detect([]byte(line + "\n{\"event_type\":\"flow\"}\n{broken\n\n" + line + "\n"))
	require.NoError(t, err)
	require.Len(t, fs, 4)
	assert.Equal(t, fs[0].Title, fs[3].Title)
	assert.Contains(t, fs[1].Skip, "flow")
	var f *threat.Fault
	require.ErrorAs(t, fs[2].Unreadable, &f)
	assert.Equal(t, "line 3", f.Place)
	assert.Equal(t, "{broken", string(fs[2].Raw))
	_, err = Adapter{}.Detect([]byte(strings.Repeat(line+"\n", 501)))
	assert.True(t, threat.Is(err, threat.TooLarge))
}

func TestUnreadable(t *testing.T) {
	for place, edit := range map[string]func(r, a map[string]any){
		"/timestamp":       func(r, a map[string]any) { r["timestamp"] = "today" },
		"/timestamp#type":  func(r, a map[string]any) { r["timestamp"] = 7 },
		"/alert":           func(r, a map[string]any) { delete(r, "alert") },
		"/alert#type":      func(r, a map[string]any) { r["alert"] = []any{} },
		"/alert/signature": func(r, a map[string]any) { delete(a, "signature"); delete(a, "signature_id") },
		"/alert/category":  func(r, a map[string]any) { a["category"] = 1 },
	} {
		_, err := Adapter{}.Detect([]byte(edited(t, edit)))
		var f *threat.Fault
		require.ErrorAs(t, err, &f, place)
		want, _, _ := strings.Cut(place, "#")
		assert.Equal(t, want, f.Place)
		assert.Equal(t, threat.Invalid, f.Kind)
	}
}

func TestLenient(t *testing.T) {
	f := one(t, edited(t, func(r, a map[string]any) {
		a["metadata"] = map[string]any{"attack_target": nil, "tag": "x", "signature_severity": "Major"}
		r["flow"], r["dns"], r["tls"], r["http"] = "x", 1, []any{}, true
		r["timestamp"] = "2026-03-01T02:03:04.5"
		a["signature"] = "a\x1b\u202e<b>"
	}))
	assert.Equal(t, threat.SeverityHigh, f.Severity)
	assert.Equal(t, "a\uFFFD\uFFFD<b>", f.Title)
	assert.Equal(t, time.Date(2026, 3, 1, 2, 3, 4, 500_000_000, time.UTC), f.At)
	assert.Equal(t, "signature 1:2030001", one(t, edited(t, func(_, a map[string]any) { a["signature"] = "" })).Title)
}

func TestManyNames(t *testing.T) {
	var qs []any
	for i := range 1000 {
		qs = append(qs, map[string]any{"rrname": fmt.Sprintf("n%d.example.com", i)})
	}
	f := one(t, edited(t, func(r, _ map[string]any) { r["dns"] = map[string]any{"query": qs} }))
	assert.LessOrEqual(t, len(f.Observables), maxNames+2)
	assert.Greater(t, len(f.Observables), 2)
}

// TestSharedSamples reads each sample and compares it with what another system made of the same event.
func TestSharedSamples(t *testing.T) {
	alerts := 0
	for name, s := range samples(t, "suricata") {
		fs, err := Adapter{}.Detect([]byte(s.Raw))
		require.NoError(t, err, name)
		require.Len(t, fs, 1, name)
		f := fs[0]
		action, _ := s.Expected["action"].(map[string]any)
		properties, _ := action["properties"].(map[string]any)
		if properties["signature"] == nil {
			assert.NotEmpty(t, f.Skip, name)
			continue
		}
		alerts++
		assert.Empty(t, f.Skip, name)
		assert.Equal(t, properties["signature"], f.Title, name)
		assert.Equal(t, s.Expected["@timestamp"], f.At.Format("2006-01-02T15:04:05.000000Z"), name)
		assert.Contains(t, f.DedupKey, ":"+properties["signature_id"].(string)+"|", name)
		for _, ip := range s.Expected["related"].(map[string]any)["ip"].([]any) {
			assert.Contains(t, f.Observables, threat.Observable{Kind: threat.ObservableIP, Value: ip.(string)}, name)
		}
		event := s.Expected["event"].(map[string]any)
		assert.Equal(t, severity(json.Number(fmt.Sprint(event["severity"])), nil), f.Severity, name)
	}
	assert.Equal(t, 4, alerts)
}

func FuzzDetect(f *testing.F) {
	for _, s := range samples(f, "suricata") {
		f.Add([]byte(s.Raw))
	}
	f.Add([]byte(beacon))
	f.Add([]byte(strings.ReplaceAll(beacon, "\n", "") + "\n{\"event_type\":\"dns\"}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		fs, err := Adapter{}.Detect(body)
		if err != nil {
			if k := threat.KindOf(err); len(fs) > 0 || k != threat.Invalid && k != threat.TooLarge {
				t.Fatalf("%d findings, kind %s: %v", len(fs), k, err)
			}
			return
		}
		if len(fs) == 0 || len(fs) > 500 {
			t.Fatalf("%d findings", len(fs))
		}
		for _, x := range fs {
			if x.Skip != "" || x.Unreadable != nil {
				continue
			}
			if x.Title == "" || x.Title != threat.Inert(x.Title, ocsf.MaxTitle+1) || x.DedupKey == "" || x.At.Year() > 9999 || !json.Valid(x.Raw) {
				t.Fatalf("%+v", x)
			}
			for _, o := range x.Observables {
				if o.Kind == threat.ObservableIP && o.Bearing == adversary && ocsf.ReachOf(o.Value) != ocsf.Public {
					t.Fatalf("%+v is the adversary's", o)
				}
			}
		}
	})
}
