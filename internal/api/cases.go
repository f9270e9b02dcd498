package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// maxText is the longest reason or note that is kept, in bytes.
const maxText = 4000

type caseList struct {
	Cursor string `query:"cursor" doc:"the next of the page before"`
	Open   string `query:"open" enum:"true,false" doc:"left out: both"`
	Tenant string `query:"tenant" doc:"an id or a slug; left out: all that the caller may see"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200"`
}

type seqPage struct {
	Case  string `path:"case" doc:"an id, FB-12 or 12"`
	After int64  `query:"after" minimum:"0"`
	Limit int    `query:"limit" minimum:"0" maximum:"200"`
}

func (a *API) caseRoutes() {
	handle(a, get("/v1/cases", "list-cases", "cases", "Cases, the newest first"), a.listCases)
	handle(a, get("/v1/cases/{case}", "get-case", "cases", "One case"),
		func(ctx context.Context, c *call, p *inCase, _ none) (wire.Case, error) {
			found, err := a.caseOf(ctx, c, p.Case, "case.read")
			if err != nil {
				return wire.Case{}, err
			}
			return a.caseView(ctx, found)
		})
	handle(a, get("/v1/cases/{case}/timeline", "get-timeline", "cases", "What happened in a case, in order"),
		func(ctx context.Context, c *call, p *inCase, _ none) (wire.List[threat.TimelineRow], error) {
			return inside(ctx, a, c, p.Case, "case.read", a.d.Store.Timeline)
		})
	handle(a, get("/v1/cases/{case}/responses", "list-responses", "cases", "The responses of a case"),
		func(ctx context.Context, c *call, p *inCase, _ none) (wire.List[wire.Response], error) {
			return inside(ctx, a, c, p.Case, "case.read", func(ctx context.Context, id uuid.UUID) ([]wire.Response, error) {
				found, err := a.d.Store.Responses(ctx, id)
				return each(found, responseView), err
			})
		})
	handle(a, get("/v1/cases/{case}/detections", "list-case-detections", "cases", "The detections of a case, in order"),
		func(ctx context.Context, c *call, p *seqPage, _ none) (wire.List[threat.Detection], error) {
			return inside(ctx, a, c, p.Case, "detection.read", func(ctx context.Context, id uuid.UUID) ([]threat.Detection, error) {
				return a.d.Store.DetectionsOfCase(ctx, id, p.After, limit(p.Limit, 50, 200))
			})
		})
	handle(a, get("/v1/cases/{case}/decisions", "list-case-decisions", "cases", "What policy said in a case"),
		func(ctx context.Context, c *call, p *inCase, _ none) (wire.List[wire.Decision], error) {
			return inside(ctx, a, c, p.Case, "case.read", func(ctx context.Context, id uuid.UUID) ([]wire.Decision, error) {
				found, err := a.d.Store.DecisionsOfCase(ctx, id)
				return each(found, decisionView), err
			})
		})
	handle(a, post("/v1/cases/{case}/close", "close-case", "cases", "Close a case; its responses keep running"),
		func(ctx context.Context, c *call, p *inCase, b wire.CloseCase) (wire.Case, error) {
			found, err := a.caseOf(ctx, c, p.Case, "case.write")
			if err != nil {
				return wire.Case{}, err
			}
			reason, err := text(b.Reason, "/reason")
			if err != nil {
				return wire.Case{}, err
			}
			if found, err = a.d.Store.CloseCase(ctx, found.ID, reason, c.caller.Actor()); err != nil {
				return wire.Case{}, err
			}
			return a.caseView(ctx, found)
		})
	handle(a, post("/v1/cases/{case}/notes", "note-case", "cases", "Write a note into a case's timeline"),
		func(ctx context.Context, c *call, p *inCase, b wire.Note) (wire.Done, error) {
			found, err := a.caseOf(ctx, c, p.Case, "case.write")
			if err != nil {
				return wire.Done{}, err
			}
			note, err := text(b.Text, "/text")
			if err != nil {
				return wire.Done{}, err
			}
			return wire.Done{Done: true}, a.d.Store.Note(ctx, found.ID, note, c.caller.Actor())
		})
	handle(a, post("/v1/cases/{case}/acknowledge", "acknowledge-case", "cases", "Say that one is on it; that authorises nothing"),
		func(ctx context.Context, c *call, p *inCase, b wire.Acknowledge) (wire.Case, error) {
			found, err := a.caseOf(ctx, c, p.Case, "case.write")
			if err != nil {
				return wire.Case{}, err
			}
			var attempt uuid.NullUUID
			if b.Attempt != nil {
				attempt = uuid.NullUUID{UUID: *b.Attempt, Valid: true}
			}
			if found, err = a.d.Door.Acknowledge(ctx, c.caller, found.ID, attempt); err != nil {
				return wire.Case{}, err
			}
			return a.caseView(ctx, found)
		})
	handle(a, get("/v1/decisions/{id}", "get-decision", "cases", "One decision of policy, with its input and answer"),
		func(ctx context.Context, c *call, p *byID, _ none) (wire.Decision, error) {
			id, err := pathID(p.ID, "decision")
			if err != nil {
				return wire.Decision{}, err
			}
			d, err := a.d.Store.Decision(ctx, id)
			if err != nil {
				return wire.Decision{}, noSuch(err, "decision")
			}
			if err := a.may(ctx, c, "case.read", d.TenantID, "decision"); err != nil {
				return wire.Decision{}, err
			}
			return decisionView(d), a.uninvolved(ctx, c, d.TenantID, d.CaseID, "decision")
		})
}

func (a *API) listCases(ctx context.Context, c *call, p *caseList, _ none) (wire.Page[wire.Case], error) {
	out := wire.Page[wire.Case]{Items: []wire.Case{}}
	before, err := readCursor(p.Cursor)
	if err != nil {
		return out, err
	}
	orgs, err := a.tenantsOf(ctx, c, p.Tenant, "case.read")
	if err != nil {
		return out, err
	}
	q := threat.CaseQuery{Tenants: ids(orgs), Before: before, Limit: limit(p.Limit, 50, 200)}
	if p.Open != "" {
		open := p.Open == "true"
		q.Open = &open
	}
	found, err := a.d.Store.Cases(ctx, q)
	if err != nil {
		return out, err
	}
	full := len(found) == q.Limit
	last := int64(0)
	if full {
		last = found[len(found)-1].Number
	}
	if found, err = withoutOwn(ctx, a, c, found, func(k threat.Case) (uuid.UUID, uuid.NullUUID) { return k.TenantID, valid(k.ID) }); err != nil {
		return out, err
	}
	names := slugs(orgs)
	for _, k := range found {
		out.Items = append(out.Items, wire.Case{Case: k, Name: k.Name(), Tenant: names[k.TenantID]})
	}
	if full {
		out.Next = writeCursor(last)
	}
	return out, nil
}

// caseOf gives the case of a path when the caller may do the action in its tenant.
func (a *API) caseOf(ctx context.Context, c *call, name, action string) (threat.Case, error) {
	found, err := a.findCase(ctx, name)
	if err != nil {
		return threat.Case{}, noSuch(err, "case")
	}
	if err := a.may(ctx, c, action, found.TenantID, "case"); err != nil {
		return threat.Case{}, err
	}
	return found, a.uninvolved(ctx, c, found.TenantID, valid(found.ID), "case")
}

func (a *API) findCase(ctx context.Context, name string) (threat.Case, error) {
	if id, err := uuid.Parse(name); err == nil {
		return a.d.Store.Case(ctx, id)
	}
	digits := name
	if len(name) > 3 && strings.EqualFold(name[:3], "FB-") {
		digits = name[3:]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 {
		return threat.Case{}, threat.Faultf(threat.NotFound, "no such case")
	}
	return a.d.Store.CaseByNumber(ctx, n)
}

func (a *API) caseView(ctx context.Context, k threat.Case) (wire.Case, error) {
	o, err := a.d.Store.Organisation(ctx, k.TenantID.String())
	return wire.Case{Case: k, Name: k.Name(), Tenant: o.Slug}, err
}

// inside lists what a case holds.
func inside[T any](ctx context.Context, a *API, c *call, name, action string,
	read func(context.Context, uuid.UUID) ([]T, error)) (wire.List[T], error) {
	found, err := a.caseOf(ctx, c, name, action)
	if err != nil {
		return wire.List[T]{}, err
	}
	items, err := read(ctx, found.ID)
	return list(items), err
}

func each[S, T any](from []S, view func(S) T) []T {
	out := make([]T, len(from))
	for i, s := range from {
		out[i] = view(s)
	}
	return out
}

func decisionView(d threat.Decision) wire.Decision {
	return wire.Decision{Decision: d, Input: orNull(d.Input), Answer: orNull(d.Answer)}
}

func orNull(b []byte) json.RawMessage {
	if len(b) == 0 || !json.Valid(b) {
		return json.RawMessage("null")
	}
	return b
}

// text refuses what a person left empty, or wrote too long.
func text(s, place string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", &threat.Fault{Kind: threat.Invalid, What: "a text is missing", Place: place}
	case len(s) > maxText:
		return "", &threat.Fault{Kind: threat.Invalid, What: "the text is longer than " + strconv.Itoa(maxText) + " bytes", Place: place}
	}
	return s, nil
}

// cursorMark begins a cursor, so that one of another list is refused.
const cursorMark = "case:"

func writeCursor(n int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + strconv.FormatInt(n, 10)))
}

func readCursor(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	digits, ok := strings.CutPrefix(string(b), cursorMark)
	n, perr := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || perr != nil || n <= 0 {
		return 0, unreadable(&threat.Fault{Kind: threat.Invalid, What: "this is no cursor of this list", Place: "cursor",
			Next: "give the next of the page before, or none"})
	}
	return n, nil
}

// detectionView adds what the product sent.
func detectionView(d threat.Detection) wire.Detection {
	v := wire.Detection{Detection: d}
	if utf8.Valid(d.Raw) {
		v.Raw = string(d.Raw)
	} else {
		v.RawBase64 = slices.Clone(d.Raw)
	}
	return v
}
