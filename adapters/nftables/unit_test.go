package nftables

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestSettings(t *testing.T) {
	for _, m := range []map[string]string{
		{"namespace": "-n"}, {"namespace": "a/b"}, {"namespace": "a..b"}, {"namespace": "a b"}, {"namespace": "."}, {"namespace": strings.Repeat("x", 65)},
		{"table": "a;b"}, {"table": "4tables"}, {"table": strings.Repeat("x", 32)}, {"table": "-x"},
		{"nft": "sh"}, {"nft": "../nft"}, {"nft": "/usr/../sbin/nft"}, {"ip": "./ip"},
		{"hook": "ingress"}, {"hook": "input,"},
	} {
		if _, err := ReadSettings(m); !threat.Is(err, threat.Invalid) {
			t.Errorf("%v: %v", m, err)
		}
	}
	s, err := ReadSettings(map[string]string{"hook": "output, input,input"})
	if err != nil || strings.Join(s.Hooks, " ") != "input output" {
		t.Fatalf("%+v %v", s, err)
	}
	for _, c := range s.chains() {
		if c.hook == "prerouting" || c.hook == "forward" {
			t.Errorf("%s was not asked for", c.name)
		}
	}
}

// TestFailuresAreClassed holds what nft's words mean.
func TestFailuresAreClassed(t *testing.T) {
	for words, want := range map[string]threat.FaultKind{
		"Error: Could not process rule: File exists":                      threat.Conflict,
		"Error: No such file or directory\nlist table inet x":             threat.NotFound,
		"Operation not permitted (you must be root)":                      threat.Forbidden,
		`Cannot open network namespace "x": No such file or directory`:    threat.Unavailable,
		"Error: Could not process rule: Device or resource busy":          threat.Unavailable,
		"Error: Could not process rule: Too many open files in system":    threat.TooLarge,
		"Error: syntax error, unexpected string":                          threat.Internal,
		"netlink: Error: Could not receive from netlink: No buffer space": threat.Unknown,
		"": threat.Unknown,
	} {
		if err := failed(Output{Code: 1, Stderr: []byte(words)}); !threat.Is(err, want) {
			t.Errorf("%q is %v; want %s", words, err, want)
		}
	}
	if err := failed(Output{}); err != nil {
		t.Error(err)
	}
}

// scripted answers runs in turn.
type scripted []Output

func (s *scripted) Run(context.Context, []string, []byte) (Output, error) {
	o := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	return o, nil
}

func TestAListThatCannotBeReadIsNoAbsence(t *testing.T) {
	o := adapters.Order{Target: threat.Target{Kind: threat.TargetIP, Value: "198.51.100.7"}}
	for _, out := range []Output{{Stdout: []byte("no JSON")}, {Stdout: []byte(`{"nftables": 7}`)}, {Code: -1}, {Code: 1, Stderr: []byte("surprise")}} {
		run := scripted{out}
		f, err := Open(nil, Options{Runner: func(Settings) Runner { return &run }})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := f.Read(t.Context(), o); !threat.Is(err, threat.Unavailable) {
			t.Errorf("%+v: read answered %+v, %v", out, r, err)
		}
		if r, err := f.Remove(t.Context(), o); !threat.Is(err, threat.Unavailable) {
			t.Errorf("%+v: remove answered %+v, %v", out, r, err)
		}
	}
}

// recorded is what nft 1.0.6 printed for a table of ours.
func recorded(t testing.TB) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", "table.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordedListIsRead(t *testing.T) {
	l, err := parse(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !l.stands(s, "") {
		t.Error("a table that stands is not seen to")
	}
	e := l.sets["blocked4"][netip.MustParseAddr("198.51.100.7")]
	if e.Comment != "firebreak:019a0000-0000-7000-8000-000000000001:1" || e.Timeout != 120 || e.Expires < 100 {
		t.Errorf("%+v", e)
	}
	if e, ok := l.sets["blocked6"][netip.MustParseAddr("2001:db8::7")]; !ok || e.Comment != "by hand" || e.Timeout != 0 {
		t.Errorf("%+v %v", e, ok)
	}
	if e, ok := l.sets["blocked4_in"][netip.MustParseAddr("198.51.100.8")]; !ok || e != (entry{}) {
		t.Errorf("%+v %v", e, ok)
	}
}

// TestHarmedLayoutsDoNotStand takes one thing at a time out of a table that stands.
func TestHarmedLayoutsDoNotStand(t *testing.T) {
	s, err := ReadSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	var whole struct {
		Nftables []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal(recorded(t), &whole); err != nil {
		t.Fatal(err)
	}
	harmed := 0
	for i, o := range whole.Nftables {
		if o["metainfo"] != nil || o["table"] != nil {
			continue
		}
		rest := append(append([]map[string]json.RawMessage(nil), whole.Nftables[:i]...), whole.Nftables[i+1:]...)
		b, err := json.Marshal(map[string]any{"nftables": rest})
		if err != nil {
			t.Fatal(err)
		}
		l, err := parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if harmed++; l.stands(s, "") {
			t.Errorf("without %s the table is said to stand", o)
		}
	}
	if want := 6 + len(s.chains())*(1+len(drops)); harmed != want {
		t.Errorf("%d parts were taken out; want %d", harmed, want)
	}
	for _, flags := range []string{`"dormant"`, `["dormant"]`, `["owner","dormant"]`, `"inet"`, `7`} {
		if !asleep(json.RawMessage(flags)) {
			t.Errorf("a table with the flags %s is said to be awake", flags)
		}
	}
	if asleep(nil) || asleep(json.RawMessage(`["owner","persist"]`)) {
		t.Error("a table that is awake is said to be asleep")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(recorded(f))
	f.Add([]byte(`{"nftables":[{"set":{"name":"blocked4","elem":[{"elem":{"val":{"prefix":{"addr":"10.0.0.0","len":8}}}},"x",{"range":["a","b"]}]}}]}`))
	f.Add([]byte(`{"nftables":[{"rule":{"chain":"before_input","expr":[{"match":null},{"drop":null}]}},{"table":{"flags":{}}}]}`))
	s, err := ReadSettings(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parse(b)
		if err == nil {
			l.stands(s, "blocked4")
			l.find(element{addr: netip.MustParseAddr("198.51.100.7"), direction: in, set: "blocked4_in"})
		}
	})
}
