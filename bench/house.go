package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/worker"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/app"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// house is the whole program in this process, on a directory of its own, with the probe as its only device.
type house struct {
	app   *app.App
	store *store.Store
	probe *probe
	base  string // where it is called
	http  *http.Client
	ended chan error
	stop  context.CancelFunc

	tenants int
	serial  int // of findings: each has an address of its own
}

// patience bounds everything that is waited for.
const patience = 3 * time.Minute

func openHouse(ctx context.Context, dir string, ports int, log *slog.Logger) (*house, error) {
	h := &house{probe: newProbe(), http: &http.Client{Timeout: time.Minute}, ended: make(chan error, 1)}
	var err error
	h.app, err = app.New(ctx, app.Config{Data: filepath.Join(dir, "data"), KeyFile: filepath.Join(dir, "key"), Listen: "127.0.0.1:0",
		MetricsListen: "off", Temporal: app.Temporal{BasePort: ports}, Version: "bench", Log: log,
		Announce: func(string) {}, Products: []adapters.Product{h.probe.Product()}})
	if err != nil {
		return nil, err
	}
	h.store, h.base = h.app.Store(), h.app.Base()
	run, stop := context.WithCancel(ctx)
	h.stop = stop
	go func() { h.ended <- h.app.Run(run) }()
	return h, nil
}

// close drains the program and ends it.
func (h *house) close(ctx context.Context) error {
	h.stop()
	err := <-h.ended
	if cerr := h.app.Close(ctx); err == nil {
		err = cerr
	}
	return err
}

// site is one tenant with a contact who is signed in, a console, and the probe.
type site struct {
	tenant  threat.Organisation
	sensor  string // a token
	session string
}

// site makes a tenant. A tenant's budget is 50 containments an hour, so that one serves few cases.
func (h *house) site(ctx context.Context, mode threat.Mode) (s site, err error) {
	const by = threat.SystemActor
	h.tenants++
	root, err := h.store.Root(ctx)
	if err != nil {
		return s, err
	}
	slug := fmt.Sprintf("bench-%d", h.tenants)
	if s.tenant, err = h.store.CreateOrganisation(ctx, by, threat.Organisation{ParentID: valid(root.ID), Kind: threat.Customer, Slug: slug,
		Name: slug, Tenant: true}); err != nil {
		return s, err
	}
	p, err := h.store.PutPerson(ctx, by, threat.Person{OrgID: s.tenant.ID, Name: "Contact", Email: slug + "@bench.invalid"})
	if err != nil {
		return s, err
	}
	if err := h.store.SetGrants(ctx, p.ID, []threat.Grant{{PersonID: p.ID, OrgID: s.tenant.ID, Role: threat.Contact}}, by); err != nil {
		return s, err
	}
	connect := func(adapter string) (threat.Connection, error) {
		return h.store.PutConnection(ctx, by, threat.Connection{TenantID: s.tenant.ID, Adapter: adapter, Name: adapter,
			ReachedFrom: threat.ReachedFromServer, Enabled: true})
	}
	console, err := connect("console")
	if err != nil {
		return s, err
	}
	if _, err := connect(probeName); err != nil {
		return s, err
	}
	if err := h.store.SetContacts(ctx, s.tenant.ID, []threat.ContactEntry{{TenantID: s.tenant.ID, PersonID: p.ID, Position: 1,
		Authorise: []string{"*"}, Methods: []threat.Method{{Channel: "console", ConnectionID: console.ID, Address: p.Email,
			Verified: true}}}}, by); err != nil {
		return s, err
	}
	if _, err := h.store.SetMode(ctx, "person:"+p.ID.String(), threat.Consent{TenantID: s.tenant.ID, Mode: mode, GivenBy: p.ID,
		Words: "as the benchmark needs it"}); err != nil {
		return s, err
	}
	if s.sensor, _, err = h.app.Access().IssueToken(ctx, by, threat.Token{OrgID: s.tenant.ID, Role: threat.Sensor, Kind: threat.TokenSensor,
		Name: "sensor"}); err != nil {
		return s, err
	}
	link, err := h.app.Access().SignInLink(ctx, p.ID, time.Hour)
	if err != nil {
		return s, err
	}
	_, s.session, err = h.app.Access().FollowLink(ctx, link[strings.LastIndexByte(link, '/')+1:], "127.0.0.1", "bench")
	return s, err
}

func valid(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: true} }

// attack is a critical finding that names an attacker's address which no other names: it opens a case, and a block of the
// address is proposed.
func (h *house) attack() (address string, body json.RawMessage) {
	h.serial++
	place := fmt.Sprintf("%d.%d.%d", 1+h.serial/62500, h.serial/250%250, 1+h.serial%250)
	address = "45." + place
	return address, finding(h.serial, 5, usual, `"evidences":[{"src_endpoint":{"ip":"`+address+`"},"dst_endpoint":{"ip":"10.`+place+`"}}]`)
}

// murmur is a low finding about nothing that is to be told or done: it opens a case that waits.
func (h *house) murmur() json.RawMessage {
	h.serial++
	return finding(h.serial, 2, usual, fmt.Sprintf(`"observables":[{"name":"user.name","type_id":4,"value":"u%d"}]`, h.serial))
}

// usual is about how many bytes a finding has.
const usual = 1200

// finding is an OCSF 1.8 Detection Finding of about so many bytes.
func finding(n, severity, size int, rest string) json.RawMessage {
	head := fmt.Sprintf(`{"activity_id":1,"category_uid":2,"class_uid":2004,"type_uid":200401,"severity_id":%d,"time":%d,`+
		`"metadata":{"version":"1.8.0","product":{"name":"Bench","vendor_name":"Firebreak"}},`+
		`"finding_info":{"uid":"bench-%d","title":"Finding %d","desc":"`, severity, time.Now().UnixMilli(), n, n)
	pad := max(0, size-len(head)-len(rest)-4)
	return json.RawMessage(head + strings.Repeat("0123456789abcdef", pad/16) + `"},` + rest + `}`)
}

// batch makes one body of findings.
func batch(n int, next func() json.RawMessage) []byte {
	list := make([]json.RawMessage, n)
	for i := range list {
		list[i] = next()
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // raw JSON of ours
	}
	return b
}

// send posts a body, and gives an error for any other answer than want.
func (h *house) send(ctx context.Context, path, token string, body []byte, want int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := h.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("POST %s: %s: %.300s", path, answer.Status, said)
	}
	return err
}

func (h *house) detect(ctx context.Context, s site, body []byte) error {
	return h.send(ctx, "/v1/tenants/"+s.tenant.Slug+"/detections", s.sensor, body, http.StatusAccepted)
}

// perSite is how many containments a tenant's budget lets go in an hour, for critical ones.
const perSite = 40

// posts measures from a POST to the probe's call, one case after the other, in authorize.
func (h *house) posts(ctx context.Context, n int) ([]time.Duration, error) {
	var out []time.Duration
	var s site
	for i := range n {
		if i%perSite == 0 {
			var err error
			if s, err = h.site(ctx, threat.ModeAuthorize); err != nil {
				return nil, err
			}
			if err := h.idle(ctx); err != nil {
				return nil, err
			}
		}
		address, body := h.attack()
		told := h.probe.expect(address)
		began := time.Now()
		if err := h.detect(ctx, s, body); err != nil {
			return nil, err
		}
		at, err := until(ctx, told)
		if err != nil {
			return nil, err
		}
		out = append(out, at.Sub(began))
		if err := h.idle(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// clicks measures from an approval to the probe's call, one after the other. The workflows have left the cache before each:
// people take longer than a cache keeps.
func (h *house) clicks(ctx context.Context, n int) ([]time.Duration, error) {
	var out []time.Duration
	for len(out) < n {
		s, err := h.site(ctx, threat.ModeCollaborate)
		if err != nil {
			return nil, err
		}
		if err := h.ask(ctx, []site{s}, min(n-len(out), perSite)); err != nil {
			return nil, err
		}
		list, err := h.store.OpenRequests(ctx, []uuid.UUID{s.tenant.ID}, perSite)
		if err != nil {
			return nil, err
		}
		for _, q := range list {
			took, err := h.click(ctx, s, q)
			if err != nil {
				return nil, err
			}
			out = append(out, took)
		}
	}
	return out, nil
}

func (h *house) click(ctx context.Context, s site, q threat.Request) (time.Duration, error) {
	body, err := json.Marshal(wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest})
	if err != nil {
		return 0, err
	}
	told := h.probe.expect(q.Body.Targets[0].Value)
	worker.PurgeStickyWorkflowCache()
	began := time.Now()
	if err := h.send(ctx, "/v1/requests/"+q.ID.String()+"/verdicts", s.session, body, http.StatusOK); err != nil {
		return 0, err
	}
	at, err := until(ctx, told)
	if err != nil {
		return 0, err
	}
	return at.Sub(began), h.idle(ctx)
}

// ask opens n cases with one body for each tenant, and waits until each waits for a person: its request is open, its
// contact is told, and no nudge is left.
func (h *house) ask(ctx context.Context, sites []site, n int) error {
	var ids []uuid.UUID
	for _, s := range sites {
		ids = append(ids, s.tenant.ID)
		if err := h.detect(ctx, s, batch(n, func() json.RawMessage { _, f := h.attack(); return f })); err != nil {
			return err
		}
	}
	return poll(ctx, "cases that ask", func() (bool, error) {
		list, err := h.store.OpenRequests(ctx, ids, n*len(sites)+1)
		if err != nil || len(list) < n*len(sites) {
			return false, err
		}
		waiting, _, err := h.store.OutboxDepth(ctx)
		return waiting == 0, err
	})
}

// burst measures how many cases a second reach their wait when many are opened at once.
func (h *house) burst(ctx context.Context, n int) (float64, error) {
	const tenants = 4
	var sites []site
	for range tenants {
		s, err := h.site(ctx, threat.ModeCollaborate)
		if err != nil {
			return 0, err
		}
		sites = append(sites, s)
	}
	if err := h.idle(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := h.ask(ctx, sites, n/tenants); err != nil {
		return 0, err
	}
	return float64(n/tenants*tenants) / time.Since(began).Seconds(), nil
}

// openAtOnce is how many cases are opened before they are waited for.
const openAtOnce = 500

// open opens cases that wait for nothing but time, until there are n, and gives how many there are.
func (h *house) open(ctx context.Context, n int) (int, error) {
	have, err := h.count(ctx, "case")
	if err != nil || have >= n {
		return have, err
	}
	s, err := h.site(ctx, threat.ModeCollaborate)
	if err != nil {
		return have, err
	}
	for have < n {
		wanted := min(n, have+openAtOnce)
		if err := h.detect(ctx, s, batch(wanted-have, h.murmur)); err != nil {
			return have, err
		}
		if err := poll(ctx, "cases that wait", func() (bool, error) {
			have, err = h.count(ctx, "case")
			if err != nil || have < wanted {
				return false, err
			}
			waiting, _, err := h.store.OutboxDepth(ctx)
			return waiting == 0, err
		}); err != nil {
			return have, err
		}
	}
	return have, h.idle(ctx)
}

// count counts what is open of a kind.
func (h *house) count(ctx context.Context, kind string) (n int, err error) {
	for after := uuid.Nil; ; {
		page, err := h.store.OpenSubjects(ctx, kind, after, 1000)
		if err != nil {
			return n, err
		}
		n += len(page)
		if len(page) < 1000 {
			return n, nil
		}
		after = page[len(page)-1].SubjectID
	}
}

// idle waits until no nudge has been on its way for a moment.
func (h *house) idle(ctx context.Context) error {
	calm := 0
	return poll(ctx, "quiet", func() (bool, error) {
		waiting, _, err := h.store.OutboxDepth(ctx)
		if calm++; waiting > 0 {
			calm = 0
		}
		return calm >= calmPolls, err
	})
}

const (
	pollEvery = 10 * time.Millisecond
	calmPolls = 15
)

// poll asks until something is so.
func poll(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		is, err := ok()
		if err != nil || is {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

func until(ctx context.Context, told <-chan time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case at := <-told:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("the probe was not told to act: %w", ctx.Err())
	}
}
