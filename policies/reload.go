package policies

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch reads the directory anew after every change, once it has been quiet for the debounce, and now and then without a
// notice. Notices that cannot be had (a limit of the system, a remote file system) only make it slower.
func (e *Engine) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	w, err := fsnotify.NewWatcher()
	if err != nil {
		e.opts.Log.Warn("policy directory is only read now and then", "dir", e.opts.Dir, "every", e.opts.Rescan, "err", err)
		w = nil
	}
	e.addFolders(w)
	go e.follow(ctx, w)
}

func (e *Engine) follow(ctx context.Context, w *fsnotify.Watcher) {
	defer close(e.done)
	var events chan fsnotify.Event
	var errs chan error
	if w != nil {
		defer func() { _ = w.Close() }() // nothing is written through it
		events, errs = w.Events, w.Errors
	}
	rescan := time.NewTicker(e.opts.Rescan)
	defer rescan.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			quiet.Reset(e.opts.Debounce)
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			e.opts.Log.Warn("policy directory: a notice was lost", "dir", e.opts.Dir, "err", err)
			quiet.Reset(e.opts.Debounce)
		case <-quiet.C:
			e.addFolders(w) // a folder may be new
			e.Reload(ctx)
		case <-rescan.C:
			e.Reload(ctx)
		}
	}
}

// addFolders watches every folder of the bundle; fsnotify does not look below one.
func (e *Engine) addFolders(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	err := filepath.WalkDir(e.opts.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if path != e.opts.Dir && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return w.Add(path)
	})
	if err != nil && !os.IsNotExist(err) {
		e.opts.Log.Warn("policy directory is only read now and then", "dir", e.opts.Dir, "every", e.opts.Rescan, "err", err)
	}
}

// Reload reads the directory now. A bundle that cannot be taken leaves the one in force, and is told by Active, the log and
// the hooks of OnLoad; it is told once, not at every look.
func (e *Engine) Reload(ctx context.Context) Status {
	e.mu.Lock()
	before, tried, failed := e.active.Load().revision, e.tried, e.lastErr
	e.mu.Unlock()
	err := e.load(ctx)
	after := e.active.Load().revision
	e.mu.Lock()
	same := e.tried == tried && (err == nil) == (failed == nil) && before == after
	if err == nil {
		e.lastErr, e.errAt = nil, time.Time{}
		if before != after {
			e.reloads++
		}
	} else {
		if !same || failed.Error() != err.Error() {
			same = false
			e.errAt = e.opts.Now()
		}
		e.lastErr = err
	}
	hooks := e.onLoad
	e.mu.Unlock()
	s := e.Active()
	if same {
		return s
	}
	if err != nil {
		e.opts.Log.Error("policy bundle was not taken; the last good one stays in force", "dir", e.opts.Dir,
			"revision", s.Revision, "err", err)
	} else {
		e.opts.Log.Info("policy bundle in force", "dir", e.opts.Dir, "revision", s.Revision)
	}
	for _, fn := range hooks {
		fn(s)
	}
	return s
}
