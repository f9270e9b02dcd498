// Package storetest opens stores for tests and fills them with the least that a test needs: a provider, a tenant, a person.
package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// PostgresEnv names the variable with the address of a PostgreSQL in which tests may make databases. Without it those that
// need one are skipped by name.
const PostgresEnv = "FIREBREAK_TEST_POSTGRES"

// StoreEnv names the variable that has every test's store on PostgreSQL when it is "postgres". Otherwise they run on SQLite.
const StoreEnv = "FIREBREAK_TEST_STORE"

// Clock is a clock that stands still until it is moved. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock gives a clock that stands at 2026-03-02 08:00 UTC, a Monday.
func NewClock() *Clock { return &Clock{at: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)} }

// Now tells the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Option changes how a store is opened.
type Option func(*store.Options)

// WithClock has the store tell the time by a clock.
func WithClock(c *Clock) Option { return func(o *store.Options) { o.Now = c.Now } }

// WithNow has the store tell the time by a function.
func WithNow(now func() time.Time) Option { return func(o *store.Options) { o.Now = now } }

// WithKeys opens the store under a keyring, so that it can be opened again.
func WithKeys(k *secret.Keyring) Option { return func(o *store.Options) { o.Keys = k } }

// WithURL opens a database that is there already.
func WithURL(address string) Option { return func(o *store.Options) { o.URL = address } }

// URL gives the address of a fresh, empty database of the test: a SQLite file, or, when FIREBREAK_TEST_STORE says so, a
// PostgreSQL database that is dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	if os.Getenv(StoreEnv) == "postgres" {
		return PostgresURL(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "firebreak.db")
}

// PostgresURL gives the address of a fresh PostgreSQL database. The test is skipped, by name, where there is none.
func PostgresURL(t testing.TB) string {
	t.Helper()
	address := os.Getenv(PostgresEnv)
	if address == "" {
		t.Skipf("%s: %s names no PostgreSQL", t.Name(), PostgresEnv)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%s cannot be read as an address", PostgresEnv)
	}
	name := "firebreak_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin(t, address, `CREATE DATABASE `+name)
	t.Cleanup(func() { admin(t, address, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`) })
	u.Path = "/" + name
	return u.String()
}

// Open opens a store on a fresh database, and closes it when the test ends.
func Open(t testing.TB, opts ...Option) *store.Store {
	t.Helper()
	o := store.Options{}
	for _, opt := range opts {
		opt(&o)
	}
	if o.Keys == nil {
		o.Keys = secret.Ephemeral()
	}
	if o.URL == "" {
		o.URL = URL(t)
	}
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// Provider gives the root of the tree, and makes it when it is not there.
func Provider(t testing.TB, s *store.Store) threat.Organisation {
	t.Helper()
	o, err := s.Root(context.Background())
	if threat.Is(err, threat.NotFound) {
		o, err = s.CreateOrganisation(context.Background(), threat.SystemActor, threat.Organisation{Kind: threat.Provider,
			Slug: "provider", Name: "Provider"})
	}
	if err != nil {
		t.Fatalf("the provider: %v", err)
	}
	return o
}

var counted sync.Map // *store.Store -> *counter

type counter struct {
	mu sync.Mutex
	n  int
}

func next(s *store.Store) int {
	v, _ := counted.LoadOrStore(s, &counter{})
	c := v.(*counter)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// Tenant makes a customer below the provider, with one person who is its first authorised contact for every verb and may
// change its mode. Slugs and addresses count up: customer-1, contact-1@example.com.
func Tenant(t testing.TB, s *store.Store) threat.Organisation {
	t.Helper()
	ctx := context.Background()
	root := Provider(t, s)
	n := next(s)
	o, err := s.CreateOrganisation(ctx, threat.SystemActor, threat.Organisation{Kind: threat.Customer, Tenant: true,
		ParentID: uuid.NullUUID{UUID: root.ID, Valid: true}, Slug: fmt.Sprintf("customer-%d", n), Name: fmt.Sprintf("Customer %d", n)})
	if err != nil {
		t.Fatalf("the tenant: %v", err)
	}
	p := Person(t, s, o, fmt.Sprintf("contact-%d@example.com", n), threat.Contact)
	if err := s.SetContacts(ctx, o.ID, []threat.ContactEntry{{PersonID: p.ID, Position: 1, Authorise: []string{"*"},
		ChangeMode: true}}, threat.SystemActor); err != nil {
		t.Fatalf("the contacts: %v", err)
	}
	return o
}

// Person makes a person of an organisation, with roles over it.
func Person(t testing.TB, s *store.Store, o threat.Organisation, email string, roles ...threat.Role) threat.Person {
	t.Helper()
	ctx := context.Background()
	name, _, _ := strings.Cut(email, "@")
	p, err := s.PutPerson(ctx, threat.SystemActor, threat.Person{OrgID: o.ID, Name: name, Email: email})
	if err != nil {
		t.Fatalf("the person: %v", err)
	}
	var grants []threat.Grant
	for _, r := range roles {
		grants = append(grants, threat.Grant{PersonID: p.ID, OrgID: o.ID, Role: r})
	}
	if err := s.SetGrants(ctx, p.ID, grants, threat.SystemActor); err != nil {
		t.Fatalf("the grants: %v", err)
	}
	return p
}

// Contact gives the first authorised contact of a tenant.
func Contact(t testing.TB, s *store.Store, o threat.Organisation) threat.Person {
	t.Helper()
	list, err := s.Contacts(context.Background(), o.ID)
	if err != nil || len(list) == 0 {
		t.Fatalf("%s has no contact: %v", o.Slug, err)
	}
	p, err := s.Person(context.Background(), list[0].PersonID)
	if err != nil {
		t.Fatalf("the contact: %v", err)
	}
	return p
}

// SetMode has a tenant's first contact consent to a mode.
func SetMode(t testing.TB, s *store.Store, o threat.Organisation, m threat.Mode) threat.TenantState {
	t.Helper()
	p := Contact(t, s, o)
	st, err := s.SetMode(context.Background(), "person:"+p.ID.String(), threat.Consent{TenantID: o.ID, Mode: m, GivenBy: p.ID,
		Words: "I agree to " + string(m) + ".", Language: "en"})
	if err != nil {
		t.Fatalf("the mode: %v", err)
	}
	return st
}

// Connection makes an enabled connection of a tenant.
func Connection(t testing.TB, s *store.Store, o threat.Organisation, adapter string) threat.Connection {
	t.Helper()
	c, err := s.PutConnection(context.Background(), threat.SystemActor, threat.Connection{TenantID: o.ID, Adapter: adapter,
		Name: fmt.Sprintf("%s %d", adapter, next(s)), Enabled: true})
	if err != nil {
		t.Fatalf("the connection: %v", err)
	}
	return c
}
