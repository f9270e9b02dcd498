package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// requestPage is one question, with all that a person needs to answer it.
type requestPage struct {
	frame
	ID         string
	Digest     string
	Heading    string
	State      word
	Open       bool
	ClosedWhy  string
	Closed     *moment
	End        bool // it asks about the end of a containment
	Case       caseRow
	Verb       string
	Verifies   string
	Undo       string
	Loss       string
	Targets    []targetRow
	Devices    []choice
	Params     []pair
	Duration   time.Duration
	Once       bool   // it is done once, and has no duration
	Ends       string // what happens at the end
	WouldEnd   moment // when it would end if it were done now
	Held       *moment
	Reasons    []string
	Rules      []threat.RuleLabel
	Evidence   []evidenceRow
	MoreFound  int // detections of the case that are not evidence for this target
	Silence    string
	Approvers  string
	May        []string // the people who may, as far as a list names them
	Votes      []voteRow
	Have, Need int
	AskedBy    string
	Opened     moment
	Expires    moment
	Mine       bool
	Right      string
	Shorter    []choice // durations to choose from
	Presets    []string
	Refused    *said // what the door said to the click that led here
	Stopped    bool
	Keep       string // changes when what is asked, or its state, does
	Supersedes string
	Typed      string // what the person had written before they were refused
}

type pair struct{ Name, Value string }

// evidenceRow is one detection that names the target.
type evidenceRow struct {
	At         moment
	Title      string
	Product    string
	Severity   word
	Techniques []string
	Proposed   bool        // triage proposed this very action about it
	Own        []targetRow // what of the customer's it names: which machine is in trouble
}

type voteRow struct {
	Name, Role, Verdict, Reason, Surface string
	At                                   moment
}

// presets are reasons that people give often.
var actPresets = []string{"The evidence is convincing", "Confirmed with the customer", "A precaution while we look into it",
	"Known and harmless traffic", "A planned test", "It would interrupt the business"}

var endPresets = []string{"The threat is contained", "The attacker is still active", "The block hurts the business",
	"We are still looking into it"}

func (k *call) requestOf() (threat.Request, threat.Case, error) {
	none := threat.Faultf(threat.NotFound, "there is no such request")
	id, err := k.pathID("request", "request")
	if err != nil {
		return threat.Request{}, threat.Case{}, err
	}
	r, err := k.deps.Store.Request(k.ctx(), id)
	if threat.Is(err, threat.NotFound) {
		return r, threat.Case{}, none
	}
	if err != nil {
		return r, threat.Case{}, err
	}
	c, err := k.deps.Store.Case(k.ctx(), r.CaseID)
	if err != nil {
		return r, c, err
	}
	err = k.seeCase(c, "request.read")
	if threat.Is(err, threat.NotFound) {
		err = none
	}
	return r, c, err
}

func showRequest(k *call) error {
	r, c, err := k.requestOf()
	if err != nil {
		return err
	}
	p, err := k.requestPage(r, c)
	if err != nil {
		return err
	}
	return k.render(http.StatusOK, "request", p)
}

func (k *call) requestPage(r threat.Request, c threat.Case) (*requestPage, error) {
	p := &requestPage{frame: k.frame("", "/"), ID: r.ID.String(), Digest: r.Digest, State: requestWord(r.State),
		Open: r.State == threat.RequestOpen, ClosedWhy: sentence(threat.Inert(r.ClosedWhy, maxText)),
		End:  r.Body.Kind == threat.RequestEnd,
		Verb: verbTitle(r.Body.Verb), Duration: time.Duration(r.Body.Seconds) * time.Second, Ends: endWords(r.Body.End),
		Silence: sentence(threat.Inert(r.Silence, maxText)), Approvers: approversWords(r.Approvers), Have: approvals(r),
		Need: max(r.Approvers.Needed, 1), AskedBy: k.actor(r.AskedBy), Rules: inertRules(r.Rules), Presets: actPresets}
	p.live(c.ID.String())
	p.Closed, p.Opened, p.Expires = p.when(r.ClosedAt), p.When(r.OpenedAt), p.When(r.ExpiresAt)
	p.WouldEnd = p.When(k.now.Add(p.Duration))
	if p.End {
		p.Presets = endPresets
	}
	if r.Supersedes.Valid {
		p.Supersedes = r.Supersedes.UUID.String()
	}
	for _, why := range r.Reasons {
		p.Reasons = append(p.Reasons, sentence(threat.Inert(why, maxText)))
	}
	if v, ok := verb.Find(r.Body.Verb); ok {
		p.Once = v.Once
		p.Verifies, p.Undo, p.Loss = sentence(v.VerifyText), sentence(v.UndoText), sentence(v.LossText)
	}
	for _, fill := range []func(*call, threat.Request, threat.Case) error{p.about, p.action, p.evidence, p.people} {
		if err := fill(k, r, c); err != nil {
			return nil, err
		}
	}
	p.Shorter = shorter(p.Duration)
	p.Heading = p.heading()
	p.Title = p.Heading
	p.Keep = fmt.Sprintf("%s %s %d %v %v", r.Digest, r.State, len(r.Votes), p.Mine, p.Stopped)
	return p, nil
}

func (p *requestPage) heading() string {
	what := p.Verb
	if len(p.Targets) == 1 {
		what += " " + threat.Inert(p.Targets[0].Value, 80)
	} else if len(p.Targets) > 1 {
		what += fmt.Sprintf(" and %d more like it", len(p.Targets)-1)
	}
	if p.End {
		return "Its time is up: " + what
	}
	return what
}

// about fills in the case and its tenant.
func (p *requestPage) about(k *call, r threat.Request, c threat.Case) error {
	rows, err := k.caseRows(&p.frame, []threat.Case{c}, nil)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return threat.Faultf(threat.NotFound, "there is no such request")
	}
	p.Case, p.Simulated = rows[0], rows[0].Simulated
	st, err := k.deps.Store.TenantState(k.ctx(), r.TenantID)
	p.Stopped = st.Stopped
	return err
}

// action fills in what would be done, to what and where.
func (p *requestPage) action(k *call, r threat.Request, _ threat.Case) error {
	for _, t := range r.Body.Targets {
		row, err := k.target(r.TenantID, t)
		if err != nil {
			return err
		}
		p.Targets = append(p.Targets, row)
	}
	links, err := k.connections(r.TenantID)
	if err != nil {
		return err
	}
	for _, id := range r.Body.Connections {
		name, adapter := connectionWords(links, id)
		p.Devices = append(p.Devices, choice{Value: id.String(), Text: name + " (" + adapter + ")", Chosen: true})
	}
	var names []string
	for n := range r.Body.Params {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		p.Params = append(p.Params, pair{threat.Inert(n, 40), threat.Inert(r.Body.Params[n], maxName)})
	}
	if p.End {
		resp, err := k.deps.Store.Response(k.ctx(), r.ResponseID)
		if err != nil {
			return err
		}
		p.Held = p.when(resp.HoldFrom)
	}
	return nil
}

// evidenceShown is how many detections a question names.
const evidenceShown = 12

// evidence fills in the detections that name the target, or about which triage proposed this action, the newest first.
func (p *requestPage) evidence(k *call, r threat.Request, c threat.Case) error {
	const looked = 200
	list, err := k.deps.Store.DetectionsOfCase(k.ctx(), c.ID, max(c.LastDetection-looked, 0), looked)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		d := list[i]
		named, proposed := bears(d, r.Body)
		if !named && !proposed || len(p.Evidence) == evidenceShown {
			p.MoreFound++
			continue
		}
		row := evidenceRow{At: p.When(d.At), Title: threat.Inert(d.Title, maxText), Product: threat.Inert(d.Product, maxName),
			Severity: severityWord(d.Severity), Proposed: proposed}
		for _, t := range d.Techniques {
			row.Techniques = append(row.Techniques, threat.Inert(t, 40))
		}
		if row.Own, err = k.own(d); err != nil {
			return err
		}
		p.Evidence = append(p.Evidence, row)
	}
	p.MoreFound += int(max(c.LastDetection-looked, 0))
	return nil
}

// ownShown is how many of the customer's things a line of evidence names.
const ownShown = 4

// own gives what of the customer's a detection names, addresses with the assets that have them.
func (k *call) own(d threat.Detection) ([]targetRow, error) {
	var out []targetRow
	for _, o := range d.Observables {
		if o.Bearing != threat.BearingVictim || len(out) == ownShown {
			continue
		}
		row := targetRow{Kind: strings.ReplaceAll(threat.Inert(string(o.Kind), 40), "_", " "), Value: threat.Inert(o.Value, maxText)}
		if o.Kind == threat.ObservableIP {
			var err error
			if row, err = k.target(d.TenantID, threat.Target{Kind: threat.TargetIP, Value: o.Value}); err != nil {
				return nil, err
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// bears reports whether a detection names a target of the action, and whether triage proposed the action about it.
func bears(d threat.Detection, b threat.RequestBody) (named, proposed bool) {
	for _, t := range b.Targets {
		named = named || slices.ContainsFunc(d.Observables, func(o threat.Observable) bool { return o.Value == t.Value })
		proposed = proposed || slices.ContainsFunc(d.Proposals, func(x threat.Proposal) bool {
			return x.Verb == b.Verb && x.Target.Kind == t.Kind && x.Target.Value == t.Value
		})
	}
	return named, proposed
}

// people fills in who may decide and who has.
func (p *requestPage) people(k *call, r threat.Request, _ threat.Case) error {
	for _, v := range r.Votes {
		p.Votes = append(p.Votes, voteRow{Name: threat.Inert(v.Name, maxName), Role: roleWords(v.Role),
			Verdict: verdictWords(v.Verdict),
			Reason:  threat.Inert(v.Reason, maxReason), Surface: threat.Inert(v.Surface, 40), At: p.When(v.At)})
	}
	if slices.Contains(r.Approvers.Roles, threat.Contact) {
		list, err := k.contacts(r.TenantID)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.MayAuthorise(r.Body.Verb) {
				p.May = append(p.May, k.name(e.PersonID))
			}
		}
	}
	j, err := k.judge(r)
	p.Mine, p.Right = j.may, j.why
	return err
}

var steps = []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	8 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour}

// shorter gives durations below one, the longest first.
func shorter(d time.Duration) []choice {
	var out []choice
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i] < d {
			out = append(out, choice{Value: fmt.Sprint(int64(steps[i].Seconds())), Text: durationWords(steps[i])})
		}
	}
	if half := (d / 2).Truncate(time.Second); len(out) == 0 && half >= time.Second {
		out = append(out, choice{Value: fmt.Sprint(int64(half.Seconds())), Text: durationWords(half)})
	}
	return out
}

// narrowing reads what the form asks for as a smaller action. Nil when it is as large as what was asked.
func (k *call) narrowing(r threat.Request) (*threat.Narrowing, error) {
	n := &threat.Narrowing{}
	if s := k.r.PostForm.Get("seconds"); s != "" && s != "0" {
		var err error
		if n.Seconds, err = strconv.ParseInt(s, 10, 64); err != nil || n.Seconds < 1 || n.Seconds >= r.Body.Seconds {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "not a shorter duration", Place: "seconds"}
		}
	}
	for _, s := range k.r.PostForm["connection"] {
		id, err := uuid.Parse(s)
		if err != nil || !slices.Contains(r.Body.Connections, id) {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "not a device of this request", Place: "connection"}
		}
		if !slices.Contains(n.Connections, id) {
			n.Connections = append(n.Connections, id)
		}
	}
	if len(n.Connections) == 0 && len(r.Body.Connections) > 0 {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "no device is chosen", Place: "connection",
			Next: "choose one at least, or deny the request"}
	}
	if len(n.Connections) == len(r.Body.Connections) {
		n.Connections = nil
	}
	if n.Seconds == 0 && n.Connections == nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "it is as wide as what was asked", Place: "seconds",
			Next: "choose a shorter duration or fewer devices, or approve it as it is"}
	}
	return n, nil
}
