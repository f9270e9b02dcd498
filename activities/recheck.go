package activities

import (
	"context"
	"fmt"
	"net/url"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// untouchable lets go of what stands and must not be touched any more: a list or a protection was changed since it was
// decided. Whoever changed it has said so, and the provider is called.
func (s *Response) untouchable(ctx context.Context, v view) (Next, error) {
	if verb.Once(v.r.Verb) || !v.holds() {
		return Next{}, nil
	}
	st, err := s.Store.TenantState(ctx, v.r.TenantID)
	if err != nil || st.ProtectionVersion == v.r.Facts.Protection {
		return Next{}, err
	}
	assets, err := s.Store.AssetsTouched(ctx, v.r.TenantID, v.r.Target)
	if err != nil {
		return Next{}, err
	}
	no := guard.Recheck(v.r.Action, v.set, s.Ours, assets)
	if no.OK() {
		return Next{}, nil
	}
	s.page(ctx, v.r, "untouchable", fmt.Sprintf("%s is let go, though the case may be active: %s", what(v.r), threat.Inert(no.Why, 200)))
	return s.letGo(ctx, v.r, "it must not be touched any more: "+no.Why)
}

// leads gives the addresses to which a response's target leads now. It is only looked up where a list could hold one of them.
func (s *Response) leads(ctx context.Context, v view) []string {
	if s.Resolve == nil || len(v.set.Untouchable()) == 0 {
		return nil
	}
	name := v.r.Target.Value
	switch v.r.Target.Kind {
	case threat.TargetDomain:
	case threat.TargetURL:
		u, err := url.Parse(name)
		if err != nil {
			return nil
		}
		name = u.Hostname()
	default:
		return nil
	}
	return s.Resolve(ctx, name)
}
