package adaptertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// faults runs the matrix: each fault under each call, what it answers, and what a read shows afterwards. Then it goes on
// as the program would, until the effect stands, or is gone, exactly once.
func (s *suite) faults() {
	known := map[Fault]bool{}
	for _, r := range matrix {
		known[r.fault] = true
		if why, ok := s.h.Excuse[r.fault]; ok {
			if len(why) < 12 {
				s.Errorf("%q is excused without a reason", r.fault)
			}
			s.Logf("not applicable: %s: %s", r.fault, why)
			continue
		}
		kind := r.kind
		if k, ok := s.h.Kinds[r.fault]; ok {
			kind = k
		}
		s.Run(string(r.fault)+"/apply", func(t *testing.T) { s.on(t).applyFault(r, kind) })
		if !s.once() {
			s.Run(string(r.fault)+"/remove", func(t *testing.T) { s.on(t).removeFault(r, kind) })
		}
		if r.read != "" {
			s.Run(string(r.fault)+"/read", func(t *testing.T) { s.on(t).readFault(r) })
		}
	}
	for f := range s.h.Excuse {
		if !known[f] {
			s.Errorf("%q is excused and is no fault of the matrix", f)
		}
	}
}

func (s *suite) on(t *testing.T) *suite {
	return &suite{T: t, h: s.h, ability: s.ability, targets: s.targets}
}

func (s *suite) short() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx(), s.h.CallTime)
}

func (s *suite) applyFault(r row, kind threat.FaultKind) {
	o := s.open()
	s.bench.Arm(r.fault, OpApply)
	ctx, cancel := s.short()
	begun := time.Now()
	receipt, err := s.device.Apply(ctx, o)
	cancel()
	if took := time.Since(begun); took > s.h.CallTime+patience {
		s.Fatalf("apply took %s", took)
	}
	switch {
	case r.fault == LyingSuccess && err == nil && receipt.Outcome == threat.OutcomeSuccess:
		// It cannot know better yet: the read below is what tells.
	case r.fault == LyingSuccess && err == nil && receipt.Outcome != threat.OutcomeFailure:
		s.Fatalf("apply answered %+v to a success without an effect", receipt)
	case r.fault == LyingSuccess: // it read back and saw through it
	default:
		s.wantKind(err, kind, "apply")
	}
	if r.fault == Status429 {
		s.wantRetryAfter(err)
	}
	if !r.effect {
		s.wantAbsent(o)
	} else {
		s.wantThere(o)
	}
	// The program's way on: absent, send again under the same key; ours, go on.
	if !r.effect {
		s.apply(o)
		s.wantThere(o)
	}
	if s.once() {
		return
	}
	if x, err := s.device.Remove(s.ctx(), o); err != nil || x.Outcome != threat.OutcomeSuccess {
		s.Fatalf("one removal afterwards answered %+v, %v", x, err)
	}
	s.wantAbsent(o)
}

func (s *suite) removeFault(r row, kind threat.FaultKind) {
	o := s.open()
	s.apply(o)
	s.bench.Arm(r.fault, OpRemove)
	ctx, cancel := s.short()
	receipt, err := s.device.Remove(ctx, o)
	cancel()
	switch {
	case r.fault == LyingSuccess:
		if err == nil && receipt.Outcome == threat.OutcomeDoesNotExist {
			s.Fatal("remove called an effect absent that stands")
		}
	case r.fault == Status404 || r.fault == Status409:
		// A device that says so of what we remove may be believed about it until the read below.
		if err != nil && !threat.Is(err, threat.NotFound) && !threat.Is(err, threat.Conflict) {
			s.Fatalf("remove answered %v", err)
		}
	default:
		s.wantKind(err, kind, "remove")
	}
	if r.fault == Status429 {
		s.wantRetryAfter(err)
	}
	if r.effect {
		s.wantAbsent(o)
		return
	}
	s.wantOurs(o)
	if x, err := s.device.Remove(s.ctx(), o); err != nil || x.Outcome != threat.OutcomeSuccess {
		s.Fatalf("the removal afterwards answered %+v, %v", x, err)
	}
	s.wantAbsent(o)
}

// readFault demands that a read that fails says so: taking it for an absence would free somebody, or send twice.
func (s *suite) readFault(r row) {
	o := s.open()
	s.apply(o)
	s.bench.Arm(r.fault, OpRead)
	ctx, cancel := s.short()
	got, err := s.device.Read(ctx, o)
	cancel()
	if err == nil {
		s.Fatalf("a read that failed answered %q", got.Presence)
	}
	want := r.read
	if k, ok := s.h.Kinds[r.fault]; ok && k != threat.Unknown {
		want = k
	}
	s.wantKind(err, want, "read")
	if r.fault == Status429 {
		s.wantRetryAfter(err)
	}
	s.wantThere(o)
}

func (s *suite) wantRetryAfter(err error) {
	s.Helper()
	var f *threat.Fault
	if !errors.As(err, &f) || f.RetryAfter != RetryAfter*time.Second {
		s.Fatalf("answered %v; want a retry after %d s", err, RetryAfter)
	}
}
