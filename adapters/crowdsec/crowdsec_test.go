package crowdsec

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
	"github.com/firebreak/firebreak/internal/threat"
)

// bruteForce is an alert as the HTTP plugin of CrowdSec 1.4 posts it, written from the API's definition.
const bruteForce = `{"capacity":5,"decisions":[{"duration":"4h","origin":"crowdsec","scenario":"crowdsecurity/ssh-bf",
"scope":"Ip","type":"ban","value":"203.0.113.7"}],"events":[{"meta":[{"key":"log_type","value":"ssh_failed-auth"},
{"key":"machine","value":"Bastion"},{"key":"service","value":"ssh"},{"key":"source_ip","value":"203.0.113.7"},
{"key":"target_user","value":"root"}],"timestamp":"2026-03-01 02:03:04 +0000 UTC"}],"events_count":6,"labels":null,
"leakspeed":"10s","machine_id":"agent-1","message":"Ip 203.0.113.7 performed 'crowdsecurity/ssh-bf' (6 events over 3s)",
"remediation":true,"scenario":"crowdsecurity/ssh-bf","scenario_hash":"4441dcff07020f6690d998b7101e642359ba405c2abb83565bbbdcee36de280f",
"scenario_version":"0.1","simulated":false,"source":{"as_name":"Example","as_number":"64496","cn":"NL","ip":"203.0.113.7",
"latitude":52.1,"longitude":4.9,"range":"203.0.113.0/24","scope":"Ip","value":"203.0.113.7"},
"start_at":"2026-03-01T02:03:01.5Z","stop_at":"2026-03-01T02:03:04.7Z"}`

// edited gives the alert with changes.
func edited(t testing.TB, edit func(map[string]any)) string {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(bruteForce), &m))
	edit(m)
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

func TestProduct(t *testing.T) {
	opened, err := Product.Open(threat.Connection{}, "")
	require.NoError(t, err)
	assert.Implements(t, (*adapters.Detector)(nil), opened)
	assert.Empty(t, Product.Info.Verbs)
}

func TestBruteForce(t *testing.T) {
	for _, body := range []string{bruteForce, "[" + bruteForce + "]", strings.ReplaceAll(bruteForce, "\n", "") + "\n"} {
		f := one(t, body)
		assert.JSONEq(t, bruteForce, string(f.Raw))
		f.Raw = nil
		assert.Equal(t, adapters.Finding{
			Title: "crowdsecurity/ssh-bf: ip 203.0.113.7, 6 events", Severity: threat.SeverityMedium,
			At: time.Date(2026, 3, 1, 2, 3, 1, 500_000_000, time.UTC), Techniques: []string{"T1110"},
			Observables: []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.7", Bearing: threat.BearingAdversary},
				{Kind: threat.ObservableHost, Value: "bastion", Bearing: threat.BearingVictim}},
			DedupKey: "crowdsec|crowdsecurity/ssh-bf|ip:203.0.113.7|agent-1",
		}, f)
	}
}

func TestRepetitionsShareAKey(t *testing.T) {
	first := one(t, bruteForce)
	again := one(t, edited(t, func(m map[string]any) { m["start_at"] = "2026-03-01T02:10:00Z"; m["uuid"] = "u-2" }))
	assert.Equal(t, first.DedupKey, again.DedupKey)
	assert.Equal(t, "u-2", again.UID)
	mapped := one(t, edited(t, func(m map[string]any) { m["source"].(map[string]any)["value"] = "::ffff:203.0.113.7" }))
	assert.Equal(t, first.DedupKey, mapped.DedupKey, "another spelling of the same address")
	other := one(t, edited(t, func(m map[string]any) { m["source"].(map[string]any)["value"] = "203.0.113.8" }))
	assert.NotEqual(t, first.DedupKey, other.DedupKey)
	assert.Equal(t, "agent-1/77", one(t, edited(t, func(m map[string]any) { m["id"] = 77 })).UID)
}

func TestScopes(t *testing.T) {
	events := func(ips ...string) []any {
		var out []any
		for _, ip := range ips {
			out = append(out, map[string]any{"meta": []any{map[string]any{"key": "source_ip", "value": ip}}})
		}
		return out
	}
	const adversary, unknown = threat.BearingAdversary, threat.BearingUnknown
	for name, c := range map[string]struct {
		scope, value string
		ips          []string
		want         map[string]threat.Bearing
	}{
		"ip":             {"Ip", "2001:DB8::0:7", nil, map[string]threat.Bearing{"ip:2001:db8::7": adversary}},
		"internal ip":    {"Ip", "10.0.0.9", nil, map[string]threat.Bearing{"ip:10.0.0.9": adversary}},
		"loopback":       {"ip", "127.0.0.1", nil, map[string]threat.Bearing{"ip:127.0.0.1": unknown}},
		"everywhere":     {"ip", "0.0.0.0", nil, map[string]threat.Bearing{"ip:0.0.0.0": unknown}},
		"not an address": {"Ip", "<script>", nil, map[string]threat.Bearing{"ip:<script>": unknown}},
		"range": {"Range", "203.0.113.0/24", []string{"203.0.113.5", "203.0.113.5", "::ffff:203.0.113.6", "198.51.100.1", "x"},
			map[string]threat.Bearing{"ip:203.0.113.5": adversary, "ip:203.0.113.6": adversary}},
		"range of one":    {"Range", "203.0.113.5/32", nil, map[string]threat.Bearing{"ip:203.0.113.5": adversary}},
		"range of nought": {"Range", "nonsense", []string{"203.0.113.5"}, map[string]threat.Bearing{}},
		"username":        {"Username", "bob", []string{"203.0.113.5"}, map[string]threat.Bearing{"user:bob": unknown, "ip:203.0.113.5": unknown}},
		"country":         {"Country", "NL", []string{"203.0.113.5"}, map[string]threat.Bearing{"ip:203.0.113.5": unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			f := one(t, edited(t, func(m map[string]any) {
				m["source"] = map[string]any{"scope": c.scope, "value": c.value}
				m["events"] = events(c.ips...)
			}))
			got := map[string]threat.Bearing{}
			for _, o := range f.Observables {
				got[string(o.Kind)+":"+o.Value] = o.Bearing
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestSkips(t *testing.T) {
	origin := func(names ...string) func(map[string]any) {
		return func(m map[string]any) {
			var ds []any
			for _, n := range names {
				ds = append(ds, map[string]any{"origin": n, "type": "ban", "scope": "Ip", "value": "203.0.113.7"})
			}
			m["decisions"] = ds
		}
	}
	for why, edit := range map[string]func(map[string]any){
		"simulation": func(m map[string]any) { m["simulated"] = true },
		"by hand":    origin("cscli"), "fetched": origin("CAPI", "lists"),
		"a block list": func(m map[string]any) { m["source"] = map[string]any{"scope": "lists:firehol"} },
	} {
		f := one(t, edited(t, edit))
		assert.Contains(t, f.Skip, why)
		assert.Empty(t, f.Title)
	}
	for _, edit := range []func(map[string]any){origin("cscli", "crowdsec"), origin(), func(m map[string]any) { m["decisions"] = nil }} {
		assert.Empty(t, one(t, edited(t, edit)).Skip)
	}
}

func TestTimes(t *testing.T) {
	want := time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)
	for _, s := range []string{"2026-03-01T02:03:04Z", "2026-03-01T03:03:04+01:00", "2026-03-01 02:03:04 +0000 UTC",
		"2026-03-01 03:03:04.000 +0100 CET", "2026-03-01 02:03:04 +0000 UTC m=+12.5"} {
		assert.Equal(t, want, one(t, edited(t, func(m map[string]any) { m["start_at"] = s })).At, s)
	}
	assert.Equal(t, want, one(t, edited(t, func(m map[string]any) { m["start_at"] = "?"; m["stop_at"] = "2026-03-01T02:03:04Z" })).At)
}

func TestUnreadable(t *testing.T) {
	for place, edit := range map[string]func(map[string]any){
		"/scenario":        func(m map[string]any) { m["scenario"] = " " },
		"/scenario#list":   func(m map[string]any) { m["scenario"] = []any{} },
		"/source":          func(m map[string]any) { m["source"] = nil },
		"/source/value":    func(m map[string]any) { m["source"] = map[string]any{"scope": "Ip"} },
		"/source/scope":    func(m map[string]any) { m["source"] = map[string]any{"scope": 1, "value": "x"} },
		"/start_at":        func(m map[string]any) { m["start_at"], m["stop_at"] = "yesterday", "" },
		"/events":          func(m map[string]any) { m["events"] = "x" },
		"/events/meta/key": func(m map[string]any) { m["events"] = []any{map[string]any{"meta": []any{map[string]any{"key": 1}}}} },
	} {
		want, _, _ := strings.Cut(place, "#")
		bad := edited(t, edit)
		_, err := Adapter{}.Detect([]byte(bad))
		var f *threat.Fault
		require.ErrorAs(t, err, &f, place)
		assert.Equal(t, threat.Invalid, f.Kind, place)
		assert.Equal(t, want, f.Place)

		fs, err := Adapter{}.Detect([]byte("[" + bruteForce + "," + bad + ",7]"))
		require.NoError(t, err)
		require.Len(t, fs, 3)
		assert.NoError(t, fs[0].Unreadable)
		require.ErrorAs(t, fs[1].Unreadable, &f)
		assert.Equal(t, "/1"+want, f.Place)
		assert.JSONEq(t, bad, string(fs[1].Raw))
		assert.True(t, threat.Is(fs[2].Unreadable, threat.Invalid))
	}
	_, err := Adapter{}.Detect([]byte("[" + strings.Repeat(bruteForce+",", 500) + bruteForce + "]"))
	assert.True(t, threat.Is(err, threat.TooLarge))
}

func TestNamesAreInert(t *testing.T) {
	f := one(t, edited(t, func(m map[string]any) {
		m["scenario"] = "x\x1b[31m\u202e<img src=x>\n"
		m["source"].(map[string]any)["value"] = "a\x00b"
	}))
	assert.Equal(t, "x\uFFFD[31m\uFFFD<img src=x>: ip a\uFFFDb, 6 events", f.Title)
}

func TestClassification(t *testing.T) {
	b, err := os.ReadFile(sharedData(t, "attack", "enterprise-18.1.json"))
	require.NoError(t, err)
	var attack struct {
		Techniques map[string]any `json:"techniques"`
	}
	require.NoError(t, json.Unmarshal(b, &attack))
	for _, s := range scenarios {
		for _, id := range s.techniques {
			assert.Contains(t, attack.Techniques, id)
		}
	}
	for name, want := range map[string]string{"crowdsecurity/ssh-bf": "T1110 medium", "crowdsecurity/ssh-slow-bf": "T1110 medium",
		"crowdsecurity/ssh-bf_user-enum": "T1110,T1589 medium", "crowdsecurity/http-probing": "T1595 low",
		"crowdsecurity/http-cve-2021-41773": "T1190 high", "crowdsecurity/CVE-2022-26134": "T1190 high",
		"crowdsecurity/vpatch-env-access": "T1190 high", "crowdsecurity/http-backdoors-attempts": "T1595 medium",
		"crowdsecurity/iptables-scan-multi_ports": "T1046,T1595.001 medium", "crowdsecurity/impossible-travel": "T1078 high",
		"crowdsecurity/http-xss-probbing": "T1595.002 medium", "me/own-thing": " medium"} {
		ts, sev := classify(name)
		assert.Equal(t, want, strings.Join(ts, ",")+" "+sev.String(), name)
	}
	f := one(t, edited(t, func(m map[string]any) { m["labels"] = []any{"attack.T1110", "attack.T1021.004", "attack.nonsense"} }))
	assert.Equal(t, []string{"T1110", "T1021.004"}, f.Techniques)
}

func TestManySources(t *testing.T) {
	var events []any
	for i := range 1000 {
		events = append(events, map[string]any{"meta": []any{map[string]any{"key": "source_ip", "value": fmt.Sprintf("203.0.%d.%d", i/250, i%250)}}})
	}
	f := one(t, edited(t, func(m map[string]any) {
		m["source"] = map[string]any{"scope": "Range", "value": "203.0.0.0/16"}
		m["events"] = events
	}))
	assert.Len(t, f.Observables, maxSources)
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte(bruteForce))
	f.Add([]byte("[" + bruteForce + "," + bruteForce + "]"))
	f.Add([]byte(`[{"scenario":"x/y","source":{"scope":"Range","value":"10.0.0.0/8"},"start_at":"2026-01-01T00:00:00Z","labels":["attack.T1110"]},7]`))
	f.Add([]byte(`{"simulated":true,"scenario":"a","source":{}}`))
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
			if x.Title != threat.Inert(x.Title, 201) || x.DedupKey == "" || x.At.Year() > 9999 || !json.Valid(x.Raw) {
				t.Fatalf("%+v", x)
			}
			if len(x.Observables) > 2*maxSources {
				t.Fatalf("%d observables", len(x.Observables))
			}
		}
	})
}
