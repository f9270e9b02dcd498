package policies

import (
	"bytes"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/firebreak/firebreak/internal/threat"
)

var pathX = ast.Ref{ast.StringTerm("x")}

func validator(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemas holds that each question has both schemas, that they are valid, and that every object in them is closed with
// every property required: rules and Go then know what is there.
func TestSchemas(t *testing.T) {
	for _, q := range threat.Questions {
		for _, side := range []string{"input", "answer"} {
			raw, err := Schema(q, side)
			if err != nil {
				t.Fatal(err)
			}
			validator(t, raw)
		}
		closed(t, string(q)+".input", shapes[q].input)
		closed(t, string(q)+".answer", shapes[q].answer)
	}
	if _, err := Schema("nonsense", "input"); !threat.Is(err, threat.NotFound) {
		t.Errorf("an unknown question: %v", err)
	}
}

func closed(t *testing.T, where string, s *shape) {
	t.Helper()
	switch s.kind {
	case "object":
		if !s.closed || len(s.required) != len(s.properties) {
			t.Errorf("%s is open, or a property of it may be missing", where)
		}
		for name, p := range s.properties {
			closed(t, where+"/"+name, p)
		}
	case "array":
		if s.items == nil || s.maxItems == 0 {
			t.Errorf("%s has no bound", where)
			return
		}
		closed(t, where+"/*", s.items)
	case "string", "integer", "boolean":
	default:
		t.Errorf("%s has the type %q", where, s.kind)
	}
}
