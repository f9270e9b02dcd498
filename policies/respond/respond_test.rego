package firebreak.respond_test

import data.firebreak.respond

base := {
	"at": "2026-03-02T02:10:00Z",
	"action": {
		"id": "r1", "verb": "block_ip", "class": "contain", "step": "block-adversary-address", "round": 1,
		"target": {"kind": "ip", "value": "203.0.113.9", "public": true}, "duration_seconds": 0, "longest_seconds": 2592000,
		"end": "", "required": true, "asked_by": "system", "connections": 1, "stales": 0,
	},
	"assets": [], "assets_left_out": 0,
	"case": {
		"id": "c1", "number": 1042, "severity": 4, "threat": "active", "contact": "trying", "acknowledged": false,
		"open": true, "simulated": false,
	},
	"guard": {"basis": "mode", "name": "", "why": "", "narrower": ""},
	"reach": {
		"contacts": 2, "tried_to_end": 2, "interrupted": 2, "accepted": 4, "undelivered": 0, "acknowledged": false,
		"over": true, "unreachable": true, "undeliverable": false,
	},
	"settings": {
		"block_seconds": 14400, "block_max_seconds": 604800, "block_end": "release_when_contained", "request_seconds": 1800,
	},
	"tenant": {
		"id": "t1", "mode": "authorize", "eradicate": false, "stopped": false, "simulated": false, "business_hours": false,
	},
}

in_mode(mode, basis) := object.union(base, {"tenant": {"mode": mode}, "guard": {"basis": basis}})

with_asset(role, managed) := object.union(base, {"assets": [asset(role, managed)]})

asset(role, managed) := {
	"id": "a1", "name": "it", "kind": "host", "role": role, "managed": managed, "protected": false, "tags": [],
}

ids(answer) := {r.id | some r in answer.said}

nobody := {"roles": [], "needed": 0, "four_eyes": true}

test_authorize_contains_at_once if {
	a := respond.answer with input as base
	a.effect == "execute"
	a.basis == "mode"
	a.approvers == nobody
	a.duration_seconds == 14400
	a.end == "release_when_contained"
	a.silence == ""
	a.guard == ""
	ids(a) == {"respond.execute.authorize"}
}

test_notify_denies_and_recommends if {
	a := respond.answer with input as in_mode("notify", "approval")
	a.effect == "deny"
	a.basis == ""
	a.approvers == nobody
	a.narrower == "tell the contacts and recommend it"
	ids(a) == {"respond.deny.mode_notify"}
}

test_a_mode_that_is_unknown_or_missing_denies if {
	a := respond.answer with input as in_mode("whatever", "approval")
	a.effect == "deny"
	b := respond.answer with input as json.remove(base, ["tenant/mode"])
	b.effect == "deny"
}

test_collaborate_asks_a_contact if {
	a := respond.answer with input as in_mode("collaborate", "approval")
	a.effect == "ask"
	a.basis == ""
	a.approvers == {"roles": ["contact"], "needed": 1, "four_eyes": true}
	a.ask_seconds == 1800
	a.silence == "nothing is done if nobody answers within 30 min"
	ids(a) == {"respond.ask.collaborate"}
}

test_collaborate_asks_even_when_nobody_can_be_reached if {
	a := respond.answer with input as in_mode("collaborate", "unreachable")
	a.effect == "ask"
}

test_unreachable_executes if {
	a := respond.answer with input as in_mode("collaborate_unreachable", "unreachable")
	a.effect == "execute"
	a.basis == "unreachable"
	ids(a) == {"respond.execute.unreachable"}
}

test_unreachable_asks_while_contacts_may_answer if {
	waiting := object.union(in_mode("collaborate_unreachable", "approval"), {"reach": {"unreachable": false, "over": false}})
	a := respond.answer with input as waiting
	a.effect == "ask"
	a.approvers.roles == ["contact"]
	contains(a.silence, "unless every contact was tried")
	ids(a) == {"respond.ask.collaborate_unreachable"}
}

test_unreachable_asks_when_somebody_acknowledged if {
	asked := object.union(in_mode("collaborate_unreachable", "unreachable"), {"case": {"acknowledged": true}})
	a := respond.answer with input as asked
	a.effect == "ask"
}

test_unreachable_asks_when_the_threat_is_not_active if {
	every threat in ["suspected", "contained", "resolved"] {
		asked := object.union(in_mode("collaborate_unreachable", "unreachable"), {"case": {"threat": threat}})
		a := respond.answer with input as asked
		a.effect == "ask"
	}
}

test_the_guards_must_have_been_asked_under_the_same_right if {
	a := respond.answer with input as in_mode("collaborate_unreachable", "approval")
	a.effect == "ask"
	ids(a) == {"respond.default.ask"}
	b := respond.answer with input as in_mode("authorize", "approval")
	b.effect == "ask"
	b.approvers.roles == ["analyst", "shift_lead", "contact"]
}

test_a_guard_denies_in_every_mode if {
	every mode in ["notify", "collaborate", "collaborate_unreachable", "authorize"] {
		asked := object.union(in_mode(mode, "mode"), {"guard": {
			"name": "guard.never_block", "why": "the never-block list holds it", "narrower": "block the attacker's own address",
		}})
		a := respond.answer with input as asked
		a.effect == "deny"
		a.guard == "guard.never_block"
		a.narrower != ""
		"respond.deny.guard" in ids(a)
		"the never-block list holds it" in {l.why | some l in a.said}
	}
}

test_a_missing_guard_denies if {
	a := respond.answer with input as json.remove(base, ["guard"])
	a.effect == "deny"
	a.guard == "guard.missing"
}

test_eradicate_asks_unless_granted if {
	asked := object.union(base, {"action": {"class": "eradicate"}, "guard": {"basis": "approval"}})
	a := respond.answer with input as asked
	a.effect == "ask"
	a.approvers.roles == ["analyst", "shift_lead", "contact"]
	ids(a) == {"respond.ask.eradicate"}
}

test_eradicate_executes_where_granted if {
	a := respond.answer with input as object.union(base, {"action": {"class": "eradicate"}, "tenant": {"eradicate": true}})
	a.effect == "execute"
	ids(a) == {"respond.execute.eradicate"}
}

test_key_roles_ask_even_in_authorize if {
	every role in ["domain_controller", "hypervisor", "vpn", "dns", "backup"] {
		a := respond.answer with input as with_asset(role, true)
		a.effect == "ask"
		ids(a) == {"respond.ask.key_role"}
	}
}

test_a_relay_is_never_cut_off if {
	a := respond.answer with input as with_asset("relay", true)
	a.effect == "deny"
	ids(a) == {"respond.deny.relay"}
	b := respond.answer with input as json.remove(base, ["assets"])
	b.effect == "deny"
}

test_one_sensors_word_alone_asks if {
	asked := object.union(in_mode("authorize", "approval"), {"guard": {"why": "one sensor's word alone may cut off 4 of 40"}})
	a := respond.answer with input as asked
	a.effect == "ask"
	ids(a) == {"respond.ask.one_sensor"}
}

test_unmanaged_server_asks if {
	a := respond.answer with input as with_asset("server", false)
	a.effect == "ask"
	ids(a) == {"respond.ask.unmanaged_server"}
	b := respond.answer with input as with_asset("unknown", true)
	b.effect == "ask"
	c := respond.answer with input as with_asset("server", true)
	c.effect == "execute"
	d := respond.answer with input as with_asset("workstation", false)
	d.effect == "execute"
}

test_more_assets_than_shown_asks if {
	a := respond.answer with input as object.union(base, {"assets_left_out": 3})
	a.effect == "ask"
	ids(a) == {"respond.ask.many_assets"}
}

test_duration_is_capped_by_the_setting_and_the_verb if {
	a := respond.answer with input as object.union(base, {"action": {"duration_seconds": 60}})
	a.duration_seconds == 60
	b := respond.answer with input as object.union(base, {"action": {"duration_seconds": 9999999}})
	b.duration_seconds == 604800
	c := respond.answer with input as object.union(base, {"action": {"duration_seconds": 9999999, "longest_seconds": 300}})
	c.duration_seconds == 300
}

test_the_end_that_was_asked_for_is_kept if {
	a := respond.answer with input as object.union(base, {"action": {"end": "ask"}})
	a.end == "ask"
}

test_a_denial_goes_before_a_question if {
	asked := object.union(with_asset("dns", true), {"guard": {"name": "guard.stop", "why": "stopped"}})
	a := respond.answer with input as asked
	a.effect == "deny"
	ids(a) == {"respond.deny.guard"}
}
