# METADATA
# title: "Respond: execute, ask or deny this action?"
# description: |
#   A denial goes before a question, a question before an execution, and without any rule people are asked. Undefined, an
#   error or a time-out asks. Below these rules stand the guards, which no rule lifts: Claim asks them again.
# schemas:
#   - input: schema.respond.input
package firebreak.respond

import data.firebreak.rule

# key_roles are assets on which a whole network hangs; to cut one off takes a person even in authorize.
key_roles := {"domain_controller", "hypervisor", "vpn", "dns", "backup"}

answer := {
	"effect": effect,
	"basis": basis,
	"approvers": approvers,
	"ask_seconds": input.settings.request_seconds,
	"duration_seconds": duration,
	"end": end,
	"silence": silence,
	"guard": refusal.name,
	"narrower": refusal.narrower,
	"said": deciding,
}

default effect := "ask"

effect := "deny" if count(deny) > 0

effect := "execute" if {
	count(deny) == 0
	count(ask) == 0
	count(execute) > 0
}

deciding := deny if effect == "deny"

deciding := execute if effect == "execute"

deciding := ask if {
	effect == "ask"
	count(ask) > 0
}

deciding := undecided if {
	effect == "ask"
	count(ask) == 0
}

# METADATA
# title: Without a rule that decides, people are asked
# labels:
#   id: respond.default.ask
undecided contains rule.label(rego.metadata.rule(), "no rule lets it go") if {
	count(deny) + count(ask) + count(execute) == 0
}

# METADATA
# title: A guard stands against it
# labels:
#   id: respond.deny.guard
deny contains rule.label(rego.metadata.rule(), refusal.why) if not guards_pass

guards_pass if input.guard.name == ""

# refusal is what the guard said, defined whatever is missing.
refusal := {
	"name": rule.told(["guard", "name"], "guard.missing"),
	"why": rule.told(["guard", "why"], "the guards' verdict is missing"),
	"narrower": narrower,
}

default narrower := ""

narrower := "tell the contacts and recommend it" if not mode_acts

narrower := rule.told(["guard", "narrower"], "") if mode_acts

# METADATA
# title: The response mode is notify, so that nothing is done
# labels:
#   id: respond.deny.mode_notify
deny contains rule.label(
	rego.metadata.rule(),
	"the customer's response mode is notify: it is recommended to the contacts, and nothing is done",
) if {
	not mode_acts
}

mode_acts if input.tenant.mode in {"collaborate", "collaborate_unreachable", "authorize"}

# METADATA
# title: A relay is never cut off
# labels:
#   id: respond.deny.relay
deny contains rule.label(rego.metadata.rule(), "the target is a relay, through which we reach the network") if {
	not no_relay
}

no_relay if {
	every asset in input.assets {
		asset.role != "relay"
	}
}

# METADATA
# title: Collaborate acts on a contact's consent only
# labels:
#   id: respond.ask.collaborate
ask contains rule.label(
	rego.metadata.rule(),
	"the customer's response mode is collaborate: an authorised contact decides",
) if {
	input.tenant.mode == "collaborate"
}

# METADATA
# title: Collaborate, or unreachable, still asks while somebody may answer
# labels:
#   id: respond.ask.collaborate_unreachable
ask contains rule.label(rego.metadata.rule(), concat("", [
	"the customer's response mode is collaborate_unreachable: an authorised contact decides, unless ",
	"every one was tried to the end, none acknowledged and the threat is active",
])) if {
	input.tenant.mode == "collaborate_unreachable"
	not unreachable_and_active
}

unreachable_and_active if {
	input.reach.unreachable
	not input.case.acknowledged
	input.case.threat == "active"
}

# METADATA
# title: What cannot be undone needs a right of its own
# labels:
#   id: respond.ask.eradicate
ask contains rule.label(
	rego.metadata.rule(),
	"it cannot be undone, and the customer's consent does not cover that",
) if {
	input.action.class == "eradicate"
	not input.tenant.eradicate
}

# METADATA
# title: One sensor's word alone goes so far and no further
# labels:
#   id: respond.ask.one_sensor
ask contains rule.label(rego.metadata.rule(), input.guard.why) if {
	guards_pass
	input.guard.why != ""
}

# METADATA
# title: A whole network hangs on the target
# labels:
#   id: respond.ask.key_role
ask contains rule.label(rego.metadata.rule(), sprintf("the target touches a %s", [replace(asset.role, "_", " ")])) if {
	some asset in input.assets
	asset.role in key_roles
}

# METADATA
# title: A server that nobody manages, or an asset whose role is unknown
# labels:
#   id: respond.ask.unmanaged_server
ask contains rule.label(rego.metadata.rule(), "the target touches a server that nobody manages, or an asset of unknown role") if {
	some asset in input.assets
	unmanaged_server(asset)
}

unmanaged_server(asset) if {
	asset.role == "server"
	not asset.managed
}

unmanaged_server(asset) if asset.role == "unknown"

# METADATA
# title: The target touches more assets than the rules can see
# labels:
#   id: respond.ask.many_assets
ask contains rule.label(rego.metadata.rule(), "the target touches more assets than the rules were shown") if {
	input.assets_left_out > 0
}

# METADATA
# title: Authorize contains at once
# labels:
#   id: respond.execute.authorize
execute contains rule.label(
	rego.metadata.rule(),
	"the customer's response mode is authorize: contain at once, then tell the contacts",
) if {
	input.tenant.mode == "authorize"
	input.guard.basis == "mode"
	input.action.class in {"observe", "contain", "recover"}
}

# METADATA
# title: Authorize eradicates where that was granted too
# labels:
#   id: respond.execute.eradicate
execute contains rule.label(
	rego.metadata.rule(),
	"the customer's response mode is authorize, and covers what cannot be undone",
) if {
	input.tenant.mode == "authorize"
	input.tenant.eradicate
	input.guard.basis == "mode"
	input.action.class == "eradicate"
}

# METADATA
# title: Nobody can be reached and the threat is active
# labels:
#   id: respond.execute.unreachable
execute contains rule.label(rego.metadata.rule(), concat("", [
	"the customer's response mode is collaborate_unreachable, every authorised contact was tried to the end, ",
	"none acknowledged, and the threat is active",
])) if {
	input.tenant.mode == "collaborate_unreachable"
	unreachable_and_active
	input.guard.basis == "unreachable"
}

default basis := ""

basis := "mode" if {
	effect == "execute"
	input.tenant.mode == "authorize"
}

basis := "unreachable" if {
	effect == "execute"
	input.tenant.mode == "collaborate_unreachable"
}

# Nobody is named unless people are asked.
default approvers := {"roles": [], "needed": 0, "four_eyes": true}

approvers := {"roles": ["contact"], "needed": 1, "four_eyes": true} if {
	effect == "ask"
	input.tenant.mode in {"collaborate", "collaborate_unreachable"}
}

approvers := {"roles": ["analyst", "shift_lead", "contact"], "needed": 1, "four_eyes": true} if {
	effect == "ask"
	input.tenant.mode == "authorize"
}

duration := min({asked_duration, input.settings.block_max_seconds, input.action.longest_seconds})

default asked_duration := 0

asked_duration := input.action.duration_seconds if input.action.duration_seconds > 0

asked_duration := input.settings.block_seconds if input.action.duration_seconds == 0

default end := "ask"

end := input.action.end if input.action.end != ""

end := input.settings.block_end if input.action.end == ""

default silence := ""

silence := sprintf("nothing is done if nobody answers within %s", [rule.words(input.settings.request_seconds)]) if {
	effect == "ask"
	input.tenant.mode != "collaborate_unreachable"
}

silence := concat("", [
	"nothing is done if nobody answers, unless every contact was tried to the end, none acknowledged ",
	"and the threat is active: then it is done",
]) if {
	effect == "ask"
	input.tenant.mode == "collaborate_unreachable"
}
