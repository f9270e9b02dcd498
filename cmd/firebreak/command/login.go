package command

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/threat"
)

// DefaultServer is where the command line looks for a server.
const DefaultServer = "http://127.0.0.1:7300"

// signIn is what `firebreak login` keeps.
type signIn struct {
	Server    string    `json:"server"`
	Secret    string    `json:"secret"`
	ExpiresAt time.Time `json:"expires_at"`
}

// configDir is firebreak's folder in the user's configuration directory.
func (p *program) configDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", &threat.Fault{Kind: threat.Unavailable, What: "there is no configuration directory to keep the session in",
			Next: "set HOME, or give FIREBREAK_TOKEN", Err: err}
	}
	return filepath.Join(dir, "firebreak"), nil
}

func signInFile(dir func() (string, error)) (string, error) {
	d, err := dir()
	return filepath.Join(d, "session.json"), err
}

// readSignIn gives what was kept; nothing when nobody has signed in.
func readSignIn(dir func() (string, error)) (s signIn, err error) {
	file, err := signInFile(dir)
	if err != nil {
		return s, nil // then nothing was kept
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, &threat.Fault{Kind: threat.Unavailable, What: "the kept session cannot be read", Place: file,
			Next: "remove the file and sign in anew", Err: err}
	}
	return s, nil
}

// writeSignIn keeps a session where only its user can read it.
func writeSignIn(dir func() (string, error), s signIn) (err error) {
	file, err := signInFile(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = &threat.Fault{Kind: threat.Unavailable, What: "the session cannot be kept", Place: file, Err: err}
		}
	}()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".session-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (p *program) loginCommand() *cobra.Command {
	return &cobra.Command{Use: "login [LINK]", Short: "Sign in with a one-time link", Args: cobra.MaximumNArgs(1),
		Long: "Sign in with a one-time link, as an administrator makes it with `firebreak person link`, or as the first start of a\n" +
			"server prints it. Without an argument the link is read from standard input. The session is kept in the user's\n" +
			"configuration directory, where only they can read it.",
		RunE: run(func(ctx context.Context, args []string) error {
			link, err := p.argument(args)
			if err != nil {
				return err
			}
			server, err := serverOf(link)
			if err != nil {
				return err
			}
			if p.server != "" {
				server = p.server
			}
			c, err := client.New(client.Options{Server: server, Version: p.build.Version})
			if err != nil {
				return err
			}
			ses, err := c.SignIn(ctx, link)
			if err != nil {
				return err
			}
			if err := writeSignIn(p.configDir, signIn{Server: server, Secret: ses.Secret, ExpiresAt: ses.ExpiresAt}); err != nil {
				return err
			}
			return p.say("signed in at %s until %s", server, utc(ses.ExpiresAt))
		})}
}

// argument gives the one argument, or the first line of standard input.
func (p *program) argument(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(p.in, 64<<10))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// serverOf gives the server that made a link.
func serverOf(link string) (string, error) {
	u, err := url.Parse(link)
	at := -1
	if err == nil {
		at = strings.LastIndex(u.Path, "/signin/")
	}
	if err != nil || u.Host == "" || at < 0 {
		return "", &threat.Fault{Kind: threat.Invalid, What: "this is no sign-in link", Place: "LINK",
			Next: "give the whole of it, from http to its end"}
	}
	u.Path, u.RawQuery, u.Fragment = u.Path[:at], "", ""
	return u.String(), nil
}

func (p *program) logoutCommand() *cobra.Command {
	return &cobra.Command{Use: "logout", Short: "End the session that was kept", Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			kept, err := readSignIn(p.configDir)
			if err != nil {
				return err
			}
			if kept.Secret == "" {
				return &threat.Fault{Kind: threat.NotFound, What: "nobody is signed in here"}
			}
			c, err := client.New(client.Options{Server: kept.Server, Token: kept.Secret, Version: p.build.Version})
			if err != nil {
				return err
			}
			if err := c.SignOut(ctx); err != nil && !threat.Is(err, threat.Unauthenticated) {
				return err
			}
			file, err := signInFile(p.configDir)
			if err != nil {
				return err
			}
			if err := os.Remove(file); err != nil {
				return &threat.Fault{Kind: threat.Unavailable, What: "the kept session cannot be removed", Place: file, Err: err}
			}
			return p.say("signed out of %s", kept.Server)
		})}
}

func (p *program) whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show who the server takes you for", Args: cobra.NoArgs,
		RunE: p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
			who, err := c.Whoami(ctx)
			if err != nil {
				return err
			}
			return p.show(who, func(w io.Writer) {
				fields(w, "name", who.Name, "organisation", who.Organisation, "person", nullID(who.PersonID), "token", nullID(who.TokenID),
					"server", c.Server())
				for _, g := range who.Roles {
					fields(w, "role", words(string(g.Role))+" over "+g.Org)
				}
			})
		})}
}
