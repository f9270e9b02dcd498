package api

import (
	"context"
	"maps"
	"slices"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

type journalPage struct {
	Org   string `path:"org" doc:"an id or a slug"`
	After int64  `query:"after" minimum:"0"`
	Limit int    `query:"limit" minimum:"0" maximum:"500"`
}

func (a *API) journalRoutes() {
	handle(a, get("/v1/journal/{org}", "read-journal", "journal", "An organisation's journal, in order, with its hashes"),
		func(ctx context.Context, c *call, p *journalPage, _ none) (wire.JournalPage, error) {
			o, err := a.org(ctx, c, p.Org, "journal.read")
			if err != nil {
				return wire.JournalPage{}, err
			}
			n := limit(p.Limit, 100, 500)
			entries, err := a.d.Store.Entries(ctx, o.ID, p.After, n)
			out := wire.JournalPage{Items: list(entries).Items}
			if len(entries) == n {
				out.Next = entries[n-1].Seq
			}
			return out, err
		})
	a.eventRoutes()
}

// sortedKeys gives a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// eventOf leaves out what an event does not carry.
func eventOf(e threat.Entry) wire.Event {
	out := wire.Event{Org: e.OrgID, Seq: e.Seq, Kind: e.Kind, At: e.At, Subject: e.Subject, Actor: e.Actor}
	if e.CaseID.Valid {
		out.Case = &e.CaseID.UUID
	}
	return out
}
