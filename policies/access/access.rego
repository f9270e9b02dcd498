# METADATA
# title: "Access: may this caller do this?"
# description: |
#   Undefined, an error or a time-out says no. A grant reaches its organisation and everything below it: input.lineage
#   lists what is touched and every organisation above it.
# schemas:
#   - input: schema.access.input
package firebreak.access

import data.firebreak.rule

# The tables are written out, because a constant costs nothing where a union is made anew with every call.
# reads change nothing.
reads := {
	"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
	"person.read", "token.read", "policy.read", "journal.read", "events.read", "feed.read",
}

# writes change something.
writes := {
	"case.write", "detection.write", "request.decide", "action.propose", "action.release", "tenant.write",
	"tenant.mode", "tenant.stop", "connection.write", "token.write", "person.write", "policy.write",
	"organisation.write",
}

# may lists what a role lets people, and tokens that stand in for them, do.
may := {
	"analyst": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"events.read", "policy.read", "feed.read", "person.read", "case.write", "request.decide",
		"action.propose", "action.release", "tenant.stop",
	},
	"shift_lead": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"events.read", "policy.read", "feed.read", "person.read", "journal.read", "case.write",
		"request.decide", "action.propose", "action.release", "tenant.stop",
	},
	"partner": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"events.read", "policy.read", "case.write", "action.propose",
	},
	"contact": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"events.read", "policy.read", "case.write", "request.decide", "action.propose", "action.release",
		"tenant.stop",
	},
	"author": {
		"case.read", "tenant.read", "organisation.read", "events.read", "policy.read", "policy.write",
	},
	"auditor": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"person.read", "token.read", "policy.read", "journal.read", "events.read", "feed.read",
	},
	"administrator": {
		"case.read", "detection.read", "request.read", "tenant.read", "organisation.read", "connection.read",
		"person.read", "token.read", "policy.read", "journal.read", "events.read", "feed.read", "tenant.write",
		"tenant.stop", "connection.write", "token.write", "person.write", "organisation.write",
		"action.release",
	},
}

# machines have one right each, and only by a token of their own.
machines := {
	"sensor": {"detection.write"},
	"firewall": {"feed.read"},
}

# by_hand takes a signed-in person; no token stands in for one.
by_hand := {"request.decide", "tenant.mode"}

answer := {
	"allow": allow,
	"said": said,
}

said := grant if allow

said := deny if not allow

default allow := false

allow if {
	count(deny) == 0
	count(grant) > 0
}

# roles are those that the caller holds over what is touched.
roles contains g.role if {
	some g in input.caller.grants
	g.org in input.lineage
}

# METADATA
# title: A role of the caller has this right here
# labels:
#   id: access.grant.role
grant contains rule.label(rego.metadata.rule(), sprintf("as %s", [replace(role, "_", " ")])) if {
	some role in roles
	input.action in may[role]
}

# METADATA
# title: A machine's token has its one right
# labels:
#   id: access.grant.machine
grant contains rule.label(rego.metadata.rule(), sprintf("as a %s's token", [role])) if {
	input.caller.kind == "token"
	some role in roles
	input.action in machines[role]
}

# METADATA
# title: A contact with that right changes the response mode
# labels:
#   id: access.grant.change_mode
grant contains rule.label(rego.metadata.rule(), "as a contact who may change the response mode") if {
	input.action == "tenant.mode"
	"contact" in roles
	input.caller.change_mode
}

# METADATA
# title: The caller is somebody
# labels:
#   id: access.deny.nobody
deny contains rule.label(rego.metadata.rule(), "nobody is signed in") if not somebody

somebody if input.caller.kind in {"person", "token"}

# METADATA
# title: The action is known
# labels:
#   id: access.deny.unknown_action
deny contains rule.label(rego.metadata.rule(), "there is no such action") if not known

known if input.action in reads

known if input.action in writes

# METADATA
# title: The caller's roles reach what is touched
# labels:
#   id: access.deny.no_right
deny contains rule.label(rego.metadata.rule(), "none of the caller's roles has this right here") if not granted

granted if count(grant) > 0

# METADATA
# title: A person decides and consents by hand
# labels:
#   id: access.deny.by_hand
deny contains rule.label(rego.metadata.rule(), "that takes a signed-in person") if not hand

hand if not input.action in by_hand

hand if input.caller.kind == "person"
