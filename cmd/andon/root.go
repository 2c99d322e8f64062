package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `andon pauses instance refreshes of Tencent Cloud's Auto Scaling that go wrong, and
shows what became of that. It asks the workers over NATS; it needs a broker, and
no credentials of the cloud.

A paused group is disabled: it neither scales nor heals until it is resumed.

Exit codes: 0 all targets reached the goal; 1 it failed, or none did; 2 usage;
3 some targets did not; 4 timed out; 130 interrupted, while a request that was
published goes on.`

const rootExample = `  andon stop asg-shopweb1 --region ap-guangzhou --reason "5xx after v18" --wait
  andon plan --tag env=prod --name 'shop-*' --all-regions --max-targets 50
  andon watch stop-k3v9q2mxw7
  andon why asg-shopweb1
  andon resume stop-k3v9q2mxw7`

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use: "andon", Short: "Pause instance refreshes that go wrong, and see what becomes of it", Long: rootLong, Example: rootExample,
		Args: noCommand, SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return s.check() },
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(s.out)
	root.SetErr(s.err)
	s.flags(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	for _, command := range []func(*session) *cobra.Command{
		newStop, newPlan, newResume, newWatch, newResults, newWhy, newPaused, newDead, newHold, newRelease, newStatus, newReady, newSchema, newVersion,
	} {
		root.AddCommand(command(s))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// noCommand answers to a word that is no command.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return usage("there is no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usage("there is no command %q", args[0])
}

// check looks at what holds for every command.
func (s *session) check() error {
	if !slices.Contains(formats, s.output) {
		return usage("--output %q: must be one of %s", s.output, strings.Join(formats, ", "))
	}
	return nil
}

// exactly wants so many arguments, which the usage of the command names.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%s takes %s, not %d: %s", c.CommandPath(), count(n, "argument"), len(args), c.UseLine())
		}
		return nil
	}
}

// coded is a command whose errors have an exit code: what has none by itself has
// failed.
func coded(run func(context.Context, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c.Context(), args)
		if _, coded := err.(*exit); err != nil && !coded { //nolint:errorlint // one that is wrapped has been added to
			return failed(err)
		}
		return err
	}
}
