package policies

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/firebreak/firebreak/internal/threat"
)

// schemaFiles hold a JSON schema for each question's input and answer. They belong to the program, not to a bundle: they
// say what Go gives and takes.
//
//go:embed schema/*.json
var schemaFiles embed.FS

// Schema gives the JSON schema of a question's "input" or "answer".
func Schema(q threat.Question, side string) ([]byte, error) {
	b, err := schemaFiles.ReadFile("schema/" + string(q) + "." + side + ".json")
	if err != nil {
		return nil, &threat.Fault{Kind: threat.NotFound, What: "there is no schema of that name", Err: err}
	}
	return b, nil
}

// schemaSet gives the inputs' schemas to OPA's type checker: rules name them in their package's METADATA.
var schemaSet = sync.OnceValue(func() *ast.SchemaSet {
	set := ast.NewSchemaSet()
	for _, q := range threat.Questions {
		for _, side := range []string{"input", "answer"} {
			raw, err := Schema(q, side)
			if err != nil {
				panic(err) // the files are embedded; a test asks for each
			}
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				panic(err)
			}
			set.Put(ast.MustParseRef("schema."+string(q)+"."+side), doc)
		}
	}
	return set
})

// shape is a JSON schema, as far as ours use it. It checks an OPA value and writes its canonical JSON in one pass. A
// keyword that it does not know is refused when it is read, so that nothing in a schema is silently left out.
type shape struct {
	kind       string
	properties map[string]*shape
	required   []string
	closed     bool
	items      *shape
	enum       []string
	min, max   *int64
	minLength  int
	maxLength  int
	maxItems   int
}

// anything takes every JSON value.
var anything = &shape{}

type questionShapes struct{ input, answer *shape }

var shapes = func() map[threat.Question]questionShapes {
	out := map[threat.Question]questionShapes{}
	for _, q := range threat.Questions {
		out[q] = questionShapes{mustShape(q, "input"), mustShape(q, "answer")}
	}
	return out
}()

func mustShape(q threat.Question, side string) *shape {
	raw, err := Schema(q, side)
	if err != nil {
		panic(err)
	}
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		panic(fmt.Sprintf("schema %s.%s: %v", q, side, err))
	}
	s, err := readShape(doc)
	if err != nil {
		panic(fmt.Sprintf("schema %s.%s: %v", q, side, err))
	}
	return s
}

func readShape(doc map[string]any) (*shape, error) {
	s := &shape{}
	number := func(v any) int64 { n, _ := v.(json.Number); i, _ := n.Int64(); return i }
	for key, v := range doc {
		switch key {
		case "$schema", "title", "description":
		case "type":
			s.kind, _ = v.(string)
		case "additionalProperties":
			open, ok := v.(bool)
			if !ok || open {
				return nil, fmt.Errorf("additionalProperties must be false")
			}
			s.closed = true
		case "required":
			for _, r := range v.([]any) {
				s.required = append(s.required, r.(string))
			}
		case "properties":
			s.properties = map[string]*shape{}
			for name, p := range v.(map[string]any) {
				sub, err := readShape(p.(map[string]any))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				s.properties[name] = sub
			}
		case "items":
			sub, err := readShape(v.(map[string]any))
			if err != nil {
				return nil, err
			}
			s.items = sub
		case "enum":
			for _, e := range v.([]any) {
				s.enum = append(s.enum, e.(string))
			}
		case "minimum":
			n := number(v)
			s.min = &n
		case "maximum":
			n := number(v)
			s.max = &n
		case "minLength":
			s.minLength = int(number(v))
		case "maxLength":
			s.maxLength = int(number(v))
		case "maxItems":
			s.maxItems = int(number(v))
		default:
			return nil, fmt.Errorf("unknown keyword %q", key)
		}
	}
	return s, nil
}

// misfit says where a value does not fit its schema. Where names properties of the schema only, never a value.
type misfit struct{ where, what string }

func (m *misfit) Error() string { return m.where + ": " + m.what }

func bad(where, format string, args ...any) *misfit {
	if where == "" {
		where = "/"
	}
	return &misfit{where: where, what: fmt.Sprintf(format, args...)}
}

// write checks v and appends its canonical JSON. Sets become arrays, sorted as OPA sorts.
func (s *shape) write(b []byte, v ast.Value, where string) ([]byte, *misfit) {
	switch v := v.(type) {
	case ast.String:
		return s.writeString(b, string(v), where)
	case ast.Boolean:
		if !s.takes("boolean") {
			return nil, bad(where, "a boolean where a %s belongs", s.kind)
		}
		return strconv.AppendBool(b, bool(v)), nil
	case ast.Number:
		return s.writeNumber(b, v, where)
	case ast.Null:
		if s.kind != "" {
			return nil, bad(where, "null where a %s belongs", s.kind)
		}
		return append(b, "null"...), nil
	case *ast.Array:
		return s.writeList(b, v.Len(), func(i int) ast.Value { return v.Elem(i).Value }, where)
	case ast.Set:
		list := v.Sorted()
		return s.writeList(b, list.Len(), func(i int) ast.Value { return list.Elem(i).Value }, where)
	case ast.Object:
		return s.writeObject(b, v, where)
	}
	return nil, bad(where, "not a JSON value")
}

func (s *shape) takes(kind string) bool { return s.kind == "" || s.kind == kind }

func (s *shape) writeString(b []byte, v, where string) ([]byte, *misfit) {
	if !s.takes("string") {
		return nil, bad(where, "a text where a %s belongs", s.kind)
	}
	if s.minLength > 0 || s.maxLength > 0 {
		n := len(v)
		if n > s.maxLength || n < s.minLength { // counted only where bytes do not settle it
			n = utf8.RuneCountInString(v)
		}
		if n < s.minLength || s.maxLength > 0 && n > s.maxLength {
			return nil, bad(where, "a text of %d characters", n)
		}
	}
	if s.enum != nil {
		ok := false
		for _, e := range s.enum {
			ok = ok || e == v
		}
		if !ok {
			return nil, bad(where, "not one of %s", strings.Join(s.enum, ", "))
		}
	}
	return appendString(b, v), nil
}

func (s *shape) writeNumber(b []byte, v ast.Number, where string) ([]byte, *misfit) {
	n, whole := v.Int64()
	if s.kind == "" {
		if whole {
			return strconv.AppendInt(b, n, 10), nil
		}
		return append(b, v.String()...), nil
	}
	if s.kind != "integer" {
		return nil, bad(where, "a number where a %s belongs", s.kind)
	}
	if !whole {
		return nil, bad(where, "not a whole number")
	}
	if s.min != nil && n < *s.min || s.max != nil && n > *s.max {
		return nil, bad(where, "%d is out of range", n)
	}
	return strconv.AppendInt(b, n, 10), nil
}

func (s *shape) writeList(b []byte, n int, at func(int) ast.Value, where string) ([]byte, *misfit) {
	if !s.takes("array") {
		return nil, bad(where, "a list where a %s belongs", s.kind)
	}
	if s.maxItems > 0 && n > s.maxItems {
		return nil, bad(where, "%d elements; at most %d", n, s.maxItems)
	}
	items := s.items
	if items == nil {
		items = anything
	}
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		var m *misfit
		if b, m = items.write(b, at(i), where+"/*"); m != nil {
			return nil, m
		}
	}
	return append(b, ']'), nil
}

func (s *shape) writeObject(b []byte, v ast.Object, where string) ([]byte, *misfit) {
	if !s.takes("object") {
		return nil, bad(where, "an object where a %s belongs", s.kind)
	}
	type pair struct {
		key string
		val ast.Value
	}
	pairs := make([]pair, 0, v.Len())
	var m *misfit
	v.Until(func(k, val *ast.Term) bool {
		key, ok := k.Value.(ast.String)
		if !ok {
			m = bad(where, "a property whose name is not a text")
			return true
		}
		pairs = append(pairs, pair{string(key), val.Value})
		return false
	})
	if m != nil {
		return nil, m
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i].key < pairs[j].key })
	found := 0
	b = append(b, '{')
	for i, p := range pairs {
		sub := s.properties[p.key]
		if sub == nil {
			if s.closed {
				return nil, bad(where, "an unknown property %q", threat.Inert(p.key, 64))
			}
			sub = anything
		} else {
			found++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, p.key), ':')
		if b, m = sub.write(b, p.val, where+"/"+p.key); m != nil {
			return nil, m
		}
	}
	if found < len(s.required) {
		for _, r := range s.required {
			if v.Get(ast.InternedTerm(r)) == nil {
				return nil, bad(where, "%s is missing", r)
			}
		}
	}
	return append(b, '}'), nil
}
