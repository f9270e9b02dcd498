package access

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// denial is what is journalled at most once a minute.
type denial struct {
	actor, action string
	org           uuid.UUID
}

// maxDenials bounds how many denials are remembered; the journal's own key holds the minute too.
const maxDenials = 10_000

// errUnseen is the answer about everything that is not there or not the caller's to see: the two look the same.
func errUnseen() error { return threat.Faultf(threat.NotFound, "no such organisation") }

// Allow asks whether a caller may do an action on an organisation. Unauthenticated for nobody, Forbidden for a caller
// without the right, NotFound where they have no grant at all and for what is not there. A denial is journalled, at most
// once a minute for each caller, action and organisation: in that organisation's journal; all that a caller sees nothing of
// counts as one, in their own. Unavailable when it cannot be decided.
func (s *Service) Allow(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) error {
	if !caller.PersonID.Valid && !caller.TokenID.Valid {
		return errNobody("nobody is signed in")
	}
	ok, why, err := s.deps.Decide.Access(ctx, caller, action, org)
	if err != nil || ok {
		return err
	}
	seen, err := s.sees(ctx, caller, org)
	if err != nil {
		return err
	}
	s.deny(ctx, caller, action, org, why, seen)
	if !seen {
		return errUnseen()
	}
	return &threat.Fault{Kind: threat.Forbidden, What: fmt.Sprintf("not allowed: %s", threat.Inert(why, 200)),
		Place: threat.Inert(action, 64), Next: "ask an administrator for a role that has this right"}
}

// sees reports whether any grant of the caller reaches an organisation.
func (s *Service) sees(ctx context.Context, caller threat.Caller, org uuid.UUID) (bool, error) {
	line, err := s.deps.Store.Lineage(ctx, org)
	if threat.Is(err, threat.NotFound) {
		return false, nil
	}
	for _, o := range line {
		if slices.ContainsFunc(caller.Grants, func(g threat.Grant) bool { return g.OrgID == o.ID }) {
			return true, err
		}
	}
	return false, err
}

// deny journals a denial. That it could not be written does not undo it: it is told in the log.
func (s *Service) deny(ctx context.Context, caller threat.Caller, action string, org uuid.UUID, why string, seen bool) {
	now := s.deps.Now().UTC()
	d, where := denial{actor: caller.Actor(), action: threat.Inert(action, 64), org: org}, org
	if !seen { // made-up ids do not fill the caller's own journal
		d.org, where = uuid.Nil, caller.OrgID
	}
	if !s.due(d, now) {
		return
	}
	body, err := json.Marshal(map[string]any{"action": d.action, "org_id": org, "why": why, "surface": caller.Surface})
	if err == nil {
		_, err = s.deps.Store.Append(ctx, threat.Entry{OrgID: where, Kind: threat.EntryAccessDenied, Actor: d.actor,
			Key:     fmt.Sprintf("access.denied:%s:%s:%s:%d", d.actor, d.action, d.org, now.Unix()/60),
			Subject: "organisation:" + org.String(), Payload: body})
	}
	if err != nil {
		s.deps.Log.ErrorContext(ctx, "a denial could not be journalled", "actor", d.actor, "action", d.action, "org", org,
			"kind", threat.KindOf(err))
		s.mu.Lock()
		delete(s.denied, d)
		s.mu.Unlock()
	}
}

// due reports whether a denial is to be written now, and notes that it is.
func (s *Service) due(d denial, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	minute := now.Truncate(time.Minute)
	if s.denied[d].Equal(minute) {
		return false
	}
	if len(s.denied) >= maxDenials {
		clear(s.denied)
	}
	s.denied[d] = minute
	return true
}

// Visible gives the organisations that a caller may read, each after its parent.
func (s *Service) Visible(ctx context.Context, caller threat.Caller) ([]threat.Organisation, error) {
	return s.Reach(ctx, caller, "organisation.read")
}

// Reach gives the organisations at and below the caller's grants on which policy lets them do an action, each after its
// parent and once. Policy is asked at the grants; a rule that says no further down is asked when that one is touched.
func (s *Service) Reach(ctx context.Context, caller threat.Caller, action string) ([]threat.Organisation, error) {
	var out []threat.Organisation
	have := map[uuid.UUID]bool{}
	asked := map[uuid.UUID]bool{}
	for _, g := range caller.Grants {
		if asked[g.OrgID] || have[g.OrgID] {
			continue
		}
		asked[g.OrgID] = true
		ok, _, err := s.deps.Decide.Access(ctx, caller, action, g.OrgID)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		tree, err := s.deps.Store.Organisations(ctx, g.OrgID)
		if err != nil {
			return nil, err
		}
		// A tree that holds one already given stands above it: what was given keeps its order after this tree's.
		var fresh []threat.Organisation
		for _, o := range tree {
			if !have[o.ID] {
				have[o.ID] = true
				fresh = append(fresh, o)
			}
		}
		if len(fresh) < len(tree) {
			out = append(fresh, out...)
		} else {
			out = append(out, fresh...)
		}
	}
	return out, nil
}

// Resolve gives an organisation by its id or slug, when the caller may do an action on it. NotFound for what is not there
// and for what is not theirs to see, Forbidden for a right that they lack.
func (s *Service) Resolve(ctx context.Context, caller threat.Caller, idOrSlug, action string) (threat.Organisation, error) {
	o, err := s.deps.Store.Organisation(ctx, idOrSlug)
	if threat.Is(err, threat.NotFound) {
		return threat.Organisation{}, errUnseen()
	}
	if err != nil {
		return threat.Organisation{}, err
	}
	if err := s.Allow(ctx, caller, action, o.ID); err != nil {
		return threat.Organisation{}, err
	}
	return o, nil
}
