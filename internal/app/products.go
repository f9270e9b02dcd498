package app

import (
	"context"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/adapters/crowdsec"
	"github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/adapters/nftables"
	"github.com/firebreak/firebreak/adapters/pagerduty"
	"github.com/firebreak/firebreak/adapters/smtp"
	"github.com/firebreak/firebreak/adapters/suricata"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// products is the list of all products, in the order in which they are shown. The lab's pager is among them only where the
// lab is.
func products(s *store.Store, pager *lab.Pager) []adapters.Product {
	out := []adapters.Product{
		feed.Product(s, neverBlock(s), feed.Options{}),
		nftables.Product(),
		crowdsec.Product,
		suricata.Product,
		smtp.Product(smtp.Options{}),
		pagerduty.Product(pagerduty.Options{}),
		console.Product(),
	}
	if pager != nil {
		out = append(out, pager.Product())
	}
	return out
}

// sensors are the products that detections come from in a format of their own.
func sensors() []adapters.Product { return []adapters.Product{crowdsec.Product, suricata.Product} }

// neverBlock gives a tenant's never-block list with its own networks: neither is ever published.
func neverBlock(s *store.Store) feed.NeverBlock {
	return func(ctx context.Context, tenant uuid.UUID) ([]string, error) {
		set, err := s.EffectiveSettings(ctx, tenant)
		if err != nil {
			return nil, err
		}
		return append(set.Untouchable(), set.OwnNetworks...), nil
	}
}

// screen is the never-block list as the feed's handler asks for it.
func screen(s *store.Store) func(context.Context, threat.Connection, string, []string) ([]string, error) {
	return feed.Screen(neverBlock(s))
}
