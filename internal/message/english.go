package message

// english is the catalogue that all others are measured by. Names in braces are filled in.
var english = map[key]string{
	subjectAttempt: "[{case}] {severity}: {title} ({tenant})",
	subjectResolve: "[{case}] No answer needed any more: {title} ({tenant})",
	simulatedMark:  "[SIMULATED]",
	simulatedNote:  "This is a simulation. Nothing real is under attack.",
	greeting:       "Hello {name},",

	headHappened:  "What happened",
	headDid:       "What we did",
	headAsk:       "What we ask you",
	headRecommend: "What we recommend",
	headSilence:   "If nobody answers",
	headAck:       "Tell us that you are on it",
	headCase:      "Look and decide",
	headOver:      "Nothing is asked of you any more",

	happenedTitle:    "Case {case} of {tenant}: {title}.",
	happenedSeverity: "Severity: {severity}.",
	happenedOne:      "One detection, at {at}.",
	happenedMany:     "{n} detections, the first at {at}.",

	"threat.suspected": "A threat is suspected.",
	"threat.active":    "The threat is active.",
	"threat.contained": "The threat is contained: the devices confirmed every measure that it takes.",
	"threat.resolved":  "The threat is resolved.",

	"severity.unknown":       "Unknown",
	"severity.informational": "Informational",
	"severity.low":           "Low",
	"severity.medium":        "Medium",
	"severity.high":          "High",
	"severity.critical":      "Critical",
	"severity.fatal":         "Fatal",

	"verb.block_ip":     "block the address {target}",
	"verb.block_domain": "block the domain {target}",

	doneDeciding: "Being decided: {action}.",
	doneActing:   "Under way, not confirmed yet: {action}.",
	doneUnknown:  "Sent, and the device has not confirmed it: {action}.",
	doneOffline:  "Waits until the device can be reached: {action}.",
	doneInForce:  "In force, confirmed by the device: {action}.",
	doneHeld:     "In force until {until}, confirmed by the device: {action}.",
	doneReleased: "Released again: {action}.",
	doneExpired:  "Not done, since nobody answered in time: {action}.",
	doneFailed:   "Could not be done: {action}.",
	doneDenied:   "Not done: {action}.",

	askAct:         "May we {action}, for {duration}, {connections}? Answer until {until}.",
	askEnd:         "The time of this is up: {action}. Shall it be released, or held for {duration} more? Answer until {until}.",
	askConnection:  "on one device",
	askConnections: "on {n} devices",

	recommendAction: "We recommend to {action}.",
	recommendOnly:   "Your response mode is notify: we do nothing ourselves.",

	silenceNotify:      "Nothing is done by us, whether you answer or not: your response mode is notify.",
	silenceCollaborate: "Nothing new is done without the consent of one of your authorised contacts.",
	silenceUnreachable: "When every contact was tried to the end, none acknowledged and the threat is still active, we act as you " +
		"agreed beforehand.",
	silenceAuthorize: "We act without waiting for an answer, as you agreed, and tell you afterwards.",
	silenceNext:      "We go on to the next contact until somebody acknowledges.",

	ackMeans:  "Acknowledging tells us that you are on it, and stops the calls for a while. It allows nothing.",
	ackWords:  "Acknowledge the case",
	caseMeans: "On the case's page you see everything, and decide what is asked.",
	caseWords: "Open the case",

	overClosed:  "{case} was closed at {at}.",
	overAck:     "Somebody acknowledged {case}, and is on it.",
	overAckBy:   "{name} acknowledged {case}, and is on it.",
	overOther:   "The calls about {case} are over.",
	overNothing: "You need not answer the earlier message.",

	because: "Why: {why}.",
	andMore: "and {n} more",
}
