package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) journalCommand() *cobra.Command {
	return group("journal", "Check and follow the journal", p.journalVerify(), p.journalTail(), p.journalHeads())
}

// where says which data are opened without a server.
type where struct{ data, database, keys string }

func (l *where) flags(p *program, c *cobra.Command) {
	c.Flags().StringVar(&l.data, "data", p.or("FIREBREAK_DATA", "./firebreak-data"), "the data directory")
	c.Flags().StringVar(&l.database, "database-url", p.or("FIREBREAK_DATABASE_URL", ""), "postgres://..., when the data lie there")
	c.Flags().StringVar(&l.keys, "key-file", p.or("FIREBREAK_KEY_FILE", ""),
		"the key file (default: firebreak/key in the configuration directory)")
}

// open opens the store. Nothing is made: NotFound when the database or the key file is not there.
func (l where) open(ctx context.Context) (*store.Store, error) {
	address := l.database
	if address == "" {
		file := filepath.Join(l.data, "firebreak.db")
		if _, err := os.Stat(file); err != nil {
			return nil, &threat.Fault{Kind: threat.NotFound, What: "there is no database", Place: file,
				Next: "give --data or --database-url", Err: err}
		}
		address = "sqlite:" + file
	}
	keys := l.keys
	if keys == "" {
		var err error
		if keys, err = secret.DefaultPath(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(keys); err != nil {
		return nil, &threat.Fault{Kind: threat.NotFound, What: "there is no key file", Place: keys, Next: "give --key-file", Err: err}
	}
	ring, err := secret.Open(keys, "")
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{URL: address, Keys: ring})
}

func (p *program) journalVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check that nothing in the journal was changed, cut or left out; needs no server",
		Args: cobra.NoArgs,
		Long: "Check every organisation's chain, every payload, the heads that were signed, and that every detection, decision,\n" +
			"approval and effect stands in the journal exactly once. --heads compares heads that were exported before and kept\n" +
			"elsewhere: they show a tail that was cut off."}
	var l where
	l.flags(p, c)
	kept := c.Flags().String("heads", "", "a file that journal export-heads wrote")
	c.RunE = run(func(ctx context.Context, _ []string) (err error) {
		var heads []store.Head
		if *kept != "" {
			if heads, err = p.readHeads(*kept); err != nil {
				return err
			}
		}
		s, err := l.open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		r, err := s.Verify(ctx, heads)
		if err != nil {
			return err
		}
		if err := p.show(r, func(w io.Writer) { writeReport(w, r) }); err != nil {
			return err
		}
		if !r.OK() {
			return &quiet{ExitFailed}
		}
		return nil
	})
	return c
}

func writeReport(w io.Writer, r store.Report) {
	fmt.Fprintf(w, "%s, %d entries (%d erased), %s compared\n", count(r.Organisations, "organisation"), r.Entries, r.Erased,
		count(r.Heads, "signed head"))
	for _, t := range sortedNames(r.Rows) {
		fields(w, t, fmt.Sprintf("%d compared", r.Rows[t]))
	}
	if r.OK() {
		fmt.Fprintln(w, "the journal proves itself")
		return
	}
	table(w, []string{"FLAW", "ORGANISATION", "ENTRY", "WHAT"}, rows(r.Problems, func(f store.Problem) []string {
		return []string{words(string(f.Flaw)), f.OrgID.String(), fmt.Sprint(f.Seq), f.Text}
	}))
	fmt.Fprintf(w, "the journal does not prove itself: %s\n", count(len(r.Problems)+r.More, "flaw"))
}

// readHeads reads heads, one on each line.
func (p *program) readHeads(file string) ([]store.Head, error) {
	b, err := p.readFile(file)
	if err != nil {
		return nil, err
	}
	var out []store.Head
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		var h store.Head
		err := d.Decode(&h)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "this is no file of heads", Place: file, Err: err}
		}
		out = append(out, h)
	}
}

func (p *program) journalHeads() *cobra.Command {
	c := &cobra.Command{Use: "export-heads", Short: "Sign and write the head of every chain, to be kept elsewhere; needs no server",
		Args: cobra.NoArgs}
	var l where
	l.flags(p, c)
	c.RunE = run(func(ctx context.Context, _ []string) (err error) {
		s, err := l.open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		heads, err := s.SignHeads(ctx)
		if err != nil {
			return err
		}
		e := json.NewEncoder(p.out)
		for _, h := range heads {
			if err := e.Encode(h); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

func (p *program) journalTail() *cobra.Command {
	c := &cobra.Command{Use: "tail", Short: "Follow what is journalled, as it happens", Args: cobra.NoArgs,
		Long: "Follow what is journalled in the organisations that you may see. --org lists one organisation's journal instead, with\n" +
			"what each entry says."}
	org := c.Flags().String("org", "", "list this organisation's journal instead: an id or a slug")
	after := c.Flags().Int64("after", 0, "with --org: behind this number")
	limit := c.Flags().Int("limit", 100, "with --org: how many, at most 500")
	from := c.Flags().String("from", "", "go on behind the event of this id")
	most := c.Flags().Int("count", 0, "end after so many events; left out, never")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
		if *org != "" {
			return p.listJournal(ctx, c, *org, *after, *limit)
		}
		seen := 0
		err := c.Watch(ctx, *from, func(id string, e wire.Event) error {
			if err := p.writeEvent(id, e); err != nil {
				return err
			}
			if seen++; seen == *most {
				return io.EOF
			}
			return nil
		})
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	return c
}

func (p *program) listJournal(ctx context.Context, c *client.Client, org string, after int64, limit int) error {
	page, err := c.Journal(ctx, org, after, limit)
	if err != nil {
		return err
	}
	return p.show(page, func(w io.Writer) {
		table(w, []string{"#", "TIME", "KIND", "SUBJECT", "ACTOR", "HASH"}, rows(page.Items, func(e threat.Entry) []string {
			return []string{fmt.Sprint(e.Seq), utc(e.At), string(e.Kind), e.Subject, e.Actor, e.Hash[:min(12, len(e.Hash))]}
		}))
		if page.Next > 0 {
			fmt.Fprintf(w, "\nmore: --after %d\n", page.Next)
		}
	})
}

// writeEvent writes one line: JSON for programs.
func (p *program) writeEvent(id string, e wire.Event) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(struct {
			ID string `json:"id"`
			wire.Event
		}{id, e})
	}
	about := uuid.Nil.String()
	if e.Case != nil {
		about = e.Case.String()
	}
	_, err := fmt.Fprintf(p.out, "%s  %-24s %s  case %s  %s\n", utc(e.At), e.Kind, threat.Inert(e.Subject, 100), about,
		threat.Inert(e.Actor, 64))
	return err
}
