# METADATA
# title: "Escalate: whom do we tell, in which order, for how long?"
# description: |
#   Undefined, an error or a time-out takes the default chain. Contacts who are a subject of the case are told nothing, and
#   a channel that may be in the attacker's hands is not used.
# schemas:
#   - input: schema.escalate.input
package firebreak.escalate

import data.firebreak.rule

# over is the severity from which the customer is told unasked: medium.
over := 3

answer := {
	"escalate": escalate,
	"why": why,
	"rounds": input.settings.rounds,
	"step_wait_seconds": input.settings.step_wait_seconds,
	"ack_seconds": input.settings.ack_seconds,
	"chain": chain,
	"said": said,
}

said := tell | leave_out if escalate

said := quiet if not escalate

default escalate := false

escalate if count(tell) > 0

default why := "there is nothing to tell yet"

why := concat("; ", [l.why | some l in tell]) if escalate

# METADATA
# title: The case is medium or worse
# labels:
#   id: escalate.tell.severity
tell contains rule.label(rego.metadata.rule(), "the case is medium or worse") if input.case.severity >= over

# METADATA
# title: People have to decide on an action
# labels:
#   id: escalate.tell.asked
tell contains rule.label(rego.metadata.rule(), "an action waits for a decision") if {
	some response in input.responses
	response.state == "asked"
}

# METADATA
# title: In notify, contacts are told what we recommend
# labels:
#   id: escalate.tell.recommend
tell contains rule.label(rego.metadata.rule(), "the response mode is notify: we recommend, the customer acts") if {
	input.tenant.mode == "notify"
	count(input.responses) > 0
}

# METADATA
# title: Something was done, and the customer hears of it
# labels:
#   id: escalate.tell.acted
tell contains rule.label(rego.metadata.rule(), "something was done on the customer's network") if {
	some response in input.responses
	response.state in {"acting", "verified", "held", "released", "unknown", "failed"}
}

# METADATA
# title: A low case in which nothing is to be decided or told
# labels:
#   id: escalate.quiet
quiet contains rule.label(rego.metadata.rule(), "there is nothing to tell yet") if not escalate

# METADATA
# title: A contact who is a subject of the case is told nothing
# labels:
#   id: escalate.leave_out.subject
leave_out contains rule.label(rego.metadata.rule(), "a contact who is a subject of the case is left out") if {
	some contact in input.contacts
	contact.subject
}

# METADATA
# title: A channel that may be compromised is not used
# labels:
#   id: escalate.leave_out.channel
leave_out contains rule.label(rego.metadata.rule(), "a channel that may be in the attacker's hands is left out") if {
	some contact in input.contacts
	some method in contact.methods
	method.compromised
}

# chain keeps the contacts' order: the input lists them by position.
chain := [{"person_id": contact.person_id, "methods": usable(contact)} |
	some contact in input.contacts
	not contact.subject
	not contact.disabled
]

usable(contact) := [i |
	some i, method in contact.methods
	not method.compromised
]
