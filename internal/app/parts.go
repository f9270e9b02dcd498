package app

import (
	"net/http"

	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/store"
)

// Store gives the store to a program that starts the App in its own process, as the benchmark does. It ends with Close.
func (a *App) Store() *store.Store { return a.store }

// Access gives what says who may do what, as Store does.
func (a *App) Access() *access.Service { return a.access }

// Engine gives Temporal, as Store does.
func (a *App) Engine() *engine.Engine { return a.engine }

// Ingest gives what takes detections in, as Store does.
func (a *App) Ingest() *ingest.Service { return a.ingest }

// Handler gives what answers HTTP, for a program that serves it without Run.
func (a *App) Handler() (http.Handler, error) { return a.handler() }
