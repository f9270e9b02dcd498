package firebreak.approve_test

import data.firebreak.approve

base := {
	"at": "2026-03-02T02:10:00Z",
	"caller": {
		"id": "p1", "person": true, "disabled": false, "roles": ["contact"], "listed": true, "may_authorise": true,
		"subject": false, "surface": "console",
	},
	"case": {"id": "c1", "severity": 4, "threat": "active"},
	"request": {
		"id": "q1", "kind": "act", "verb": "block_ip", "state": "open", "roles": ["contact"], "needed": 1, "four_eyes": true,
		"asked_by_caller": false, "targets": 1, "duration_seconds": 14400,
	},
	"tenant": {"id": "t1", "mode": "collaborate", "stopped": false, "business_hours": true},
	"verdict": "approve",
}

authorize := object.union(base, {
	"tenant": {"mode": "authorize"},
	"request": {"roles": ["analyst", "shift_lead", "contact"]},
})

ids(answer) := {r.id | some r in answer.said}

refused(asked, refusal, id) if {
	a := approve.answer with input as asked
	a.allow == false
	a.role == ""
	a.refusal == refusal
	count(a.said) > 0
	id in ids(a)
}

test_a_listed_contact_decides if {
	a := approve.answer with input as base
	a.allow == true
	a.role == "contact"
	a.refusal == ""
	ids(a) == {"approve.grant.role"}
}

test_an_analyst_decides_where_authorize_asks if {
	a := approve.answer with input as object.union(authorize, {"caller": {"roles": ["analyst"], "listed": false, "may_authorise": false}})
	a.allow == true
	a.role == "analyst"
}

test_a_contact_goes_before_an_analyst_and_a_shift_lead if {
	a := approve.answer with input as object.union(authorize, {"caller": {"roles": ["analyst", "shift_lead", "contact"]}})
	a.role == "contact"
	b := approve.answer with input as object.union(authorize, {"caller": {"roles": ["analyst", "shift_lead"]}})
	b.role == "shift_lead"
}

test_an_analyst_does_not_decide_for_the_customer if {
	refused(object.union(base, {"caller": {"roles": ["analyst"]}}), "wrong_person", "approve.deny.wrong_person")
}

test_in_collaborate_only_a_contact_counts_whatever_the_request_names if {
	asked := object.union(base, {"request": {"roles": ["analyst", "contact"]}, "caller": {"roles": ["analyst"]}})
	refused(asked, "wrong_person", "approve.deny.contacts_only")
	again := object.union(asked, {"tenant": {"mode": "collaborate_unreachable"}})
	refused(again, "wrong_person", "approve.deny.contacts_only")
}

test_a_contact_who_is_not_listed_or_lacks_the_verb_does_not_decide if {
	refused(object.union(base, {"caller": {"listed": false}}), "wrong_person", "approve.deny.wrong_person")
	refused(object.union(base, {"caller": {"may_authorise": false}}), "wrong_person", "approve.deny.wrong_person")
}

test_an_empty_list_of_approvers_means_nobody if {
	every roles in [["contact"], ["analyst"], ["shift_lead"], ["administrator"], []] {
		asked := object.union(base, {"request": {"roles": []}, "caller": {"roles": roles}})
		refused(asked, "wrong_person", "approve.deny.wrong_person")
	}
}

test_administrators_auditors_authors_and_machines_never_approve if {
	every role in ["administrator", "auditor", "author", "partner", "sensor", "firewall", "relay"] {
		asked := object.union(authorize, {"request": {"roles": [role]}, "caller": {"roles": [role]}})
		refused(asked, "wrong_person", "approve.deny.wrong_person")
	}
}

test_a_token_does_not_decide if {
	refused(object.union(base, {"caller": {"person": false, "id": ""}}), "not_a_person", "approve.deny.not_a_person")
}

test_a_disabled_person_does_not_decide if {
	refused(object.union(base, {"caller": {"disabled": true}}), "wrong_person", "approve.deny.disabled")
}

test_four_eyes if {
	own := object.union(base, {"request": {"asked_by_caller": true}})
	refused(own, "four_eyes", "approve.deny.four_eyes")
	a := approve.answer with input as object.union(own, {"request": {"four_eyes": false}})
	a.allow == true
}

test_a_subject_of_the_case_does_not_decide if {
	refused(object.union(base, {"caller": {"subject": true}}), "subject_of_case", "approve.deny.subject")
}

test_stopped if {
	stopped := object.union(base, {"tenant": {"stopped": true}})
	refused(stopped, "stopped", "approve.deny.stopped")
	refused(object.union(stopped, {"verdict": "narrow"}), "stopped", "approve.deny.stopped")
	a := approve.answer with input as object.union(stopped, {"verdict": "deny"})
	a.allow == true
	b := approve.answer with input as object.union(stopped, {"request": {"kind": "end"}})
	b.allow == true
}

test_notify if {
	notify := object.union(base, {"tenant": {"mode": "notify"}})
	refused(notify, "policy", "approve.deny.mode_notify")
	a := approve.answer with input as object.union(notify, {"request": {"kind": "end"}})
	a.allow == true
}

test_missing_facts_refuse if {
	every path in [
		"caller/person", "caller/disabled", "caller/roles", "caller/listed", "caller/may_authorise",
		"caller/subject", "request/roles", "request/asked_by_caller", "tenant/stopped", "tenant/mode",
	] {
		a := approve.answer with input as json.remove(base, [path])
		a.allow == false
	}
}
