package adapters

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"sort"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
)

// Redacted stands where a secret stood.
const Redacted = "[redacted]"

// MaxDetail is the longest text, in runes, that an adapter's fault or detail keeps.
const MaxDetail = 400

// Redactor takes secrets out of texts: as they are, and as URLs, JSON and base64 write them. The zero Redactor only
// makes texts inert and bounds them.
type Redactor struct {
	forms []string // longest first, so that a form inside another one does not leave its rest behind
}

// NewRedactor knows the secrets of one connection. Empty ones are left out.
func NewRedactor(secrets ...string) *Redactor {
	seen := map[string]bool{}
	r := &Redactor{}
	add := func(s string) {
		if s != "" && !seen[s] {
			seen[s] = true
			r.forms = append(r.forms, s)
		}
	}
	for _, s := range secrets {
		for _, v := range []string{s, strings.TrimSpace(s)} {
			if v == "" {
				continue
			}
			add(v)
			add(url.QueryEscape(v))
			add(url.PathEscape(v))
			add(base64.StdEncoding.EncodeToString([]byte(v)))
			add(base64.RawStdEncoding.EncodeToString([]byte(v)))
			add(base64.URLEncoding.EncodeToString([]byte(v)))
			add(base64.RawURLEncoding.EncodeToString([]byte(v)))
			if quoted, err := json.Marshal(v); err == nil {
				add(strings.Trim(string(quoted), `"`))
			}
		}
	}
	sort.Slice(r.forms, func(i, j int) bool {
		if len(r.forms[i]) != len(r.forms[j]) {
			return len(r.forms[i]) > len(r.forms[j])
		}
		return r.forms[i] < r.forms[j]
	})
	return r
}

// Text gives a text without secrets, inert, and of at most MaxDetail runes.
func (r *Redactor) Text(s string) string { return threat.Inert(r.clean(s), MaxDetail) }

// Holds reports whether a text has a secret in it.
func (r *Redactor) Holds(s string) bool { return r.clean(s) != s }

func (r *Redactor) clean(s string) string {
	if r == nil {
		return s
	}
	for _, f := range r.forms {
		s = strings.ReplaceAll(s, f, Redacted)
	}
	return s
}

// Fault gives a copy of a fault without secrets in any of its texts, its causes among them.
func (r *Redactor) Fault(f *threat.Fault) *threat.Fault {
	if f == nil {
		return nil
	}
	out := *f
	out.What, out.Place, out.Next = r.Text(f.What), r.Text(f.Place), r.Text(f.Next)
	out.Err = r.cause(f.Err)
	return &out
}

// cause keeps an error whose whole tree is free of secrets, and replaces any other by its cleaned text. What a reader
// must still tell apart, a deadline and a cancellation, stays so.
func (r *Redactor) cause(err error) error {
	if err == nil || !r.inTree(err) {
		return err
	}
	c := &cleaned{text: r.Text(err.Error())}
	for _, s := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, s) {
			c.is = s
		}
	}
	return c
}

func (r *Redactor) inTree(err error) bool {
	if err == nil {
		return false
	}
	if r.Holds(err.Error()) {
		return true
	}
	if f, ok := err.(*threat.Fault); ok && (r.Holds(f.What) || r.Holds(f.Next) || r.Holds(f.Place)) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return r.inTree(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, x := range e.Unwrap() {
			if r.inTree(x) {
				return true
			}
		}
	}
	return false
}

// cleaned is an error of which only the text without secrets was kept.
type cleaned struct {
	text string
	is   error
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.is }
