package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/testdata/schema"
)

func newVersion(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version, commit and Go release", Args: exactly(0),
		RunE: coded(func(context.Context, []string) error {
			b := build.Info()
			fmt.Fprintf(s.out, "andon %s commit %s %s\n", b.Version, b.Revision, b.GoVersion)
			return nil
		}),
	}
}

func newSchema(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "schema request|result", Short: "Print the JSON Schema of requests or results",
		ValidArgs: []string{"request", "result"},
		Args:      exactly(1),
		RunE: coded(func(_ context.Context, args []string) error {
			text, err := schema.Of(args[0])
			if err != nil {
				return usage("there is no schema of %q; there are request and result", args[0])
			}
			_, err = s.out.Write(text)
			return err
		}),
	}
}
