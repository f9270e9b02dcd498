package ocsf

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestSplit(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	for name, c := range map[string]struct {
		body   string
		places string // of the items; a broken one with "!"
		batch  bool
	}{
		"one":              {`{"a":1}`, "", false},
		"one over lines":   {"\n{\n\"a\":\n1}\n", "", false},
		"mark":             {"\xef\xbb\xbf{}", "", false},
		"array":            {`[{"a":1}, 7, null, {}]`, "/0 /1! /2! /3", true},
		"array of one":     {` [ {} ] `, "/0", true},
		"lines":            {"{\"a\":1}\n\n{\"b\":\nnot json\r\n{}\r\n", "line 1,line 3!,line 4!,line 5", true},
		"too deep":         {`[{"a":` + deep + `},{}]`, "/0! /1", true},
		"braces in a text": {`{"a":"` + strings.Repeat("{[\\\"", 200) + `"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			items, batch, err := Split([]byte(c.body))
			require.NoError(t, err)
			assert.Equal(t, c.batch, batch)
			sep := " "
			if strings.Contains(c.places, ",") {
				sep = ","
			}
			var got []string
			for _, it := range items {
				p := it.Place
				if it.Err != nil {
					p += "!"
					assert.True(t, threat.Is(it.Err, threat.Invalid))
				} else {
					assert.True(t, json.Valid(it.Raw))
				}
				got = append(got, p)
			}
			assert.Equal(t, c.places, strings.Join(got, sep))
		})
	}
	for body, place := range map[string]string{
		"": "", " \n\t": "", "x": "byte 0", "  \"text\"": "byte 2", "{": "byte 1", "{\"a\":1,}": "byte 8", "[{}": "byte 3",
		"[{},]": "byte 4", "[]": "", "[{}] x": "byte 4", "{} {}": "byte 2", "{\"a\":\nx": "byte 7", "[{\"a\":}]": "byte 6",
	} {
		_, _, err := Split([]byte(body))
		var f *threat.Fault
		require.ErrorAs(t, err, &f, body)
		assert.Equal(t, threat.Invalid, f.Kind, body)
		assert.Equal(t, place, f.Place, body)
	}
}

func TestSplitLimits(t *testing.T) {
	_, _, err := Split(make([]byte, MaxBody+1))
	assert.True(t, threat.Is(err, threat.TooLarge))
	for _, n := range []int{MaxItems, MaxItems + 1} {
		for _, body := range []string{"[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]", strings.Repeat("{}\n", n)} {
			items, _, err := Split([]byte(body))
			if n > MaxItems {
				assert.True(t, threat.Is(err, threat.TooLarge))
				continue
			}
			require.NoError(t, err)
			assert.Len(t, items, MaxItems)
		}
	}
	_, _, err = Split([]byte(strings.Repeat("[", MaxBody)))
	assert.True(t, threat.Is(err, threat.Invalid), "deep nesting ends in an answer")
	items, _, err := Split([]byte(`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`))
	require.NoError(t, err)
	assert.True(t, threat.Is(items[0].Err, threat.Invalid))
}

func FuzzParse(f *testing.F) {
	for _, s := range samples(f, "ocsf") {
		f.Add([]byte(s.Raw))
	}
	f.Add(finding(f, func(m map[string]any) {
		m["observables"] = []any{map[string]any{"type_id": 2, "value": "203.0.113.1", "reputation": map[string]any{"score_id": 10}}}
		m["evidences"] = []any{map[string]any{"src_endpoint": map[string]any{"ip": "203.0.113.1"}, "dst_endpoint": map[string]any{"ip": "10.0.0.1"}}}
	}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Parse(raw, "/0")
		if err != nil {
			if k := threat.KindOf(err); k != threat.Invalid && k != threat.TooLarge {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if got.UID == "" || got.Product == "" || got.At.Year() > 9999 || got.Severity > threat.SeverityFatal {
			t.Fatalf("%+v", got)
		}
		for _, o := range got.Observables {
			if o.Kind == threat.ObservableIP && o.Bearing == threat.BearingAdversary && ReachOf(o.Value) != Public {
				t.Fatalf("%+v is the adversary's", o)
			}
		}
		b, err := Annotate(raw, Note{Unknown: got.Unknown, UnknownAt: got.UnknownAt})
		if err != nil || !json.Valid(b) {
			t.Fatalf("%v %q", err, b)
		}
		again, err := Parse(b, "/0")
		if err != nil || again.UID != got.UID || len(again.Observables) != len(got.Observables) {
			t.Fatalf("%v: %+v became %+v", err, got, again)
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{`{}`, `[{},{"a":[1]}]`, "{}\n{\n{}", "[[", `[{}]x`, "\xef\xbb\xbf{}"} {
		f.Add([]byte(s))
	}
	for _, s := range []string{`[{"a":"]}\\\""},{"b":[{}]} , {}]`, `[{},]`, `[{} {}]`, `[,{}]`, `[{"a":01}]`, `[[{}]]`, `[{}]]`, `[{}`, `[{"a":1}}`, `{{}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if quick := outlined(body); quick != nil {
			if slow, err := decodedArray(body); err != nil || !assert.ObjectsAreEqual(slow, quick) {
				t.Fatalf("%q parts into %v, or %v: %v", body, quick, slow, err)
			}
		}
		items, _, err := Split(body)
		if err != nil {
			if k := threat.KindOf(err); k != threat.Invalid && k != threat.TooLarge {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if len(items) == 0 || len(items) > MaxItems {
			t.Fatalf("%d items", len(items))
		}
		for _, it := range items {
			if it.Err == nil && (!json.Valid(it.Raw) || it.Raw[0] != '{' || depth(it.Raw) > MaxDepth) {
				t.Fatalf("%q", it.Raw)
			}
		}
	})
}
