package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/threat"
)

// frame is what every page has around its own part.
type frame struct {
	Title     string
	Here      string // the entry of Nav that is open
	Nav       []navItem
	Person    string // who is signed in; empty when nobody is
	Role      string
	Said      *said
	Now       time.Time
	RequestID string
	Version   string
	Live      bool   // the page has parts that the script keeps fresh
	Case      string // the id of the case that the page is about: events of others leave it alone
	Simulated bool   // what the page shows was made by the lab
	Style     string
	Script    string
	Events    string // kinds of the journal that the script listens to
}

func (f *frame) base() *frame { return f }

// pageData is the data of any page.
type pageData interface{ base() *frame }

// navItem is one place to go.
type navItem struct {
	Name, Path string
	Here       bool
}

// said is what the last click came to. Tone is one of the words' tones.
type said struct {
	Tone  tone   `json:"t"`
	Title string `json:"h"`
	Text  string `json:"x"`
}

// moment is a time as a page shows it.
type moment struct {
	ISO string // RFC 3339, for machines
	UTC string // for people
	Rel string // seen from now
}

// When gives a time beside its distance from now.
func (f *frame) When(t time.Time) moment {
	t = t.UTC()
	return moment{ISO: t.Format(time.RFC3339), UTC: t.Format("2006-01-02 15:04:05") + " UTC", Rel: relative(t.Sub(f.Now))}
}

// WhenP is When for a time that may be missing; a page asks first whether it is there.
func (f *frame) WhenP(t *time.Time) moment {
	if t == nil {
		return moment{}
	}
	return f.When(*t)
}

var navPages = []struct{ name, path, action string }{
	{"Queue", "/", "case.read"}, {"Cases", "/cases", "case.read"}, {"Tenants", "/tenants", "organisation.read"},
	{"Feeds", "/feeds", "feed.read"}, {"Policy", "/policy", "policy.read"}, {"Journal", "/journal", "journal.read"},
}

// frame makes a page's frame. Here is the path of its entry in the navigation.
func (k *call) frame(title, here string) frame {
	f := frame{Title: title, Here: here, Now: k.now, Version: threat.Inert(k.deps.Version, 40),
		Style: "/static/console.css?v=" + k.assets["console.css"].tag, Script: "/static/live.js?v=" + k.assets["live.js"].tag}
	if k.known && k.caller.IsPerson() {
		f.Person, f.Role = threat.Inert(k.caller.Name, maxName), rolesWords(k.caller.Grants)
		for _, n := range navPages {
			if k.mayAnywhere(n.action) {
				f.Nav = append(f.Nav, navItem{Name: n.name, Path: n.path, Here: n.path == here})
			}
		}
	}
	if k.deps.Lab != nil {
		f.Nav = append(f.Nav, navItem{Name: "Lab", Path: "/lab", Here: here == "/lab"})
	}
	f.Said = k.takeSaid()
	return f
}

// live marks a page as one that the script keeps fresh. An empty case listens to every event.
func (f *frame) live(caseID string) {
	f.Live, f.Case, f.Events = true, caseID, eventKinds
}

// render writes a page. A fragment is the page's own part without the frame around it.
func (k *call) render(status int, name string, data pageData) error {
	t, ok := k.pages[name]
	if !ok {
		return threat.Faultf(threat.Internal, "there is no template %s", name)
	}
	what := "layout"
	if k.fragment() {
		what = "main"
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, what, data); err != nil {
		return threat.Faultf(threat.Internal, "the page %s cannot be shown: %w", name, err)
	}
	k.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	k.w.WriteHeader(status)
	_, _ = b.WriteTo(k.w) // the reader may have gone away
	return nil
}

// parsePages parses every page's template with the layout and the parts that pages share.
func parsePages(files fs.FS) (map[string]*template.Template, error) {
	shared, err := template.New("shared").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	out := map[string]*template.Template{}
	for _, n := range names {
		name := strings.TrimSuffix(path.Base(n), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := shared.Clone()
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		if t, err = t.ParseFS(files, n); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		if t.Lookup("main") == nil {
			return nil, threat.Faultf(threat.Internal, "the template %s defines no main", n)
		}
		out[name] = t
	}
	return out, nil
}

// funcs are what templates may call beside their data.
var funcs = template.FuncMap{
	"inert": func(s string) string { return threat.Inert(s, maxText) },
	"short": func(s string) string { return threat.Inert(s, maxName) },
	"dur":   durationWords,
	"plural": func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	},
}

// Lengths of names and texts on a page, in characters; what is longer is cut, and marked.
const (
	maxName = 120
	maxText = 600
)

// sentence writes a fault's text as one: a capital first, a full stop last.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if last, _ := utf8.DecodeLastRuneInString(s); !strings.ContainsRune(".!?…", last) {
		s += "."
	}
	return s
}

// Cookies beside the session's.
const (
	saidCookie   = "firebreak_said"
	nextCookie   = "firebreak_next"
	saidLifetime = time.Minute
	nextLifetime = 15 * time.Minute
)

// cookie sets a cookie for one path. An empty value takes it away.
func (k *call) cookie(name, value string, lifetime time.Duration, at string) {
	c := &http.Cookie{Name: name, Value: base64.RawURLEncoding.EncodeToString([]byte(value)), Path: at, HttpOnly: true,
		Secure: k.deps.Secure, SameSite: http.SameSiteLaxMode, MaxAge: int(lifetime.Seconds())}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(k.w, c)
}

func (k *call) readCookie(name string) string {
	c, err := k.r.Cookie(name)
	if err != nil {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	return string(b)
}

// say keeps what a click came to for the page that follows it, and goes there.
func (k *call) say(to string, s said) error {
	s.Text = threat.Inert(s.Text, maxText)
	b, err := json.Marshal(s)
	if err != nil {
		return threat.Faultf(threat.Internal, "an answer cannot be kept: %w", err)
	}
	k.cookie(saidCookie, string(b), saidLifetime, path.Clean("/"+strings.TrimPrefix(to, "/")))
	return k.redirect(to)
}

// takeSaid reads what the last click came to, once.
func (k *call) takeSaid() *said {
	v := k.readCookie(saidCookie)
	if v == "" || k.r.Method != http.MethodGet || k.fragment() {
		return nil
	}
	k.cookie(saidCookie, "", 0, k.r.URL.Path)
	var s said
	if json.Unmarshal([]byte(v), &s) != nil || !s.Tone.known() {
		return nil
	}
	s.Title, s.Text = threat.Inert(s.Title, maxName), threat.Inert(s.Text, maxText)
	return &s
}
