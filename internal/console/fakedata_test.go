package console

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

func (w *world) addPeople() {
	w.orgs = []threat.Organisation{
		{ID: rootID, Kind: threat.Provider, Slug: "watch", Name: "Nightwatch", Language: "en", Zone: "UTC"},
		{ID: northID, ParentID: valid(rootID), Kind: threat.Customer, Slug: "northwind", Name: "Northwind Traders",
			Language: "en",
			Zone:     "Europe/Berlin", Tenant: true, Simulated: true},
		{ID: eastID, ParentID: valid(rootID), Kind: threat.Customer, Slug: "eastgate", Name: "Eastgate Clinics", Language: "en",
			Zone: "Europe/Berlin", Tenant: true},
	}
	add := func(id uuid.UUID, name string, org uuid.UUID, role threat.Role, simulated bool) {
		w.people[id] = threat.Person{ID: id, OrgID: org, Name: name, Simulated: simulated}
		w.grants[id] = []threat.Grant{{PersonID: id, OrgID: org, Role: role}}
	}
	add(analystID, "Robin Achterberg", rootID, threat.Analyst, false)
	add(contactID, "Grace Oduya", northID, threat.Contact, true)
	add(secondID, "Ilse Brandt", northID, threat.Contact, true)
	add(auditorID, "Pat Lindqvist", rootID, threat.Auditor, false)
	add(adminID, "Sam Okafor", rootID, threat.Administrator, false)
}

func (w *world) addTenants() {
	w.states[northID] = threat.TenantState{TenantID: northID, Mode: threat.ModeCollaborate, ModeVersion: 3}
	w.states[eastID] = threat.TenantState{TenantID: eastID, Mode: threat.ModeAuthorize, ModeVersion: 1}
	w.consents[northID] = []threat.Consent{
		{TenantID: northID, Version: 2, Mode: threat.ModeNotify, GivenBy: contactID,
			Words: consentWords(threat.ModeNotify, false, "Northwind Traders"), Language: "en", At: ago(90 * 24 * time.Hour)},
		{TenantID: northID, Version: 3, Mode: threat.ModeCollaborate, GivenBy: contactID,
			Words: consentWords(threat.ModeCollaborate, false, "Northwind Traders"), Language: "en", At: ago(30 * 24 * time.Hour)},
	}
	w.contacts[northID] = []threat.ContactEntry{
		{TenantID: northID, PersonID: contactID, Position: 1, Authorise: []string{"*"}, ChangeMode: true,
			Methods: []threat.Method{
				{Channel: "smtp", ConnectionID: mailID, Address: "grace@northwind.example", Verified: true},
				{Channel: "pagerduty", ConnectionID: mailID, Address: "service", Delay: 2 * time.Minute}}},
		{TenantID: northID, PersonID: secondID, Position: 2, Authorise: []string{verb.BlockDomain},
			Methods: []threat.Method{{Channel: "smtp", Address: "ilse@northwind.example", Verified: true}}},
	}
	w.assets[northID] = []threat.Asset{
		{ID: printerID, TenantID: northID, Kind: "host", Name: "printer-7", Addresses: []string{"10.20.0.77"},
			Role: threat.RoleUnknownAsset, Evidence: "seen on the network, no agent answers", Tags: []string{"floor 2"}},
		{ID: dcID, TenantID: northID, Kind: "host", Name: "dc-1", Addresses: []string{"10.20.0.10", "fd00:20::10"},
			Managed: true, Role: threat.RoleDomainController, Evidence: "told by administrator", Protected: true},
	}
	w.links[northID] = []threat.Connection{
		{ID: feedID, TenantID: northID, Adapter: "feed", Name: "edge list", ReachedFrom: "server", Enabled: true},
		{ID: nftID, TenantID: northID, Adapter: "nftables", Name: "core router",
			Settings: map[string]string{"table": "firebreak"}, ReachedFrom: "server", Enabled: true, SecretRef: "x"},
		{ID: mailID, TenantID: northID, Adapter: "smtp", Name: "mail out", ReachedFrom: "server"},
	}
	w.links[eastID] = []threat.Connection{{ID: id(3, 9), TenantID: eastID, Adapter: "nftables", Name: "clinic edge",
		ReachedFrom: "server", Enabled: true}}
}

func (w *world) addCases() {
	w.cases[caseID] = threat.Case{ID: caseID, TenantID: northID, Number: 1042,
		Title:    "Unmanaged device takes orders from a known command-and-control address",
		Severity: threat.SeverityCritical, Threat: threat.ThreatActive, Contact: threat.ContactAcknowledged,
		AckBy: "Grace Oduya", AckUntil: laterP(41 * time.Minute),
		LastDetection: 3, OpenedAt: ago(26 * time.Minute), UpdatedAt: ago(time.Minute), Simulated: true}
	w.cases[quietCaseID] = threat.Case{ID: quietCaseID, TenantID: northID, Number: 1037,
		Title: "Brute force against the mail gateway", Severity: threat.SeverityMedium,
		Threat: threat.ThreatContained, Contact: threat.ContactExhausted, OpenedAt: ago(7 * time.Hour),
		UpdatedAt: ago(5 * time.Hour), Simulated: true}
	w.cases[eastCaseID] = threat.Case{ID: eastCaseID, TenantID: eastID, Number: 1041,
		Title: "Domain with a fresh certificate, asked for by 14 hosts", Severity: threat.SeverityHigh,
		Threat: threat.ThreatSuspected, Contact: threat.ContactTrying, OpenedAt: ago(48 * time.Minute),
		UpdatedAt: ago(11 * time.Minute)}
	w.timeline[caseID] = []threat.TimelineRow{
		{At: ago(26 * time.Minute), Kind: threat.RowAdversary,
			Text:   "printer-7 spoke to 203.0.113.77, a known command-and-control address (Suricata)",
			Tactic: "T1071 Application Layer Protocol"},
		{At: ago(26*time.Minute - time.Second), Kind: threat.RowNotable, Text: "The case was opened"},
		{At: ago(25 * time.Minute), Kind: threat.RowNotable, Text: "A mail to Grace Oduya was accepted by the provider"},
		{At: ago(21 * time.Minute), Kind: threat.RowDetection,
			Text: "A host scans the internal network: 214 addresses in two minutes"},
		{At: ago(19 * time.Minute), Kind: threat.RowNotable, Text: "Acknowledged: Grace Oduya is on it",
			Actor: "person:" + contactID.String()},
		{At: ago(14 * time.Minute), Kind: threat.RowAction,
			Text: "Block an address 203.0.113.77 on core router: verified on the device"},
		{At: ago(2 * time.Minute), Kind: threat.RowNotable, Text: "A click was refused: the request had changed",
			Actor: "person:" + secondID.String()},
	}
	w.escalations[caseID] = []threat.Escalation{{ID: escalationID, Number: 1, State: threat.EscalationAcknowledged,
		StartedAt: ago(25 * time.Minute), EndedAt: agoP(19 * time.Minute), AckBy: "Grace Oduya", AckVia: "smtp", Rounds: 2}}
	w.attempts[escalationID] = []threat.Attempt{
		{PersonID: contactID, Channel: "smtp", Round: 1, State: threat.AttemptAccepted, SentAt: agoP(25 * time.Minute),
			AcceptedAt: agoP(25 * time.Minute), SeenAt: agoP(20 * time.Minute), AcknowledgedAt: agoP(19 * time.Minute)},
		{PersonID: contactID, Channel: "pagerduty", Round: 1, Interruptive: true, State: threat.AttemptRefused,
			Error: "the routing key is not known", SentAt: agoP(23 * time.Minute)},
		{PersonID: secondID, Channel: "smtp", Round: 1, State: threat.AttemptSkipped, DueAt: ago(20 * time.Minute)},
	}
}

func (w *world) addDetections() {
	raw := `{"event_type":"alert","src_ip":"10.20.0.77","dest_ip":"203.0.113.77",` +
		`"alert":{"signature":"ET CNC Known CnC server group 12","severity":1}}`
	add := func(n byte, title string, sev threat.Severity, at time.Duration, techniques []string, obs ...threat.Observable) {
		w.detections[caseID] = append(w.detections[caseID],
			threat.Detection{ID: id(9, n), TenantID: northID, Seq: int64(n), Product: "suricata", Title: title,
				Severity: sev, Techniques: techniques, Observables: obs, Raw: []byte(raw),
				OCSF: json.RawMessage(`{"class_uid":2004,"activity_id":1}`), At: ago(at),
				ReceivedAt: ago(at - time.Second), State: threat.DetectionAssigned, CaseID: valid(caseID), Threat: threat.ThreatActive,
				Proposals: []threat.Proposal{{Step: "cut", Verb: verb.BlockIP,
					Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.77"}, Required: true}}})
	}
	cc := threat.Observable{Kind: threat.ObservableIP, Value: "203.0.113.77", Bearing: threat.BearingAdversary}
	host := threat.Observable{Kind: threat.ObservableIP, Value: "10.20.0.77", Bearing: threat.BearingVictim}
	add(1, "ET CNC Known CnC server group 12", threat.SeverityCritical, 26*time.Minute, []string{"T1071"}, cc, host)
	add(2, "Horizontal scan: 214 addresses in two minutes", threat.SeverityHigh, 21*time.Minute, nil, host)
	add(3, "ET CNC Known CnC server group 12", threat.SeverityCritical, 3*time.Minute, []string{"T1071"}, cc, host)
	w.detections[caseID][1].Proposals = nil
	w.detections[caseID][2].State = threat.DetectionDuplicate
}

func (w *world) addResponses() {
	cc := threat.Target{Kind: threat.TargetIP, Value: "203.0.113.77"}
	w.decisions[caseID] = []threat.Decision{{ID: id(10, 1), TenantID: northID, CaseID: valid(caseID), SubjectID: heldID,
		Question: threat.AskRespond, Revision: "4be1c77d01aa93", At: ago(20 * time.Minute),
		Rules:   []threat.RuleLabel{{ID: "respond.ask.collaborate", Title: "Collaborate acts on a contact's consent only"}},
		Reasons: []string{"the customer's response mode is collaborate: an authorised contact decides"},
		Answer:  []byte(`{"effect":"ask","basis":"","approvers":{"roles":["contact"],"needed":1,"four_eyes":true}}`)},
		{ID: id(10, 2), TenantID: northID, CaseID: valid(caseID), SubjectID: detectionID, Question: threat.AskTriage,
			Fault: "timeout", Reasons: []string{"policy gave no answer (timeout): the safe one was taken"},
			At: ago(26 * time.Minute)}}
	put := func(r threat.Response) { w.responses[r.ID] = r }
	put(threat.Response{Action: threat.Action{ID: heldID, TenantID: northID, CaseID: caseID, Verb: verb.BlockIP, Target: cc,
		Duration: 4 * time.Hour, End: threat.EndReleaseWhenContained, Connections: []uuid.UUID{feedID, nftID}},
		Number: 1, State: threat.ResponseHeld, Why: "partial: 1 of 2 devices enforce it", Required: true, AskedBy: "system",
		DecisionID: valid(id(10, 1)), Basis: threat.BasisApproval,
		HoldFrom: agoP(14 * time.Minute), HoldUntil: laterP(3*time.Hour + 46*time.Minute), CreatedAt: ago(26 * time.Minute),
		Holders: []threat.Holder{
			{ResponseID: heldID, ConnectionID: feedID, State: threat.HolderHolding,
				Effect: &threat.Effect{State: threat.EffectClaimed, Published: true}},
			{ResponseID: heldID, ConnectionID: nftID, State: threat.HolderHolding,
				Effect: &threat.Effect{State: threat.EffectInForce, VerifiedAt: agoP(2 * time.Minute),
					DeviceEnds: laterP(5*time.Hour + 40*time.Minute)}}}})
	put(threat.Response{Action: threat.Action{ID: askedID, TenantID: northID, CaseID: caseID, Verb: verb.BlockDomain,
		Target: threat.Target{Kind: threat.TargetDomain, Value: "cdn-telemetry.example"}, Duration: 4 * time.Hour,
		End: threat.EndAsk, Connections: []uuid.UUID{feedID}},
		Number: 2, State: threat.ResponseAsked, AskedBy: "system", RequestID: valid(requestID1), CreatedAt: ago(9 * time.Minute)})
	put(threat.Response{Action: threat.Action{ID: failedID, TenantID: northID, CaseID: caseID, Verb: verb.BlockIP,
		Target: threat.Target{Kind: threat.TargetIP, Value: "198.51.100.9"}, Duration: time.Hour, End: threat.EndRelease,
		Connections: []uuid.UUID{nftID}},
		Number: 3, State: threat.ResponseFailed, Why: "the device does not show it", AskedBy: "person:" + analystID.String(),
		EndedAt: agoP(6 * time.Minute),
		Holders: []threat.Holder{{ConnectionID: nftID, State: threat.HolderFailed,
			Error: "the table could not be written: permission denied"}}})
	put(threat.Response{Action: threat.Action{ID: eastRespID, TenantID: eastID, CaseID: eastCaseID, Verb: verb.BlockDomain,
		Target: threat.Target{Kind: threat.TargetDomain, Value: "fresh-cert.example"}, Duration: time.Hour, End: threat.EndAsk,
		Connections: []uuid.UUID{id(3, 9)}},
		Number: 1, State: threat.ResponseAsked, AskedBy: "system", RequestID: valid(eastRequestID)})
}

func (w *world) addRequests() {
	w.requests[requestID1] = threat.Request{ID: requestID1, TenantID: northID, CaseID: caseID, ResponseID: heldID,
		DecisionID: id(10, 1), Digest: digest,
		Body: threat.RequestBody{TenantID: northID, CaseID: caseID, ResponseID: heldID, Kind: threat.RequestAct,
			Verb: verb.BlockIP, Targets: []threat.Target{{Kind: threat.TargetIP, Value: "203.0.113.77"}},
			Params: map[string]string{"direction": "both"}, Seconds: 14400, Connections: []uuid.UUID{feedID, nftID},
			End: threat.EndReleaseWhenContained, Round: 1},
		Approvers: threat.Approvers{Roles: []threat.Role{threat.Contact}, Needed: 1, FourEyes: true}, AskedBy: "system",
		Rules:   []threat.RuleLabel{{ID: "respond.ask.collaborate", Title: "Collaborate acts on a contact's consent only"}},
		Reasons: []string{"the customer's response mode is collaborate: an authorised contact decides"},
		Silence: "nothing is done if nobody answers within 30 minutes",
		State:   threat.RequestOpen, OpenedAt: ago(9 * time.Minute), ExpiresAt: now.Add(21 * time.Minute)}
	end := w.requests[requestID1]
	end.ID, end.Body.Kind, end.ExpiresAt, end.Digest = endRequestID, threat.RequestEnd, now.Add(55*time.Minute), "e"+digest[1:]
	end.Silence = "it is held until people answer"
	end.Approvers = threat.Approvers{Roles: []threat.Role{threat.Contact, threat.Analyst}, Needed: 2}
	end.Votes = []threat.Vote{{RequestID: endRequestID, PersonID: secondID, Name: "Ilse Brandt", Role: threat.Contact,
		Verdict: threat.VerdictApprove, Reason: "The threat is contained", Surface: "console", At: ago(time.Minute)}}
	w.requests[endRequestID] = end
	w.requests[eastRequestID] = threat.Request{ID: eastRequestID, TenantID: eastID, CaseID: eastCaseID,
		ResponseID: eastRespID, Digest: digest,
		Body: threat.RequestBody{Kind: threat.RequestAct, Verb: verb.BlockDomain,
			Targets: []threat.Target{{Kind: threat.TargetDomain, Value: "fresh-cert.example"}}, Seconds: 3600,
			Connections: []uuid.UUID{id(3, 9)}, End: threat.EndAsk},
		Approvers: threat.Approvers{Roles: []threat.Role{threat.Analyst, threat.ShiftLead, threat.Contact}, Needed: 1},
		AskedBy:   "system", State: threat.RequestOpen, OpenedAt: ago(time.Minute), ExpiresAt: now.Add(90 * time.Second)}
}

func (w *world) addRest() {
	w.claims[northID] = []threat.Claim{
		{ID: id(11, 1), TenantID: northID, CaseID: caseID, ResponseID: heldID, Kind: threat.ClaimAct, At: ago(20 * time.Second),
			LeaseUntil: now.Add(40 * time.Second), Sends: 1},
		{ID: id(11, 2), TenantID: northID, CaseID: caseID, ResponseID: askedID, Kind: threat.ClaimRelease,
			At: ago(2 * time.Second), LeaseUntil: now.Add(58 * time.Second)}}
	w.feed[threat.FeedIPs] = []threat.FeedEntry{{ConnectionID: feedID, List: threat.FeedIPs, Value: "203.0.113.77",
		Revision: 18, AddedAt: ago(14 * time.Minute), Until: now.Add(3*time.Hour + 46*time.Minute)},
		{ConnectionID: feedID, List: threat.FeedIPs, Value: "198.51.100.200", Revision: 12, AddedAt: ago(3 * time.Hour),
			Until: now.Add(55 * time.Minute)}}
	w.fetches[threat.FeedIPs] = []threat.FeedFetch{{ConnectionID: feedID, List: threat.FeedIPs, Firewall: "edge-1",
		Revision: 18, At: ago(30 * time.Second), Interval: time.Minute},
		{ConnectionID: feedID, List: threat.FeedIPs, Firewall: "edge-2", Revision: 17, At: ago(90 * time.Second),
			Interval: time.Minute},
		{ConnectionID: feedID, List: threat.FeedIPs, Firewall: "branch", Revision: 3, At: ago(9 * time.Hour),
			Interval: time.Minute}}
	w.lists = []threat.FeedList{{ConnectionID: feedID, List: threat.FeedIPs, Revision: 18, ChangedAt: ago(14 * time.Minute),
		Entries: 2}}
	w.policy = PolicyStatus{Revision: "4be1c77d01aa934be1c77d01aa934be1c77d01aa934be1c77d01aa934be1c77d", Source: "built in",
		LoadedAt: ago(5 * time.Hour), Age: 5 * time.Hour, Reloads: 1}
	w.labels = map[threat.Question][]threat.RuleLabel{threat.AskRespond: {{ID: "respond.ask.collaborate",
		Title: "Collaborate acts on a contact's consent only"}, {ID: "respond.deny.guard", Title: "A guard stands against it"}},
		threat.AskTriage: {{ID: "triage.open", Title: "It opens a case"}}}
	w.secrets["signin-grace"] = threat.Link{PersonID: contactID, Purpose: threat.LinkSignIn,
		ExpiresAt: now.Add(12 * time.Minute)}
	w.secrets["ack-grace"] = threat.Link{PersonID: contactID, Purpose: threat.LinkAck, CaseID: valid(caseID),
		AttemptID: valid(id(12, 1)), ExpiresAt: now.Add(11 * time.Hour)}
	for i := range int64(120) {
		w.entries[northID] = append(w.entries[northID],
			threat.Entry{OrgID: northID, Seq: i + 1, Kind: threat.EntryClaimGranted, At: ago(time.Duration(120-i) * time.Minute),
				CaseID: valid(caseID),
				Actor:  "system", Subject: "claim:" + id(11, 1).String(), Payload: json.RawMessage(`{"sends":1}`), Hash: digest,
				Key: "claim:1:1"})
	}
	w.lab = LabView{TenantID: northID, Slug: "northwind", FeedURL: "curl -s http://127.0.0.1:7300/feeds/lab/ips.txt",
		Hosts: []LabHost{{"printer-7", "10.20.0.77", "unknown", false, "takes orders from 203.0.113.77 and scans"},
			{"dc-1", "10.20.0.10", "domain_controller", true, "quiet"}, {"desk-14", "10.20.0.114", "workstation", true, "quiet"}},
		Firewall: LabFirewall{Enforced: []string{"203.0.113.77"}, LastFetch: ago(12 * time.Second), Revision: 18},
		Scenarios: []LabScenario{{"night-printer", "A printer takes orders at night",
			"An unmanaged device talks to a known command-and-control address and scans. The case asks; you approve as " +
				"Grace; the feed blocks; the scan stops.", true,
			[]LabStep{{ago(50 * time.Second), "printer-7 asks 203.0.113.77 for orders"},
				{ago(41 * time.Second), "Suricata sends an alert"},
				{ago(12 * time.Second), "the firewall fetches revision 18 and drops the traffic"}}},
			{"authorize", "The same, in authorize", "Nobody is asked: the address is blocked at once, then the contacts are told.",
				false, nil}},
		People: []LabPerson{{contactID, "Grace Oduya", "contact, asked first"},
			{secondID, "Ilse Brandt", "contact, asked second"}}}
}
