package decide

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func detection(w *world) threat.Detection {
	return threat.Detection{ID: threat.DerivedID("test", "detection"), TenantID: w.customer.ID, Seq: 1, Product: "suricata", Sensor: "token:1",
		UID: "7", Title: "Traffic to a controller", Severity: threat.SeverityMedium, At: monday, ReceivedAt: monday,
		OCSF: []byte(`{"finding_info":{"types":["Malware Command and Control Activity Detected"]}}`),
		Observables: []threat.Observable{{Kind: threat.ObservableIP, Value: "203.0.113.9", Bearing: threat.BearingAdversary},
			{Kind: threat.ObservableIP, Value: "10.0.0.9", Bearing: threat.BearingVictim},
			{Kind: threat.ObservableDomain, Value: "c2.example.net", Bearing: threat.BearingAdversary}}}
}

func request(w *world) threat.Request {
	r := w.response("block_ip", "ip", "203.0.113.9")
	return threat.Request{ID: threat.DerivedID("test", "request"), TenantID: w.customer.ID, CaseID: w.c.ID, ResponseID: r.ID,
		Body:      threat.RequestBody{Kind: threat.RequestAct, Verb: r.Verb, Targets: []threat.Target{r.Target}, Seconds: 60},
		Approvers: threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1, FourEyes: true},
		AskedBy:   threat.SystemActor, State: threat.RequestOpen}
}

func TestTriage(t *testing.T) {
	w := newWorld()
	s, _ := newService(t, w, builtIn(t))
	d := detection(w)
	got, err := s.Triage(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if got.Suppress || got.Threat != threat.ThreatActive || got.Severity != threat.SeverityHigh || got.Title != d.Title || got.DetectionID != d.ID {
		t.Errorf("%+v", got)
	}
	want := []threat.Proposal{
		{Step: "block-adversary-address", Verb: "block_ip", Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}, Required: true},
		{Step: "block-adversary-domain", Verb: "block_domain", Target: threat.Target{Kind: threat.TargetDomain, Value: "c2.example.net"}, Required: true}}
	if len(got.Proposals) != 2 || got.Proposals[0] != want[0] || got.Proposals[1] != want[1] {
		t.Errorf("%+v", got.Proposals)
	}
	// The tenant's own public range is not the attacker's.
	w.settings = tenant.Effective(tenant.Settings{OwnNetworks: []string{"203.0.113.0/24"}})
	if got, err = s.Triage(t.Context(), d); err != nil || len(got.Proposals) != 1 {
		t.Errorf("%v %+v", err, got.Proposals)
	}
	d.Severity, d.OCSF, d.Observables = threat.SeverityInformational, nil, nil
	if got, err = s.Triage(t.Context(), d); err != nil || !got.Suppress || got.Reason == "" {
		t.Errorf("%v %+v", err, got)
	}
}

func names(chain []threat.ChainStep) string {
	var out []string
	for _, s := range chain {
		var via []string
		for _, m := range s.Methods {
			via = append(via, m.Channel)
		}
		out = append(out, s.Name+":"+strings.Join(via, "+"))
	}
	return strings.Join(out, " ")
}

func TestEscalate(t *testing.T) {
	engine := builtIn(t)
	tests := []struct {
		name   string
		change func(*world)
		tell   bool
		chain  string
	}{
		{"high", func(*world) {}, true, "Ada:smtp+pagerduty Ben:smtp+pagerduty"},
		{"low", func(w *world) { w.c.Severity = threat.SeverityLow }, false, "Ada:smtp+pagerduty Ben:smtp+pagerduty"},
		{"low, but asked", func(w *world) {
			w.c.Severity = threat.SeverityLow
			w.responses = []threat.Response{{State: threat.ResponseAsked}}
		}, true, "Ada:smtp+pagerduty Ben:smtp+pagerduty"},
		{"low, denied by notify", func(w *world) {
			w.c.Severity, w.state.Mode = threat.SeverityLow, threat.ModeNotify
			w.responses = []threat.Response{{State: threat.ResponseDenied}}
		}, true, "Ada:smtp+pagerduty Ben:smtp+pagerduty"},
		{"a subject by mail address", func(w *world) {
			w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableUser, Value: "ada@customer.example"}}}}
		}, true, "Ben:smtp+pagerduty"},
		{"a subject by name", func(w *world) {
			w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableUser, Value: "ben"}}}}
		}, true, "Ada:smtp+pagerduty"},
		{"the mail server is in the case", func(w *world) {
			w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableHost, Value: "mail.customer.example"}}}}
		}, true, "Ada:pagerduty Ben:pagerduty"},
		{"a connection is marked", func(w *world) { w.connections[1].Settings["compromised"] = "true" }, true, "Ada:smtp Ben:smtp"},
		{"a connection of the provider's is marked", func(w *world) {
			w.connections[0].TenantID, w.connections[0].Settings["compromised"] = w.provider.ID, "true"
		}, true, "Ada:pagerduty Ben:pagerduty"},
		{"the provider's mail server is in the case", func(w *world) {
			w.connections[0].TenantID = w.provider.ID
			w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableHost, Value: "mail.customer.example"}}}}
		}, true, "Ada:pagerduty Ben:pagerduty"},
		{"a disabled person", func(w *world) {
			p := w.person("Ada")
			p.DisabledAt = &monday
			w.persons[p.ID] = p
		}, true, "Ben:smtp+pagerduty"},
		{"a person who is gone", func(w *world) { delete(w.persons, w.person("Ada").ID) }, true, "Ben:smtp+pagerduty"},
		{"nobody", func(w *world) { w.contacts = nil }, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.change(w)
			s, told := newService(t, w, engine)
			a, err := s.Escalate(t.Context(), w.c)
			if err != nil {
				t.Fatal(err)
			}
			if a.Escalate != tt.tell || names(a.Chain) != tt.chain {
				t.Errorf("%t %q, want %t %q", a.Escalate, names(a.Chain), tt.tell, tt.chain)
			}
			if a.Rounds != 2 || a.StepWait != 5*time.Minute || a.AckFor != time.Hour || a.Why == "" || told.count() > 0 {
				t.Errorf("%+v %v", a, told.said)
			}
			for _, step := range a.Chain {
				if step.Wait != a.StepWait {
					t.Errorf("%+v", step)
				}
			}
		})
	}
}

func TestWhomPolicyLeavesOutWasNotTried(t *testing.T) {
	w := newWorld()
	s, _ := newService(t, w, builtIn(t))
	people, err := s.reachable(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	only := func(i int) []chainAnswer {
		return []chainAnswer{{PersonID: people[i].facts.PersonID, Methods: []int{0}}}
	}
	for _, tt := range []struct {
		name   string
		change func()
		answer []chainAnswer
		chain  string
	}{
		{"one of two", func() {}, only(1), "Ben:smtp Ada:"},
		{"twice the same", func() {}, append(only(0), only(0)...), "Ada:smtp Ada:smtp Ben:"},
		{"nobody", func() {}, nil, "Ada: Ben:"},
		{"a stranger", func() {}, []chainAnswer{{PersonID: uuid.NewString(), Methods: []int{0}}}, "Ada: Ben:"},
		{"a subject", func() { people[0].facts.Subject = true }, only(1), "Ben:smtp"},
	} {
		tt.change()
		if got := names(chain(escalateAnswer{Chain: tt.answer}, people, time.Minute)); got != tt.chain {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.chain)
		}
	}
}

func TestApprove(t *testing.T) {
	engine := builtIn(t)
	other := uuid.New()
	tests := []struct {
		name    string
		change  func(*world, *threat.Request, *threat.Caller)
		role    threat.Role
		refusal threat.Refusal
	}{
		{"a contact", func(*world, *threat.Request, *threat.Caller) {}, threat.Contact, ""},
		{"a contact of another tenant", func(_ *world, _ *threat.Request, c *threat.Caller) { c.Grants[0].OrgID = other }, "", threat.RefusedWrongPerson},
		{"a contact from above", func(w *world, _ *threat.Request, c *threat.Caller) { c.Grants[0].OrgID = w.provider.ID }, threat.Contact, ""},
		{"not in the list", func(w *world, _ *threat.Request, _ *threat.Caller) { w.contacts = w.contacts[1:] }, "", threat.RefusedWrongPerson},
		{"without the verb", func(w *world, _ *threat.Request, _ *threat.Caller) {
			w.contacts[0].Authorise = []string{"block_domain"}
		}, "", threat.RefusedWrongPerson},
		{"an analyst in collaborate", func(_ *world, _ *threat.Request, c *threat.Caller) { c.Grants[0].Role = threat.Analyst }, "", threat.RefusedWrongPerson},
		{"an analyst in authorize", func(w *world, r *threat.Request, c *threat.Caller) {
			w.state.Mode, c.Grants[0].Role = threat.ModeAuthorize, threat.Analyst
			r.Approvers.Roles = []threat.Role{threat.Analyst, threat.ShiftLead, threat.Contact}
		}, threat.Analyst, ""},
		{"an administrator", func(w *world, r *threat.Request, c *threat.Caller) {
			c.Grants[0].Role, r.Approvers.Roles = threat.Administrator, []threat.Role{threat.Administrator}
		}, "", threat.RefusedWrongPerson},
		{"nobody named", func(_ *world, r *threat.Request, _ *threat.Caller) { r.Approvers.Roles = nil }, "", threat.RefusedWrongPerson},
		{"a token", func(_ *world, _ *threat.Request, c *threat.Caller) {
			c.PersonID, c.TokenID = uuid.NullUUID{}, uuid.NullUUID{UUID: other, Valid: true}
		}, "", threat.RefusedNotAPerson},
		{"their own request", func(_ *world, r *threat.Request, c *threat.Caller) { r.AskedBy = c.Actor() }, "", threat.RefusedSelf},
		{"a subject", func(w *world, _ *threat.Request, _ *threat.Caller) {
			w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableMailbox, Value: "ada@customer.example"}}}}
		}, "", threat.RefusedSubject},
		{"disabled", func(w *world, _ *threat.Request, _ *threat.Caller) {
			p := w.person("Ada")
			p.DisabledAt = &monday
			w.persons[p.ID] = p
		}, "", threat.RefusedWrongPerson},
		{"stopped", func(w *world, _ *threat.Request, _ *threat.Caller) { w.state.Stopped = true }, "", threat.RefusedStopped},
		{"an end, while stopped", func(w *world, r *threat.Request, _ *threat.Caller) {
			w.state.Stopped, r.Body.Kind = true, threat.RequestEnd
		}, threat.Contact, ""},
		{"notify", func(w *world, _ *threat.Request, _ *threat.Caller) { w.state.Mode = threat.ModeNotify }, "", threat.RefusedPolicy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			r, c := request(w), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact)
			tt.change(w, &r, &c)
			s, told := newService(t, w, engine)
			f, err := s.Approve(t.Context(), r, c, threat.VerdictApprove)
			if err != nil {
				t.Fatal(err)
			}
			if f.Allowed != (tt.refusal == "") || f.Role != tt.role || f.Refusal != tt.refusal || f.Why == "" {
				t.Errorf("%+v, want %q %q", f, tt.role, tt.refusal)
			}
			if !f.DecisionID.Valid || f.Facts.Mode != 3 || f.Facts.Policy == "" || told.count() > 0 {
				t.Errorf("%+v %v", f, told.said)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	w := newWorld()
	s, told := newService(t, w, builtIn(t))
	ada := w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact)
	above := w.caller(w.person("Ben").ID, w.provider.ID, threat.Analyst)
	sensor := threat.Caller{TokenID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, Grants: []threat.Grant{{OrgID: w.customer.ID, Role: threat.Sensor}}}
	tests := []struct {
		name   string
		caller threat.Caller
		action string
		org    uuid.UUID
		want   bool
	}{
		{"a contact reads their own", ada, "case.read", w.customer.ID, true},
		{"a contact does not read above", ada, "case.read", w.provider.ID, false},
		{"an analyst reads below", above, "case.read", w.customer.ID, true},
		{"a sensor writes detections", sensor, "detection.write", w.customer.ID, true},
		{"a sensor reads nothing", sensor, "case.read", w.customer.ID, false},
		{"a contact without the right keeps the mode", ada, "tenant.mode", w.customer.ID, false},
		{"nobody", threat.Caller{}, "case.read", w.customer.ID, false},
		{"no such organisation", above, "case.read", uuid.New(), false},
		{"no such action", above, "case.eat", w.customer.ID, false},
	}
	for _, tt := range tests {
		for range 2 { // the second answer is a remembered one
			ok, why, err := s.Access(t.Context(), tt.caller, tt.action, tt.org)
			if err != nil || ok != tt.want || why == "" {
				t.Errorf("%s: %t %q %v", tt.name, ok, why, err)
			}
		}
	}
	w.contacts[0].ChangeMode = true
	if ok, why, err := s.Access(t.Context(), ada, "tenant.mode", w.customer.ID); err != nil || !ok {
		t.Errorf("%t %q %v", ok, why, err)
	}
	if w.recorded != 0 || told.count() != 0 {
		t.Errorf("access is not recorded: %d, %v", w.recorded, told.said)
	}
	if w.lineages > 4 { // the customer and the provider once; what there is not is not remembered
		t.Errorf("%d lineages read", w.lineages)
	}
}

func TestPublic(t *testing.T) {
	for value, want := range map[string]bool{
		"203.0.113.9": true, "8.8.8.8": true, "2001:db8::1": true, "2606:4700::1111": true,
		"10.0.0.1": false, "172.31.0.1": false, "192.168.1.1": false, "100.64.0.1": false, "127.0.0.1": false, "0.0.0.0": false,
		"169.254.1.1": false, "224.0.0.1": false, "255.255.255.255": false, "fe80::1": false, "fd00::1": false, "::1": false,
		"::ffff:10.0.0.1": false, "198.51.100.7": false, "nonsense": false, "": false, "0.0.0.0/1": false,
	} {
		if got := public(value, []string{"198.51.100.0/24"}); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
	for _, p := range privateRanges {
		if !guard.Internal(p, nil) {
			t.Errorf("guard does not hold %s for internal", p)
		}
	}
	if guard.Internal(netip.MustParsePrefix("203.0.113.9/32"), nil) {
		t.Error("guard holds 203.0.113.9 for internal")
	}
}

func TestBusinessHours(t *testing.T) {
	s, _ := newService(t, newWorld(), nil)
	zone := "America/New_York"
	set := tenant.Effective(tenant.Settings{Zone: &zone})
	for at, want := range map[string]bool{
		"2026-03-02T12:59:00Z": false, "2026-03-02T13:00:00Z": true, "2026-03-02T22:59:00Z": true, "2026-03-02T23:00:00Z": false,
		"2026-03-07T15:00:00Z": false, // a Saturday
		"2026-03-09T12:00:00Z": true,  // an hour earlier in UTC, after the clocks changed
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.businessHours(set, when); got != want {
			t.Errorf("%s: %t", at, got)
		}
	}
}
