package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// readyWithin is less than what health checks usually allow, so that they see why.
const readyWithin = 5 * time.Second

func newReady(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "ready HOST:PORT", Short: "Ask one worker or ingress whether it is ready, for health checks",
		Long: `Ask one process over HTTP (its --http-listen) whether it is ready, and print what it
checks. For health checks where there is no curl, as in the image. Exit code 1: it is
not, or does not answer.`,
		Args: exactly(1),
		RunE: coded(func(ctx context.Context, args []string) error { return s.ready(ctx, args[0]) }),
	}
}

func (s *session) ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz?verbose", http.NoBody)
	if err != nil {
		return usage("%q is no host:port", addr)
	}
	// It is asked directly: a proxy of the environment is for the way out.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", addr, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(s.out, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return fmt.Errorf("ask %s: %w", addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return ended(exitFailed)
	}
	return nil
}
