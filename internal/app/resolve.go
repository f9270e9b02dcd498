package app

import (
	"context"
	"net"
	"time"
)

// lookup bounds one look at where a name leads.
const lookup = time.Second

// leads gives the addresses to which a name leads now; none when it cannot be looked up in time.
func leads(ctx context.Context, name string) []string {
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil { // a name that leads nowhere is no reason to leave it be
		return nil
	}
	return found
}
