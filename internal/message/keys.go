package message

import "github.com/firebreak/firebreak/internal/threat"

// key names a sentence. A language is one more map from keys to sentences, in a file of its own, entered into catalogues;
// a test holds that none lacks a sentence or a place that English has.
type key string

const (
	subjectAttempt key = "subject.attempt"
	subjectResolve key = "subject.resolve"
	simulatedMark  key = "simulated.mark"
	simulatedNote  key = "simulated.note"
	greeting       key = "greeting"

	headHappened  key = "head.happened"
	headDid       key = "head.did"
	headAsk       key = "head.ask"
	headRecommend key = "head.recommend"
	headSilence   key = "head.silence"
	headAck       key = "head.ack"
	headCase      key = "head.case"
	headOver      key = "head.over"

	happenedTitle    key = "happened.title"
	happenedSeverity key = "happened.severity"
	happenedOne      key = "happened.one"
	happenedMany     key = "happened.many"

	doneDeciding key = "done.deciding"
	doneActing   key = "done.acting"
	doneUnknown  key = "done.unknown"
	doneOffline  key = "done.offline"
	doneInForce  key = "done.in_force"
	doneHeld     key = "done.held"
	doneReleased key = "done.released"
	doneOnce     key = "done.once"
	doneExpired  key = "done.expired"
	doneFailed   key = "done.failed"
	doneDenied   key = "done.denied"

	askAct         key = "ask.act"
	askOnce        key = "ask.once"
	askEnd         key = "ask.end"
	askConnection  key = "ask.connection"
	askConnections key = "ask.connections"

	recommendAction key = "recommend.action"
	recommendOnly   key = "recommend.only"

	silenceNotify      key = "silence.notify"
	silenceCollaborate key = "silence.collaborate"
	silenceUnreachable key = "silence.collaborate_unreachable"
	silenceAuthorize   key = "silence.authorize"
	silenceNext        key = "silence.next"

	ackMeans  key = "ack.means"
	ackWords  key = "ack.words"
	caseMeans key = "case.means"
	caseWords key = "case.words"

	overClosed  key = "over.closed"
	overAck     key = "over.ack"
	overAckBy   key = "over.ack_by"
	overOther   key = "over.other"
	overNothing key = "over.nothing"

	subjectMode   key = "subject.mode"
	headMode      key = "head.mode"
	headMeans     key = "head.means"
	headNotYou    key = "head.not_you"
	modeChanged   key = "mode.changed"
	modeBy        key = "mode.by"
	modeEradicate key = "mode.eradicate"
	modeWords     key = "mode.words"
	modeWrong     key = "mode.wrong"
	tenantWords   key = "tenant.words"

	because key = "because"
	andMore key = "and_more"
)

// silenceKeys say what silence means where no request says it.
var silenceKeys = map[threat.Mode]key{
	threat.ModeNotify:                 silenceNotify,
	threat.ModeCollaborate:            silenceCollaborate,
	threat.ModeCollaborateUnreachable: silenceUnreachable,
	threat.ModeAuthorize:              silenceAuthorize,
}

// threatKeys say how far the threat has got.
var threatKeys = map[threat.ThreatState]key{
	threat.ThreatSuspected: "threat.suspected",
	threat.ThreatActive:    "threat.active",
	threat.ThreatContained: "threat.contained",
	threat.ThreatResolved:  "threat.resolved",
}

// severityKey names a severity.
func severityKey(s threat.Severity) key { return key("severity." + s.String()) }

// modeKey names a response mode, and meansKey says what it means.
func modeKey(m threat.Mode) key { return key("mode." + string(m)) }

func meansKey(m threat.Mode) key { return key("means." + string(m)) }

// verbKey names a verb with its target.
func verbKey(verb string) key { return key("verb." + verb) }

// catalogues are the languages, by the first part of their BCP 47 tag.
var catalogues = map[string]map[key]string{"en": english}
