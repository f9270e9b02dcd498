package firebreak.access_test

import data.firebreak.access

caller(kind, grants) := {"kind": kind, "grants": grants, "change_mode": false}

ask(who, action, lineage) := {"at": "2026-03-02T02:10:00Z", "action": action, "caller": who, "lineage": lineage}

over(org, role) := [{"org": org, "role": role}]

tree := ["provider", "partner", "customer"]

allowed(asked) if {
	a := access.answer with input as asked
	a.allow == true
}

refused(asked, id) if {
	a := access.answer with input as asked
	a.allow == false
	count(a.said) > 0
	id in {r.id | some r in a.said}
}

test_a_role_reaches_its_organisation_and_all_below if {
	allowed(ask(caller("person", over("provider", "analyst")), "case.read", tree))
	allowed(ask(caller("person", over("customer", "analyst")), "case.read", tree))
}

test_a_role_does_not_reach_above_or_beside if {
	refused(ask(caller("person", over("customer", "administrator")), "tenant.read", ["provider", "partner"]), "access.deny.no_right")
	refused(ask(caller("person", over("other", "analyst")), "case.read", tree), "access.deny.no_right")
	refused(ask(caller("person", over("customer", "analyst")), "case.read", []), "access.deny.no_right")
}

test_a_sensor_writes_detections_and_nothing_else if {
	sensor := caller("token", over("customer", "sensor"))
	allowed(ask(sensor, "detection.write", tree))
	every action in (access.reads | access.writes) - {"detection.write"} {
		refused(ask(sensor, action, tree), "access.deny.no_right")
	}
}

test_a_firewall_reads_its_feed_and_nothing_else if {
	firewall := caller("token", over("customer", "firewall"))
	allowed(ask(firewall, "feed.read", tree))
	every action in (access.reads | access.writes) - {"feed.read"} {
		refused(ask(firewall, action, tree), "access.deny.no_right")
	}
}

test_a_machines_role_needs_a_token if {
	refused(ask(caller("person", over("customer", "sensor")), "detection.write", tree), "access.deny.no_right")
}

test_a_relay_has_no_right_yet if {
	every action in access.reads | access.writes {
		refused(ask(caller("token", over("customer", "relay")), action, tree), "access.deny.no_right")
	}
}

test_an_auditor_reads_all_and_writes_nothing if {
	auditor := caller("person", over("provider", "auditor"))
	every action in access.reads {
		allowed(ask(auditor, action, tree))
	}
	every action in access.writes {
		refused(ask(auditor, action, tree), "access.deny.no_right")
	}
}

test_an_administrator_sets_up_and_decides_nothing if {
	admin := caller("person", over("provider", "administrator"))
	every action in ["tenant.write", "person.write", "token.write", "organisation.write", "connection.write", "tenant.stop"] {
		allowed(ask(admin, action, tree))
	}
	every action in ["request.decide", "action.propose", "tenant.mode", "case.write", "policy.write"] {
		refused(ask(admin, action, tree), "access.deny.no_right")
	}
}

test_an_author_writes_policy_only if {
	author := caller("person", over("provider", "author"))
	allowed(ask(author, "policy.write", tree))
	refused(ask(author, "request.decide", tree), "access.deny.no_right")
	refused(ask(author, "tenant.write", tree), "access.deny.no_right")
}

test_analysts_shift_leads_contacts_and_partners_work_on_cases if {
	every role in ["analyst", "shift_lead", "contact", "partner"] {
		allowed(ask(caller("person", over("partner", role)), "case.write", tree))
		refused(ask(caller("person", over("partner", role)), "person.write", tree), "access.deny.no_right")
	}
	refused(ask(caller("person", over("partner", "partner")), "request.decide", tree), "access.deny.no_right")
}

test_the_mode_takes_a_contact_with_that_right if {
	contact := caller("person", over("customer", "contact"))
	refused(ask(contact, "tenant.mode", tree), "access.deny.no_right")
	asked := ask(object.union(contact, {"change_mode": true}), "tenant.mode", tree)
	allowed(asked)
	a := access.answer with input as asked
	{r.id | some r in a.said} == {"access.grant.change_mode"}
	refused(ask(object.union(caller("person", over("customer", "analyst")), {"change_mode": true}), "tenant.mode", tree), "access.deny.no_right")
}

test_deciding_takes_a_person if {
	refused(ask(caller("token", over("customer", "contact")), "request.decide", tree), "access.deny.by_hand")
	allowed(ask(caller("person", over("customer", "contact")), "request.decide", tree))
	mode := object.union(caller("token", over("customer", "contact")), {"change_mode": true})
	refused(ask(mode, "tenant.mode", tree), "access.deny.by_hand")
}

test_nobody_gets_nothing if {
	refused(ask(caller("system", over("customer", "administrator")), "case.read", tree), "access.deny.nobody")
	refused(ask(caller("person", []), "case.read", tree), "access.deny.no_right")
}

test_an_unknown_action_is_refused if {
	refused(ask(caller("person", over("customer", "administrator")), "case.destroy", tree), "access.deny.unknown_action")
}

test_missing_facts_refuse if {
	asked := ask(caller("person", over("customer", "contact")), "request.decide", tree)
	allowed(asked)
	every path in ["action", "caller", "caller/kind", "caller/grants", "lineage"] {
		a := access.answer with input as json.remove(asked, [path])
		a.allow == false
	}
}

test_a_token_with_an_analysts_role_reads if {
	a := access.answer with input as ask(caller("token", over("customer", "analyst")), "case.read", tree)
	a.allow == true
	{r.id | some r in a.said} == {"access.grant.role"}
	b := access.answer with input as ask(caller("token", over("customer", "sensor")), "detection.write", tree)
	{r.id | some r in b.said} == {"access.grant.machine"}
}
