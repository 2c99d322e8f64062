package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A refused permission is told at once, not when patience is over; and it is told
// of the one question alone.
func TestARefusedPermissionEndsTheQuestion(t *testing.T) {
	t.Parallel()
	c := guarded(t, []string{"$JS.API.STREAM.INFO.*"}, true)
	k := client(t, Config{URL: c.URL, InboxPrefix: c.InboxPrefix, Log: slog.New(slog.DiscardHandler)})
	before := time.Now()
	err := k.Ask(t.Context(), func(ctx context.Context) error {
		return publishOnce(ctx, k, stop.Message{Subject: stop.SubjectStop, Data: []byte("{}")})
	})
	if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), `"`+stop.SubjectStop+`"`) {
		t.Errorf("got %v, want ErrPermission and the subject", err)
	}
	if took := time.Since(before); took > storeTimeout/2 {
		t.Errorf("it took %v", took)
	}
	if err := k.Ask(t.Context(), func(ctx context.Context) error { _, err := k.Waiting(ctx); return err }); err != nil {
		t.Errorf("the next question: %v", err)
	}
}

func TestABrokerWithoutAndonIsCalledThat(t *testing.T) {
	t.Parallel()
	k := client(t, Config{InProcess: startBroker(t)})
	for what, ask := range map[string]func(context.Context) error{
		"publish": func(ctx context.Context) error { return publishOnce(ctx, k, stop.Message{Subject: stop.SubjectStop}) },
		"results": func(ctx context.Context) error {
			return k.Results(ctx, Query{}, func(stop.Result) bool { return true })
		},
		"calls":   func(ctx context.Context) error { _, err := k.Calls(ctx); return err },
		"hold":    func(ctx context.Context) error { _, err := k.Hold(ctx); return err },
		"backlog": func(ctx context.Context) error { _, err := k.Backlog(ctx); return err },
		"letters": func(ctx context.Context) error { return k.Letters(ctx, "", func(Letter) bool { return true }) },
	} {
		if err := k.Ask(t.Context(), ask); !errors.Is(err, ErrNoWorker) {
			t.Errorf("%s: got %v, want ErrNoWorker", what, err)
		}
	}
}

func publishOnce(ctx context.Context, k *Client, m stop.Message) error {
	_, err := k.Publish(ctx, m)
	return err
}

// A request is published until the broker has it, and stored once.
func TestPublishingOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startBrokerAt(t, dir, "127.0.0.1:0")
	url := b.ClientURL()
	openQueue(t, nil, func(c *Config) { c.URL = url }).Close()
	k := client(t, Config{URL: url, Log: slog.New(slog.DiscardHandler)})
	b.Shutdown()
	stored := make(chan error, 1)
	m := stop.Message{Subject: stop.SubjectStop, Header: map[string][]string{"Nats-Msg-Id": {"once"}}, Data: []byte(`{"Id":"once"}`)}
	go func() {
		stored <- k.Ask(t.Context(), func(ctx context.Context) error { return publishOnce(ctx, k, m) })
	}()
	nothing(t, stored, 300*time.Millisecond, "published while the broker was away")
	startBrokerAt(t, dir, strings.TrimPrefix(url, "nats://"))
	if err := receive(t, stored, "confirmation"); err != nil {
		t.Fatal(err)
	}
	if repeated, err := k.Publish(t.Context(), m); !repeated || err != nil {
		t.Fatalf("published again, it is repeated: %v, %v", repeated, err)
	}
	w, err := k.Waiting(t.Context())
	if err != nil || w.Unplanned != 1 {
		t.Errorf("%d requests wait (%v), want 1", w.Unplanned, err)
	}
}
