package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/threat"
)

// Limits of a body. A body over MaxBody or MaxItems is refused whole as TooLarge; an item nested deeper than MaxDepth is
// unreadable by itself.
const (
	MaxBody  = 1 << 20 // bytes
	MaxItems = 500
	MaxDepth = 64 // objects and arrays within one another
)

// Item is one event of a body, not decoded yet.
type Item struct {
	Raw   json.RawMessage // as it was sent; valid JSON exactly when Err is nil
	Place string          // a JSON pointer ("" for a lone object, "/3" in an array) or "line 3"
	Err   error           // the item cannot be an event: an Invalid fault with its place
}

// Split parts a body into its items. It may be one object, an array of objects, or JSON lines (one object a line, which
// is how sensors write their logs). batch reports that it could have held several. The error is for the whole body:
// TooLarge over a limit, Invalid with the place when it is none of the three. Items that are not objects, broken lines
// and too deep nesting are told in the item, so that the rest of a batch is not lost with them.
func Split(body []byte) (items []Item, batch bool, err error) {
	if len(body) > MaxBody {
		f := threat.Faultf(threat.TooLarge, "the body has %d bytes; the limit is %d", len(body), MaxBody)
		f.Next = "send it in parts"
		return nil, false, f
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return nil, false, threat.Faultf(threat.Invalid, "the body is empty")
	}
	switch {
	case trimmed[0] == '[':
		items, err = splitArray(body)
		return items, true, err
	case trimmed[0] != '{':
		return nil, false, invalidAt("byte "+strconv.Itoa(len(body)-len(trimmed)),
			"the body is neither a JSON object nor an array of them")
	case json.Valid(trimmed):
		return []Item{object(bytes.TrimSpace(trimmed), "")}, false, nil
	}
	return splitLines(body)
}

func splitArray(body []byte) ([]Item, error) {
	if items := outlined(body); items != nil {
		return items, nil
	}
	return decodedArray(body)
}

// decodedArray parts any array, and tells where it breaks.
func decodedArray(body []byte) ([]Item, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil, syntaxFault(err, dec.InputOffset(), body)
	}
	var items []Item
	for dec.More() {
		if len(items) == MaxItems {
			return nil, tooMany()
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, syntaxFault(err, dec.InputOffset(), body)
		}
		items = append(items, object(raw, "/"+strconv.Itoa(len(items))))
	}
	if _, err := dec.Token(); err != nil {
		return nil, syntaxFault(err, dec.InputOffset(), body)
	}
	if rest := bytes.TrimSpace(body[dec.InputOffset():]); len(rest) > 0 {
		return nil, invalidAt("byte "+strconv.FormatInt(dec.InputOffset(), 10), "there is more after the array")
	}
	if len(items) == 0 {
		return nil, threat.Faultf(threat.Invalid, "the array is empty")
	}
	return items, nil
}

// outlined parts an array of valid objects without decoding it: where each ends is seen from its brackets and quotes, and
// then each is checked, on every core. Nil for anything else, so that the way which knows the faults looks at it.
func outlined(body []byte) []Item {
	body = bytes.Clone(body)
	var items []Item
	from, now, most := 0, 0, 0
	comma := true // an object may begin
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			if now < 2 {
				return nil
			}
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if now++; now == 1 && c != '[' {
				return nil
			}
			if now == 2 {
				if c != '{' || !comma || len(items) == MaxItems {
					return nil
				}
				from, most, comma = i, now, false
			}
			most = max(most, now)
		case '}', ']':
			switch now--; now {
			case 1:
				it := Item{Raw: body[from : i+1 : i+1], Place: "/" + strconv.Itoa(len(items))}
				if most-1 > MaxDepth {
					it.Err = tooDeep(it.Place)
				}
				items = append(items, it)
			case 0:
				if c != ']' || comma || len(bytes.TrimLeft(body[i+1:], whitespace)) > 0 || !allValid(items) {
					return nil
				}
				return items
			}
		case ' ', '\t', '\r', '\n':
		case ',':
			if now == 1 {
				if comma {
					return nil
				}
				comma = true
			}
		default:
			if now < 2 {
				return nil
			}
		}
	}
	return nil
}

const whitespace = " \t\r\n"

func allValid(items []Item) bool {
	var bad atomic.Bool
	var all sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(items))
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(items) && !bad.Load(); i += workers {
				if !json.Valid(items[i].Raw) {
					bad.Store(true)
				}
			}
		})
	}
	all.Wait()
	return !bad.Load()
}

// splitLines reads JSON lines. A body whose only line is broken is a broken object, and refused as a whole.
func splitLines(body []byte) ([]Item, bool, error) {
	var items []Item
	good := 0
	for n, line := range bytes.Split(body, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(items) == MaxItems {
			return nil, false, tooMany()
		}
		place := "line " + strconv.Itoa(n+1)
		if !json.Valid(line) {
			items = append(items, Item{Raw: bytes.Clone(line), Place: place, Err: invalidAt(place, "the line is not JSON")})
			continue
		}
		good++
		items = append(items, object(bytes.Clone(line), place))
	}
	if good == 0 {
		var v any
		dec := json.NewDecoder(bytes.NewReader(body))
		err := dec.Decode(&v)
		if err == nil {
			// The first object ended within a line and something else follows it.
			return nil, false, invalidAt("byte "+strconv.FormatInt(dec.InputOffset(), 10), "there is more after the object")
		}
		return nil, false, syntaxFault(err, dec.InputOffset(), body)
	}
	return items, true, nil
}

func object(raw json.RawMessage, place string) Item {
	it := Item{Raw: raw, Place: place}
	switch {
	case len(raw) == 0 || raw[0] != '{':
		it.Err = invalidAt(place, "the item is not an object")
	case depth(raw) > MaxDepth:
		it.Err = tooDeep(place)
	}
	return it
}

func tooDeep(place string) error {
	return invalidAt(place, "the item is nested deeper than "+strconv.Itoa(MaxDepth)+" levels")
}

// Text gives JSON whose every byte is UTF-8, as RFC 8259 demands of it: others are replaced by U+FFFD. Sensors copy names
// out of traffic; a stray byte shall not cost the event.
func Text(raw []byte) []byte {
	if utf8.Valid(raw) {
		return raw
	}
	return bytes.ToValidUTF8(raw, []byte("\uFFFD"))
}

// depth gives the deepest nesting of valid JSON.
func depth(raw []byte) int {
	now, most, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if now++; now > most {
				most = now
			}
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

func tooMany() error {
	f := threat.Faultf(threat.TooLarge, "the body has more than %d items", MaxItems)
	f.Next = "send it in parts"
	return f
}

// syntaxFault tells where JSON breaks. The parser's own words quote at most one character of the body.
func syntaxFault(err error, offset int64, body []byte) *threat.Fault {
	what := "the body is not JSON"
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		what, offset = "the body ends in the middle of a value", int64(len(body))
	case errors.As(err, &syntax):
		what = "the body is not JSON: " + threat.Inert(syntax.Error(), 120)
		offset = max(offset, syntax.Offset)
	}
	return invalidAt("byte "+strconv.FormatInt(offset, 10), what)
}

func invalidAt(place, what string) *threat.Fault {
	return &threat.Fault{Kind: threat.Invalid, What: what, Place: place}
}
