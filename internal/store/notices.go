package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// WakeNotice is what OnWake's hooks are told when contacts have to be told of a change of mode.
const WakeNotice = "notice"

// The states of a notice.
const (
	noticeWaiting = "waiting"
	noticeTold    = "told"
	noticeFailed  = "failed"
)

// noteMode writes down who has to be told of a change of mode: every contact but the one who made it.
func (t *tx) noteMode(ctx context.Context, c threat.Consent, was threat.Mode) error {
	contacts, err := t.contacts(ctx, c.TenantID)
	if err != nil {
		return err
	}
	for _, e := range contacts {
		if e.PersonID == c.GivenBy {
			continue
		}
		if _, err := t.exec(ctx, `INSERT INTO mode_notices (tenant_id, version, person_id, was, state, at, due_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)`, c.TenantID, c.Version, e.PersonID, string(was), noticeWaiting,
			micros(t.now)); err != nil {
			return err
		}
		t.wake(WakeNotice)
	}
	return nil
}

// LeaseModeNotices hands out at most n notices about changes of mode that are still to be told, the oldest first. One that
// is not finished when the lease ends is handed out again.
func (s *Store) LeaseModeNotices(ctx context.Context, n int, lease time.Duration) (out []threat.ModeNotice, err error) {
	if n <= 0 {
		return nil, nil
	}
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) (err error) {
		found, err := collect[threat.ModeNotice](t.query(ctx, `SELECT n.tenant_id, n.version, n.person_id, n.was, n.at, c.mode,
			c.eradicate, c.given_by, c.words, c.language FROM mode_notices n
			JOIN consents c ON c.tenant_id = n.tenant_id AND c.version = n.version
			WHERE n.state = 'waiting' AND n.due_at <= ?1 ORDER BY n.due_at LIMIT ?2`, micros(t.now), n))(scanNotice)
		if err != nil {
			return err
		}
		out = nil
		for _, x := range found { // another process may have been quicker
			res, err := t.exec(ctx, `UPDATE mode_notices SET due_at = ?4 WHERE tenant_id = ?1 AND version = ?2 AND person_id = ?3
				AND state = 'waiting' AND due_at <= ?5`, x.TenantID, x.Version, x.PersonID, micros(t.now.Add(lease)), micros(t.now))
			if err != nil {
				return err
			}
			if got, err := res.RowsAffected(); err != nil {
				return err
			} else if got == 1 {
				out = append(out, x)
			}
		}
		return nil
	})
	return out, err
}

func scanNotice(r *sql.Rows) (n threat.ModeNotice, err error) {
	var at int64
	err = r.Scan(&n.TenantID, &n.Version, &n.PersonID, &n.Was, &at, &n.Mode, &n.Eradicate, &n.GivenBy, &n.Words, &n.Language)
	n.At = fromMicros(at)
	return n, err
}

// FinishModeNotice writes down, once, over which channel a contact was told of a change of mode, or why they could not be:
// fault is then not empty. NotFound for a notice that is not there.
func (s *Store) FinishModeNotice(ctx context.Context, n threat.ModeNotice, channel, fault string) error {
	state := noticeTold
	if fault != "" {
		state = noticeFailed
	}
	return s.write(ctx, []uuid.UUID{n.TenantID}, func(ctx context.Context, t *tx) error {
		var was string
		err := t.row(ctx, `SELECT state FROM mode_notices WHERE tenant_id = ?1 AND version = ?2 AND person_id = ?3`, n.TenantID,
			n.Version, n.PersonID).Scan(&was)
		if errors.Is(err, sql.ErrNoRows) {
			return threat.Faultf(threat.NotFound, "no such notice")
		}
		if err != nil || was != noticeWaiting {
			return err
		}
		if err := t.execOne(ctx, "notice", `UPDATE mode_notices SET state = ?4 WHERE tenant_id = ?1 AND version = ?2
			AND person_id = ?3`, n.TenantID, n.Version, n.PersonID, state); err != nil {
			return err
		}
		return t.record(ctx, n.TenantID, fmt.Sprintf("mode-told:%d:%s", n.Version, n.PersonID), threat.EntryModeTold,
			threat.SystemActor, fmt.Sprintf("consent:%d", n.Version), map[string]any{"person": n.PersonID, "mode": n.Mode,
				"state": state, "channel": channel, "error": fault})
	})
}
