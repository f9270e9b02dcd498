package plan

import (
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// MostHosts is how many hosts an action on every host is spread over.
const MostHosts = 2000

// Resolve gives a target whose asset is named by its id. A name, or an address, is looked up among the tenant's assets and
// has to be that of exactly one: on two of one name nothing is guessed. Targets that are not on an asset, and sessions of an
// account, come back as they are. The fault is Invalid, with the place.
func Resolve(t threat.Target, assets []threat.Asset) (threat.Target, error) {
	if !NeedsAssets(t) {
		return t, nil
	}
	head, rest, more := strings.Cut(strings.TrimSpace(t.Value), "/")
	id, err := uuid.Parse(head)
	if err != nil {
		if id, err = named(head, assets); err != nil {
			return t, err
		}
	}
	t.Value, t.AssetID = id.String(), uuid.NullUUID{UUID: id, Valid: true}
	if more {
		t.Value += "/" + rest
	}
	return t, nil
}

// NeedsAssets reports whether a target is, or is on, an asset, so that Resolve looks among them.
func NeedsAssets(t threat.Target) bool {
	return t.Kind.OnAsset() || t.Kind == threat.TargetSession && !strings.HasPrefix(t.Value, threat.AccountPrefix)
}

func named(name string, assets []threat.Asset) (uuid.UUID, error) {
	var found []threat.Asset
	address, isAddress := "", false
	if p, err := threat.CanonicalPrefix(name); err == nil && p.IsSingleIP() {
		address, isAddress = p.Addr().String(), true
	}
	for _, a := range assets {
		is := strings.EqualFold(a.Name, name)
		for _, text := range a.Addresses {
			is = is || isAddress && (text == address || text == address+"/32" || text == address+"/128")
		}
		if is {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return uuid.Nil, &threat.Fault{Kind: threat.Invalid, Place: "/target/value",
			What: "no asset of the tenant is called \"" + threat.Inert(name, 64) + "\"", Next: "add the asset, or give its id"}
	case 1:
		return found[0].ID, nil
	}
	return uuid.Nil, &threat.Fault{Kind: threat.Invalid, Place: "/target/value",
		What: "several assets of the tenant are called \"" + threat.Inert(name, 64) + "\"", Next: "give the id of the one that is meant"}
}

// Expand gives the proposals that one stands for: the same on the asset that it names, and one for each host of the tenant
// where it names every host, those that are offline too. The fault is Resolve's, or TooLarge for too many hosts.
func Expand(p threat.Proposal, assets []threat.Asset) ([]threat.Proposal, error) {
	if p.Target.Kind != threat.TargetAsset || p.Target.Value != threat.EveryHost {
		t, err := Resolve(p.Target, assets)
		p.Target = t
		return []threat.Proposal{p}, err
	}
	var out []threat.Proposal
	for _, a := range assets {
		if a.Kind != "host" {
			continue
		}
		one := p
		one.Target = threat.Target{Kind: threat.TargetAsset, Value: a.ID.String(), AssetID: uuid.NullUUID{UUID: a.ID, Valid: true}}
		out = append(out, one)
	}
	if len(out) > MostHosts {
		return nil, &threat.Fault{Kind: threat.TooLarge, What: "every host of the tenant is more than an action is spread over", Place: "/target/value"}
	}
	return out, nil
}
