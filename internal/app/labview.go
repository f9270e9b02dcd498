package app

import (
	"github.com/firebreak/firebreak/internal/console"
	"github.com/firebreak/firebreak/internal/lab"
)

// labView gives the lab in the console's words.
func labView(v lab.View) console.LabView {
	out := console.LabView{TenantID: v.TenantID, Slug: v.Slug, FeedURL: v.FeedURL, Firewall: console.LabFirewall{
		Enforced: v.Snapshot.Firewall.Enforced, LastFetch: v.Snapshot.Firewall.LastFetch, Revision: v.Snapshot.Firewall.Revision}}
	for _, h := range v.Snapshot.Hosts {
		out.Hosts = append(out.Hosts, console.LabHost{Name: h.Name, Address: h.Address, Role: string(h.Role), Managed: h.Managed,
			State: h.State})
	}
	for _, s := range v.Scenarios {
		shown := console.LabScenario{ID: s.ID, Title: s.Title, Text: s.Text, Running: s.Running}
		for _, step := range s.Steps {
			shown.Steps = append(shown.Steps, console.LabStep{At: step.At, Text: step.Text})
		}
		out.Scenarios = append(out.Scenarios, shown)
	}
	for _, p := range v.People {
		out.People = append(out.People, console.LabPerson{ID: p.ID, Name: p.Name, Role: "authorised contact (simulated)"})
	}
	return out
}
