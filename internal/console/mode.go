package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// modePage shows what a change of mode would let go, and the words that are agreed to.
type modePage struct {
	frame
	Name, Slug string
	From, To   word
	Value      string // of the mode to be
	Eradicate  bool
	Seen       int64 // the version of the consent that the preview rests on
	Wider      bool
	Same       bool
	Waiting    []responseLine // would be decided anew
	Held       []responseLine // stay in force until their own ends
	Words      string
	Stopped    bool
}

// responseLine is a response in a list across cases.
type responseLine struct {
	Verb, Target, Case string
	State              word
	Until              *moment
}

// consentWords are what a person agrees to. They are kept with the consent, as shown.
func consentWords(m threat.Mode, eradicate bool, tenant string) string {
	tenant = threat.Inert(tenant, maxName)
	consent := fmt.Sprintf("Firebreak may act in the network of %s on the consent of an authorised contact, given for each "+
		"action.", tenant)
	switch m {
	case threat.ModeNotify:
		return fmt.Sprintf("Firebreak shall not act in the network of %s. It tells the authorised contacts what it found and "+
			"recommends what to do.", tenant)
	case threat.ModeCollaborate:
		return consent
	case threat.ModeCollaborateUnreachable:
		return consent + " When every authorised contact was tried to the end, none acknowledged and the threat is still " +
			"active, Firebreak may contain it without consent."
	case threat.ModeAuthorize:
		s := fmt.Sprintf("Firebreak may contain threats in the network of %s at once, without asking, and then tells the "+
			"authorised contacts.", tenant)
		if eradicate {
			return s + " That covers also what cannot be undone."
		}
		return s + " What cannot be undone still takes the consent of an authorised contact."
	}
	return ""
}

// wanted reads a mode, and whether it covers what cannot be undone.
func wanted(get func(string) string) (threat.Mode, bool, error) {
	m, eradicate := threat.Mode(get("mode")), get("eradicate") == "true"
	if !m.Valid() {
		return m, false, &threat.Fault{Kind: threat.Invalid, What: "there is no such response mode", Place: "mode",
			Next: "choose notify, collaborate, collaborate_unreachable or authorize"}
	}
	return m, eradicate && m == threat.ModeAuthorize, nil
}

// previewMode shows what would change. It changes nothing.
func previewMode(k *call) error {
	o, err := k.tenantOf("tenant.mode")
	if err != nil {
		return err
	}
	m, eradicate, err := wanted(k.r.URL.Query().Get)
	if err != nil {
		return err
	}
	p, err := k.modePage(o, m, eradicate)
	if err != nil {
		return err
	}
	return k.render(http.StatusOK, "mode", p)
}

func (k *call) modePage(o threat.Organisation, m threat.Mode, eradicate bool) (*modePage, error) {
	st, err := k.deps.Store.TenantState(k.ctx(), o.ID)
	if err != nil {
		return nil, err
	}
	name := threat.Inert(o.Name, maxName)
	p := &modePage{frame: k.frame("Change the response mode of "+name, "/tenants"), Name: name, Slug: o.Slug,
		From: modeWord(st.Mode),
		To:   modeWord(m), Value: string(m), Eradicate: eradicate, Seen: st.ModeVersion, Stopped: st.Stopped,
		Wider: m.Rank() > st.Mode.Rank() || m == st.Mode && eradicate && !st.Eradicate, Same: m == st.Mode &&
			eradicate == st.Eradicate,
		Words: consentWords(m, eradicate, o.Name)}
	p.Simulated = o.Simulated
	list, err := k.deps.Store.ResponsesOf(k.ctx(), []uuid.UUID{o.ID}, true, maxOpen)
	if err != nil {
		return nil, err
	}
	names := map[uuid.UUID]string{}
	for _, r := range list {
		if _, ok := names[r.CaseID]; !ok {
			if names[r.CaseID], err = k.caseName(r.CaseID); err != nil {
				return nil, err
			}
		}
		if names[r.CaseID] == "" {
			continue
		}
		line := responseLine{Verb: verbTitle(r.Verb), Target: threat.Inert(r.Target.Value, maxName), Case: names[r.CaseID],
			State: responseWord(r.State), Until: p.when(r.HoldUntil)}
		switch r.State {
		case threat.ResponseProposed, threat.ResponseAsked, threat.ResponseStale, threat.ResponsePendingOffline:
			p.Waiting = append(p.Waiting, line)
		default:
			p.Held = append(p.Held, line)
		}
	}
	return p, nil
}

// changeMode records a consent, as long as the mode is still the one that the preview rested on.
func changeMode(k *call) error {
	o, err := k.tenantOf("tenant.mode")
	if err != nil {
		return err
	}
	if err := k.form(); err != nil {
		return err
	}
	m, eradicate, err := wanted(k.r.PostForm.Get)
	if err != nil {
		return err
	}
	if k.r.PostForm.Get("agree") != "yes" {
		return &threat.Fault{Kind: threat.Invalid, What: "a mode is a consent: agree to its words", Place: "agree",
			Next: "go back and tick the box"}
	}
	st, err := k.deps.Store.TenantState(k.ctx(), o.ID)
	if err != nil {
		return err
	}
	if seen, err := strconv.ParseInt(k.r.PostForm.Get("seen"), 10, 64); err != nil || seen != st.ModeVersion {
		return &threat.Fault{Kind: threat.Conflict, What: "the response mode was changed while you looked at it",
			Next: "look at it again"}
	}
	words := consentWords(m, eradicate, o.Name)
	if _, err := k.deps.Store.SetMode(k.ctx(), k.caller.Actor(), threat.Consent{TenantID: o.ID, Mode: m, Eradicate: eradicate,
		GivenBy: k.caller.PersonID.UUID, Words: words, Language: "en"}); err != nil {
		return err
	}
	return k.say("/tenants/"+o.Slug, said{Tone: toneGood,
		Title: "The response mode is now " + strings.ToLower(modeWord(m).Word),
		Text:  "Your consent is kept with its words, and every other contact is told. What waits is decided anew."})
}
