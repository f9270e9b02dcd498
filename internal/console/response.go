package console

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// responses fills in a case's responses, those that still run first.
func (p *casePage) responses(k *call, c threat.Case) error {
	list, err := k.deps.Store.Responses(k.ctx(), c.ID)
	if err != nil {
		return err
	}
	decisions, err := k.deps.Store.DecisionsOfCase(k.ctx(), c.ID)
	if err != nil {
		return err
	}
	rules := map[uuid.UUID][]threat.RuleLabel{}
	for _, d := range decisions {
		rules[d.ID] = inertRules(d.Rules)
	}
	var over []responseRow
	for _, r := range list {
		row, err := p.response(k, r)
		if err != nil {
			return err
		}
		if r.DecisionID.Valid {
			row.Rules = rules[r.DecisionID.UUID]
		}
		if row.Over {
			over = append(over, row)
		} else {
			p.Responses = append(p.Responses, row)
		}
	}
	p.Responses = append(p.Responses, over...)
	return nil
}

func (p *casePage) response(k *call, r threat.Response) (responseRow, error) {
	row := responseRow{ID: r.ID.String(), Number: r.Number, Verb: verbTitle(r.Verb), State: responseWord(r.State),
		Why: sentence(threat.Inert(r.Why, maxText)), Required: r.Required, Basis: basisWords(r.Basis), Duration: r.Duration,
		End: endWords(r.End), From: p.when(r.HoldFrom), Until: p.when(r.HoldUntil),
		Ending:   sentence(threat.Inert(r.Ending, maxText)),
		EndingBy: k.actorOrName(r.EndingBy), Extended: r.Extended, AskedBy: k.actor(r.AskedBy),
		Over: r.EndedAt != nil || r.State.Terminal()}
	switch n := enforcing(r.Holders); {
	case r.State == threat.ResponseReleased && r.Why == verb.Done:
		row.State, row.Why = word{"Done", "It is done once, and the device says that it is so.", toneGood}, ""
	case r.State == threat.ResponseHeld && r.Ending != "":
		row.State = word{"Being released", "It stays in force until the device says that it let go.", toneBusy}
	case r.State == threat.ResponseHeld && n < len(r.Holders):
		row.State = word{"Partly in force", fmt.Sprintf("%d of %d devices enforce it.", n, len(r.Holders)), toneWarn}
	}
	row.Waits = slices.Contains(waitingStates, r.State)
	if r.RequestID.Valid {
		row.Request = r.RequestID.UUID.String()
	}
	if v, ok := verb.Find(r.Verb); ok {
		row.Undo = sentence(v.UndoText)
	}
	row.MayUndo = !row.Over && r.Ending == "" && k.may("action.release", r.TenantID)
	var err error
	if row.Target, err = k.target(r.TenantID, r.Target); err != nil {
		return row, err
	}
	links, err := k.connections(r.TenantID)
	if err != nil {
		return row, err
	}
	held := map[uuid.UUID]bool{}
	for _, h := range r.Holders {
		held[h.ConnectionID] = true
		row.Devices = append(row.Devices, p.device(links, h))
	}
	for _, id := range r.Connections {
		if !held[id] && !row.Over {
			row.Devices = append(row.Devices, p.device(links, threat.Holder{ConnectionID: id, State: threat.HolderWanted}))
		}
	}
	return row, nil
}

// waitingStates are those in which nothing was sent yet: to undo is to withdraw.
var waitingStates = []threat.ResponseState{threat.ResponseProposed, threat.ResponseAsked, threat.ResponseStale,
	threat.ResponsePendingOffline}

// enforcing counts the devices that were read to have it in force.
func enforcing(holders []threat.Holder) int {
	n := 0
	for _, h := range holders {
		if h.State == threat.HolderHolding && h.Effect != nil && h.Effect.State == threat.EffectInForce {
			n++
		}
	}
	return n
}

func (p *casePage) device(links map[uuid.UUID]threat.Connection, h threat.Holder) deviceRow {
	row := deviceRow{State: holderWord(h), Until: p.when(h.Until), Error: sentence(threat.Inert(h.Error, maxText)),
		Generation: h.Generation}
	row.Name, row.Adapter = connectionWords(links, h.ConnectionID)
	if e := h.Effect; e != nil {
		row.Adopted = e.Adopted
		row.DeviceEnds = p.when(e.DeviceEnds)
		if e.State == threat.EffectInForce || e.State == threat.EffectReleasing {
			row.Verified = p.when(e.VerifiedAt)
		}
	}
	return row
}

// connectionWords names a connection and its adapter. One that is gone has its id for a name.
func connectionWords(links map[uuid.UUID]threat.Connection, id uuid.UUID) (name, adapter string) {
	if c, ok := links[id]; ok {
		return threat.Inert(c.Name, maxName), threat.Inert(c.Adapter, 40)
	}
	return "connection " + id.String(), "no longer set up"
}

// releaseResponse undoes a containment, through the door.
func releaseResponse(k *call) error {
	id, err := k.pathID("response", "response")
	if err != nil {
		return err
	}
	r, err := k.deps.Store.Response(k.ctx(), id)
	if err != nil {
		return err
	}
	c, err := k.deps.Store.Case(k.ctx(), r.CaseID)
	if err != nil {
		return err
	}
	if err := k.seeCase(c, "action.release"); err != nil {
		return err
	}
	why, err := k.required("why", maxReason, "a release needs its reason", "go back and give one")
	if err != nil {
		return err
	}
	if _, err := k.deps.Door.Release(k.ctx(), k.caller, id, why); err != nil {
		return err
	}
	return k.say("/cases/"+c.Name(), said{Tone: toneBusy, Title: "It is being released",
		Text: verbTitle(r.Verb) + " " + r.Target.Value +
			": the devices are told to let go. It counts as released once they say so."})
}

// maxReason bounds what people write as a reason, in characters.
const maxReason = 1000

// noteCase keeps a note in the journal.
func noteCase(k *call) error {
	c, err := k.caseOf("case.write")
	if err != nil {
		return err
	}
	text, err := k.required("text", 4000, "the note is empty", "go back and write it")
	if err != nil {
		return err
	}
	if err := k.deps.Store.Note(k.ctx(), c.ID, text, k.caller.Actor()); err != nil {
		return err
	}
	return k.say("/cases/"+c.Name(), said{Tone: toneGood, Title: "The note is kept",
		Text: "It stands in the timeline, under your name."})
}

// acknowledgeCase says that a contact is on it.
func acknowledgeCase(k *call) error {
	c, err := k.caseOf("case.read")
	if err != nil {
		return err
	}
	after, err := k.deps.Door.Acknowledge(k.ctx(), k.caller, c.ID, uuid.NullUUID{})
	if err != nil {
		return err
	}
	return k.say("/cases/"+c.Name(), acknowledged(k, after))
}

// acknowledged says what an acknowledgement means, and how long it holds.
func acknowledged(k *call, c threat.Case) said {
	s := said{Tone: toneGood, Title: "You are on it",
		Text: "Nobody else is called. It authorises nothing, and new activity of the attacker ends it."}
	if c.AckUntil != nil {
		f := frame{Now: k.now}
		m := f.When(*c.AckUntil)
		s.Text = "It holds until " + m.UTC + ". " + s.Text
	}
	return s
}

// closeCase ends a case. Its responses run on.
func closeCase(k *call) error {
	c, err := k.caseOf("case.write")
	if err != nil {
		return err
	}
	reason, err := k.required("reason", maxReason, "closing needs its reason", "go back and give one")
	if err != nil {
		return err
	}
	if _, err := k.deps.Store.CloseCase(k.ctx(), c.ID, reason, k.caller.Actor()); err != nil {
		return err
	}
	return k.say("/cases/"+c.Name(), said{Tone: toneGood, Title: c.Name() + " is closed",
		Text: "Nobody is called about it any more. Its responses run on to their own ends."})
}
