package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) contactsCommand() *cobra.Command {
	list := &cobra.Command{Use: "list TENANT", Short: "List a tenant's authorised contacts, in their order", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			all, err := c.Contacts(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(all, func(w io.Writer) { writeContacts(w, all) })
		})}
	set := &cobra.Command{Use: "set TENANT FILE", Short: "Replace a tenant's contacts by a JSON list; - reads standard input",
		Args: cobra.ExactArgs(2), Long: "Replace a tenant's contacts by a JSON list, as `contacts list --json` writes it.",
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			var told []wire.Contact
			if err := p.readJSON(args[1], &told); err != nil {
				return err
			}
			for i := range told {
				told[i].Name = "" // of answers
			}
			all, err := c.SetContacts(ctx, args[0], told)
			if err != nil {
				return err
			}
			return p.show(all, func(w io.Writer) { writeContacts(w, all) })
		})}
	return group("contacts", "See and change whom a tenant authorised", list, set, p.contactsAdd())
}

func (p *program) contactsAdd() *cobra.Command {
	c := &cobra.Command{Use: "add TENANT EMAIL", Short: "Add a person as the last contact of a tenant", Args: cobra.ExactArgs(2),
		Example: "  firebreak tenant contacts add acme ada@acme.example --authorise '*' --method smtp:0197...:ada@acme.example"}
	authorise := c.Flags().StringArray("authorise", nil, "a verb that they may approve, or *; may be given again. Left out: none")
	mode := c.Flags().Bool("change-mode", false, "they may change the response mode")
	methods := c.Flags().StringArray("method", nil, "a way to reach them, channel:connection:address; may be given again")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		all, err := c.Contacts(ctx, args[0])
		if err != nil {
			return err
		}
		one := wire.Contact{Email: args[1], Authorise: *authorise, ChangeMode: *mode, Position: len(all) + 1}
		for _, m := range *methods {
			method, err := readMethod(m)
			if err != nil {
				return err
			}
			one.Methods = append(one.Methods, method)
		}
		for i := range all {
			all[i].Name, all[i].Email = "", ""
		}
		if all, err = c.SetContacts(ctx, args[0], append(all, one)); err != nil {
			return err
		}
		return p.show(all, func(w io.Writer) { writeContacts(w, all) })
	})
	return c
}

func readMethod(text string) (wire.ContactMethod, error) {
	parts := strings.SplitN(text, ":", 3)
	m := wire.ContactMethod{Channel: parts[0]}
	if len(parts) == 1 && m.Channel == "console" {
		return m, nil
	}
	bad := &threat.Fault{Kind: threat.Invalid, What: "a way to reach somebody is channel:connection:address", Place: "--method"}
	if len(parts) != 3 {
		return m, bad
	}
	id, err := uuid.Parse(parts[1])
	if err != nil {
		return m, bad
	}
	m.ConnectionID, m.Address = &id, parts[2]
	return m, nil
}

func writeContacts(w io.Writer, all []wire.Contact) {
	table(w, []string{"#", "NAME", "EMAIL", "MAY APPROVE", "CHANGE MODE", "REACHED BY"}, rows(all, func(k wire.Contact) []string {
		ways := make([]string, len(k.Methods))
		for i, m := range k.Methods {
			ways[i] = strings.TrimSpace(m.Channel + " " + m.Address)
		}
		may := strings.Join(k.Authorise, ", ")
		switch may {
		case "*":
			may = "everything"
		case "":
			may = "nothing"
		}
		return []string{fmt.Sprint(k.Position), k.Name, k.Email, may, yes(k.ChangeMode), strings.Join(ways, ", ")}
	}))
}

// readJSON reads a file, or standard input for -, and refuses fields that there are not.
func (p *program) readJSON(file string, v any) error {
	b, err := p.readFile(file)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &threat.Fault{Kind: threat.Invalid, What: "the file does not read: " + threat.Inert(err.Error(), 200), Place: file}
	}
	return nil
}

// maxFile is the largest file that is read, in bytes.
const maxFile = 8 << 20

func (p *program) readFile(file string) ([]byte, error) {
	from := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &threat.Fault{Kind: threat.NotFound, What: "the file cannot be opened", Place: file, Err: err}
		}
		defer func() { _ = f.Close() }() // closing what was only read loses nothing
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "the file cannot be read", Place: file, Err: err}
	}
	if len(b) > maxFile {
		return nil, &threat.Fault{Kind: threat.TooLarge, What: fmt.Sprintf("the file has more than %d bytes", maxFile), Place: file}
	}
	return b, nil
}
