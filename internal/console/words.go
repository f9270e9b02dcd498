package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// tone is how loud a word is shown. It never says more than the word does.
type tone string

const (
	toneBad   tone = "bad"   // somebody must look
	toneWarn  tone = "warn"  // it waits, or is not certain
	toneGood  tone = "good"  // proved
	toneBusy  tone = "busy"  // under way
	toneQuiet tone = "quiet" // over, or nothing to do
)

func (t tone) known() bool {
	return slices.Contains([]tone{toneBad, toneWarn, toneGood, toneBusy, toneQuiet}, t)
}

// word is a state in words: a short one to find, and a sentence that says what it means.
type word struct {
	Word string
	Text string
	Tone tone
}

func severityWord(s threat.Severity) word {
	t := toneQuiet
	switch {
	case s >= threat.SeverityCritical:
		t = toneBad
	case s >= threat.SeverityHigh:
		t = toneWarn
	}
	return word{Word: title(s.String()), Tone: t}
}

func threatWord(s threat.ThreatState) word {
	switch s {
	case threat.ThreatSuspected:
		return word{"Suspected", "It may be an attack; nobody has confirmed it yet.", toneWarn}
	case threat.ThreatActive:
		return word{"Active", "The attack goes on: not everything that has to stop it is verified.", toneBad}
	case threat.ThreatContained:
		return word{"Contained", "Every containment that the case needs was read back from its device.", toneGood}
	case threat.ThreatResolved:
		return word{"Resolved", "The case is over.", toneQuiet}
	}
	return word{title(string(s)), "", toneWarn}
}

func contactWord(s threat.ContactState) word {
	switch s {
	case threat.ContactNone:
		return word{"Nobody told yet", "Policy has not asked to tell the customer.", toneQuiet}
	case threat.ContactTrying:
		return word{"Trying", "Contacts are tried in turn.", toneBusy}
	case threat.ContactAcknowledged:
		return word{"Acknowledged", "A contact says that they are on it. That authorises nothing.", toneGood}
	case threat.ContactUnreachable:
		return word{"Unreachable", "Every contact was tried to the end, and nobody answered.", toneBad}
	case threat.ContactUndeliverable:
		return word{"Undeliverable", "No message could be sent. That is never a consent: reach the customer another way.",
			toneBad}
	case threat.ContactExhausted:
		return word{"No answer", "Contacts were tried to the end, but not each over a channel that rings.", toneWarn}
	}
	return word{title(string(s)), "", toneWarn}
}

func responseWord(s threat.ResponseState) word {
	switch s {
	case threat.ResponseProposed:
		return word{"Proposed", "It waits for policy to decide.", toneBusy}
	case threat.ResponseAsked:
		return word{"Waits for approval", "Nothing is done until people answer.", toneWarn}
	case threat.ResponseActing:
		return word{"Acting", "The devices are being told. Nothing is contained before one says so.", toneBusy}
	case threat.ResponsePendingOffline:
		return word{"Waits for the device", "The device is out of reach; it is told when it comes back.", toneWarn}
	case threat.ResponseVerified:
		return word{"Verified", "The device says that it is in force.", toneGood}
	case threat.ResponseHeld:
		return word{"In force", "Verified, and read again while it is held.", toneGood}
	case threat.ResponseReleased:
		return word{"Released", "It was let go, and the device says so.", toneQuiet}
	case threat.ResponseDenied:
		return word{"Denied", "It is not done.", toneQuiet}
	case threat.ResponseExpired:
		return word{"Expired", "Nobody answered in time. It is not done.", toneWarn}
	case threat.ResponseStale:
		return word{"Decided anew", "Facts moved; policy is asked again.", toneBusy}
	case threat.ResponseSuperseded:
		return word{"Superseded", "Another decision took its place.", toneQuiet}
	case threat.ResponseFailed:
		return word{"Failed", "It could not be done. The threat is not contained by it.", toneBad}
	case threat.ResponseUnknown:
		return word{"Unknown", "It may have happened. The device is being read before anything else.", toneBad}
	}
	return word{title(string(s)), "", toneWarn}
}

// holderWord says what one device has of a response. Published and enforced are told apart.
func holderWord(h threat.Holder) word {
	switch h.State {
	case threat.HolderReleased:
		return word{"Released", "No longer held here.", toneQuiet}
	case threat.HolderFailed:
		return word{"Failed", "This device does not have it.", toneBad}
	case threat.HolderWanted:
		return word{"Not sent yet", "Nothing was sent to this device.", toneBusy}
	}
	if h.Effect == nil {
		return word{"Claimed", "The right to send it was taken.", toneBusy}
	}
	switch e := h.Effect; e.State {
	case threat.EffectInForce:
		return word{"Enforced", "Read back from the device.", toneGood}
	case threat.EffectClaimed:
		if e.Published {
			return word{"Published, not enforced yet", "It is on the list; not every firewall has fetched it.", toneWarn}
		}
		return word{"Sent, not seen yet", "The device has not shown it yet.", toneBusy}
	case threat.EffectReleasing:
		return word{"Being released", "The device is being told to let go.", toneBusy}
	case threat.EffectUnknown:
		return word{"Unknown", "It may be there. The device is read before anything else.", toneBad}
	}
	return word{"Absent", "The device does not have it.", toneQuiet}
}

func requestWord(s threat.RequestState) word {
	switch s {
	case threat.RequestOpen:
		return word{"Open", "It waits for people.", toneWarn}
	case threat.RequestApproved:
		return word{"Approved", "People said yes.", toneGood}
	case threat.RequestDenied:
		return word{"Denied", "People said no.", toneQuiet}
	case threat.RequestExpired:
		return word{"Expired", "Nobody answered in time.", toneWarn}
	case threat.RequestSuperseded:
		return word{"Superseded", "A narrower question, or a new decision, took its place.", toneQuiet}
	}
	return word{title(string(s)), "", toneWarn}
}

func rowWord(k threat.RowKind) string { return title(string(k)) }

func modeWord(m threat.Mode) word {
	switch m {
	case threat.ModeNotify:
		return word{"Notify", "Firebreak never acts; it tells the contacts and recommends.", toneQuiet}
	case threat.ModeCollaborate:
		return word{"Collaborate", "Firebreak acts only on the consent of an authorised contact.", toneQuiet}
	case threat.ModeCollaborateUnreachable:
		return word{"Collaborate, or unreachable", "As collaborate. When every contact was tried to the end, nobody acknowledged " +
			"and the threat is still active, Firebreak contains without consent.", toneQuiet}
	case threat.ModeAuthorize:
		return word{"Authorize", "Firebreak contains at once, then tells the contacts.", toneQuiet}
	}
	return word{title(string(m)), "It allows nothing.", toneWarn}
}

func endWords(e threat.End) string {
	switch e {
	case threat.EndRelease:
		return "Then it is released."
	case threat.EndReleaseWhenContained:
		return "Then it is released if the threat is contained or resolved; otherwise people are asked, and it is held until " +
			"they answer."
	case threat.EndAsk:
		return "Then people are asked whether to release it; it is held until they answer."
	case threat.EndExtend:
		return "Then it is held for as long again while the case is active, and released after that."
	}
	return "Its end is not known: " + threat.Inert(string(e), maxName)
}

func basisWords(b threat.Basis) string {
	switch b {
	case threat.BasisMode:
		return "the customer's response mode (authorize)"
	case threat.BasisApproval:
		return "an approval"
	case threat.BasisUnreachable:
		return "the customer's response mode, as nobody could be reached"
	}
	return ""
}

func attemptWord(a threat.Attempt) word {
	switch a.State {
	case threat.AttemptPlanned:
		return word{"Planned", "", toneQuiet}
	case threat.AttemptSending:
		return word{"Being sent", "", toneBusy}
	case threat.AttemptAccepted:
		return word{"Accepted by the provider", "", toneGood}
	case threat.AttemptRefused:
		return word{"Refused by the provider", "", toneBad}
	case threat.AttemptUnknown:
		return word{"Unknown", "it may have gone out", toneWarn}
	case threat.AttemptSkipped:
		return word{"Not sent", "no longer needed, or the contact is a subject of the case", toneQuiet}
	}
	return word{title(string(a.State)), "", toneWarn}
}

func verdictWords(v threat.VerdictKind) string {
	switch v {
	case threat.VerdictApprove:
		return "approved"
	case threat.VerdictNarrow:
		return "approved a narrower action"
	case threat.VerdictDeny:
		return "denied"
	case threat.VerdictMore:
		return "asked for more"
	}
	return threat.Inert(string(v), maxName)
}

// verbTitle names a verb for people: "Block an address".
func verbTitle(name string) string {
	if v, ok := verb.Find(name); ok {
		return title(v.Title)
	}
	return title(strings.ReplaceAll(threat.Inert(name, maxName), "_", " "))
}

func roleWords(r threat.Role) string {
	if r == threat.Contact {
		return "authorised contact"
	}
	return strings.ReplaceAll(threat.Inert(string(r), 40), "_", " ")
}

// rolesWords lists a caller's roles, each once.
func rolesWords(grants []threat.Grant) string {
	var out []string
	for _, g := range grants {
		if w := roleWords(g.Role); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// approversWords says who may approve, and how many must: "an authorised contact", "2 people, each an analyst or shift lead".
func approversWords(a threat.Approvers) string {
	if len(a.Roles) == 0 {
		return "nobody: the rules name no approver"
	}
	var roles []string
	for _, r := range a.Roles {
		roles = append(roles, roleWords(r))
	}
	who := roles[0]
	if n := len(roles); n > 1 {
		who = strings.Join(roles[:n-1], ", ") + " or " + roles[n-1]
	}
	s := article(who) + " " + who
	if a.Needed > 1 {
		s = fmt.Sprintf("%d people, each %s", a.Needed, s)
	}
	if a.FourEyes {
		s += ", but not whoever asked for it"
	}
	return s
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

// assetWords says what an asset is for: "workstation", "of unknown role".
func assetWords(r threat.AssetRole) string {
	if r == threat.RoleUnknownAsset || r == "" {
		return "of unknown role"
	}
	return strings.ReplaceAll(threat.Inert(string(r), 40), "_", " ")
}

func title(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ReplaceAll(s, "_", " ")
	return strings.ToUpper(s[:1]) + s[1:]
}

// eventKinds are the journal's kinds that the script listens to, as the names of server-sent events.
var eventKinds = joinKinds(
	threat.EntryDetectionReceived, threat.EntryDetectionAssigned, threat.EntryDetectionDuplicate,
	threat.EntryDetectionSuppressed, threat.EntryDetectionQuarantined, threat.EntryCaseOpened, threat.EntryCaseThreat,
	threat.EntryCaseContact, threat.EntryCaseClosed, threat.EntryCaseNote, threat.EntryDecision, threat.EntryRequestOpened,
	threat.EntryRequestClosed, threat.EntryClickAccepted, threat.EntryClickRefused, threat.EntryResponseProposed,
	threat.EntryResponseState, threat.EntryClaimGranted, threat.EntryClaimJoined, threat.EntryClaimRefused,
	threat.EntryClaimResult, threat.EntryEffectVerified, threat.EntryEffectDrift, threat.EntryEffectReleased,
	threat.EntryEscalationStarted, threat.EntryEscalationEnded, threat.EntryAttempt, threat.EntryAcknowledged,
	threat.EntryAckBroken, threat.EntryModeChanged, threat.EntryModeTold, threat.EntryStopChanged, threat.EntryProtectionChanged,
	threat.EntrySettingsChanged, threat.EntryContactsChanged, threat.EntryConnectionChanged, threat.EntryOrganisation,
	threat.EntryPolicy, threat.EntryErased)

func joinKinds(kinds ...threat.EntryKind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, " ")
}
