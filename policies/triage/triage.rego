# METADATA
# title: "Triage: how bad is a detection, is it active, what is to be done about it?"
# description: |
#   Undefined, an error or a time-out opens a case and never suppresses.
# schemas:
#   - input: schema.triage.input
package firebreak.triage

import data.firebreak.rule

# planned lists tests that were told beforehand, each by product and exact title. They are recorded and open nothing.
# A bundle's author fills it in; an attacker who knows an entry could hide behind it, so keep entries short-lived.
planned := []

# most is how many steps one detection may propose.
most := 20

# c2_categories are products' names for traffic to a controller, in lower case: Suricata's classtypes and their
# descriptions, and OCSF's words.
c2_categories := {
	"command-and-control",
	"command and control",
	"malware command and control activity detected",
	"c2",
	"domain-c2",
	"domain observed used for c2 detected",
	"targeted-activity",
}

# c2_techniques are ATT&CK techniques of the tactic Command and Control (TA0011), without their sub-techniques.
c2_techniques := {
	"T1071", "T1092", "T1132", "T1001", "T1568", "T1573", "T1008", "T1665", "T1105", "T1104",
	"T1095", "T1571", "T1572", "T1090", "T1219", "T1205", "T1102",
}

answer := {
	"suppress": suppressed,
	"why": why,
	"title": title,
	"severity": severity,
	"threat": state,
	"proposals": proposals,
	"said": said,
}

said := (suppress | active) | (raise | propose)

default suppressed := false

suppressed if {
	count(suppress) > 0
	count(adversary) == 0
}

# adversary marks what no rule may suppress: the signs of an attacker at work.
adversary contains "technique" if count(input.detection.techniques) > 0

adversary contains "c2" if c2

default why := ""

why := concat("; ", [l.why | some l in suppress]) if suppressed

default title := "A finding without a title"

title := input.detection.title if input.detection.title != ""

default state := "suspected"

state := "active" if count(active) > 0

# A finding without a severity is medium until somebody looks at it.
default told_severity := 3

told_severity := input.detection.severity if input.detection.severity > 0

severity := max({told_severity} | {4 | some _ in raise})

c2 if {
	some category in input.detection.categories
	lower(category) in c2_categories
}

c2 if {
	some technique in input.detection.techniques
	split(technique, ".")[0] in c2_techniques
}

# METADATA
# title: Informational findings open nothing
# labels:
#   id: triage.suppress.informational
suppress contains rule.label(rego.metadata.rule(), "the finding is informational, without a sign of an attacker") if {
	input.detection.severity == 1
	count(adversary) == 0
}

# METADATA
# title: The lab's own noise opens nothing
# description: Only in a simulated tenant, where no attacker's text can reach it.
# labels:
#   id: triage.suppress.lab_noise
suppress contains rule.label(rego.metadata.rule(), "the lab marked it as noise") if {
	input.tenant.simulated
	startswith(input.detection.uid, "lab-noise-")
	count(adversary) == 0
}

# METADATA
# title: A planned test opens nothing
# labels:
#   id: triage.suppress.planned_test
suppress contains rule.label(rego.metadata.rule(), "it is a test that was planned") if {
	some test in planned
	input.detection.product == test.product
	input.detection.title == test.title
	count(adversary) == 0
}

# METADATA
# title: An attacker's technique makes the threat active
# labels:
#   id: triage.active.technique
active contains rule.label(rego.metadata.rule(), sprintf("it shows %s", [concat(", ", input.detection.techniques)])) if {
	count(input.detection.techniques) > 0
}

# METADATA
# title: Traffic to a controller makes the threat active
# labels:
#   id: triage.active.c2
active contains rule.label(rego.metadata.rule(), "it is traffic to a known controller") if c2

# METADATA
# title: A high or critical finding makes the threat active
# labels:
#   id: triage.active.severity
active contains rule.label(rego.metadata.rule(), "the product calls it high or worse") if {
	input.detection.severity >= 4
}

# METADATA
# title: Traffic to a controller is at least high
# labels:
#   id: triage.raise.c2
raise contains rule.label(rego.metadata.rule(), "traffic to a controller is at least high") if {
	c2
	told_severity < 4
}

# METADATA
# title: Block the attacker's address
# description: Private, reserved and the tenant's own addresses are not public and are never proposed.
# labels:
#   id: triage.propose.block_address
propose contains rule.label(rego.metadata.rule(), "it names an attacker's public address") if {
	not suppressed
	count(addresses) > 0
}

# METADATA
# title: Block the attacker's domain
# labels:
#   id: triage.propose.block_domain
propose contains rule.label(rego.metadata.rule(), "it names an attacker's domain") if {
	not suppressed
	count(domains) > 0
}

addresses contains o.value if {
	some o in input.detection.observables
	o.kind == "ip"
	o.bearing == "adversary"
	o.public
}

domains contains o.value if {
	some o in input.detection.observables
	o.kind == "domain"
	o.bearing == "adversary"
}

default proposals := []

proposals := array.slice(array.concat(address_steps, domain_steps), 0, most) if not suppressed

address_steps := [step("block-adversary-address", "block_ip", "ip", value) | some value in addresses]

domain_steps := [step("block-adversary-domain", "block_domain", "domain", value) | some value in domains]

step(name, verb, kind, value) := {
	"step": name,
	"verb": verb,
	"target": {"kind": kind, "value": value},
	"required": true,
}
