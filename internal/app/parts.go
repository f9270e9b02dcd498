package app

import (
	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/store"
)

// Store gives the store to a program that starts the App in its own process, as the benchmark does. It ends with Close.
func (a *App) Store() *store.Store { return a.store }

// Access gives what says who may do what, as Store does.
func (a *App) Access() *access.Service { return a.access }

// Engine gives Temporal, as Store does.
func (a *App) Engine() *engine.Engine { return a.engine }
