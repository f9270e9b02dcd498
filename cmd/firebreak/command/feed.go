package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) feedCommand() *cobra.Command {
	return group("feed", "See the lists that firewalls fetch", &cobra.Command{Use: "show CONNECTION", Args: cobra.ExactArgs(1),
		Short: "Show a connection's lists, and who fetched which revision; CONNECTION is an id",
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			f, err := c.Feed(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(f, func(w io.Writer) { writeFeed(w, f) })
		})})
}

func writeFeed(w io.Writer, f wire.Feed) {
	fields(w, "connection", f.Name)
	newest := map[string]int64{}
	for _, l := range f.Lists {
		newest[l.List] = l.Revision
	}
	table(w, []string{"LIST", "REVISION", "ENTRIES", "CHANGED"}, rows(f.Lists, func(l threat.FeedList) []string {
		return []string{l.List, fmt.Sprint(l.Revision), fmt.Sprint(l.Entries), utc(l.ChangedAt)}
	}))
	if len(f.Fetches) == 0 {
		fmt.Fprint(w, "\nno firewall has fetched a list: what stands there is only published\n")
		return
	}
	fmt.Fprintln(w)
	head := []string{"FIREWALL", "LIST", "REVISION", "UP TO DATE", "LAST FETCH", "EVERY"}
	table(w, head, rows(f.Fetches, func(x wire.FeedFetch) []string {
		every := "-"
		if x.IntervalSeconds > 0 {
			every = span(x.IntervalSeconds)
		}
		return []string{x.Firewall, x.List, fmt.Sprint(x.Revision), yes(x.Revision >= newest[x.List]), utc(x.At), every}
	}))
}
