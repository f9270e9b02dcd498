package adapters

import (
	"fmt"
	"regexp"
	"sort"

	"github.com/firebreak/firebreak/internal/threat"
)

// Registry is the list of products that this program knows. It is made from an explicit list; nothing adds itself.
type Registry struct {
	products []Product
	place    map[string]int
}

var productName = regexp.MustCompile(`^[a-z][a-z0-9]{1,31}$`)

// NewRegistry takes the products in the order in which they are shown. Two of one name, a name that is no folder's, one
// without an opener, and a verb told twice are defects: Internal.
func NewRegistry(products ...Product) (*Registry, error) {
	r := &Registry{place: map[string]int{}}
	for _, p := range products {
		name := p.Info.Name
		if !productName.MatchString(name) || p.Info.Title == "" || p.Open == nil {
			return nil, threat.Faultf(threat.Internal, "product %q lacks a name, a title or an opener", name)
		}
		if _, twice := r.place[name]; twice {
			return nil, threat.Faultf(threat.Internal, "product %q stands twice", name)
		}
		verbs := map[string]bool{}
		for _, a := range p.Info.Verbs {
			switch a.Sending {
			case Natural, Keyed, Findable, Blind:
			default:
				return nil, threat.Faultf(threat.Internal, "product %q does not say how %q is sent twice", name, a.Verb)
			}
			if verbs[a.Verb] {
				return nil, threat.Faultf(threat.Internal, "product %q has the verb %q twice", name, a.Verb)
			}
			verbs[a.Verb] = true
		}
		r.place[name] = len(r.products)
		r.products = append(r.products, p)
	}
	return r, nil
}

// All gives every product in the list's order. The slice is the caller's.
func (r *Registry) All() []Product { return append([]Product(nil), r.products...) }

// Names gives every product's name in the list's order.
func (r *Registry) Names() []string {
	out := make([]string, len(r.products))
	for i, p := range r.products {
		out[i] = p.Info.Name
	}
	return out
}

// Find gives a product by name.
func (r *Registry) Find(name string) (Product, bool) {
	i, ok := r.place[name]
	if !ok {
		return Product{}, false
	}
	return r.products[i], true
}

// Verbs gives what a product can do; nothing for one that is not known.
func (r *Registry) Verbs(name string) []Ability {
	p, _ := r.Find(name)
	return append([]Ability(nil), p.Info.Verbs...)
}

// Ability gives what a product can do with a verb.
func (r *Registry) Ability(name, verb string) (Ability, bool) {
	p, _ := r.Find(name)
	return p.Info.Ability(verb)
}

// With gives the products that can do a verb, in the list's order.
func (r *Registry) With(verb string) []Product {
	var out []Product
	for _, p := range r.products {
		if _, ok := p.Info.Ability(verb); ok {
			out = append(out, p)
		}
	}
	return out
}

// Check refuses a connection's settings without opening it: NotFound for an unknown adapter, Invalid with the place for a
// setting that the adapter does not have or one that it needs.
func (r *Registry) Check(c threat.Connection) error {
	p, ok := r.Find(c.Adapter)
	if !ok {
		return &threat.Fault{Kind: threat.NotFound, What: fmt.Sprintf("no adapter is called %q", threat.Inert(c.Adapter, 64)),
			Place: "/adapter"}
	}
	known := map[string]bool{}
	for _, s := range p.Info.Settings {
		known[s.Name] = true
		if s.Required && c.Settings[s.Name] == "" {
			return &threat.Fault{Kind: threat.Invalid, What: p.Info.Title + " needs the setting " + s.Name, Place: "/settings/" + s.Name,
				Next: s.Meaning}
		}
	}
	names := make([]string, 0, len(c.Settings))
	for name := range c.Settings {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !known[name] {
			return &threat.Fault{Kind: threat.Invalid, Place: "/settings/" + threat.Inert(name, 64),
				What: fmt.Sprintf("%s has no setting %q", p.Info.Title, threat.Inert(name, 64))}
		}
	}
	return nil
}

// Opened is an adapter for one connection, wrapped. What the product cannot do is nil.
type Opened struct {
	Info     Info
	Device   *Device
	Detector Detector
	Notifier *Speaker
	Raw      any // as the opener gave it, for abilities beyond these
}

// Open checks a connection's settings, opens its adapter and wraps it. Faults are Check's, and the opener's own.
func (r *Registry) Open(c threat.Connection, secret string, o Options) (opened Opened, err error) {
	if err := r.Check(c); err != nil {
		return Opened{}, err
	}
	p, _ := r.Find(c.Adapter)
	o.Secrets = append(append([]string(nil), o.Secrets...), secret)
	opening := Wrap(nil, p.Info, o)
	var raw any
	if err := opening.guard("open", nil, func() (err error) { raw, err = p.Open(c, secret); return err }); err != nil {
		return Opened{}, err
	}
	out := Opened{Info: p.Info, Raw: raw}
	if a, ok := raw.(Actor); ok {
		out.Device = Wrap(a, p.Info, o)
	} else if len(p.Info.Verbs) > 0 {
		return Opened{}, threat.Faultf(threat.Internal, "%s declares verbs and is no actor", p.Info.Title)
	}
	if d, ok := raw.(Detector); ok {
		out.Detector = d
	}
	if n, ok := raw.(Notifier); ok {
		out.Notifier = WrapNotifier(n, p.Info, o)
	}
	return out, nil
}
