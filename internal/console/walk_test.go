package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/net/html"
)

// answer is what a browser got, read as HTML.
type answer struct {
	*httptest.ResponseRecorder
	doc *html.Node
}

// get fetches a page as a person; uuid.Nil is nobody.
func (w *world) get(t testing.TB, person uuid.UUID, path string, cookies ...*http.Cookie) answer {
	t.Helper()
	return w.send(t, person, httptest.NewRequest(http.MethodGet, path, nil), cookies...)
}

// post sends a form as a browser does that shows our own page.
func (w *world) post(t testing.TB, person uuid.UUID, path string, form url.Values, cookies ...*http.Cookie) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.send(t, person, r, cookies...)
}

func (w *world) send(t testing.TB, person uuid.UUID, r *http.Request, cookies ...*http.Cookie) answer {
	t.Helper()
	if person != uuid.Nil {
		r.AddCookie(as(person))
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.console(t).ServeHTTP(rec, r)
	doc, err := html.Parse(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return answer{rec, doc}
}

// cookie finds a cookie that the answer sets.
func (a answer) cookie(name string) *http.Cookie {
	for _, c := range a.Result().Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// all gives the elements that a condition takes, in the order of the page.
func all(n *html.Node, is func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for x := range n.Descendants() {
		if x.Type == html.ElementNode && is(x) {
			out = append(out, x)
		}
	}
	return out
}

func tag(names ...string) func(*html.Node) bool {
	return func(n *html.Node) bool {
		for _, name := range names {
			if n.Data == name {
				return true
			}
		}
		return false
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// text gives an element's text with its blanks drawn together.
func text(n *html.Node) string {
	var b strings.Builder
	for x := range n.Descendants() {
		if x.Type == html.TextNode {
			b.WriteString(x.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// byID gives the element with an id.
func (a answer) byID(t testing.TB, id string) *html.Node {
	t.Helper()
	found := all(a.doc, func(n *html.Node) bool { return attr(n, "id") == id })
	if len(found) != 1 {
		t.Fatalf("%d elements with the id %s in:\n%s", len(found), id, a.Body)
	}
	return found[0]
}

// section gives the text of the element with an id.
func (a answer) section(t testing.TB, id string) string {
	t.Helper()
	return text(a.byID(t, id))
}

// class gives the text of the elements of a class.
func (a answer) class(name string) []string {
	var out []string
	for _, n := range all(a.doc, func(n *html.Node) bool { return strings.Contains(" "+attr(n, "class")+" ", " "+name+" ") }) {
		out = append(out, text(n))
	}
	return out
}

// want fails unless a text holds each of the others.
func want(t testing.TB, where, got string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q:\n%s", where, w, got)
		}
	}
}

func wantNot(t testing.TB, where, got string, not ...string) {
	t.Helper()
	for _, w := range not {
		if strings.Contains(got, w) {
			t.Errorf("%s holds %q:\n%s", where, w, got)
		}
	}
}

func (a answer) status(t testing.TB, code int) answer {
	t.Helper()
	if a.Code != code {
		t.Fatalf("status %d instead of %d:\n%s", a.Code, code, text(a.doc))
	}
	return a
}

// sound walks a whole page and tells everything about it that a reader, a keyboard, a screen reader or the content policy
// would stumble over.
func sound(t testing.TB, a answer) {
	t.Helper()
	bad := func(format string, args ...any) { t.Errorf(format, args...) }
	ids := map[string]bool{}
	for _, n := range all(a.doc, func(n *html.Node) bool { return has(n, "id") }) {
		if ids[attr(n, "id")] || attr(n, "id") == "" {
			bad("the id %q stands twice or is empty", attr(n, "id"))
		}
		ids[attr(n, "id")] = true
	}
	if h := all(a.doc, tag("h1")); len(h) != 1 || text(h[0]) == "" {
		bad("%d headings of level 1", len(h))
	}
	level := 0
	for _, h := range all(a.doc, tag("h1", "h2", "h3", "h4", "h5", "h6")) {
		l := int(h.Data[1] - '0')
		if l > level+1 {
			bad("a heading of level %d after one of %d: %s", l, level, text(h))
		}
		level = l
	}
	for _, name := range []string{"header", "main", "footer"} {
		if n := all(a.doc, tag(name)); len(n) != 1 {
			bad("%d %s landmarks", len(n), name)
		}
	}
	for _, n := range all(a.doc, tag("nav")) {
		if attr(n, "aria-label") == "" {
			bad("a nav without a name")
		}
	}
	if h := all(a.doc, tag("html")); attr(h[0], "lang") == "" {
		bad("no language")
	}
	if h := all(a.doc, tag("title")); len(h) != 1 || strings.HasPrefix(text(h[0]), "·") {
		bad("no title")
	}
	controls(a, ids, bad)
	policyKept(a, bad)
	words(a, bad)
}

// controls checks that what can be operated has a name, and that names are there.
func controls(a answer, ids map[string]bool, bad func(string, ...any)) {
	labels := map[string]string{}
	for _, n := range all(a.doc, tag("label")) {
		labels[attr(n, "for")] = text(n)
		if !ids[attr(n, "for")] {
			bad("a label for %q, which is not there", attr(n, "for"))
		}
	}
	for _, n := range all(a.doc, tag("input", "select", "textarea")) {
		if attr(n, "type") != "hidden" && labels[attr(n, "id")] == "" {
			bad("the control %q has no label", attr(n, "name"))
		}
	}
	for _, n := range all(a.doc, tag("button", "a", "summary", "legend", "th")) {
		if text(n) == "" {
			bad("a %s without a name (%v)", n.Data, n.Attr)
		}
	}
	for _, n := range all(a.doc, tag("a")) {
		if h := attr(n, "href"); !strings.HasPrefix(h, "/") && !strings.HasPrefix(h, "#") {
			bad("a link to %q", h)
		} else if strings.HasPrefix(h, "#") && !ids[h[1:]] {
			bad("a link to %q, which is not there", h)
		}
	}
	for _, n := range all(a.doc, tag("form")) {
		if !strings.HasPrefix(attr(n, "action"), "/") {
			bad("a form that goes to %q", attr(n, "action"))
		}
		if len(all(n, tag("button"))) == 0 {
			bad("a form without a button")
		}
	}
	for _, n := range all(a.doc, func(n *html.Node) bool { return has(n, "aria-labelledby") }) {
		if !ids[attr(n, "aria-labelledby")] {
			bad("aria-labelledby names %q, which is not there", attr(n, "aria-labelledby"))
		}
	}
	for _, n := range all(a.doc, tag("section")) {
		if attr(n, "aria-labelledby") == "" && attr(n, "aria-label") == "" {
			bad("a section without a name")
		}
	}
	for _, n := range all(a.doc, tag("img")) {
		if !has(n, "alt") {
			bad("an image without alt")
		}
	}
	for _, n := range all(a.doc, tag("th")) {
		if attr(n, "scope") == "" {
			bad("a header cell without a scope")
		}
	}
}

// policyKept checks what the content policy forbids, and that nothing comes from elsewhere.
func policyKept(a answer, bad func(string, ...any)) {
	for _, n := range all(a.doc, func(*html.Node) bool { return true }) {
		for _, x := range n.Attr {
			if x.Key == "style" || strings.HasPrefix(x.Key, "on") {
				bad("an inline %s", x.Key)
			}
			if (x.Key == "src" || n.Data == "link" && x.Key == "href") && !strings.HasPrefix(x.Val, "/static/") {
				bad("%s comes from %s", n.Data, x.Val)
			}
		}
		switch n.Data {
		case "style", "iframe", "object", "embed", "base", "evil":
			bad("an element %s", n.Data)
		case "script":
			if n.FirstChild != nil {
				bad("an inline script")
			}
		}
	}
}

// words checks that no text hides, turns round or floods.
func words(a answer, bad func(string, ...any)) {
	for n := range a.doc.Descendants() {
		if n.Type != html.TextNode {
			continue
		}
		for _, r := range n.Data {
			if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && r != '\n' && r != '\t' {
				bad("a text with %U: %.60q", r, n.Data)
				break
			}
		}
		if strings.Contains(n.Data, strings.Repeat("A", 2500)) {
			bad("a text that floods: %.60q", n.Data)
		}
		if strings.Contains(n.Data, "%!") || strings.Contains(n.Data, "<nil>") || strings.Contains(n.Data, "ZgotmplZ") {
			bad("a broken text: %.80q", n.Data)
		}
	}
	for _, n := range all(a.doc, func(n *html.Node) bool { return true }) {
		for _, x := range n.Attr {
			if strings.Contains(x.Val, "ZgotmplZ") || strings.ContainsRune(x.Val, '\u202e') {
				bad("a broken attribute %s: %.80q", x.Key, x.Val)
			}
		}
	}
}

// visit is a page and who reads it; uuid.Nil is nobody.
type visit struct {
	person uuid.UUID
	path   string
}

// every lists the pages with everybody who reads them.
func every() []visit {
	out := []visit{{uuid.Nil, "/signin"}, {uuid.Nil, "/signin/signin-grace"}, {uuid.Nil, "/ack/ack-grace"},
		{uuid.Nil, "/lab"}, {uuid.Nil, "/nothing"}}
	for _, who := range []uuid.UUID{analystID, contactID, secondID, auditorID, adminID} {
		for _, path := range []string{"/", "/cases", "/cases?which=all&tenant=northwind", "/cases/FB-1042", "/cases/FB-1041",
			"/requests/" + requestID1.String(),
			"/requests/" + endRequestID.String(), "/requests/" + eastRequestID.String(), "/tenants", "/tenants/northwind",
			"/tenants/watch",
			"/tenants/northwind/mode?mode=authorize&eradicate=true", "/tenants/northwind/mode?mode=notify",
			"/tenants/northwind/stop",
			"/tenants/watch/stop", "/policy", "/feeds", "/journal", "/journal?org=northwind&before=60", "/lab", "/signin",
			"/nothing"} {
			out = append(out, visit{who, path})
		}
	}
	return out
}

func pageName(person uuid.UUID, path string) string { return fmt.Sprintf("%s as %d", path, person[15]) }
