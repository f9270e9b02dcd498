package lab_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// minter keeps hashes in the real store, as internal/access does.
type minter struct {
	put func(ctx context.Context, by string, k threat.Token) (threat.Token, error)
}

func (m minter) IssueToken(ctx context.Context, by string, k threat.Token) (string, threat.Token, error) {
	secret := "fbt_" + uuid.NewString()
	sum := sha256.Sum256([]byte(secret))
	k.Hash = sum[:]
	kept, err := m.put(ctx, by, k)
	return secret, kept, err
}

// TestTheStoreIsSetUpOnce prepares a lab on a real store twice, as two starts do.
func TestTheStoreIsSetUpOnce(t *testing.T) {
	s := storetest.Open(t)
	ctx := t.Context()
	setup := lab.StoreSetup{Store: s, Tokens: minter{s.PutToken}}
	prepare := func() *lab.Lab {
		t.Helper()
		l, err := lab.New(lab.Options{BaseURL: "http://127.0.0.1:1", Setup: setup, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Prepare(ctx); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := prepare()
	first, err := l.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		slug string
		mode threat.Mode
	}{{"lab-night", threat.ModeCollaborate}, {"lab-authorize", threat.ModeAuthorize}, {"lab-unreachable", threat.ModeCollaborateUnreachable}} {
		o, err := s.Organisation(ctx, c.slug)
		if err != nil || !o.Simulated || !o.Tenant {
			t.Fatalf("%s: %+v %v", c.slug, o, err)
		}
		state, err := s.TenantState(ctx, o.ID)
		if err != nil || state.Mode != c.mode || state.ModeVersion != 1 {
			t.Errorf("%s: %+v %v", c.slug, state, err)
		}
		consents, err := s.Consents(ctx, o.ID)
		if err != nil || len(consents) != 1 || !strings.Contains(consents[0].Words, "simulated") {
			t.Errorf("%s: %+v %v", c.slug, consents, err)
		}
		contacts, err := s.Contacts(ctx, o.ID)
		if err != nil || len(contacts) == 0 || !contacts[0].MayAuthorise("block_ip") || len(contacts[0].Methods) != 2 {
			t.Errorf("%s: %+v %v", c.slug, contacts, err)
		}
		assets, err := s.Assets(ctx, o.ID)
		if err != nil || len(assets) != 5 || !slices.ContainsFunc(assets, func(a threat.Asset) bool { return a.Protected }) {
			t.Errorf("%s: %+v %v", c.slug, assets, err)
		}
		set, err := s.EffectiveSettings(ctx, o.ID)
		if err != nil || set.BlockFor.Duration() != time.Minute {
			t.Errorf("%s: %+v %v", c.slug, set, err)
		}
	}
	// Somebody tries something out; a second start leaves it.
	night, err := s.Organisation(ctx, "lab-night")
	if err != nil {
		t.Fatal(err)
	}
	person := first.People[0].ID
	if _, err := s.SetMode(ctx, "person:"+person.String(), threat.Consent{TenantID: night.ID, Mode: threat.ModeNotify, GivenBy: person,
		Words: "Never act."}); err != nil {
		t.Fatal(err)
	}
	second, err := prepare().View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if second.FeedURL == first.FeedURL || second.TenantID != first.TenantID || !slices.Equal(ids(second.People), ids(first.People)) {
		t.Errorf("%+v\n%+v", first, second)
	}
	state, err := s.TenantState(ctx, night.ID)
	if err != nil || state.Mode != threat.ModeNotify {
		t.Errorf("%+v %v", state, err)
	}
	tokens, err := s.Tokens(ctx, night.ID)
	if err != nil {
		t.Fatal(err)
	}
	usable := 0
	for _, k := range tokens {
		if k.Usable(time.Now()) {
			usable++
		}
	}
	if len(tokens) != 4 || usable != 2 {
		t.Errorf("%d tokens, %d of them usable", len(tokens), usable)
	}
	connections, err := s.Connections(ctx, night.ID)
	if err != nil || len(connections) != 3 {
		t.Errorf("%+v %v", connections, err)
	}
}

// TestSomebodyElsesTenantIsLeftAlone has a real customer under a name of the lab's.
func TestSomebodyElsesTenantIsLeftAlone(t *testing.T) {
	s := storetest.Open(t)
	root := storetest.Provider(t, s)
	if _, err := s.CreateOrganisation(t.Context(), threat.SystemActor, threat.Organisation{Kind: threat.Customer, Tenant: true, Slug: "lab-night",
		Name: "Lab Night", ParentID: uuid.NullUUID{UUID: root.ID, Valid: true}}); err != nil {
		t.Fatal(err)
	}
	setup := lab.StoreSetup{Store: s, Tokens: minter{s.PutToken}}
	if _, err := setup.EnsureTenant(t.Context(), lab.TenantPlan{Slug: "lab-night", Name: "Lab"}); !threat.Is(err, threat.Conflict) {
		t.Fatalf("it answered %v", err)
	}
	if o, err := s.Root(t.Context()); err != nil || o.Simulated {
		t.Errorf("%+v %v", o, err)
	}
}

func ids(people []threat.Person) []uuid.UUID {
	var out []uuid.UUID
	for _, p := range people {
		out = append(out, p.ID)
	}
	return out
}

var (
	_ lab.Store  = (*store.Store)(nil)
	_ lab.Minter = (*access.Service)(nil)
)
