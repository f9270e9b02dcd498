package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// detectionsShown is how many detections a case's page shows, the newest.
const detectionsShown = 50

// casePage is one case: what waits, what is done, what happened, and why.
type casePage struct {
	frame
	ID          string
	Name        string
	Heading     string
	Tenant      string
	Slug        string
	Severity    word
	Threat      word
	Contact     word
	AckBy       string
	AckUntil    *moment
	Opened      moment
	Closed      *moment
	ClosedBy    string
	CloseReason string
	Stopped     bool
	Requests    []requestRow
	Responses   []responseRow
	Timeline    []timelineRow
	Detections  []detectionRow
	Earlier     int64 // the place before which there are more detections; zero when there are none
	Escalations []escalationRow
	Decisions   []decisionRow
	MayWrite    bool
	MayAck      bool
	AckWhy      string // why the reader cannot acknowledge
	AckMine     bool   // the reader has, and it holds
	Mode        word
}

// responseRow is one response with what each device has of it.
type responseRow struct {
	ID       string
	Number   int64
	Verb     string
	Target   targetRow
	State    word
	Why      string
	Required bool
	Basis    string
	Duration time.Duration
	End      string
	From     *moment
	Until    *moment
	Ending   string
	EndingBy string
	Extended int
	Devices  []deviceRow
	Rules    []threat.RuleLabel
	Request  string
	MayUndo  bool
	Undo     string
	AskedBy  string
	Over     bool
	Waits    bool // nothing was sent yet
}

// deviceRow is one connection's part of a response.
type deviceRow struct {
	Name       string
	Adapter    string
	State      word
	Verified   *moment
	Until      *moment
	DeviceEnds *moment
	Adopted    bool
	Error      string
	Generation int64
}

type timelineRow struct {
	At     moment
	Kind   threat.RowKind // colours the row
	Label  string         // and says the same in a word
	Text   string
	Tactic string
	Actor  string
}

type detectionRow struct {
	ID          string
	Seq         int64
	Title       string
	Severity    word
	Product     string
	State       string
	Techniques  []string
	At          moment
	Received    moment
	Clock       string
	Observables []observableRow
	More        int // observables that are not shown
	Raw         string
	OCSF        string
	Cut         bool
	CutOCSF     bool
}

type decisionRow struct {
	Question string
	Subject  string
	At       moment
	Rules    []threat.RuleLabel
	Reasons  []string
	Fault    string
	Revision string
	Answer   string
	ID       string
}

type escalationRow struct {
	Number   int
	State    string
	Started  moment
	Ended    *moment
	AckBy    string
	AckVia   string
	Rounds   int
	Attempts []attemptRow
}

type attemptRow struct {
	Person, Channel, Error              string
	Round                               int
	State                               word
	Due                                 moment
	Sent, Delivered, Seen, Acknowledged *moment
	Rings                               bool
}

// caseOf gives the case that the path names by its id, its number or its name, if the caller may see it.
func (k *call) caseOf(action string) (threat.Case, error) {
	none := threat.Faultf(threat.NotFound, "there is no such case")
	name := k.r.PathValue("case")
	var c threat.Case
	id, err := uuid.Parse(name)
	if err == nil {
		c, err = k.deps.Store.Case(k.ctx(), id)
	} else {
		n, bad := strconv.ParseInt(strings.TrimPrefix(strings.ToUpper(name), "FB-"), 10, 64)
		if bad != nil || n < 1 {
			return c, none
		}
		c, err = k.deps.Store.CaseByNumber(k.ctx(), n)
	}
	if threat.Is(err, threat.NotFound) {
		return c, none
	}
	if err != nil {
		return c, err
	}
	return c, k.seeCase(c, action)
}

// seeCase asks for a right over a case. A subject of the case does not see it.
func (k *call) seeCase(c threat.Case, action string) error {
	none := threat.Faultf(threat.NotFound, "there is no such case")
	if err := k.deps.Access.Allow(k.ctx(), k.caller, action, c.TenantID); err != nil {
		if threat.Is(err, threat.NotFound) {
			return none
		}
		return err
	}
	if in, err := k.involved(c); err != nil {
		return err
	} else if in {
		return none
	}
	return nil
}

func showCase(k *call) error {
	c, err := k.caseOf("case.read")
	if err != nil {
		return err
	}
	o, err := k.org(c.TenantID)
	if err != nil {
		return err
	}
	p := &casePage{frame: k.frame(c.Name()+" "+threat.Inert(c.Title, maxName), "/cases"), ID: c.ID.String(), Name: c.Name(),
		Heading: threat.Inert(c.Title, 300), Tenant: threat.Inert(o.Name, maxName), Slug: o.Slug,
		Severity: severityWord(c.Severity),
		Threat:   threatWord(c.Threat), Contact: contactWord(c.Contact), MayWrite: c.Open() && k.may("case.write", c.TenantID)}
	p.live(c.ID.String())
	p.Simulated = o.Simulated || c.Simulated
	p.Opened = p.When(c.OpenedAt)
	if c.ClosedAt != nil {
		m := p.When(*c.ClosedAt)
		p.Closed, p.ClosedBy, p.CloseReason = &m, k.actor(c.ClosedBy), threat.Inert(c.CloseReason, maxText)
	}
	if c.Acknowledged(k.now) {
		m := p.When(*c.AckUntil)
		p.AckUntil, p.AckBy, p.AckMine = &m, k.actorOrName(c.AckBy), c.AckBy == k.caller.Name
	}
	for _, fill := range []func(*call, threat.Case) error{p.rights, p.waiting, p.responses, p.timeline, p.detections,
		p.escalations, p.decisions} {
		if err := fill(k, c); err != nil {
			return err
		}
	}
	return k.render(http.StatusOK, "case", p)
}

// rights tells what the reader may do here.
func (p *casePage) rights(k *call, c threat.Case) error {
	st, err := k.deps.Store.TenantState(k.ctx(), c.TenantID)
	if err != nil {
		return err
	}
	p.Stopped, p.Mode = st.Stopped, modeWord(st.Mode)
	_, listed, err := k.contactEntry(c.TenantID)
	if err != nil {
		return err
	}
	switch {
	case !c.Open():
	case !listed:
		p.AckWhy = "Only an authorised contact of this customer can acknowledge."
	default:
		p.MayAck = true
	}
	return nil
}

// waiting lists the case's open questions.
func (p *casePage) waiting(k *call, c threat.Case) error {
	if !k.may("request.read", c.TenantID) {
		return nil
	}
	list, err := k.deps.Store.OpenRequests(k.ctx(), []uuid.UUID{c.TenantID}, maxRequests)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.CaseID != c.ID {
			continue
		}
		row, shown, err := k.requestRow(&p.frame, r)
		if err != nil {
			return err
		}
		if shown {
			p.Requests = append(p.Requests, row)
		}
	}
	return nil
}

func (p *casePage) timeline(k *call, c threat.Case) error {
	rows, err := k.deps.Store.Timeline(k.ctx(), c.ID)
	for _, r := range rows {
		row := timelineRow{At: p.When(r.At), Kind: r.Kind, Label: rowWord(r.Kind), Text: threat.Inert(r.Text, maxText),
			Tactic: threat.Inert(r.Tactic, maxName)}
		if r.Actor != "" && r.Actor != threat.SystemActor {
			row.Actor = k.actor(r.Actor)
		}
		p.Timeline = append(p.Timeline, row)
	}
	return err
}

func (p *casePage) detections(k *call, c threat.Case) error {
	if !k.may("detection.read", c.TenantID) {
		return nil
	}
	last := c.LastDetection
	if b := k.r.URL.Query().Get("detections_before"); b != "" {
		n, err := strconv.ParseInt(b, 10, 64)
		if err != nil || n < 1 {
			return &threat.Fault{Kind: threat.Invalid, What: "not a detection's place", Place: "detections_before"}
		}
		last = min(last, n-1)
	}
	after := max(last-detectionsShown, 0)
	list, err := k.deps.Store.DetectionsOfCase(k.ctx(), c.ID, after, detectionsShown)
	if err != nil {
		return err
	}
	if after > 0 {
		p.Earlier = after + 1
	}
	for i := len(list) - 1; i >= 0; i-- {
		p.Detections = append(p.Detections, p.detection(list[i]))
	}
	return nil
}

// observablesShown is how many observables of one detection a page shows.
const observablesShown = 24

func (p *casePage) detection(d threat.Detection) detectionRow {
	row := detectionRow{ID: d.ID.String(), Seq: d.Seq, Title: threat.Inert(d.Title, maxText),
		Severity: severityWord(d.Severity),
		Product:  threat.Inert(d.Product, maxName), At: p.When(d.At), Received: p.When(d.ReceivedAt),
		Observables: observableRows(d.Observables, observablesShown), More: max(len(d.Observables)-observablesShown, 0)}
	for _, t := range d.Techniques {
		row.Techniques = append(row.Techniques, threat.Inert(t, 40))
	}
	switch d.Clock {
	case threat.ClockAhead:
		row.Clock = "The product's clock is ahead of ours."
	case threat.ClockBehind:
		row.Clock = "The event is over seven days old."
	}
	if d.State == threat.DetectionDuplicate {
		row.State = "Repeats an earlier detection"
	}
	row.Raw, row.Cut = document(d.Raw)
	row.OCSF, row.CutOCSF = document(d.OCSF)
	return row
}

var questionWords = map[threat.Question]string{threat.AskTriage: "How bad is it?", threat.AskEscalate: "Whom do we tell?",
	threat.AskRespond: "May this be done?", threat.AskApprove: "May this person decide?",
	threat.AskAccess: "May this caller do it?"}

func (p *casePage) decisions(k *call, c threat.Case) error {
	list, err := k.deps.Store.DecisionsOfCase(k.ctx(), c.ID)
	if err != nil {
		return err
	}
	for _, d := range list {
		row := decisionRow{ID: d.ID.String(), Question: questionWords[d.Question], Subject: p.subject(d.SubjectID),
			At:    p.When(d.At),
			Rules: inertRules(d.Rules), Fault: threat.Inert(d.Fault, maxText), Revision: threat.Inert(d.Revision, 12)}
		for _, r := range d.Reasons {
			row.Reasons = append(row.Reasons, sentence(threat.Inert(r, maxText)))
		}
		row.Answer, _ = document(d.Answer)
		p.Decisions = append(p.Decisions, row)
	}
	return nil
}

// subject says what of this page a decision is about.
func (p *casePage) subject(id uuid.UUID) string {
	s := id.String()
	for _, r := range p.Responses {
		switch s {
		case r.ID:
			return "response " + strconv.FormatInt(r.Number, 10) + ": " + strings.ToLower(r.Verb[:1]) + r.Verb[1:] + " " +
				r.Target.Value
		case r.Request:
			return "the request about response " + strconv.FormatInt(r.Number, 10)
		}
	}
	for _, d := range p.Detections {
		if s == d.ID {
			return "detection " + strconv.FormatInt(d.Seq, 10) + ": " + d.Title
		}
	}
	if s == p.ID {
		return "the case"
	}
	return ""
}

func inertRules(rules []threat.RuleLabel) []threat.RuleLabel {
	out := make([]threat.RuleLabel, len(rules))
	for i, r := range rules {
		out[i] = threat.RuleLabel{ID: threat.Inert(r.ID, maxName), Title: threat.Inert(r.Title, 200)}
	}
	return out
}

var escalationWords = map[threat.EscalationState]string{threat.EscalationRunning: "running",
	threat.EscalationAcknowledged: "acknowledged", threat.EscalationExhausted: "tried to the end",
	threat.EscalationCancelled: "cancelled"}

func (p *casePage) escalations(k *call, c threat.Case) error {
	list, err := k.deps.Store.Escalations(k.ctx(), c.ID)
	if err != nil {
		return err
	}
	for _, e := range list {
		row := escalationRow{Number: e.Number, State: escalationWords[e.State], Started: p.When(e.StartedAt),
			Ended: p.when(e.EndedAt),
			AckBy: k.actorOrName(e.AckBy), AckVia: threat.Inert(e.AckVia, 40), Rounds: e.Rounds}
		attempts, err := k.deps.Store.Attempts(k.ctx(), e.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			row.Attempts = append(row.Attempts, attemptRow{Person: k.name(a.PersonID), Channel: threat.Inert(a.Channel, 40),
				Error: threat.Inert(a.Error, 200), Round: a.Round, State: attemptWord(a), Due: p.When(a.DueAt), Sent: p.when(a.SentAt),
				Delivered: p.when(a.DeliveredAt), Seen: p.when(a.SeenAt), Acknowledged: p.when(a.AcknowledgedAt),
				Rings: a.Interruptive})
		}
		p.Escalations = append(p.Escalations, row)
	}
	return nil
}

// when is When for a time that may be missing.
func (f *frame) when(t *time.Time) *moment {
	if t == nil {
		return nil
	}
	m := f.When(*t)
	return &m
}

// actorOrName gives a name for what may be an actor or a name already.
func (k *call) actorOrName(s string) string {
	if s == "" {
		return ""
	}
	return k.actor(s)
}
