package nftables

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// list reads our table. One that is not there is an empty one; so is the kernel before nf_tables was ever used.
func (f *Firewall) list(ctx context.Context) (listed, error) {
	out, err := f.runner.Run(ctx, []string{"-j", "list", "table", "inet", f.settings.Table}, nil)
	if err != nil {
		return listed{}, err
	}
	if err := failed(out); threat.Is(err, threat.NotFound) {
		return listed{}, nil
	} else if threat.Is(err, threat.Unknown) { // a list changes nothing
		return listed{}, &threat.Fault{Kind: threat.Unavailable, What: "nft could not list the table", Err: err}
	} else if err != nil {
		return listed{}, err
	}
	l, err := parse(out.Stdout)
	if err != nil {
		return l, &threat.Fault{Kind: threat.Unavailable, What: "nft's list is not the JSON that was expected", Err: err}
	}
	return l, nil
}

// commit sends commands as one transaction: all of them take effect, or none.
func (f *Firewall) commit(ctx context.Context, cmds []obj) error {
	b, err := json.Marshal(obj{"nftables": cmds})
	if err != nil {
		return threat.Faultf(threat.Internal, "nft commands: %w", err)
	}
	out, err := f.runner.Run(ctx, []string{"-j", "-f", "-"}, b)
	if err != nil {
		return err
	}
	return failed(out)
}

// find gives the element that bears on an order: in its own set first, then, for one direction, in the set for both,
// where somebody may have blocked the address already, or we before the direction was narrowed.
func (l listed) find(e element) (set string, found entry, ok bool) {
	for _, set := range []string{e.set, setName(both, e.addr)} {
		if x, ok := l.sets[set][e.addr]; ok {
			return set, x, true
		}
	}
	return "", entry{}, false
}

// Read lists the table: whether the address is in the set, by whose mark, and whether the rules that make the set matter
// are where they should be.
func (f *Firewall) Read(ctx context.Context, o adapters.Order) (adapters.Reading, error) {
	e, err := f.element(o)
	if err != nil {
		return adapters.Reading{}, err
	}
	l, err := f.list(ctx)
	if err != nil {
		return adapters.Reading{}, err
	}
	now := f.now().UTC()
	set, x, ok := l.find(e)
	if !ok {
		return adapters.Reading{Presence: adapters.Absent, At: now, Detail: e.addr.String() + " is in no set of the table " + f.settings.Table}, nil
	}
	r := adapters.Reading{Presence: adapters.Foreign, InForce: l.stands(f.settings, set), Handle: handle(f.settings, set, e), At: now}
	if o.Owns(x.Comment) {
		r.Presence = adapters.Ours
	}
	r.Detail = fmt.Sprintf("%s is in the set %s, marked %q", e.addr, set, threat.Inert(x.Comment, 64))
	if x.Timeout > 0 {
		ends := now.Add(time.Duration(x.Expires) * time.Second)
		r.DeviceEnds = &ends
		r.Detail += ", and leaves it by itself in " + (time.Duration(x.Expires) * time.Second).String()
	}
	if !r.InForce {
		r.Detail += "; the rules that drop what is in the set are not in place"
	}
	if prior, err := json.Marshal(x); err == nil && r.Presence == adapters.Foreign {
		r.Prior = prior
	}
	return r, nil
}

func handle(s Settings, set string, e element) string {
	return "inet " + s.Table + " " + set + " " + e.addr.String()
}

// Apply adds the element with `create`, which fails when it is there: between our look and our change nobody's entry is
// taken for ours. (`add` of an element that is there is passed over or sets its time-out anew, by the kernel's version.)
func (f *Firewall) Apply(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.element(o)
	if err != nil {
		return adapters.Receipt{}, err
	}
	for try := 0; ; try++ {
		l, err := f.list(ctx)
		if err != nil {
			return adapters.Receipt{}, before(err)
		}
		var cmds []obj
		if !l.stands(f.settings, "") {
			cmds = f.settings.build()
		}
		set, x, there := l.find(e)
		receipt := adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: handle(f.settings, e.set, e)}
		switch {
		case there && o.Overtaken(x.Comment):
			return adapters.Receipt{}, overtaken()
		case there && !o.Owns(x.Comment):
			receipt.Adopted, receipt.Handle = true, handle(f.settings, set, e)
			receipt.Detail = fmt.Sprintf("it was blocked already by an entry that is not ours (%q)", threat.Inert(x.Comment, 64))
			if len(cmds) == 0 {
				return receipt, nil
			}
		case there && x.Comment == o.Mark && set == e.set && near(x, f.timeout(o)):
			receipt.Detail = "it stood there already under our mark"
			if len(cmds) == 0 {
				return receipt, nil
			}
		default:
			if there {
				cmds = append(cmds, f.settings.elements("delete", set, e.addr.String()))
			}
			cmds = append(cmds, f.settings.elements("create", e.set, f.fresh(o, e)))
		}
		err = f.commit(ctx, cmds)
		if err == nil {
			return receipt, nil
		}
		if (threat.Is(err, threat.Conflict) || threat.Is(err, threat.NotFound)) && try == 0 {
			continue // somebody was there between our look and our change: look again
		}
		return adapters.Receipt{}, err
	}
}

// fresh is the element as we write it.
func (f *Firewall) fresh(o adapters.Order, e element) obj {
	return obj{"elem": obj{"val": e.addr.String(), "timeout": int64(f.timeout(o) / time.Second), "comment": o.Mark}}
}

// near reports whether an element of ours ends when it should, give or take the seconds that nft does not show.
func near(x entry, want time.Duration) bool {
	d := time.Duration(x.Expires)*time.Second - want
	return x.Timeout > 0 && d >= -2*time.Second && d <= 2*time.Second
}

// before makes clear that what failed came before any change.
func before(err error) error {
	if threat.KindOf(err) != threat.Internal {
		return err
	}
	return &threat.Fault{Kind: threat.Unavailable, What: "nft could not list the table, so nothing was changed", Err: err}
}

func overtaken() error {
	return &threat.Fault{Kind: threat.Conflict, What: "a later generation of this effect stands on the device",
		Next: "read the effect again"}
}

// Renew sets the element's own end anew. An element's time-out cannot be changed in place on every kernel, so it is deleted
// and created in one transaction: no packet finds the set without it.
func (f *Firewall) Renew(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.element(o)
	if err != nil {
		return adapters.Receipt{}, err
	}
	l, err := f.list(ctx)
	if err != nil {
		return adapters.Receipt{}, before(err)
	}
	set, x, there := l.find(e)
	switch {
	case !there:
		return adapters.Receipt{}, gone()
	case o.Overtaken(x.Comment):
		return adapters.Receipt{}, overtaken()
	case !o.Owns(x.Comment):
		return adapters.Receipt{Outcome: threat.OutcomeSuccess, Adopted: true, Handle: handle(f.settings, set, e),
			Detail: "the entry is not ours, and was left as it is"}, nil
	}
	var cmds []obj
	if !l.stands(f.settings, "") {
		cmds = f.settings.build()
	}
	err = f.commit(ctx, append(cmds, f.settings.elements("delete", set, e.addr.String()),
		f.settings.elements("create", e.set, f.fresh(o, e))))
	if threat.Is(err, threat.NotFound) {
		return adapters.Receipt{}, gone()
	}
	if err != nil {
		return adapters.Receipt{}, err
	}
	return adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: handle(f.settings, e.set, e),
		Detail: "it leaves the set by itself in " + f.timeout(o).String()}, nil
}

func gone() error {
	return &threat.Fault{Kind: threat.NotFound, What: "the entry is not there any more", Next: "it is a drift, not a renewal: decide anew"}
}

// Remove deletes the element that bears our mark. nft deletes by address alone, so that an entry which another program puts
// there within the milliseconds between look and deletion would go too; entries of ours are kept apart by a lock.
func (f *Firewall) Remove(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.element(o)
	if err != nil {
		return adapters.Receipt{}, err
	}
	none := adapters.Receipt{Outcome: threat.OutcomeDoesNotExist, Detail: "nothing there bears our mark"}
	for try := 0; ; try++ {
		l, err := f.list(ctx)
		if err != nil {
			return adapters.Receipt{}, before(err)
		}
		var cmds []obj
		for _, d := range []string{both, in, out} { // wherever an earlier generation, of another direction, left it
			set := setName(d, e.addr)
			x, there := l.sets[set][e.addr]
			switch {
			case there && o.Owns(x.Comment):
				cmds = append(cmds, f.settings.elements("delete", set, e.addr.String()))
			case there:
				none.Detail = "the entry there is not ours, and stays"
			}
		}
		if len(cmds) == 0 {
			return none, nil
		}
		err = f.commit(ctx, cmds)
		if err == nil {
			return adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: handle(f.settings, e.set, e), Detail: "our entry was deleted"}, nil
		}
		if threat.Is(err, threat.NotFound) && try == 0 {
			continue // it left by itself between our look and our change: look again
		}
		return adapters.Receipt{}, err
	}
}

// Test lists the tables, which shows that nft is there, that we may speak to the kernel, and that the namespace exists.
func (f *Firewall) Test(ctx context.Context) error {
	out, err := f.runner.Run(ctx, []string{"-j", "list", "tables"}, nil)
	if err != nil {
		return err
	}
	return failed(out)
}
