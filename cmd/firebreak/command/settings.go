package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) settingsCommand() *cobra.Command {
	get := &cobra.Command{Use: "get TENANT", Short: "Show what an organisation sets, and what holds for it", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			s, err := c.Settings(ctx, args[0])
			if err != nil {
				return err
			}
			return p.showSettings(s)
		})}
	set := &cobra.Command{Use: "set TENANT NAME=VALUE...", Short: "Change settings; NAME= without a value inherits again",
		Args:    cobra.MinimumNArgs(2),
		Example: "  firebreak tenant settings set acme block_for_seconds=7200 never_block=192.0.2.0/24,example.com",
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			old, err := c.Settings(ctx, args[0])
			if err != nil {
				return err
			}
			next, err := changed(old.Own, args[1:])
			if err != nil {
				return err
			}
			s, err := c.SetSettings(ctx, args[0], next)
			if err != nil {
				return err
			}
			return p.showSettings(s)
		})}
	return group("settings", "See and change settings", get, set)
}

// settingValues gives settings by name, as JSON writes them.
func settingValues(s tenant.Settings) (map[string]any, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(b, &out)
}

// listSettings are written with commas.
var listSettings = []string{"never_block", "own_networks", "egress", "resolvers", "vpn_pools", "administrators"}

// changed gives settings with name=value arguments in them. A value is read as JSON, a list also as a,b,c.
func changed(s tenant.Settings, told []string) (out tenant.Settings, err error) {
	values, err := settingValues(s)
	if err != nil {
		return out, err
	}
	named, err := pairs(told, "NAME=VALUE")
	if err != nil {
		return out, err
	}
	for name, text := range named {
		var v any
		switch {
		case text == "":
			delete(values, name)
			continue
		case slices.Contains(listSettings, name):
			v = strings.Split(text, ",")
		case json.Unmarshal([]byte(text), &v) != nil:
			v = text
		}
		values[name] = v
	}
	b, err := json.Marshal(values)
	if err != nil {
		return out, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		return out, &threat.Fault{Kind: threat.Invalid, What: "these settings do not read: " + threat.Inert(err.Error(), 200),
			Place: "NAME=VALUE", Next: "see `firebreak tenant settings get`"}
	}
	return out, nil
}

func (p *program) showSettings(s wire.Settings) error {
	own, err := settingValues(s.Own)
	if err != nil {
		return err
	}
	all, err := settingValues(s.Effective)
	if err != nil {
		return err
	}
	return p.show(s, func(w io.Writer) {
		table(w, []string{"SETTING", "HOLDS", "SET HERE"}, rows(sortedNames(all), func(name string) []string {
			here := "-"
			if v, ok := own[name]; ok {
				here = setting(v)
			}
			return []string{name, setting(all[name]), here}
		}))
	})
}

func setting(v any) string {
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}
