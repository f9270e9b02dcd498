//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ArtifactsEnv names a folder in which pictures of pages are kept. Without it they go with the test.
const ArtifactsEnv = "E2E_ARTIFACTS"

// pageTime is how long one step in a page may take on a busy machine.
const pageTime = 30 * time.Second

// Page is a tab of a real Chromium, with the person who looks at it.
type Page struct {
	ctx  context.Context
	base string
	t    testing.TB
}

// NewPage starts a Chromium of its own: its cookies are one person's.
func (s *Server) NewPage(most time.Duration) *Page {
	s.t.Helper()
	return &Page{ctx: Browser(s.t, most), base: s.URL, t: s.t}
}

func (p *Page) run(what string, steps ...chromedp.Action[chromedp.Void]) (status int64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	res, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		p.t.Fatalf("%s: %v; the page says:\n%s", what, err, tail(p.Text("body"), 2000))
	}
	if res == nil {
		return 0
	}
	return res.Status
}

// Open goes to an address, or to a path of the server, and gives the status of the answer.
func (p *Page) Open(address string) int64 {
	p.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = p.base + address
	}
	return p.run("open", chromedp.Navigate(address))
}

// Click clicks on what leads to another page, and gives the status of its answer.
func (p *Page) Click(selector string) int64 {
	p.t.Helper()
	return p.run("click on "+selector, chromedp.Click(selector))
}

// Press clicks on what stays on its page.
func (p *Page) Press(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(selector)); err != nil {
		p.t.Fatalf("press %s: %v", selector, err)
	}
}

// Freeze keeps the page as it is, as a tab that slept: what is new does not reach it any more.
func (p *Page) Freeze() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	n, err := chromedp.Run(ctx, chromedp.Evaluate[int](`(() => {
		const live = document.querySelectorAll("[data-live]");
		live.forEach((part) => part.removeAttribute("data-live"));
		return live.length;
	})()`))
	if err != nil || n == 0 {
		p.t.Fatalf("the page cannot be frozen: %d %v", n, err)
	}
}

// Choose picks a value of a list.
func (p *Page) Choose(selector, value string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.SetValue(selector, value)); err != nil {
		p.t.Fatalf("choose %s in %s: %v", value, selector, err)
	}
}

// Type writes into a field.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.SendKeys(selector, text)); err != nil {
		p.t.Fatalf("type into %s: %v", selector, err)
	}
}

// Text gives what a person reads of the first element that a selector finds; nothing when there is none.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`(document.querySelector(%s)||{}).innerText||""`, quoted)))
	if err != nil {
		return "" // between two pages
	}
	return text
}

// Shows waits until an element reads as it should: every text is in it.
func (p *Page) Shows(most time.Duration, selector string, texts ...string) {
	p.t.Helper()
	has := func() bool {
		got := p.Text(selector)
		for _, text := range texts {
			if !strings.Contains(got, text) {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(most)
	for !has() {
		if time.Now().After(deadline) {
			p.Picture("missing")
			p.t.Fatalf("%s never showed %q; it says:\n%s", selector, texts, tail(p.Text(selector), 2000))
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("Chromium ended: %v", p.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// SignIn opens a one-time link and presses its button.
func (p *Page) SignIn(link string) {
	p.t.Helper()
	p.Open(link)
	p.Click("#go")
}

// Picture keeps a picture of the whole page.
func (p *Page) Picture(name string) {
	p.t.Helper()
	dir := os.Getenv(ArtifactsEnv)
	if dir == "" {
		dir = p.t.TempDir()
	}
	ctx, cancel := context.WithTimeout(p.ctx, pageTime)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Errorf("a picture of %s: %v", name, err)
		return
	}
	file := filepath.Join(dir, strings.ReplaceAll(p.t.Name(), "/", "-")+"-"+name+".png")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
