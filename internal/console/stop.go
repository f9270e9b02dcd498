package console

import (
	"net/http"

	"github.com/firebreak/firebreak/internal/threat"
)

// stopPage is an organisation's stop switch, with what was under way when it was thrown.
type stopPage struct {
	frame
	Name, Slug string
	Own        Stop
	By         string
	Above      []stopRow // switches above it that are on
	MayStop    bool
	Tenants    int
	InFlight   []claimRow
}

// claimRow is one claim without a result: what was sent, or may still be.
type claimRow struct {
	Tenant  string
	Case    string
	What    string
	Target  string
	Kind    string
	Sent    bool
	At      moment
	Lease   moment
	LeaseUp bool // no request goes out under it any more
}

var claimKinds = map[threat.ClaimKind]string{threat.ClaimAct: "to act", threat.ClaimRelease: "to release",
	threat.ClaimRenew: "to renew"}

func showStop(k *call) error {
	o, err := k.orgOf("tenant.read")
	if err != nil {
		return err
	}
	p, err := k.stopPage(o)
	if err != nil {
		return err
	}
	return k.render(http.StatusOK, "stop", p)
}

func (k *call) stopPage(o threat.Organisation) (*stopPage, error) {
	name := threat.Inert(o.Name, maxName)
	p := &stopPage{frame: k.frame("Stop switch of "+name, "/tenants"), Name: name, Slug: o.Slug,
		MayStop: k.may("tenant.stop", o.ID)}
	p.live("")
	p.Simulated = o.Simulated
	rows, err := k.stopsOver(o)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Slug != o.Slug {
			p.Above = append(p.Above, r)
		}
	}
	if p.Own, err = k.deps.StopOf(k.ctx(), o.ID); err != nil {
		return nil, err
	}
	p.Own.Why, p.By = threat.Inert(p.Own.Why, maxText), k.actorOrName(p.Own.By)
	return p, p.inFlight(k, o)
}

// inFlight lists the claims without a result of every tenant at and below an organisation that the reader sees.
func (p *stopPage) inFlight(k *call, o threat.Organisation) error {
	tenants, _, err := k.tenants("tenant.read")
	if err != nil {
		return err
	}
	for _, t := range tenants {
		line, err := k.lineage(t.ID)
		if err != nil {
			return err
		}
		below := false
		for _, x := range line {
			below = below || x.ID == o.ID
		}
		if !below {
			continue
		}
		p.Tenants++
		claims, err := k.deps.Store.InFlight(k.ctx(), t.ID)
		if err != nil {
			return err
		}
		for _, c := range claims {
			name, err := k.caseName(c.CaseID)
			if err != nil {
				return err
			}
			if name == "" {
				continue
			}
			row, err := p.claim(k, t, c)
			if err != nil {
				return err
			}
			row.Case = name
			p.InFlight = append(p.InFlight, row)
		}
	}
	return nil
}

func (p *stopPage) claim(k *call, t threat.Organisation, c threat.Claim) (claimRow, error) {
	row := claimRow{Tenant: threat.Inert(t.Name, maxName), Kind: claimKinds[c.Kind], Sent: c.Sends > 0, At: p.When(c.At),
		Lease: p.When(c.LeaseUntil), LeaseUp: !k.now.Before(c.LeaseUntil)}
	r, err := k.deps.Store.Response(k.ctx(), c.ResponseID)
	if err != nil {
		return row, err
	}
	row.What, row.Target = verbTitle(r.Verb), threat.Inert(r.Target.Value, maxName)
	return row, nil
}

// changeStop throws the switch, or lifts it.
func changeStop(k *call) error {
	o, err := k.orgOf("tenant.stop")
	if err != nil {
		return err
	}
	why, err := k.required("why", maxReason, "the stop switch needs a reason", "go back and give one")
	if err != nil {
		return err
	}
	v := k.r.PostForm.Get("on")
	if v != "true" && v != "false" {
		return &threat.Fault{Kind: threat.Invalid, What: "neither true nor false", Place: "on"}
	}
	flying, err := k.deps.Store.SetStop(k.ctx(), o.ID, v == "true", why, k.caller.Actor())
	if err != nil {
		return err
	}
	s := said{Tone: toneWarn, Title: "Stopped", Text: "Nothing new is done from now on. Releases still work."}
	switch {
	case v == "false":
		s = said{Tone: toneGood, Title: "The stop is lifted", Text: "What waits is decided anew."}
	case len(flying) > 0:
		s.Text = "Nothing new is done from now on. What was already under way is listed below; releases still work."
	}
	return k.say("/tenants/"+o.Slug+"/stop", s)
}
