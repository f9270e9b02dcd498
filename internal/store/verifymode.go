package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// FlawFact is a row that says something else than its entry.
const FlawFact Flaw = "changed_fact"

// checkModes is Verify's check that the mode in force is the one that was consented to, in the journal's own words: a mode is
// the right under which we act.
func checkModes(ctx context.Context, t *tx, r *Report) error {
	type standing struct {
		tenant    uuid.UUID
		mode      threat.Mode
		version   int64
		eradicate bool
	}
	list, err := collect[standing](t.query(ctx, `SELECT tenant_id, mode, mode_version, eradicate FROM tenant_states ORDER BY tenant_id`))(
		func(rows *sql.Rows) (s standing, err error) {
			err = rows.Scan(&s.tenant, &s.mode, &s.version, &s.eradicate)
			return s, err
		})
	if err != nil {
		return err
	}
	for _, s := range list {
		said := threat.Consent{Mode: threat.ModeNotify} // until somebody consents to more
		seq := int64(0)
		if s.version > 0 {
			e, ok, err := t.entryOf(ctx, s.tenant, consentSubject(threat.Consent{Version: s.version}))
			if err != nil {
				return err
			}
			if !ok {
				r.add(Problem{OrgID: s.tenant, Flaw: FlawNoEntry, Text: fmt.Sprintf("the mode %s rests on no consent", s.mode)})
				continue
			}
			if seq = e.Seq; e.Erased {
				continue
			}
			if err := json.Unmarshal(e.Payload, &said); err != nil {
				return threat.Faultf(threat.Internal, "entry %d of %s is no consent: %w", e.Seq, s.tenant, err)
			}
		}
		if s.mode != said.Mode || s.eradicate != said.Eradicate {
			r.add(Problem{OrgID: s.tenant, Seq: seq, Flaw: FlawFact, Text: fmt.Sprintf(
				"the mode in force is %s (what cannot be undone: %t); consented was %s (%t)", s.mode, s.eradicate, said.Mode, said.Eradicate)})
		}
	}
	r.Rows["modes"] = len(list)
	return nil
}
