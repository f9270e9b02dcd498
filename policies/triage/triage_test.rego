package firebreak.triage_test

import data.firebreak.triage

base := {
	"at": "2026-03-02T02:10:00Z",
	"detection": {
		"id": "d1", "product": "suricata", "sensor": "sensor-1", "uid": "u1", "title": "Something was seen", "severity": 3,
		"techniques": [], "categories": [], "clock": "", "happened_at": "2026-03-02T02:09:58Z",
		"observables": [], "observables_left_out": 0,
	},
	"tenant": {"id": "t1", "simulated": false, "business_hours": false},
}

with_detection(change) := object.union(base, {"detection": change})

observable(kind, value, bearing, public) := {"kind": kind, "value": value, "bearing": bearing, "public": public}

ids(answer) := {r.id | some r in answer.said}

test_plain_finding_is_suspected_and_not_suppressed if {
	a := triage.answer with input as base
	a.suppress == false
	a.threat == "suspected"
	a.severity == 3
	a.title == "Something was seen"
	a.proposals == []
}

test_informational_is_suppressed if {
	a := triage.answer with input as with_detection({"severity": 1})
	a.suppress == true
	a.why != ""
	"triage.suppress.informational" in ids(a)
}

test_informational_with_a_technique_is_not_suppressed if {
	a := triage.answer with input as with_detection({"severity": 1, "techniques": ["T1110"]})
	a.suppress == false
	a.threat == "active"
}

test_suppressed_proposes_nothing if {
	a := triage.answer with input as with_detection({
		"severity": 1,
		"observables": [observable("ip", "203.0.113.9", "adversary", true)],
	})
	a.suppress == true
	a.proposals == []
}

test_lab_noise_is_suppressed_in_a_simulated_tenant_only if {
	noise := with_detection({"uid": "lab-noise-7"})
	a := triage.answer with input as object.union(noise, {"tenant": {"simulated": true}})
	a.suppress == true
	"triage.suppress.lab_noise" in ids(a)
	b := triage.answer with input as noise
	b.suppress == false
}

test_planned_test_is_suppressed_by_product_and_exact_title if {
	told := [{"product": "suricata", "title": "Something was seen"}]
	a := triage.answer with input as base with triage.planned as told
	a.suppress == true
	"triage.suppress.planned_test" in ids(a)
	b := triage.answer with input as with_detection({"title": "Something was seen!"}) with triage.planned as told
	b.suppress == false
	c := triage.answer with input as with_detection({"techniques": ["T1059"]}) with triage.planned as told
	c.suppress == false
}

test_technique_makes_it_active if {
	a := triage.answer with input as with_detection({"techniques": ["T1110.001"]})
	a.threat == "active"
	"triage.active.technique" in ids(a)
	a.severity == 3
}

test_c2_category_makes_it_active_and_high if {
	a := triage.answer with input as with_detection({"severity": 2, "categories": ["Malware Command and Control Activity Detected"]})
	a.threat == "active"
	a.severity == 4
	ids(a) == {"triage.active.c2", "triage.raise.c2"}
}

test_c2_technique_counts_with_its_sub_technique if {
	a := triage.answer with input as with_detection({"severity": 5, "techniques": ["T1071.001"]})
	a.severity == 5
	"triage.active.c2" in ids(a)
	not "triage.raise.c2" in ids(a)
}

test_high_is_active if {
	a := triage.answer with input as with_detection({"severity": 4})
	a.threat == "active"
	"triage.active.severity" in ids(a)
	b := triage.answer with input as with_detection({"severity": 3})
	b.threat == "suspected"
}

test_unknown_severity_is_medium if {
	a := triage.answer with input as with_detection({"severity": 0})
	a.severity == 3
	a.suppress == false
}

test_empty_title_gets_one if {
	a := triage.answer with input as with_detection({"title": ""})
	a.title == "A finding without a title"
}

test_public_adversary_address_is_proposed if {
	a := triage.answer with input as with_detection({"observables": [
		observable("ip", "203.0.113.9", "adversary", true),
		observable("ip", "203.0.113.9", "adversary", true),
		observable("ip", "10.0.0.9", "adversary", false),
		observable("ip", "198.51.100.7", "victim", true),
		observable("ip", "198.51.100.8", "", true),
	]})
	a.proposals == [{
		"step": "block-adversary-address", "verb": "block_ip",
		"target": {"kind": "ip", "value": "203.0.113.9"}, "required": true,
	}]
	"triage.propose.block_address" in ids(a)
	not "triage.propose.block_domain" in ids(a)
}

test_adversary_domain_is_proposed if {
	a := triage.answer with input as with_detection({"observables": [
		observable("domain", "c2.example.net", "adversary", true),
		observable("domain", "www.example.org", "victim", true),
	]})
	a.proposals == [{
		"step": "block-adversary-domain", "verb": "block_domain",
		"target": {"kind": "domain", "value": "c2.example.net"}, "required": true,
	}]
	"triage.propose.block_domain" in ids(a)
}

test_at_most_twenty_proposals if {
	many := [observable("ip", sprintf("203.0.113.%d", [n]), "adversary", true) | some n in numbers.range(1, 40)]
	a := triage.answer with input as with_detection({"observables": many})
	count(a.proposals) == 20
}
