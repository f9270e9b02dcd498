package threat

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Class sorts verbs by what they do to the world.
type Class string

const (
	Observe   Class = "observe"
	Contain   Class = "contain"
	Eradicate Class = "eradicate"
	Recover   Class = "recover"
)

// TargetKind is what a verb can act on.
type TargetKind string

const (
	TargetIP     TargetKind = "ip"
	TargetRange  TargetKind = "range"
	TargetDomain TargetKind = "domain"
	TargetURL    TargetKind = "url"
	TargetAsset  TargetKind = "asset"

	TargetHash     TargetKind = "hash"     // a SHA-256
	TargetAccount  TargetKind = "account"  // an identity, as its directory names it
	TargetSession  TargetKind = "session"  // a login session on an asset, or of an account
	TargetFile     TargetKind = "file"     // a file on an asset, by hash and path
	TargetProcess  TargetKind = "process"  // a process on an asset, by number and start, or by its program's hash
	TargetService  TargetKind = "service"  // a service on an asset
	TargetMessage  TargetKind = "message"  // an e-mail in a mailbox
	TargetSender   TargetKind = "sender"   // an e-mail address or domain
	TargetPort     TargetKind = "port"     // a port of a switch
	TargetBackup   TargetKind = "backup"   // a backup job, or one of its restore points
	TargetResource TargetKind = "resource" // a machine or account in a cloud
)

// Target is one thing that an action acts on, in canonical form.
type Target struct {
	Kind    TargetKind    `json:"kind"`
	Value   string        `json:"value"`
	AssetID uuid.NullUUID `json:"asset_id"` // set when it resolves to an asset of the tenant
}

// String gives "kind:value"; it is part of the keys of effects and actions.
func (t Target) String() string { return string(t.Kind) + ":" + t.Value }

// End is what happens when a containment's time is up.
type End string

const (
	EndRelease              End = "release"                // let go
	EndReleaseWhenContained End = "release_when_contained" // let go when the threat is contained or resolved, else ask
	EndAsk                  End = "ask"                    // ask people: release, or hold on
	EndExtend               End = "extend"                 // hold on for as long again while the case is active, then release
)

// Ends lists every end.
var Ends = []End{EndRelease, EndReleaseWhenContained, EndAsk, EndExtend}

// Action is a verb on a target for a time, through some connections of the tenant. One action may have effects on
// several devices, each with an outcome of its own.
type Action struct {
	ID          uuid.UUID         `json:"id"`
	TenantID    uuid.UUID         `json:"tenant_id"`
	CaseID      uuid.UUID         `json:"case_id"`
	Step        string            `json:"step"`  // the plan's step that wants it
	Round       int               `json:"round"` // 1 for the first time a step acts on this target
	Verb        string            `json:"verb"`
	Target      Target            `json:"target"`
	Params      map[string]string `json:"params,omitempty"`
	Duration    time.Duration     `json:"duration"`
	End         End               `json:"end"`
	Connections []uuid.UUID       `json:"connections"` // sorted
}

// namespace makes our UUIDv5 ids our own.
var namespace = uuid.MustParse("6f4f4b36-7d0a-5a54-9a0c-6b6f2f1d7c11")

// DerivedID gives a UUIDv5 of a kind and its parts: the same parts give the same id on every machine.
func DerivedID(kind string, parts ...string) uuid.UUID {
	b := []byte(kind)
	for _, p := range parts {
		b = append(b, 0)
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, ':')
		b = append(b, p...)
	}
	return uuid.NewSHA1(namespace, b)
}

// ActionID is the id of an action: a rebuilt case that plans the same step again finds the action that it already has.
func ActionID(caseID uuid.UUID, step string, target Target, round int) uuid.UUID {
	return DerivedID("action", caseID.String(), step, target.String(), strconv.Itoa(round))
}
