package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Shares gives what of each class of assets that an action would cut off is cut off already, by its case and on the word of
// its case's one sensor, and which accounts are kept from signing in. Faults are Unavailable.
func (s *Store) Shares(ctx context.Context, r threat.Response) (out guard.Shares, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		touched, err := t.assetsTouched(ctx, r.TenantID, r.Target)
		if err != nil {
			return err
		}
		out, err = t.shares(ctx, r, touched)
		return err
	})
	return out, err
}

// cut is one live action that cuts something off.
type cut struct {
	caseID uuid.UUID
	target threat.Target
}

func (t *tx) shares(ctx context.Context, r threat.Response, touched []threat.Asset) (out guard.Shares, err error) {
	account := r.Target.Kind == threat.TargetAccount
	if account {
		if out.Disabled, err = t.disabled(ctx, r.TenantID); err != nil {
			return out, err
		}
	}
	if v, _ := verb.Find(r.Verb); !v.Cuts || len(touched) == 0 && !account {
		return out, nil
	}
	cuts, err := t.cuts(ctx, r.TenantID)
	if err != nil {
		return out, err
	}
	sensors, err := t.loneSensors(ctx, append([]uuid.UUID{r.CaseID}, casesOf(cuts)...))
	if err != nil {
		return out, err
	}
	out.Sensor = sensors[r.CaseID]
	all, err := t.assets(ctx, r.TenantID)
	if err != nil {
		return out, err
	}
	n := tally{all: all, byCase: map[string]map[string]bool{}, bySensor: map[string]map[string]bool{}}
	for _, c := range cuts {
		if c.caseID == r.CaseID {
			n.add(n.byCase, c.target)
		}
		if out.Sensor != "" && sensors[c.caseID] == out.Sensor {
			n.add(n.bySensor, c.target)
		}
	}
	this := map[string]map[string]bool{}
	n.put(this, r.Target, touched)
	out.Classes = n.classes(this)
	return out, nil
}

// disabled gives the accounts that effects of ours keep from signing in, or may.
func (t *tx) disabled(ctx context.Context, tenant uuid.UUID) ([]string, error) {
	return collect[string](t.query(ctx, `SELECT DISTINCT target_value FROM effects WHERE tenant_id = ?1 AND verb = ?2
		AND state <> 'absent' ORDER BY target_value`, tenant, verb.DisableIdentity))(func(r *sql.Rows) (s string, err error) {
		err = r.Scan(&s)
		return s, err
	})
}

// cuts gives a tenant's actions that cut something off and are, or may be, on a device.
func (t *tx) cuts(ctx context.Context, tenant uuid.UUID) ([]cut, error) {
	args := []any{tenant}
	for _, v := range verb.All() {
		if v.Cuts {
			args = append(args, v.Name)
		}
	}
	return collect[cut](t.query(ctx, `SELECT DISTINCT r.case_id, r.target_kind, r.target_value, r.asset_id FROM responses r
		JOIN holders h ON h.response_id = r.id WHERE r.tenant_id = ?1 AND h.state = 'holding' AND r.verb IN `+
		places(2, len(args)-1)+` ORDER BY r.case_id, r.target_kind, r.target_value`, args...))(func(r *sql.Rows) (c cut, err error) {
		err = r.Scan(&c.caseID, &c.target.Kind, &c.target.Value, &c.target.AssetID)
		return c, err
	})
}

func casesOf(cuts []cut) []uuid.UUID {
	var out []uuid.UUID
	for _, c := range cuts {
		if !slices.Contains(out, c.caseID) {
			out = append(out, c.caseID)
		}
	}
	return out
}

// loneSensors gives the one sensor of each of some cases whose detections all come from one.
func (t *tx) loneSensors(ctx context.Context, cases []uuid.UUID) (map[uuid.UUID]string, error) {
	out := map[uuid.UUID]string{}
	for chunk := range padded(anys(cases)) {
		_, err := collect[struct{}](t.query(ctx, `SELECT case_id, MIN(sensor) FROM detections WHERE case_id IN `+places(1, len(chunk))+
			` GROUP BY case_id HAVING COUNT(DISTINCT sensor) = 1`, chunk...))(func(r *sql.Rows) (struct{}, error) {
			var id uuid.UUID
			var sensor string
			err := r.Scan(&id, &sensor)
			out[id] = sensor
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tally counts things by their class, each once.
type tally struct {
	all              []threat.Asset
	byCase, bySensor map[string]map[string]bool // class -> what is cut off
}

// add notes what a target cuts off.
func (n tally) add(to map[string]map[string]bool, target threat.Target) {
	var touches []threat.Asset
	for _, a := range n.all {
		if target.AssetID.Valid && target.AssetID.UUID == a.ID || !target.AssetID.Valid && touched(a, target) {
			touches = append(touches, a)
		}
	}
	n.put(to, target, touches)
}

func (n tally) put(to map[string]map[string]bool, target threat.Target, touches []threat.Asset) {
	note := func(class, what string) {
		if to[class] == nil {
			to[class] = map[string]bool{}
		}
		to[class][what] = true
	}
	for _, a := range touches {
		note(guard.Class(a), a.ID.String())
	}
	if len(touches) == 0 && target.Kind == threat.TargetAccount {
		note(guard.UnlistedClass, target.Value)
	}
}

// classes gives the shares of the classes that an action touches, by name.
func (n tally) classes(this map[string]map[string]bool) []guard.Share {
	var out []guard.Share
	for class, what := range this {
		s := guard.Share{Class: class, Case: len(n.byCase[class]), Sensor: len(n.bySensor[class])}
		for id := range what {
			if !n.byCase[class][id] {
				s.Adds++
			}
		}
		for _, a := range n.all {
			if guard.Class(a) == class {
				s.Total++
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b guard.Share) int { return strings.Compare(a.Class, b.Class) })
	return out
}
