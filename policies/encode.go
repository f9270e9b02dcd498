package policies

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Document is an input in the two forms that are needed: for OPA, and as the canonical JSON that is recorded.
type Document struct {
	Value ast.Value
	JSON  []byte
	At    [2]int // from and to of the first property "at" with its value, in JSON
}

// Encode makes a Document of a struct in one pass. A struct's fields are written in the order of their json names, which
// is RFC 8785's; every field is always there, so that rules find fixed properties. It knows strings, booleans, whole
// numbers, times (RFC 3339 in UTC), UUIDs, slices and structs of these; text that is not UTF-8 is mended. JSON as []byte or
// json.RawMessage is parsed.
func Encode(v any) (Document, error) {
	switch raw := v.(type) {
	case []byte:
		return parsed(raw)
	case json.RawMessage:
		return parsed(raw)
	}
	w := writer{buf: make([]byte, 0, 2048)}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return Document{}, fmt.Errorf("an input is a struct or JSON, not %T", v)
	}
	val, err := w.value(rv)
	if err != nil {
		return Document{}, err
	}
	return Document{Value: val, JSON: w.buf, At: w.at}, nil
}

// parsed reads an input that comes as JSON. It is written again in canonical form.
func parsed(raw []byte) (Document, error) {
	v, err := ast.ValueFromReader(bytes.NewReader(raw))
	if err != nil {
		return Document{}, fmt.Errorf("the input is not JSON: %w", err)
	}
	if _, ok := v.(ast.Object); !ok {
		return Document{}, fmt.Errorf("the input is not a JSON object")
	}
	out, bad := anything.write(nil, v, "")
	if bad != nil {
		return Document{}, bad
	}
	return Document{Value: v, JSON: out}, nil
}

type writer struct {
	buf []byte
	at  [2]int
}

// field is one property of a struct.
type field struct {
	index int
	key   *ast.Term
	json  []byte // `"name":`
	at    bool
	share bool
}

// shared keeps what is the same in question after question (a tenant's mode and settings, nobody reached yet): properties
// whose struct field bears the tag `encode:"shared"`. Their structs must be comparable. OPA's values are not changed once
// they are made, so that many questions may hold one.
var shared struct {
	sync.RWMutex
	m map[any]sharedValue
}

type sharedValue struct {
	value ast.Value
	json  []byte
}

// maxShared bounds the memory: about 1 kB each.
const maxShared = 8192

func (w *writer) shared(v reflect.Value) (ast.Value, error) {
	key := v.Interface()
	shared.RLock()
	kept, ok := shared.m[key]
	shared.RUnlock()
	if ok {
		w.buf = append(w.buf, kept.json...)
		return kept.value, nil
	}
	from := len(w.buf)
	val, err := w.value(v)
	if err != nil {
		return nil, err
	}
	val.Hash() // what an object computes lazily is computed before others see it
	shared.Lock()
	if shared.m == nil || len(shared.m) >= maxShared {
		shared.m = map[any]sharedValue{}
	}
	shared.m[key] = sharedValue{val, append([]byte(nil), w.buf[from:]...)}
	shared.Unlock()
	return val, nil
}

var plans sync.Map // reflect.Type -> []field

func planOf(t reflect.Type) []field {
	if p, ok := plans.Load(t); ok {
		return p.([]field)
	}
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out = append(out, field{index: i, key: ast.StringTerm(name), json: append(appendString(nil, name), ':'), at: name == "at",
			share: f.Tag.Get("encode") == "shared"})
	}
	sort.Slice(out, func(i, j int) bool { return ast.Compare(out[i].key, out[j].key) < 0 })
	plans.Store(t, out)
	return out
}

var (
	timeType = reflect.TypeFor[time.Time]()
	uuidType = reflect.TypeFor[uuid.UUID]()
)

func (w *writer) value(v reflect.Value) (ast.Value, error) {
	switch v.Type() {
	case timeType:
		return w.text(v.Interface().(time.Time).UTC().Format(time.RFC3339Nano)), nil
	case uuidType:
		return w.text(v.Interface().(uuid.UUID).String()), nil
	}
	switch v.Kind() {
	case reflect.String:
		return w.text(v.String()), nil
	case reflect.Bool:
		w.buf = strconv.AppendBool(w.buf, v.Bool())
		return ast.InternedValue(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.buf = strconv.AppendInt(w.buf, v.Int(), 10)
		return ast.InternedValue(int(v.Int())), nil
	case reflect.Slice:
		w.buf = append(w.buf, '[')
		block := make([]ast.Term, v.Len()) // one allocation for all
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			e, err := w.value(v.Index(i))
			if err != nil {
				return nil, err
			}
			block[i].Value, terms[i] = e, &block[i]
		}
		w.buf = append(w.buf, ']')
		return ast.NewArray(terms...), nil
	case reflect.Struct:
		plan := planOf(v.Type())
		block := make([]ast.Term, len(plan))
		pairs := make([][2]*ast.Term, len(plan))
		w.buf = append(w.buf, '{')
		for i, f := range plan {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			from := len(w.buf)
			w.buf = append(w.buf, f.json...)
			var e ast.Value
			var err error
			if f.share {
				e, err = w.shared(v.Field(f.index))
			} else {
				e, err = w.value(v.Field(f.index))
			}
			if err != nil {
				return nil, err
			}
			if f.at && w.at[1] == 0 {
				w.at = [2]int{from, len(w.buf)}
			}
			block[i].Value = e
			pairs[i] = [2]*ast.Term{f.key, &block[i]}
		}
		w.buf = append(w.buf, '}')
		return ast.NewObject(pairs...), nil
	}
	return nil, fmt.Errorf("an input cannot hold a %s: give it fixed properties and arrays", v.Type())
}

func (w *writer) text(s string) ast.Value {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	w.buf = appendString(w.buf, s)
	return ast.InternedValue(s)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string as RFC 8785 (3.2.2.2) does: only what must be escaped is.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}
