package command

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete gives a flag its completion. A flag that is not there is a defect of ours.
func complete(c *cobra.Command, flag string, fn completion) {
	if err := c.RegisterFlagCompletionFunc(flag, fn); err != nil {
		panic(err)
	}
}

// completeProposal completes the verb of `action propose CASE VERB TARGET`, with its title, and tells what its target is.
func completeProposal(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var out []string
	switch len(args) {
	case 1:
		for _, v := range verb.All() {
			if strings.HasPrefix(v.Name, typed) {
				out = append(out, v.Name+"\t"+v.Title)
			}
		}
	case 2:
		if v, ok := verb.Find(args[1]); ok && typed == "" {
			out = cobra.AppendActiveHelp(nil, "TARGET is of kind "+join(v.Targets))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeParam completes name=value of the verb that stands on the line.
func completeParam(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) < 2 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	v, _ := verb.Find(args[1])
	var out []string
	for _, p := range v.Params {
		for _, value := range p.Values {
			out = append(out, p.Name+"="+value+"\t"+p.Meaning)
		}
		if len(p.Values) == 0 {
			out = append(out, p.Name+"=\t"+p.Meaning)
		}
	}
	kept := out[:0]
	for _, s := range out {
		if strings.HasPrefix(s, typed) {
			kept = append(kept, s)
		}
	}
	return kept, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func ends() []string {
	out := make([]string, len(threat.Ends))
	for i, e := range threat.Ends {
		out[i] = string(e)
	}
	return out
}

// kindOf gives the first kind of a verb's targets of which a value is one; the verb's first kind when it is none as it
// stands, such as the name of an asset.
func kindOf(v verb.Verb, value string) threat.TargetKind {
	for _, k := range v.Targets {
		if _, err := (threat.Target{Kind: k, Value: value}).Canonical(); err == nil {
			return k
		}
	}
	return v.Targets[0]
}
