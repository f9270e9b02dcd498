package command

import (
	"context"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
)

func (p *program) versionCommand() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Show what this program is, or what the server runs", Args: cobra.NoArgs}
	ask := c.Flags().Bool("remote", false, "ask the server instead")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		show := func(v wire.Version) error {
			return p.show(v, func(w io.Writer) { fields(w, "firebreak", v.Version, "commit", v.Commit, "go", v.Go) })
		}
		if !*ask {
			return run(func(context.Context, []string) error {
				return show(wire.Version{Version: p.build.Version, Commit: p.build.Commit, Go: runtime.Version()})
			})(cmd, args)
		}
		return p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
			v, err := c.Version(ctx)
			if err != nil {
				return err
			}
			return show(v)
		})(cmd, args)
	}
	return c
}
