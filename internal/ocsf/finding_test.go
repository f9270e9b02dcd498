package ocsf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

// event gives a valid finding, changed by edit.
func finding(t testing.TB, edit func(map[string]any)) []byte {
	t.Helper()
	m := map[string]any{
		"activity_id": 1, "category_uid": 2, "class_uid": 2004, "type_uid": 200401, "severity_id": 4,
		"time":     1767225600000,
		"metadata": map[string]any{"version": "1.8.0", "product": map[string]any{"name": "Sensor", "vendor_name": "Acme"}},
		"finding_info": map[string]any{"uid": "f-1", "title": "C2 beacon", "attacks": []any{
			map[string]any{"technique": map[string]any{"uid": "T1071"}, "sub_technique": map[string]any{"uid": "T1071.001"}},
			map[string]any{"technique": map[string]any{"uid": "not one"}}}},
	}
	if edit != nil {
		edit(m)
	}
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return b
}

func bearings(f Finding) map[string]threat.Bearing {
	out := map[string]threat.Bearing{}
	for _, o := range f.Observables {
		out[string(o.Kind)+":"+o.Value] = o.Bearing
	}
	return out
}

func TestParse(t *testing.T) {
	f, err := Parse(finding(t, nil), "")
	require.NoError(t, err)
	assert.Equal(t, Finding{UID: "f-1", Title: "C2 beacon", Vendor: "Acme", Product: "Sensor", Activity: 1,
		Severity: threat.SeverityHigh, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Techniques: []string{"T1071.001"}}, f)
}

func TestParseRequires(t *testing.T) {
	for place, edit := range map[string]func(map[string]any){
		"/class_uid":                func(m map[string]any) { m["class_uid"] = 1007 },
		"/class_uid#missing":        func(m map[string]any) { delete(m, "class_uid") },
		"/class_uid#null":           func(m map[string]any) { m["class_uid"] = nil },
		"/category_uid":             func(m map[string]any) { m["category_uid"] = 3 },
		"/activity_id":              func(m map[string]any) { m["activity_id"] = 7 },
		"/activity_id#text":         func(m map[string]any) { m["activity_id"] = "1" },
		"/type_uid":                 func(m map[string]any) { m["type_uid"] = 200402 },
		"/type_uid#huge":            func(m map[string]any) { m["type_uid"] = json.Number("1e999") },
		"/type_uid#fraction":        func(m map[string]any) { m["type_uid"] = 200401.5 },
		"/severity_id":              func(m map[string]any) { m["severity_id"] = 7 },
		"/severity_id#missing":      func(m map[string]any) { delete(m, "severity_id") },
		"/time":                     func(m map[string]any) { m["time"] = -1 },
		"/time#late":                func(m map[string]any) { m["time"] = json.Number("253402300800000") },
		"/time#text":                func(m map[string]any) { m["time"] = "2026-01-01T00:00:00Z" },
		"/metadata":                 func(m map[string]any) { delete(m, "metadata") },
		"/metadata#list":            func(m map[string]any) { m["metadata"] = []any{} },
		"/metadata/version":         func(m map[string]any) { m["metadata"].(map[string]any)["version"] = "" },
		"/metadata/version#number":  func(m map[string]any) { m["metadata"].(map[string]any)["version"] = 1.8 },
		"/metadata/product":         func(m map[string]any) { m["metadata"].(map[string]any)["product"] = map[string]any{"x": 1} },
		"/metadata/product#missing": func(m map[string]any) { delete(m["metadata"].(map[string]any), "product") },
		"/finding_info":             func(m map[string]any) { m["finding_info"] = "x" },
		"/finding_info/uid":         func(m map[string]any) { delete(m["finding_info"].(map[string]any), "uid") },
		"/observables":              func(m map[string]any) { m["observables"] = "1.2.3.4" },
	} {
		_, err := Parse(finding(t, edit), "/3")
		var fault *threat.Fault
		require.ErrorAs(t, err, &fault, place)
		want, _, _ := strings.Cut(place, "#")
		assert.Equal(t, threat.Invalid, fault.Kind, place)
		assert.Equal(t, "/3"+want, fault.Place, place)
		assert.NotEmpty(t, fault.What)
	}
	for _, raw := range []string{"", "{", "[]", "1", `{}{}`, `{"a":`, `{}}`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)} {
		_, err := Parse([]byte(raw), "")
		assert.True(t, threat.Is(err, threat.Invalid), raw)
	}
	_, err := Parse(make([]byte, MaxBody+1), "")
	assert.True(t, threat.Is(err, threat.TooLarge))
}

func TestParseKeepsAndCountsUnknown(t *testing.T) {
	f, err := Parse(finding(t, func(m map[string]any) {
		m["severty_id"] = 5
		m["a/b~c\x07"] = 1
		m["unmapped"] = map[string]any{"anything": map[string]any{"goes": 1}}
		m["metadata"].(map[string]any)["prodct"] = 1
		m["observables"] = []any{map[string]any{"type_id": 2, "value": "203.0.113.9", "vlaue": 1}}
	}), "/0")
	require.NoError(t, err)
	assert.Equal(t, 4, f.Unknown)
	assert.Equal(t, []string{"/0/a~1b~0c\uFFFD", "/0/severty_id", "/0/metadata/prodct", "/0/observables/0/vlaue"}, f.UnknownAt)

	f, err = Parse(finding(t, func(m map[string]any) {
		for i := range 100 {
			m[fmt.Sprintf("x%d", i)] = i
		}
	}), "")
	require.NoError(t, err)
	assert.Equal(t, 100, f.Unknown)
	assert.Len(t, f.UnknownAt, maxNamed)
}

func TestParseIsLenientAboutTheRest(t *testing.T) {
	f, err := Parse(finding(t, func(m map[string]any) {
		m["severity_id"] = 99
		m["time"] = json.Number("1767225600000.0")
		m["finding_info"] = map[string]any{"uid": "u"}
		m["message"] = "from the message"
		m["device"], m["evidences"], m["attacks"], m["resources"], m["malware"] = 1, "x", nil, []any{nil, 3}, true
		m["observables"] = []any{nil, 1, map[string]any{}, map[string]any{"type_id": "2", "value": "1.2.3.4"},
			map[string]any{"type_id": 2}, map[string]any{"type_id": 11, "value": "22"}, map[string]any{"type_id": 2, "value": 7}}
	}), "")
	require.NoError(t, err)
	assert.Equal(t, threat.SeverityUnknown, f.Severity)
	assert.Equal(t, "from the message", f.Title)
	assert.Empty(t, f.Observables)
	assert.Equal(t, 6, f.Malformed)
	assert.Equal(t, 1, f.Uncorrelated)

	broken := []byte(strings.Replace(string(finding(t, nil)), "C2 beacon", "C2 \xff\xfe", 1))
	f, err = Parse(broken, "")
	require.NoError(t, err)
	assert.Equal(t, "C2 \uFFFD", f.Title, "bytes that are no UTF-8 do not cost the finding")
}

func TestObservableKinds(t *testing.T) {
	list := []any{}
	for id, v := range map[int]string{1: "pc-7", 2: "198.51.100.7", 3: "00:11:22:33:44:55", 4: "alice", 5: "a@example.com",
		6: "https://example.com/x", 8: strings.Repeat("a", 64), 9: "powershell.exe", 12: "192.0.2.1/32", 45: "/tmp/x", 47: "dev-1"} {
		list = append(list, map[string]any{"type_id": id, "value": v})
	}
	for _, name := range []string{"query.hostname", "evidences[].query.hostname", "evidences[0].url.hostname", "tls.sni"} {
		list = append(list, map[string]any{"type_id": 1, "name": strings.Replace(name, "[0]", "[]", 1), "value": strings.ReplaceAll(name, "[", "x") + ".example.com"})
	}
	list = append(list, map[string]any{"type_id": 12, "value": "192.0.2.0/24"})
	f, err := Parse(finding(t, func(m map[string]any) { m["observables"] = list }), "")
	require.NoError(t, err)
	got := map[threat.ObservableKind]int{}
	for _, o := range f.Observables {
		got[o.Kind]++
		assert.Equal(t, threat.BearingUnknown, o.Bearing)
	}
	assert.Equal(t, map[threat.ObservableKind]int{threat.ObservableHost: 1, threat.ObservableIP: 2, threat.ObservableDevice: 2,
		threat.ObservableUser: 1, threat.ObservableMailbox: 1, threat.ObservableURL: 1, threat.ObservableFileHash: 1,
		threat.ObservableProcess: 1, threat.ObservableFilePath: 1, threat.ObservableDomain: 4}, got)
	assert.Equal(t, 1, f.Uncorrelated)
}

func TestBearings(t *testing.T) {
	ev := func(src, dst string, more map[string]any) []any {
		e := map[string]any{"src_endpoint": map[string]any{"ip": src}, "dst_endpoint": map[string]any{"ip": dst}}
		for k, v := range more {
			e[k] = v
		}
		return []any{e}
	}
	rep := func(id, score int, value string) map[string]any {
		return map[string]any{"type_id": id, "value": value, "reputation": map[string]any{"score_id": score, "base_score": 1}}
	}
	const adversary, victim, unknown = threat.BearingAdversary, threat.BearingVictim, threat.BearingUnknown
	for name, c := range map[string]struct {
		edit func(map[string]any)
		want map[string]threat.Bearing
	}{
		"public source, internal destination": {func(m map[string]any) { m["evidences"] = ev("203.0.113.5", "10.0.0.5", nil) },
			map[string]threat.Bearing{"ip:203.0.113.5": adversary, "ip:10.0.0.5": victim}},
		"IPv4 in IPv6": {func(m map[string]any) { m["evidences"] = ev("::ffff:203.0.113.5", "fd00::1", nil) },
			map[string]threat.Bearing{"ip:::ffff:203.0.113.5": adversary, "ip:fd00::1": victim}},
		"outbound": {func(m map[string]any) {
			m["evidences"] = ev("203.0.113.5", "10.0.0.5", map[string]any{"connection_info": map[string]any{"direction_id": 2}})
		}, map[string]threat.Bearing{"ip:203.0.113.5": unknown, "ip:10.0.0.5": unknown}},
		"informational": {func(m map[string]any) {
			m["severity_id"] = 1
			m["evidences"] = ev("203.0.113.5", "10.0.0.5", nil)
		}, map[string]threat.Bearing{"ip:203.0.113.5": unknown, "ip:10.0.0.5": unknown}},
		"internal source, public destination": {func(m map[string]any) { m["evidences"] = ev("10.0.0.5", "203.0.113.5", nil) },
			map[string]threat.Bearing{"ip:203.0.113.5": unknown, "ip:10.0.0.5": unknown}},
		"both public":   {func(m map[string]any) { m["evidences"] = ev("198.51.100.1", "203.0.113.5", nil) }, map[string]threat.Bearing{"ip:198.51.100.1": unknown, "ip:203.0.113.5": unknown}},
		"both internal": {func(m map[string]any) { m["evidences"] = ev("10.1.1.1", "192.168.0.1", nil) }, map[string]threat.Bearing{"ip:10.1.1.1": unknown, "ip:192.168.0.1": unknown}},
		"no addresses":  {func(m map[string]any) { m["evidences"] = ev("evil", "255.255.255.255", nil) }, map[string]threat.Bearing{"ip:evil": unknown, "ip:255.255.255.255": unknown}},
		"reputation": {func(m map[string]any) {
			m["observables"] = []any{rep(2, 10, "203.0.113.5"), rep(2, 8, "203.0.113.6"), rep(1, 9, "Evil.Example.com"), rep(1, 9, "pc7"),
				rep(2, 10, "10.0.0.9"), rep(2, 99, "203.0.113.7")}
		}, map[string]threat.Bearing{"ip:203.0.113.5": adversary, "ip:203.0.113.6": unknown, "domain:Evil.Example.com": adversary,
			"host:pc7": adversary, "ip:10.0.0.9": unknown, "ip:203.0.113.7": unknown}},
		"named twice, told once": {func(m map[string]any) {
			m["evidences"] = ev("10.0.0.5", "203.0.113.5", nil)
			m["observables"] = []any{rep(2, 10, "203.0.113.5"), map[string]any{"type_id": 2, "value": "203.0.113.5"}}
		}, map[string]threat.Bearing{"ip:203.0.113.5": adversary, "ip:10.0.0.5": unknown}},
		"device and resource": {func(m map[string]any) {
			m["device"] = map[string]any{"ip": "10.0.0.5", "hostname": "pc-7", "mac": "00:11:22:33:44:55"}
			m["resources"] = []any{map[string]any{"ip": "198.51.100.80", "hostname": "web"}}
		}, map[string]threat.Bearing{"ip:10.0.0.5": victim, "host:pc-7": victim, "device:00:11:22:33:44:55": victim,
			"ip:198.51.100.80": victim, "host:web": victim}},
		"opposed": {func(m map[string]any) {
			m["resources"] = []any{map[string]any{"ip": "198.51.100.80"}}
			m["observables"] = []any{rep(2, 10, "198.51.100.80")}
		}, map[string]threat.Bearing{"ip:198.51.100.80": unknown}},
		"osint and malware": {func(m map[string]any) {
			m["osint"] = []any{map[string]any{"value": "bad.example.net", "type_id": 2, "reputation": map[string]any{"score_id": 10}},
				map[string]any{"value": "fine.example.net", "type_id": 2}}
			m["malware"] = []any{map[string]any{"files": []any{map[string]any{"hashes": []any{map[string]any{"value": strings.Repeat("ab", 32)}, map[string]any{"value": "ssdeep"}}}}}}
		}, map[string]threat.Bearing{"domain:bad.example.net": adversary, "file_hash:" + strings.Repeat("ab", 32): adversary}},
		"evidence": {func(m map[string]any) {
			m["evidences"] = []any{map[string]any{"query": map[string]any{"hostname": "q.example.com"}, "tls": map[string]any{"sni": "s.example.com"},
				"url": map[string]any{"url_string": "https://u.example.com/"}, "user": map[string]any{"name": "bob"}, "process": map[string]any{"name": "sh"},
				"file": map[string]any{"path": "/x", "hashes": []any{map[string]any{"value": strings.Repeat("0", 40)}}}}}
		}, map[string]threat.Bearing{"domain:q.example.com": unknown, "domain:s.example.com": unknown, "url:https://u.example.com/": unknown,
			"user:bob": unknown, "process:sh": unknown, "file_path:/x": unknown, "file_hash:" + strings.Repeat("0", 40): unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(finding(t, c.edit), "")
			require.NoError(t, err)
			assert.Equal(t, c.want, bearings(f))
		})
	}
}

func TestReachOf(t *testing.T) {
	for s, want := range map[string]Reach{"": NoAddress, "x": NoAddress, "0.0.0.0": NoAddress, "::": NoAddress, "0.1.2.3": NoAddress,
		"224.0.0.1": NoAddress, "ff02::2": NoAddress, "255.255.255.255": NoAddress, "10.0.0.1": Internal, "172.16.5.5": Internal,
		"192.168.1.1": Internal, "127.0.0.1": Internal, "::1": Internal, "169.254.169.254": Internal, "fe80::1": Internal, "fe80::1%eth0": Internal,
		"fd00::1": Internal, "100.64.0.1": Internal, "::ffff:10.0.0.1": Internal, "172.32.0.1": Public, "203.0.113.1": Public,
		"2001:db8::1": Public, "8.8.8.8": Public, " 8.8.8.8 ": Public, "::ffff:8.8.8.8": Public} {
		assert.Equal(t, want, ReachOf(s), s)
	}
}

func TestTechnique(t *testing.T) {
	for in, want := range map[string]string{"T1110": "T1110", "t1071.004": "T1071.004", "T1071_001": "T1071.001", "": "", "T11": "",
		"TA0001": "", "T1110.1": "", "T1110\n": "T1110", "T1110 and more": "", strings.Repeat("T1110", 9): ""} {
		assert.Equal(t, want, Technique(in), in)
	}
}

func TestAnnotate(t *testing.T) {
	raw := []byte("{ \"unmapped\": {\"firebreak\": {\"dropped\": 99}, \"x\": 1}, \"a\": \"<b>\" }")
	b, err := Annotate(raw, Note{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"unmapped":{"x":1},"a":"<b>"}`, string(b), "a sender does not write our notes")
	b, err = Annotate([]byte(`{"unmapped": {"\u0066irebreak": {"dropped": 99}}}`), Note{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"unmapped":{}}`, string(b), "however it spells our name")
	b, err = Annotate(raw, Note{Dropped: 1, Reasons: []string{"y"}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"unmapped":{"x":1,"firebreak":{"dropped":1,"drop_reasons":["y"]}},"a":"<b>"}`, string(b))
	b, err = Annotate([]byte(`{"unmapped": 7}`), Note{Unknown: 1})
	require.NoError(t, err)
	assert.JSONEq(t, `{"unmapped":{"value":7,"firebreak":{"unknown":1}}}`, string(b))
	b, err = Annotate([]byte("{\"a\": \"\xff\"}"), Note{})
	require.NoError(t, err)
	assert.Equal(t, "{\"a\": \"\uFFFD\"}", string(b))
	for _, bad := range []string{"", "[]", "{", "null"} {
		_, err = Annotate([]byte(bad), Note{Dropped: 1})
		assert.True(t, threat.Is(err, threat.Invalid), bad)
	}
}

func TestSharedSamples(t *testing.T) {
	for name, s := range samples(t, "ocsf") {
		f, err := Parse([]byte(s.Raw), "")
		if name != "test_detection_finding_1.json" {
			var fault *threat.Fault
			require.ErrorAs(t, err, &fault, name)
			assert.Equal(t, "/class_uid", fault.Place, name)
			continue
		}
		require.NoError(t, err)
		event := s.Expected["event"].(map[string]any)
		assert.EqualValues(t, event["severity"], f.Severity)
		assert.Equal(t, s.Expected["@timestamp"], f.At.Format("2006-01-02T15:04:05.000000Z"))
		assert.Equal(t, "GuardDuty", f.Product)
		assert.Equal(t, map[string]threat.Bearing{"ip:52.94.133.131": threat.BearingUnknown}, bearings(f))
		assert.Equal(t, 1, f.Uncorrelated, "a resource id")
		assert.Zero(t, f.Unknown, "%v", f.UnknownAt)
	}
}
