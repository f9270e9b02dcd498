// Package console is the channel of the console itself: a message stands on the pages of whoever it is for, so that there is
// nothing to send, nothing to refuse it, and nothing that rings.
package console

import (
	"context"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Info describes the adapter.
var Info = adapters.Info{Name: "console", Title: "Console", Local: true}

// Product is the registry's row.
func Product() adapters.Product {
	return adapters.Product{Info: Info, Open: func(threat.Connection, string) (any, error) { return Console{}, nil }}
}

// Console takes every message: the attempt's own row is what the pages show.
type Console struct{}

var (
	_ adapters.Notifier = Console{}
	_ adapters.Tester   = Console{}
)

// Channel tells that the console does not ring, and that it brings answers back.
func (Console) Channel() adapters.Channel {
	return adapters.Channel{Name: Info.Name, Interruptive: false, TwoWay: true, Keyed: true}
}

// Notify accepts a message. Invalid for one without an attempt or a reader, which no page could show.
func (Console) Notify(_ context.Context, m adapters.Message) (adapters.Delivery, error) {
	switch {
	case m.AttemptID == uuid.Nil:
		return adapters.Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "a message without its attempt", Place: "/attempt_id"}
	case m.To == "":
		return adapters.Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "a message to nobody", Place: "/to"}
	}
	return adapters.Delivery{Accepted: true, ProviderID: "console:" + m.AttemptID.String(), Detail: "it stands on their page"}, nil
}

// Test has nothing to try.
func (Console) Test(context.Context) error { return nil }
