package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// redaction makes every call fail in every way, and looks for the credential in whatever is said. The text of a fault's
// cause is looked at too: logs show it.
func (s *suite) redaction() {
	o := s.open()
	if s.bench.Secret == "" {
		s.Log("not applicable: redaction: the adapter has no credential")
		return
	}
	for _, r := range matrix {
		if _, ok := s.h.Excuse[r.fault]; ok {
			continue
		}
		for _, op := range []Op{OpApply, OpRead, OpRemove} {
			o := s.open()
			if op == OpRemove {
				if s.once() {
					continue
				}
				s.apply(o)
			}
			s.bench.Arm(r.fault, op)
			ctx, cancel := context.WithTimeout(s.ctx(), s.h.CallTime)
			var err error
			var detail string
			switch op {
			case OpApply:
				var x adapters.Receipt
				x, err = s.device.Apply(ctx, o)
				detail = x.Detail + x.Handle
			case OpRemove:
				var x adapters.Receipt
				x, err = s.device.Remove(ctx, o)
				detail = x.Detail + x.Handle
			case OpRead:
				var x adapters.Reading
				x, err = s.device.Read(ctx, o)
				detail = x.Detail + x.Handle + string(x.Prior)
			}
			cancel()
			s.clean(err)
			s.cleanText(detail)
		}
	}
	plan, err := s.device.Dry(o)
	if err != nil {
		s.Fatal(err)
	}
	s.cleanText(plan)
}

func (s *suite) clean(err error) {
	s.Helper()
	for err != nil {
		s.cleanText(fmt.Sprintf("%v", err))
		if f, ok := err.(*threat.Fault); ok {
			s.cleanText(f.What + f.Place + f.Next)
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				s.clean(e)
			}
			return
		}
		err = errors.Unwrap(err)
	}
}

func (s *suite) cleanText(text string) {
	s.Helper()
	if s.bench.Secret != "" && (adapters.NewRedactor(s.bench.Secret).Holds(text) ||
		strings.Contains(strings.ToLower(text), strings.ToLower(s.bench.Secret))) {
		s.Errorf("the credential shows in %q", text)
	}
	if len([]rune(text)) > 4*adapters.MaxDetail {
		s.Errorf("a text of %d runes", len([]rune(text)))
	}
}
