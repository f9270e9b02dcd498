package ocsf

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

// schema is what the tests read of the compiled OCSF schema.
type schema struct {
	Version string                  `json:"version"`
	Classes map[string]schemaObject `json:"classes"`
	Objects map[string]schemaObject `json:"objects"`
}

type schemaObject struct {
	UID         int                        `json:"uid"`
	CategoryUID int                        `json:"category_uid"`
	Attributes  map[string]schemaAttribute `json:"attributes"`
	Constraints struct {
		AtLeastOne []string `json:"at_least_one"`
	} `json:"constraints"`
}

type schemaAttribute struct {
	Type        string   `json:"type"`
	Object      string   `json:"object_type"`
	Array       bool     `json:"is_array"`
	Requirement string   `json:"requirement"`
	Profiles    []string `json:"profiles"`
	Enum        map[string]struct {
		Caption string `json:"caption"`
	} `json:"enum"`
}

func loadSchema(t *testing.T) schema {
	t.Helper()
	b, err := os.ReadFile(sharedData(t, "ocsf", "ocsf-1.8.0.json"))
	require.NoError(t, err)
	var s schema
	require.NoError(t, json.Unmarshal(b, &s))
	require.Equal(t, Version, s.Version)
	return s
}

func TestShapesAreTheSchemas(t *testing.T) {
	s := loadSchema(t)
	for name, set := range attributes {
		want := s.Objects[name]
		if name == classShape {
			want = s.Classes[name]
		}
		require.NotEmpty(t, want.Attributes, name)
		for a, w := range want.Attributes {
			assert.True(t, set.known[a], "%s.%s is missing", name, a)
			if o := shapes[name].objects[a]; o != "" {
				assert.Equal(t, w.Object, o, "%s.%s", name, a)
			} else if _, walked := shapes[w.Object]; walked {
				t.Errorf("%s.%s holds a %s, which is not walked", name, a, w.Object)
			}
		}
		for a := range set.known {
			assert.Contains(t, want.Attributes, a, "%s", name)
		}
	}
}

func TestNumbersAreTheSchemas(t *testing.T) {
	s := loadSchema(t)
	class := s.Classes[classShape]
	assert.Equal(t, Class, class.UID)
	assert.Equal(t, Category, class.CategoryUID)
	for name, table := range map[string]map[int64]string{"activity_id": activities, "severity_id": severities} {
		assert.Len(t, table, len(class.Attributes[name].Enum), name)
		for id, caption := range table {
			assert.Equal(t, class.Attributes[name].Enum[fmt.Sprint(id)].Caption, caption, name)
		}
	}
	ids := s.Objects["observable"].Attributes["type_id"].Enum
	for id, kind := range kinds {
		assert.Contains(t, ids, fmt.Sprint(id), kind)
	}
	for kind, w := range types {
		if w.id != TypeOther {
			assert.Equal(t, ids[fmt.Sprint(w.id)].Caption, w.caption, kind)
		}
	}
	assert.Len(t, types, len(threat.ObservableKinds), "every kind can be written")
	assert.Equal(t, "Probably Malicious", s.Objects["reputation"].Attributes["score_id"].Enum[fmt.Sprint(malicious)].Caption)
	assert.Equal(t, "Outbound", s.Objects["network_connection_info"].Attributes["direction_id"].Enum["2"].Caption)
}

// check compares a value with a class or object of the schema: nothing unknown, nothing required missing, enumerations and
// types as told.
func (s schema) check(t *testing.T, o schemaObject, v map[string]any, at string) {
	t.Helper()
	for name := range v {
		_, ok := o.Attributes[name]
		assert.True(t, ok, "%s/%s is not in the schema", at, name)
	}
	for name, a := range o.Attributes {
		got, ok := v[name]
		if !ok {
			if a.Requirement == "required" && len(a.Profiles) == 0 {
				t.Errorf("%s/%s is required", at, name)
			}
			continue
		}
		values := []any{got}
		if a.Array {
			list, isList := got.([]any)
			require.True(t, isList, "%s/%s", at, name)
			values = list
		}
		for _, x := range values {
			s.value(t, a, x, at+"/"+name)
		}
	}
	if one := o.Constraints.AtLeastOne; len(one) > 0 {
		found := false
		for _, name := range one {
			_, ok := v[name]
			found = found || ok
		}
		assert.True(t, found, "%s needs one of %s", at, strings.Join(one, ", "))
	}
}

func (s schema) value(t *testing.T, a schemaAttribute, x any, at string) {
	t.Helper()
	switch a.Type {
	case "object_t":
		m, ok := x.(map[string]any)
		require.True(t, ok, at)
		if a.Object != "object" {
			s.check(t, s.Objects[a.Object], m, at)
		}
	case "integer_t", "long_t", "timestamp_t", "port_t", "float_t":
		n, ok := x.(json.Number)
		require.True(t, ok, at)
		if len(a.Enum) > 0 {
			assert.Contains(t, a.Enum, n.String(), at)
		}
	case "boolean_t":
		assert.IsType(t, true, x, at)
	default:
		assert.IsType(t, "", x, at)
	}
}

func TestFromFindingIsValid(t *testing.T) {
	s := loadSchema(t)
	at := time.Date(2026, 3, 1, 2, 3, 4, 5000000, time.UTC)
	var all []threat.Observable
	for _, k := range threat.ObservableKinds {
		all = append(all, threat.Observable{Kind: k, Value: "a.example.com", Bearing: threat.BearingAdversary})
	}
	for name, d := range map[string]threat.Detection{
		"full": {TenantID: uuid.New(), UID: "u-1", Title: "<b>evil</b>\x00\u202e", Severity: threat.SeverityHigh, At: at, ReceivedAt: at,
			Techniques: []string{"T1110", "T1071.004", "nonsense"}, Raw: []byte(`{"a":1}`)},
		"bare":            {DedupKey: "k", At: at},
		"odd severity":    {UID: "u", Severity: 42, At: at},
		"unix epoch":      {UID: "u", At: time.UnixMilli(0)},
		"end of the time": {UID: "u", At: time.UnixMilli(lastTime)},
	} {
		t.Run(name, func(t *testing.T) {
			note := Note{Dropped: 1, Reasons: []string{"x"}, Beyond: 2}
			if name == "bare" {
				all, note = nil, Note{}
			}
			b, err := FromFinding(d, Origin{Name: "CrowdSec"}, all, note)
			require.NoError(t, err)
			dec := json.NewDecoder(strings.NewReader(string(b)))
			dec.UseNumber()
			var v map[string]any
			require.NoError(t, dec.Decode(&v))
			s.check(t, s.Classes[classShape], v, "")
			back, err := Parse(b, "")
			require.NoError(t, err)
			assert.Zero(t, back.Unknown)
			assert.True(t, d.At.Equal(back.At))
			assert.Equal(t, threat.Inert(d.Title, MaxTitle), back.Title)
			assert.NotContains(t, back.Title, "\x00")
			if name == "full" {
				assert.Equal(t, []string{"T1110", "T1071.004"}, back.Techniques)
				assert.Equal(t, threat.SeverityHigh, back.Severity)
				assert.Equal(t, "u-1", back.UID)
			}
		})
	}
	_, err := FromFinding(threat.Detection{UID: "u", At: time.UnixMilli(-1)}, Origin{Name: "x"}, nil, Note{})
	assert.True(t, threat.Is(err, threat.Invalid))
	_, err = FromFinding(threat.Detection{At: at}, Origin{Name: "x"}, nil, Note{})
	assert.True(t, threat.Is(err, threat.Invalid))
	_, err = FromFinding(threat.Detection{UID: "u", At: at}, Origin{}, nil, Note{})
	assert.True(t, threat.Is(err, threat.Invalid))
}
