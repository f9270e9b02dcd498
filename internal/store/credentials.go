package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// place writes a JSON pointer into a list.
func place(list string, i int, field string) string { return list + "/" + strconv.Itoa(i) + field }

// properHash refuses what is not a SHA-256: secrets themselves never come here.
func properHash(hash []byte) error {
	if len(hash) != sha256.Size || bytes.Equal(hash, make([]byte, sha256.Size)) {
		return threat.Faultf(threat.Internal, "a credential is kept as its SHA-256")
	}
	return nil
}

// PutToken keeps a new token by its hash. Conflict when the id or the hash stands already, Invalid with the place.
func (s *Store) PutToken(ctx context.Context, by string, k threat.Token) (threat.Token, error) {
	if err := properHash(k.Hash); err != nil {
		return k, err
	}
	var err error
	if k.Name, err = properName(k.Name, "/name"); err != nil {
		return k, err
	}
	if !slices.Contains(threat.Roles, k.Role) {
		return k, &threat.Fault{Kind: threat.Invalid, What: "unknown role", Place: "/role"}
	}
	if k.Kind == "" {
		k.Kind = threat.TokenAPI
	}
	if !slices.Contains(threat.TokenKinds, k.Kind) {
		return k, &threat.Fault{Kind: threat.Invalid, What: "unknown kind of token", Place: "/kind"}
	}
	if k.ID == uuid.Nil {
		if k.ID, err = uuid.NewV7(); err != nil {
			return k, err
		}
	}
	err = s.write(ctx, []uuid.UUID{k.OrgID}, func(ctx context.Context, t *tx) error {
		k.CreatedAt = t.now
		if k.ExpiresAt != nil && !k.ExpiresAt.After(t.now) {
			return &threat.Fault{Kind: threat.Invalid, What: "the token would be over at once", Place: "/expires_at"}
		}
		if _, err := t.exec(ctx, `INSERT INTO tokens (id, org_id, role, kind, name, hash, created_at, expires_at, revoked_at,
			connection_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, ?9)`, k.ID, k.OrgID, string(k.Role), string(k.Kind), k.Name,
			k.Hash, micros(k.CreatedAt), nullMicros(k.ExpiresAt), k.ConnectionID); err != nil {
			return err
		}
		return t.record(ctx, k.OrgID, "token.made:"+k.ID.String(), threat.EntryToken, by, "token:"+k.ID.String(), k)
	})
	return k, err
}

const tokenSelect = `SELECT id, org_id, role, kind, name, hash, created_at, expires_at, revoked_at, connection_id
	FROM tokens WHERE `

func scanToken(r *sql.Rows) (k threat.Token, err error) {
	var created int64
	var expires, revoked sql.NullInt64
	err = r.Scan(&k.ID, &k.OrgID, &k.Role, &k.Kind, &k.Name, &k.Hash, &created, &expires, &revoked, &k.ConnectionID)
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = fromMicros(created), fromNullMicros(expires), fromNullMicros(revoked)
	return k, err
}

// TokenByHash gives the token of a hash that may be used now. NotFound when there is none, Unauthenticated when it was
// revoked or is over.
func (s *Store) TokenByHash(ctx context.Context, hash []byte) (k threat.Token, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		k, err = one[threat.Token](t.query(ctx, tokenSelect+`hash = ?1`, hash))(scanToken, "token")
		if err == nil && !k.Usable(t.now) {
			err = threat.Faultf(threat.Unauthenticated, "the token was revoked or is over")
		}
		return err
	})
	if err != nil {
		return threat.Token{}, err
	}
	return k, nil
}

// Tokens gives an organisation's own tokens, the newest first, the revoked ones too.
func (s *Store) Tokens(ctx context.Context, org uuid.UUID) (out []threat.Token, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = collect[threat.Token](t.query(ctx, tokenSelect+`org_id = ?1 ORDER BY created_at DESC, id`, org))(scanToken)
		return err
	})
	return out, err
}

// RevokeToken ends a token at once. Doing it again changes nothing. NotFound when it is not there.
func (s *Store) RevokeToken(ctx context.Context, id uuid.UUID, by string) error {
	find := func(ctx context.Context, t *tx) (threat.Token, error) {
		return one[threat.Token](t.query(ctx, tokenSelect+`id = ?1`, id))(scanToken, "token")
	}
	var k threat.Token
	if err := s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		k, err = find(ctx, t)
		return err
	}); err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{k.OrgID}, func(ctx context.Context, t *tx) error {
		k, err := find(ctx, t)
		if err != nil || k.RevokedAt != nil {
			return err
		}
		if err := t.execOne(ctx, "token", `UPDATE tokens SET revoked_at = ?2 WHERE id = ?1`, id, micros(t.now)); err != nil {
			return err
		}
		k.RevokedAt = &t.now
		return t.record(ctx, k.OrgID, "token.revoked:"+id.String(), threat.EntryToken, by, "token:"+id.String(), k)
	})
}

// PutSession keeps a new session by its hash, and journals the sign-in. Forbidden for a disabled person, Conflict when the
// id or the hash stands already.
func (s *Store) PutSession(ctx context.Context, ses threat.Session) (threat.Session, error) {
	if err := properHash(ses.Hash); err != nil {
		return ses, err
	}
	if ses.ID == uuid.Nil {
		var err error
		if ses.ID, err = uuid.NewV7(); err != nil {
			return ses, err
		}
	}
	ses.Address, ses.Agent = threat.Inert(ses.Address, maxName), threat.Inert(ses.Agent, maxName)
	err := s.asPerson(ctx, ses.PersonID, func(ctx context.Context, t *tx, p threat.Person) error {
		if p.DisabledAt != nil {
			return threat.Faultf(threat.Forbidden, "the person is disabled")
		}
		ses.CreatedAt = t.now
		if _, err := t.exec(ctx, `INSERT INTO sessions (id, person_id, hash, address, agent, created_at, expires_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`, ses.ID, ses.PersonID, ses.Hash, ses.Address, ses.Agent, micros(ses.CreatedAt),
			micros(ses.ExpiresAt)); err != nil {
			return err
		}
		return t.record(ctx, p.OrgID, "session:"+ses.ID.String(), threat.EntrySignIn, "person:"+p.ID.String(),
			"person:"+p.ID.String(), ses)
	})
	return ses, err
}

// SessionByHash gives the session of a hash that holds now. NotFound when there is none, Unauthenticated when it has ended.
func (s *Store) SessionByHash(ctx context.Context, hash []byte) (out threat.Session, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) error {
		found, err := one[threat.Session](t.query(ctx, `SELECT id, person_id, hash, address, agent, created_at, expires_at, ended_at FROM sessions
			WHERE hash = ?1`, hash))(func(r *sql.Rows) (v threat.Session, err error) {
			var created, expires int64
			var ended sql.NullInt64
			err = r.Scan(&v.ID, &v.PersonID, &v.Hash, &v.Address, &v.Agent, &created, &expires, &ended)
			v.CreatedAt, v.ExpiresAt, v.EndedAt = fromMicros(created), fromMicros(expires), fromNullMicros(ended)
			return v, err
		}, "session")
		if err != nil {
			return err
		}
		if !found.Usable(t.now) {
			return threat.Faultf(threat.Unauthenticated, "the session has ended")
		}
		out = found
		return nil
	})
	return out, err
}

// EndSession signs a session out. NotFound when it is not there; an ended one stays ended.
func (s *Store) EndSession(ctx context.Context, id uuid.UUID) error {
	return s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		return t.execOne(ctx, "session", `UPDATE sessions SET ended_at = COALESCE(ended_at, ?2) WHERE id = ?1`, id, micros(t.now))
	})
}

// EndSessions signs a person out everywhere, and makes their unused links void.
func (s *Store) EndSessions(ctx context.Context, person uuid.UUID) error {
	return s.write(ctx, nil, func(ctx context.Context, t *tx) error { return t.endSessions(ctx, person) })
}

func (t *tx) endSessions(ctx context.Context, person uuid.UUID) error {
	if _, err := t.exec(ctx, `UPDATE sessions SET ended_at = ?2 WHERE person_id = ?1 AND ended_at IS NULL`, person,
		micros(t.now)); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE links SET expires_at = ?2 WHERE person_id = ?1 AND used_at IS NULL AND expires_at > ?2`, person,
		micros(t.now))
	return err
}

// PutLink keeps a one-time link by its hash. Conflict when the id or the hash stands already, NotFound for an unknown
// person.
func (s *Store) PutLink(ctx context.Context, l threat.Link) (threat.Link, error) {
	if err := properHash(l.Hash); err != nil {
		return l, err
	}
	if l.Purpose != threat.LinkSignIn && l.Purpose != threat.LinkAck {
		return l, threat.Faultf(threat.Invalid, "unknown purpose of a link")
	}
	if l.ID == uuid.Nil {
		var err error
		if l.ID, err = uuid.NewV7(); err != nil {
			return l, err
		}
	}
	err := s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		if _, err := t.person(ctx, l.PersonID); err != nil {
			return err
		}
		l.CreatedAt, l.UsedAt = t.now, nil
		_, err := t.exec(ctx, `INSERT INTO links (id, hash, person_id, purpose, attempt_id, case_id, created_at, expires_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`, l.ID, l.Hash, l.PersonID, string(l.Purpose), l.AttemptID, l.CaseID,
			micros(l.CreatedAt), micros(l.ExpiresAt))
		return err
	})
	return l, err
}

func (t *tx) link(ctx context.Context, hash []byte, lock string) (threat.Link, error) {
	return one[threat.Link](t.query(ctx, `SELECT id, hash, person_id, purpose, attempt_id, case_id, created_at, expires_at, used_at FROM links
		WHERE hash = ?1`+lock, hash))(func(r *sql.Rows) (l threat.Link, err error) {
		var created, expires int64
		var used sql.NullInt64
		err = r.Scan(&l.ID, &l.Hash, &l.PersonID, &l.Purpose, &l.AttemptID, &l.CaseID, &created, &expires, &used)
		l.CreatedAt, l.ExpiresAt, l.UsedAt = fromMicros(created), fromMicros(expires), fromNullMicros(used)
		return l, err
	}, "link")
}

// LinkByHash looks at a link without using it. NotFound when there is none.
func (s *Store) LinkByHash(ctx context.Context, hash []byte) (l threat.Link, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		l, err = t.link(ctx, hash, "")
		return err
	})
	return l, err
}

// UseLink uses a link, once: Conflict the second time, Expired when it is late, Forbidden when its person is disabled,
// NotFound when there is none.
func (s *Store) UseLink(ctx context.Context, hash []byte) (out threat.Link, err error) {
	err = s.write(ctx, nil, func(ctx context.Context, t *tx) error {
		l, err := t.link(ctx, hash, s.engine.forUpdate())
		if err != nil {
			return err
		}
		p, err := t.person(ctx, l.PersonID)
		switch {
		case err != nil:
			return err
		case l.UsedAt != nil:
			return threat.Faultf(threat.Conflict, "the link was used at %s", l.UsedAt.Format(time.RFC3339))
		case !t.now.Before(l.ExpiresAt):
			return &threat.Fault{Kind: threat.Expired, What: "the link is over", Next: "ask for a new one"}
		case p.DisabledAt != nil:
			return threat.Faultf(threat.Forbidden, "the person is disabled")
		}
		l.UsedAt = &t.now
		out = l
		return t.execOne(ctx, "link", `UPDATE links SET used_at = ?2 WHERE id = ?1`, l.ID, micros(t.now))
	})
	return out, err
}
