package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/threat"
)

// decode reads one of our own bodies into v, a pointer to a struct. It refuses what is no JSON, a field that v does not
// have, one that stands twice, one that is missing (without omitempty), a value of the wrong type, and what follows the
// value. A body that is left out reads as {}. Faults are Invalid with the place as a JSON pointer.
func decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if !utf8.Valid(body) {
		return at("", "the body is not UTF-8")
	}
	d := decoder{json.NewDecoder(bytes.NewReader(body))}
	if err := d.value(reflect.ValueOf(v).Elem(), ""); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return at("", "something follows the JSON value")
	}
	return nil
}

func at(place, what string) error {
	if place == "" {
		place = "/"
	}
	return &threat.Fault{Kind: threat.Invalid, What: what, Place: threat.Inert(place, 200)}
}

type decoder struct{ *json.Decoder }

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value reads the next value into v.
func (d decoder) value(v reflect.Value, place string) error {
	t := v.Type()
	if reflect.PointerTo(t).Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return d.leaf(v, place)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.pointer(v, place)
	case reflect.Struct:
		return d.object(v, place)
	case reflect.Map:
		return d.table(v, place)
	case reflect.Slice:
		return d.list(v, place)
	}
	return d.leaf(v, place)
}

func (d decoder) pointer(v reflect.Value, place string) error {
	p := reflect.New(v.Type().Elem())
	if err := d.value(p.Elem(), place); err != nil {
		return err
	}
	v.Set(p)
	return nil
}

// begin reads the opening of an object or a list.
func (d decoder) begin(open json.Delim, noun, place string) error {
	tok, err := d.Token()
	if err != nil {
		return d.syntax(err, place)
	}
	if tok != open {
		return at(place, noun+" is needed, not "+nounOf(tok))
	}
	return nil
}

func (d decoder) end(place string) error {
	if _, err := d.Token(); err != nil {
		return d.syntax(err, place)
	}
	return nil
}

// key reads the next key of an object, and refuses one that was there.
func (d decoder) key(seen map[string]bool, place string) (name, inside string, err error) {
	tok, err := d.Token()
	if err != nil {
		return "", "", d.syntax(err, place)
	}
	name, ok := tok.(string)
	if !ok {
		return "", "", at(place, "a field's name is needed")
	}
	inside = place + "/" + escape(name)
	if seen[name] {
		return "", "", at(inside, "the field stands twice")
	}
	seen[name] = true
	return name, inside, nil
}

func (d decoder) object(v reflect.Value, place string) error {
	if err := d.begin('{', "an object", place); err != nil {
		return err
	}
	known := shapeOf(v.Type())
	seen := map[string]bool{}
	for d.More() {
		name, inside, err := d.key(seen, place)
		if err != nil {
			return err
		}
		f, ok := known.fields[name]
		if !ok {
			return known.unknown(name, inside)
		}
		if err := d.value(v.FieldByIndex(f.index), inside); err != nil {
			return err
		}
	}
	if err := d.end(place); err != nil {
		return err
	}
	for _, name := range known.names {
		if known.fields[name].required && !seen[name] {
			return at(place+"/"+name, "the field is missing")
		}
	}
	return nil
}

func (d decoder) table(v reflect.Value, place string) error {
	if err := d.begin('{', "an object", place); err != nil {
		return err
	}
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	seen := map[string]bool{}
	for d.More() {
		name, inside, err := d.key(seen, place)
		if err != nil {
			return err
		}
		e := reflect.New(t.Elem()).Elem()
		if err := d.value(e, inside); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), e)
	}
	return d.end(place)
}

func (d decoder) list(v reflect.Value, place string) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return d.leaf(v, place)
	}
	if err := d.begin('[', "a list", place); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; d.More(); i++ {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(e, place+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	}
	return d.end(place)
}

func (d decoder) leaf(v reflect.Value, place string) error {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return d.syntax(err, place)
	}
	if string(raw) == "null" && v.Type() != reflect.TypeFor[json.RawMessage]() {
		return at(place, needed(v.Type())+" is needed, not null; leave the field out instead")
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return at(place, needed(v.Type())+" is needed")
	}
	return nil
}

// syntax tells where a body stops being JSON: its place is the value that could not be read.
func (d decoder) syntax(err error, place string) error {
	var s *json.SyntaxError
	switch {
	case errors.As(err, &s):
		return at(place, fmt.Sprintf("this is not JSON: %s, at byte %d", threat.Inert(s.Error(), 80), s.Offset))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return at(place, "the body ends before the JSON value does")
	}
	return at(place, "this is not JSON")
}

func nounOf(tok json.Token) string {
	switch v := tok.(type) {
	case json.Delim:
		if v == '[' {
			return "a list"
		}
		return "an object"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case nil:
		return "null"
	}
	return "a number"
}

func needed(t reflect.Type) string {
	switch t.String() {
	case "uuid.UUID", "uuid.NullUUID":
		return "a UUID"
	case "time.Time":
		return "a time (RFC 3339)"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "another value"
}

// escape writes a field's name into a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// shape is what an object may have.
type shape struct {
	fields map[string]field
	names  []string // sorted
}

type field struct {
	index    []int
	required bool
}

var shapes sync.Map // reflect.Type -> shape

func shapeOf(t reflect.Type) shape {
	if s, ok := shapes.Load(t); ok {
		return s.(shape)
	}
	s := shape{fields: map[string]field{}}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" {
			continue
		}
		s.fields[name] = field{index: f.Index, required: !strings.Contains(options, "omitempty")}
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	shapes.Store(t, s)
	return s
}

// unknown names the field that comes nearest, when one is near.
func (s shape) unknown(name, place string) error {
	f := &threat.Fault{Kind: threat.Invalid, What: "there is no such field", Place: threat.Inert(place, 200)}
	near, best := "", 3
	for _, n := range s.names {
		if d := distance(name, n, best); d < best {
			near, best = n, d
		}
	}
	if near != "" {
		f.Next = "did you mean " + near + "?"
	} else if len(s.names) > 0 {
		f.Next = "there are " + strings.Join(s.names, ", ")
	}
	return f
}

// distance is Levenshtein's, or most when it is at least that.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, last+1)
		}
	}
	return min(row[len(b)], most)
}
