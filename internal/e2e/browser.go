//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Browser starts a real Chromium with a new profile and gives the context for chromedp.Run. It ends with the test, and at
// the latest after the given time.
func Browser(t testing.TB, most time.Duration) context.Context {
	t.Helper()
	path := program(t, "chromium", "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.Flag("headless", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.WindowSize(1280, 1600),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := context.WithTimeout(context.Background(), most)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(leave)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}
