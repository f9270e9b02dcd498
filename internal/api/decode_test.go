package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestDecode(t *testing.T) {
	var p wire.Propose
	require.NoError(t, decode([]byte(`{"verb":"block_ip","target":{"kind":"ip","value":"203.0.113.7"},"params":{"direction":"in"},
		"duration_seconds":60,"connections":["0197a1b2-0000-7000-8000-000000000001"],"end":"ask"}`), &p))
	require.Equal(t, "in", p.Params["direction"])
	require.Equal(t, threat.EndAsk, p.End)
	require.Len(t, p.Connections, 1)
	var v wire.Verdict
	require.NoError(t, decode([]byte(`{"verdict":"narrow","digest":"00","narrower":{"duration_seconds":5}}`), &v))
	require.Equal(t, int64(5), v.Narrower.Seconds)
	var s tenant.Settings
	require.NoError(t, decode([]byte(`{"settle_seconds":0.5,"never_block":["192.0.2.1"]}`), &s))
	require.Equal(t, tenant.Seconds(0.5), *s.Settle)
	require.NoError(t, decode(nil, &s), "a body that may be empty")
	var e wire.Evaluate
	require.NoError(t, decode([]byte(`{"question":"access","input":{"any":["thing",null]}}`), &e))
	require.JSONEq(t, `{"any":["thing",null]}`, string(e.Input))
}

func TestDecodeTellsThePlace(t *testing.T) {
	for _, c := range []struct{ body, place, words string }{
		{``, "/target", "missing"},
		{`{`, "/", "ends before"},
		{`{"verb":"x",`, "/", "ends before"},
		{`{"verb":"x" "target"`, "/", "not JSON"},
		{`{"verb":x}`, "/verb", "not JSON"},
		{`[]`, "/", "an object is needed, not a list"},
		{`"text"`, "/", "an object is needed, not a text"},
		{`null`, "/", "an object is needed, not null"},
		{`{"verb":7}`, "/verb", "a text is needed"},
		{`{"verb":null}`, "/verb", "not null"},
		{`{"verb":"x","verb":"y"}`, "/verb", "twice"},
		{`{"verb":"x"}`, "/target", "missing"},
		{`{"verb":"x","target":{"kind":"ip"}}`, "/target/value", "missing"},
		{`{"verb":"x","target":{"kind":"ip","value":"v","ports":[]}}`, "/target/ports", "no such field"},
		{`{"verb":"x","target":7}`, "/target", "an object is needed, not a number"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"duration_seconds":1.5}`, "/duration_seconds", "a whole number"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"duration_seconds":9223372036854775808}`, "/duration_seconds", "a whole number"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"connections":{}}`, "/connections", "a list is needed, not an object"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"connections":["0197a1b2-0000-7000-8000-000000000001","nonsense"]}`,
			"/connections/1", "a UUID is needed"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"params":{"a/b~c":1}}`, "/params/a~1b~0c", "a text is needed"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"},"params":{"a":"1","a":"2"}}`, "/params/a", "twice"},
		{`{"verb":"x","target":{"kind":"ip","value":"v"}} {}`, "/", "follows"},
		{"{\"verb\":\"\xff\"}", "/", "UTF-8"},
	} {
		var p wire.Propose
		err := decode([]byte(c.body), &p)
		var f *threat.Fault
		require.True(t, errors.As(err, &f), "%s: %v", c.body, err)
		require.Equal(t, threat.Invalid, f.Kind, c.body)
		require.Equal(t, c.place, f.Place, "%s: %s", c.body, f.What)
		require.Contains(t, f.What, c.words, c.body)
	}
}

func TestDecodeNamesWhatIsNear(t *testing.T) {
	for told, near := range map[string]string{"reson": "did you mean reason?", "colour": "there are reason", "Reason": "did you mean reason?",
		strings.Repeat("x", 100): "there are reason"} {
		var b wire.CloseCase
		var f *threat.Fault
		require.ErrorAs(t, decode([]byte(`{"`+told+`":"x"}`), &b), &f)
		require.Equal(t, near, f.Next, told)
	}
	require.Equal(t, 3, distance("kitten", "sitting", 10))
	require.Equal(t, 2, distance("kitten", "sitting", 2))
}

// FuzzDecode holds that a body is either read as encoding/json reads it, or refused with a place.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"verb":"block_ip","target":{"kind":"ip","value":"203.0.113.7"}}`, `{"verb":1}`, `{`, `[]`, "\x00", `{"a":{"b":`,
		`{"verb":"x","target":{"kind":"ip","value":"v"},"params":{"":"","\u0000":"y"},"connections":[]}`, `{"verb":"a","verb":"b"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got wire.Propose
		err := decode(body, &got)
		if err != nil {
			var fault *threat.Fault
			require.True(t, errors.As(err, &fault), "%v", err)
			require.Equal(t, threat.Invalid, fault.Kind)
			require.True(t, strings.HasPrefix(fault.Place, "/"), fault.Place)
			require.Equal(t, threat.Inert(fault.Place, 300), fault.Place, "a place is shown to people")
			return
		}
		var want wire.Propose
		if len(strings.TrimSpace(string(body))) > 0 {
			require.NoError(t, json.Unmarshal(body, &want))
		}
		require.Equal(t, want.Verb, got.Verb)
		require.Equal(t, want.Target, got.Target)
		require.Equal(t, len(want.Params), len(got.Params))
		require.Equal(t, want.DurationSeconds, got.DurationSeconds)
	})
}

func TestPlaces(t *testing.T) {
	_, err := readPlaces("nonsense")
	require.True(t, threat.Is(err, threat.Invalid))
	for _, bad := range []string{"1.!!", "1.AAAA", "1.AAAAAAAA"} {
		_, err := readPlaces(bad)
		require.Error(t, err, bad)
	}
	none, err := readPlaces("")
	require.NoError(t, err)
	require.Nil(t, none)
}
