# METADATA
# title: "Approve: may this person decide this request now?"
# description: |
#   Undefined, an error or a time-out says no. The door checks what is not a matter of judgement (digest, expiry, single
#   use, quorum); here stand the rights. An empty list of approvers means nobody.
# schemas:
#   - input: schema.approve.input
package firebreak.approve

import data.firebreak.rule

# roles that can approve at all, in the order in which a verdict counts. Administrators, auditors, authors and machines
# never approve, whatever a request names.
approving := ["contact", "shift_lead", "analyst"]

answer := {
	"allow": allow,
	"role": role,
	"refusal": refusal,
	"said": said,
}

said := grant if allow

said := deny if not allow

default allow := false

allow if {
	count(deny) == 0
	count(grant) > 0
}

default role := ""

role := qualified[0] if {
	allow
	count(qualified) > 0
}

# qualified lists the roles in which the caller's verdict on this request counts.
qualified := [r |
	some r in approving
	r in input.request.roles
	r in input.caller.roles
	entitled(r)
]

entitled(r) if r in {"shift_lead", "analyst"}

entitled("contact") if {
	input.caller.listed
	input.caller.may_authorise
}

# METADATA
# title: The caller has a role that the request names
# labels:
#   id: approve.grant.role
grant contains rule.label(rego.metadata.rule(), sprintf("they decide as %s", [replace(qualified[0], "_", " ")])) if {
	count(qualified) > 0
}

# METADATA
# title: Only a person decides
# labels:
#   id: approve.deny.not_a_person
deny contains rule.label(rego.metadata.rule(), "only a signed-in person can decide") if not person

person if {
	input.caller.person
	input.caller.id != ""
}

# METADATA
# title: A person who was disabled decides nothing
# labels:
#   id: approve.deny.disabled
deny contains rule.label(rego.metadata.rule(), "this person may no longer sign in") if not enabled

enabled if input.caller.disabled == false

# METADATA
# title: The request does not name a role that the caller has here
# labels:
#   id: approve.deny.wrong_person
deny contains rule.label(rego.metadata.rule(), wrong) if not may

may if count(qualified) > 0

default wrong := "their role does not decide this request"

wrong := "they are a contact, but may not authorise this verb here" if {
	"contact" in input.request.roles
	"contact" in input.caller.roles
	not entitled("contact")
}

# METADATA
# title: Whoever asked for an action does not approve it
# labels:
#   id: approve.deny.four_eyes
deny contains rule.label(rego.metadata.rule(), "they asked for it themselves, and a second person is needed") if {
	not second_person
}

second_person if input.request.four_eyes == false

second_person if input.request.asked_by_caller == false

# METADATA
# title: A subject of the case neither sees nor approves it
# labels:
#   id: approve.deny.subject
deny contains rule.label(rego.metadata.rule(), "they are a subject of the case") if not uninvolved

uninvolved if input.caller.subject == false

# METADATA
# title: While the tenant is stopped, nothing new is let go
# labels:
#   id: approve.deny.stopped
deny contains rule.label(rego.metadata.rule(), "the stop switch is on; only ends may be decided") if not running

running if input.tenant.stopped == false

running if input.request.kind == "end"

running if input.verdict in {"deny", "more"}

# METADATA
# title: The response mode is notify, so that there is nothing to approve
# labels:
#   id: approve.deny.mode_notify
deny contains rule.label(rego.metadata.rule(), "the response mode is notify: nothing is done, whoever approves") if {
	not mode_acts
}

mode_acts if input.tenant.mode in {"collaborate", "collaborate_unreachable", "authorize"}

mode_acts if input.request.kind == "end"

mode_acts if input.verdict in {"deny", "more"}

# METADATA
# title: In the collaborate modes only a contact's approval counts
# labels:
#   id: approve.deny.contacts_only
deny contains rule.label(rego.metadata.rule(), "in this response mode only a contact of the customer decides") if {
	not consents
}

consents if role_counts == "contact"

consents if input.tenant.mode in {"authorize", "notify"}

consents if input.request.kind == "end"

default role_counts := ""

role_counts := qualified[0] if count(qualified) > 0

# refusal names one reason, the first that stands, so that the person learns what to do about it.
ids := {l.id | some l in deny}

refusal := "" if {
	allow
} else := "not_a_person" if {
	"approve.deny.not_a_person" in ids
} else := "subject_of_case" if {
	"approve.deny.subject" in ids
} else := "wrong_person" if {
	count(ids & {"approve.deny.disabled", "approve.deny.wrong_person", "approve.deny.contacts_only"}) > 0
} else := "four_eyes" if {
	"approve.deny.four_eyes" in ids
} else := "stopped" if {
	"approve.deny.stopped" in ids
} else := "policy"
