package store

import (
	"fmt"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// line says how entries of a kind are told.
type line struct {
	kind threat.RowKind
	text func(told) string
}

// lines are the kinds of entries that a timeline tells.
var lines = map[threat.EntryKind]line{
	threat.EntryCaseOpened: {threat.RowNotable, func(n told) string {
		return fmt.Sprintf("FB-%d was opened: %s; severity %s, threat %s", n.Number, threat.Inert(n.Title, maxTold), n.Severity, n.Threat)
	}},
	threat.EntryCaseThreat: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("the threat went from %s to %s", n.From, n.To), n.Why)
	}},
	threat.EntryCaseContact: {threat.RowNotable, func(n told) string {
		return because(contactWords[threat.ContactState(n.To)], n.Why)
	}},
	threat.EntryCaseClosed: {threat.RowNotable, func(n told) string {
		return because("the case was closed by "+n.who(n.entry.Actor), n.Reason)
	}},
	threat.EntryCaseNote: {threat.RowNotable, func(n told) string { return because("a note by "+n.who(n.entry.Actor), n.Text) }},
	threat.EntryRequestOpened: {threat.RowNotable, func(n told) string {
		what := deed(n.Body.Verb, n.Body.Targets...)
		if n.Body.Kind == threat.RequestEnd {
			return fmt.Sprintf("people are asked until %s: the time of this is up, shall it be released? %s", at(n.Expires), what)
		}
		return fmt.Sprintf("people are asked until %s: may we do this? %s", at(n.Expires), what)
	}},
	threat.EntryRequestClosed: {threat.RowNotable, func(n told) string { return because("the question is "+n.State, n.Why) }},
	threat.EntryClickAccepted: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("%s %s (%s)", n.clicker(), verdictWords[n.Verdict], n.Surface), n.Reason)
	}},
	threat.EntryClickRefused: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("a click of %s was refused (%s, %s)", n.clicker(), n.Verdict, n.Surface), n.Text)
	}},
	threat.EntryResponseProposed: {threat.RowAction, func(n told) string {
		return fmt.Sprintf("action %d is proposed: %s", n.Number, n.deed())
	}},
	threat.EntryResponseState: {threat.RowAction, responseLine},
	threat.EntryClaimGranted: {threat.RowAction, func(n told) string {
		return fmt.Sprintf("%s: a request to %s may go out: %s", n.device(), claimWords[threat.ClaimKind(n.Kind)], n.deed())
	}},
	threat.EntryClaimJoined: {threat.RowAction, func(n told) string {
		return fmt.Sprintf("%s has it already, and now holds it for this case too: %s", n.device(), n.deed())
	}},
	threat.EntryClaimRefused: {threat.RowAction, func(n told) string {
		return because(fmt.Sprintf("a guard (%s) refused this on %s: %s", n.Guard, n.device(), n.deed()), n.Why)
	}},
	threat.EntryClaimResult: {threat.RowAction, func(n told) string {
		return because(fmt.Sprintf("%s, asked to %s: %s", n.device(), claimWords[threat.ClaimKind(n.Kind)], outcomeWords[n.Outcome]), n.Error)
	}},
	threat.EntryEffectVerified: {threat.RowAction, func(n told) string {
		text := fmt.Sprintf("%s was read and has it in force: %s", n.device(), n.deed())
		if n.Adopted {
			text += "; it stood there before us and will not be undone"
		}
		return because(text, n.Detail)
	}},
	threat.EntryEffectDrift: {threat.RowAction, func(n told) string {
		return because(fmt.Sprintf("%s was read and does not have it any more: %s", n.device(), n.deed()), n.Detail)
	}},
	threat.EntryEffectReleased: {threat.RowAction, func(n told) string {
		if n.Left || n.Adopted {
			return fmt.Sprintf("%s: we let go, and left what stood there before us: %s", n.device(), n.deed())
		}
		return because(fmt.Sprintf("%s was read and has let go: %s", n.device(), n.deed()), n.Detail)
	}},
	threat.EntryEscalationStarted: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("escalation %d began: %s, up to %s", n.Number, counted(len(n.Chain), "contact"),
			counted(n.Rounds, "round")), n.Subject)
	}},
	threat.EntryEscalationEnded: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("escalation %d ended (%s)", n.Number, n.State), n.Why)
	}},
	threat.EntryAttempt: {threat.RowNotable, func(n told) string {
		return because(fmt.Sprintf("a message to %s over %s %s", n.who("person:"+n.Person.String()), n.Channel, messageWords[n.State]), n.Error)
	}},
	threat.EntryAcknowledged: {threat.RowNotable, func(n told) string {
		return fmt.Sprintf("%s is on it (%s), until %s", threat.Inert(n.By, maxName), n.Via, at(n.Until))
	}},
	threat.EntryAckBroken: {threat.RowNotable, func(n told) string {
		return because("new adversary activity broke the acknowledgement of "+threat.Inert(n.By, maxName), n.Title)
	}},
	threat.EntryModeChanged: {threat.RowNotable, func(n told) string { return "the response mode was set to " + string(n.Mode) }},
	threat.EntryStopChanged: {threat.RowNotable, func(n told) string {
		if n.On {
			return because("the stop switch was turned on", n.Why)
		}
		return because("the stop switch was turned off", n.Why)
	}},
}

var contactWords = map[threat.ContactState]string{
	threat.ContactNone:          "nobody has to be told",
	threat.ContactTrying:        "the customer is being told",
	threat.ContactAcknowledged:  "the customer is on it",
	threat.ContactUnreachable:   "the customer is unreachable: everybody was tried to the end",
	threat.ContactUndeliverable: "messages could not be delivered to anybody",
	threat.ContactExhausted:     "everybody was tried, but not everybody over a phone, SMS or pager",
}

var verdictWords = map[threat.VerdictKind]string{
	threat.VerdictApprove: "approved",
	threat.VerdictNarrow:  "approved less than was asked",
	threat.VerdictDeny:    "denied",
	threat.VerdictMore:    "wants to know more",
}

var claimWords = map[threat.ClaimKind]string{
	threat.ClaimAct:     "do this",
	threat.ClaimRelease: "let go of this",
	threat.ClaimRenew:   "hold this on",
}

var outcomeWords = map[threat.Outcome]string{
	threat.OutcomeSuccess:      "it says that it did",
	threat.OutcomeFailure:      "it did not",
	threat.OutcomeDoesNotExist: "there was nothing there",
	threat.OutcomePartial:      "it did a part",
	threat.OutcomeUnsupported:  "it cannot",
	threat.OutcomeError:        "it failed",
	threat.OutcomeUnknown:      "it may have done so; it is read before anything else",
}

var messageWords = map[string]string{
	string(threat.AttemptSending):  "is going out",
	string(threat.AttemptAccepted): "was accepted by its provider",
	string(threat.AttemptRefused):  "was refused by its provider",
	string(threat.AttemptUnknown):  "may have gone out; it does not count",
	string(threat.AttemptSkipped):  "was not sent",
	"delivered":                    "was delivered",
	"seen":                         "was seen",
	"acknowledged":                 "was answered: they are on it",
}

var responseWords = map[threat.ResponseState]string{
	threat.ResponseProposed:       "is decided anew",
	threat.ResponseAsked:          "waits for people",
	threat.ResponseActing:         "is being done",
	threat.ResponsePendingOffline: "waits for a device that is offline",
	threat.ResponseVerified:       "is verified on the device",
	threat.ResponseHeld:           "is in force",
	threat.ResponseReleased:       "is released",
	threat.ResponseDenied:         "is denied",
	threat.ResponseExpired:        "is not done: nobody answered in time",
	threat.ResponseStale:          "is decided anew, since facts moved",
	threat.ResponseSuperseded:     "is not needed any more",
	threat.ResponseFailed:         "failed",
	threat.ResponseUnknown:        "may have happened: the device is read",
}

func responseLine(n told) string {
	words := responseWords[threat.ResponseState(n.To)]
	switch {
	case n.Ending != "" && n.From == n.To:
		return because(fmt.Sprintf("action %d is to end: %s", n.Number, n.deed()), n.Ending)
	case threat.ResponseState(n.To) == threat.ResponseHeld && n.HoldUntil != nil:
		words += " until " + at(*n.HoldUntil)
	case threat.ResponseState(n.To) == threat.ResponseReleased && n.Why == verb.Done:
		return fmt.Sprintf("action %d is done: %s", n.Number, n.deed())
	}
	return because(fmt.Sprintf("action %d %s: %s", n.Number, words, n.deed()), n.Why)
}

// clicker names who clicked.
func (n told) clicker() string {
	if n.Name != "" {
		return threat.Inert(n.Name, maxName)
	}
	return n.who(n.entry.Actor)
}
