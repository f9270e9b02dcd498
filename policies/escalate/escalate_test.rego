package firebreak.escalate_test

import data.firebreak.escalate

base := {
	"at": "2026-03-02T02:10:00Z",
	"case": {
		"id": "c1", "number": 7, "severity": 4, "threat": "active", "contact": "", "acknowledged": false, "simulated": false,
	},
	"contacts": [contact("p1"), contact("p2"), contact("p3")],
	"responses": [], "responses_left_out": 0,
	"settings": {"rounds": 2, "step_wait_seconds": 300, "ack_seconds": 3600},
	"tenant": {"id": "t1", "mode": "collaborate", "simulated": false, "business_hours": true},
}

contact(id) := {
	"person_id": id, "position": 1, "language": "en", "disabled": false, "subject": false,
	"methods": [method("smtp"), method("pagerduty")],
}

method(channel) := {"channel": channel, "delay_seconds": 0, "verified": true, "compromised": false}

low := object.union(base, {"case": {"severity": 2}})

response(state) := {"id": "r1", "verb": "block_ip", "state": state, "required": true}

ids(answer) := {r.id | some r in answer.said}

test_medium_is_told_in_the_contacts_order if {
	a := escalate.answer with input as object.union(base, {"case": {"severity": 3}})
	a.escalate == true
	[s.person_id | some s in a.chain] == ["p1", "p2", "p3"]
	[s.methods | some s in a.chain] == [[0, 1], [0, 1], [0, 1]]
	a.rounds == 2
	a.step_wait_seconds == 300
	a.ack_seconds == 3600
	ids(a) == {"escalate.tell.severity"}
}

test_low_is_not_told if {
	a := escalate.answer with input as low
	a.escalate == false
	ids(a) == {"escalate.quiet"}
}

test_low_is_told_when_a_decision_is_asked if {
	a := escalate.answer with input as object.union(low, {"responses": [response("asked")]})
	a.escalate == true
	ids(a) == {"escalate.tell.asked"}
}

test_low_is_told_when_something_was_done if {
	a := escalate.answer with input as object.union(low, {"responses": [response("held")]})
	a.escalate == true
	ids(a) == {"escalate.tell.acted"}
}

test_notify_recommends if {
	asked := object.union(low, {"tenant": {"mode": "notify"}, "responses": [response("denied")]})
	a := escalate.answer with input as asked
	a.escalate == true
	ids(a) == {"escalate.tell.recommend"}
	b := escalate.answer with input as object.union(low, {"responses": [response("denied")]})
	b.escalate == false
}

test_a_subject_of_the_case_is_left_out if {
	asked := object.union(base, {"contacts": [object.union(contact("p1"), {"subject": true}), contact("p2")]})
	a := escalate.answer with input as asked
	[s.person_id | some s in a.chain] == ["p2"]
	"escalate.leave_out.subject" in ids(a)
}

test_a_disabled_person_is_left_out if {
	asked := object.union(base, {"contacts": [object.union(contact("p1"), {"disabled": true}), contact("p2")]})
	a := escalate.answer with input as asked
	[s.person_id | some s in a.chain] == ["p2"]
}

test_a_compromised_channel_is_left_out if {
	broken := object.union(contact("p1"), {"methods": [object.union(method("smtp"), {"compromised": true}), method("pagerduty")]})
	a := escalate.answer with input as object.union(base, {"contacts": [broken]})
	a.chain == [{"person_id": "p1", "methods": [1]}]
	"escalate.leave_out.channel" in ids(a)
}

test_nobody_to_tell_is_an_empty_chain_and_not_silence if {
	a := escalate.answer with input as object.union(base, {"contacts": []})
	a.escalate == true
	a.chain == []
}
