package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// A contact who is a subject of a case neither sees nor touches it: their account may be in the attacker's hands. Whoever may
// read in general and is the subject of one finds that one not there.

// subjects remembers what was found out about the caller of one call or stream.
type subjects map[uuid.UUID]subjectOf

type subjectOf struct {
	is bool
	at time.Time
}

// subjectFor is how long a stream believes that its reader is not a subject of a case.
const subjectFor = 10 * time.Second

// involved reports whether the caller is a subject of a case. Programs are none.
func (a *API) involved(ctx context.Context, c *call, tenant, caseID uuid.UUID) (bool, error) {
	if a.d.Involved == nil || !c.caller.IsPerson() {
		return false, nil
	}
	now := a.d.Now()
	if s, known := c.subjects[caseID]; known && (s.is || now.Sub(s.at) < subjectFor) {
		return s.is, nil
	}
	is, err := a.d.Involved(ctx, c.caller, tenant, caseID)
	if err != nil {
		return false, err
	}
	if c.subjects == nil || len(c.subjects) >= maxSubjects {
		c.subjects = subjects{}
	}
	c.subjects[caseID] = subjectOf{is, now}
	return is, nil
}

// maxSubjects bounds what a stream remembers.
const maxSubjects = 1000

// uninvolved is nil when the caller is no subject of a case. Else the noun is not there. No case is nobody's.
func (a *API) uninvolved(ctx context.Context, c *call, tenant uuid.UUID, caseID uuid.NullUUID, noun string) error {
	if !caseID.Valid {
		return nil
	}
	is, err := a.involved(ctx, c, tenant, caseID.UUID)
	if err == nil && is {
		err = threat.Faultf(threat.NotFound, "no such %s", noun)
	}
	return err
}

// withoutOwn leaves out what belongs to a case of which the caller is a subject.
func withoutOwn[T any](ctx context.Context, a *API, c *call, all []T, of func(T) (tenant uuid.UUID, caseID uuid.NullUUID)) ([]T, error) {
	var out []T
	for _, x := range all {
		tenant, id := of(x)
		if id.Valid {
			if is, err := a.involved(ctx, c, tenant, id.UUID); err != nil {
				return nil, err
			} else if is {
				continue
			}
		}
		out = append(out, x)
	}
	return out, nil
}

func valid(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: true} }
