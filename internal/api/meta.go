package api

import (
	"context"
	"net/http"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// readyWithin bounds the checks of /readyz.
const readyWithin = 5 * time.Second

type inConnectionID struct {
	Connection string `path:"connection"`
}

func (a *API) metaRoutes() {
	handle(a, get("/healthz", "healthz", "operations", "Whether the process answers").toAnybody(),
		func(context.Context, *call, *none, none) (wire.Done, error) { return wire.Done{Done: true}, nil })
	handle(a, get("/readyz", "readyz", "operations", "Whether every part answers").toAnybody(), a.ready)
	handle(a, get("/v1/version", "version", "operations", "What runs"),
		func(context.Context, *call, *none, none) (wire.Version, error) { return a.d.Version, nil })
	handle(a, get("/v1/whoami", "whoami", "access", "The caller, and their roles"), a.whoami)
	handle(a, get("/v1/verbs", "list-verbs", "actions", "What Firebreak can do"),
		func(context.Context, *call, *none, none) (wire.List[wire.Verb], error) {
			return list(each(verb.All(), a.verbView)), nil
		})
	handle(a, get("/v1/adapters", "list-adapters", "connections", "The products that this program knows"),
		func(context.Context, *call, *none, none) (wire.List[wire.Adapter], error) {
			return list(each(a.d.Registry.All(), adapterView)), nil
		})
	handle(a, get("/v1/feeds/{connection}", "get-feed", "connections", "The lists that firewalls fetch, and who fetched which revision"),
		a.feed)
	handle(a, post("/v1/webhooks/pagerduty/{connection}", "pagerduty-webhook", "operations",
		"What PagerDuty sends; it is known by its signature").toAnybody(),
		func(ctx context.Context, c *call, p *inConnectionID, body raw) (wire.Done, error) {
			id, err := pathID(p.Connection, "connection")
			if err == nil && a.d.Webhooks == nil {
				err = threat.Faultf(threat.NotFound, "no such connection")
			}
			if err != nil {
				return wire.Done{}, err
			}
			return wire.Done{Done: true}, a.d.Webhooks.PagerDuty(ctx, id, c.http.Header, body)
		})
}

// ready asks every part. What is wrong is told by its kind: the texts are for the log, since anybody may ask. A part that
// works on with what it had before is stale: it is told, and the server is ready all the same.
func (a *API) ready(ctx context.Context, _ *call, _ *none, _ none) (wire.Ready, error) {
	out := wire.Ready{Ready: true, Checks: map[string]string{}}
	if a.d.Checks == nil {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for name, err := range a.d.Checks(ctx) {
		out.Checks[name] = "ok"
		if err == nil {
			continue
		}
		out.Checks[name] = string(threat.KindOf(err))
		if threat.Is(err, threat.Stale) {
			continue
		}
		out.Ready = false
		a.d.Log.WarnContext(ctx, "a part does not answer", "part", name, "error", err)
	}
	if !out.Ready {
		what := "these do not answer:"
		for _, name := range sortedKeys(out.Checks) {
			if out.Checks[name] != "ok" && out.Checks[name] != string(threat.Stale) {
				what += " " + name + " (" + out.Checks[name] + ")"
			}
		}
		return out, &threat.Fault{Kind: threat.Unavailable, What: what, RetryAfter: readyWithin}
	}
	return out, nil
}

func (a *API) whoami(ctx context.Context, c *call, _ *none, _ none) (wire.Whoami, error) {
	out := wire.Whoami{Caller: c.caller, Roles: []wire.Grant{}}
	if out.Grants == nil {
		out.Grants = []threat.Grant{}
	}
	o, err := a.d.Store.Organisation(ctx, c.caller.OrgID.String())
	if err != nil {
		return out, err
	}
	out.Organisation = o.Slug
	for _, g := range c.caller.Grants {
		if o, err = a.d.Store.Organisation(ctx, g.OrgID.String()); err != nil {
			return out, err
		}
		out.Roles = append(out.Roles, wire.Grant{Org: o.Slug, Role: g.Role})
	}
	return out, nil
}

func (a *API) verbView(v verb.Verb) wire.Verb {
	out := wire.Verb{Name: v.Name, Title: v.Title, Class: v.Class, Targets: v.Targets, Params: []wire.VerbParam{}, Undo: string(v.Undo),
		UndoText: v.UndoText, VerifyText: v.VerifyText, LossText: v.LossText, MinDurationSeconds: v.MinDuration.Seconds(),
		MaxDurationSeconds: v.MaxDuration.Seconds(), Once: v.Once, WithinSeconds: v.Within.Seconds(), Cuts: v.Cuts, Shared: v.Shared,
		OpenC2: v.OpenC2, D3FEND: v.D3FEND, OCSFClass: v.OCSFClass, OCSFActivity: v.OCSFAction, Adapters: []string{}}
	for _, p := range v.Params {
		values := p.Values
		if values == nil {
			values = []string{}
		}
		out.Params = append(out.Params, wire.VerbParam{Name: p.Name, Kind: string(p.Kind), Meaning: p.Meaning, Values: values,
			Unit: p.Unit, Max: p.Max, Required: p.Required})
	}
	for _, p := range a.d.Registry.With(v.Name) {
		out.Adapters = append(out.Adapters, p.Info.Name)
	}
	return out
}

func adapterView(p adapters.Product) wire.Adapter {
	out := wire.Adapter{Name: p.Info.Name, Title: p.Info.Title, Verbs: []wire.AdapterVerb{}, Settings: []wire.AdapterSetting{},
		Secret: p.Info.Secret, Local: p.Info.Local}
	for _, v := range p.Info.Verbs {
		out.Verbs = append(out.Verbs, wire.AdapterVerb{Verb: v.Verb, Sending: string(v.Sending), SettleSeconds: v.Settle.Seconds(),
			DeviceEnds: v.DeviceEnds, Polled: v.Polled})
	}
	for _, s := range p.Info.Settings {
		out.Settings = append(out.Settings, wire.AdapterSetting{Name: s.Name, Meaning: s.Meaning, Default: s.Default,
			Required: s.Required})
	}
	return out
}

func (a *API) feed(ctx context.Context, c *call, p *inConnectionID, _ none) (wire.Feed, error) {
	id, err := pathID(p.Connection, "connection")
	if err != nil {
		return wire.Feed{}, err
	}
	conn, err := a.d.Store.Connection(ctx, id)
	if err != nil {
		return wire.Feed{}, noSuch(err, "connection")
	}
	if err := a.may(ctx, c, "feed.read", conn.TenantID, "connection"); err != nil {
		return wire.Feed{}, err
	}
	out := wire.Feed{Connection: conn.ID, Name: conn.Name, Fetches: []wire.FeedFetch{}}
	lists, err := a.d.Store.FeedLists(ctx, conn.ID)
	if err != nil {
		return wire.Feed{}, err
	}
	out.Lists = list(lists).Items
	for _, name := range threat.FeedLists {
		seen, err := a.d.Store.Fetches(ctx, conn.ID, name)
		if err != nil {
			return wire.Feed{}, err
		}
		for _, f := range seen {
			out.Fetches = append(out.Fetches, wire.FeedFetch{List: f.List, Firewall: f.Firewall, Revision: f.Revision, At: f.At,
				IntervalSeconds: f.Interval.Seconds()})
		}
	}
	return out, nil
}

var _ http.Handler = (*API)(nil)
