package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// How long the broker is given to answer a question, and to hand over what there
// may be a great deal of.
const (
	answerWithin = 15 * time.Second
	handOver     = 2 * time.Minute
)

var errConnect = errors.New("no connection")

// session is one run of the program: who asks, where the answers go, and the
// broker between.
type session struct {
	getenv   func(string) string
	in       io.Reader
	out, err io.Writer

	// Set by flags.
	url, creds, context, inboxPrefix string
	output                           string
	quiet, noInput, noColor          bool

	client *queue.Client
}

// Formats of what is printed.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatJSONL = "jsonl"
	formatCSV   = "csv"
)

var formats = []string{formatTable, formatJSON, formatJSONL, formatCSV}

// flags are those of every command.
func (s *session) flags(set *pflag.FlagSet) {
	set.StringVar(&s.url, "nats-url", "", "broker, several separated by commas, $NATS_URL (default nats://127.0.0.1:4222)")
	set.StringVar(&s.creds, "nats-creds", "", "credentials file for the broker, $NATS_CREDS")
	set.StringVar(&s.context, "nats-context", "", "context of the NATS CLI, instead of --nats-url, $NATS_CONTEXT")
	set.StringVar(&s.inboxPrefix, "nats-inbox-prefix", "", "prefix of answers, where permissions ask for one, $ANDON_NATS_INBOX_PREFIX")
	set.StringVarP(&s.output, "output", "o", formatTable, "table, json, jsonl or csv")
	set.BoolVarP(&s.quiet, "quiet", "q", false, "results and errors only")
	set.BoolVar(&s.noInput, "no-input", false, "never ask anything")
	set.BoolVar(&s.noColor, "no-color", false, "no colour, also by NO_COLOR or TERM=dumb")
}

// connect reaches the broker. A context that is asked for by a flag is not
// overruled by a URL that the shell happens to have, nor the other way round.
func (s *session) connect() error {
	if s.client != nil {
		return nil
	}
	if strings.Contains(s.url, "@") {
		return usage("--nats-url must not hold a user, password or token, which anyone on this host can see; use --nats-creds, or NATS_URL in the environment")
	}
	url, natsContext := s.url, s.context
	if url == "" && natsContext == "" {
		url, natsContext = s.getenv("NATS_URL"), s.getenv("NATS_CONTEXT")
	}
	if url != "" && natsContext != "" {
		return usage("both a URL (--nats-url, NATS_URL) and a context (--nats-context, NATS_CONTEXT) of NATS are set; leave one out")
	}
	if url == "" && natsContext == "" {
		url = "nats://127.0.0.1:4222"
	}
	creds := s.creds
	if s.context == "" { // which has credentials of its own
		creds = cmp.Or(creds, s.getenv("NATS_CREDS"))
	}
	level := slog.LevelWarn
	if s.quiet {
		level = slog.LevelError
	}
	client, err := queue.Connect(queue.Config{
		URL: url, Context: natsContext, Creds: creds, Name: "andon CLI", InboxPrefix: cmp.Or(s.inboxPrefix, s.getenv("ANDON_NATS_INBOX_PREFIX")),
		Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return failed(fmt.Errorf("%w: %w", errConnect, err))
	}
	s.client = client
	return nil
}

func (s *session) close() {
	if s.client != nil {
		s.client.Close()
	}
}

// ask asks the broker something that is answered at once. The first question makes
// the connection.
func (s *session) ask(ctx context.Context, f func(context.Context) error) error {
	return s.askWithin(ctx, answerWithin, f)
}

// read asks the broker for all that it has of something.
func (s *session) read(ctx context.Context, f func(context.Context) error) error {
	return s.askWithin(ctx, handOver, f)
}

func (s *session) askWithin(ctx context.Context, within time.Duration, f func(context.Context) error) error {
	if err := s.connect(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.client.Ask(ctx, f)
}

// publish stores a request.
func (s *session) publish(ctx context.Context, m stop.Message) error {
	return s.ask(ctx, func(ctx context.Context) error {
		_, err := s.client.Publish(ctx, m)
		return err
	})
}

// workers asks the workers how they do.
func (s *session) workers(ctx context.Context) (workers []stop.Worker, err error) {
	err = s.ask(ctx, func(ctx context.Context) (err error) { workers, err = s.client.Workers(ctx); return err })
	return workers, err
}

// asker is who asks, unless a flag says so.
func (s *session) asker(flag string) string {
	return cmp.Or(flag, s.getenv("ANDON_BY"), whoami(s.getenv))
}

// say writes to whoever watches, not to what reads the output.
func (s *session) say(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(s.err, format+"\n", args...)
	}
}

// screen reports whether w is a terminal that can move its cursor.
func (s *session) screen(w io.Writer) bool {
	kind := s.getenv("TERM")
	return terminal(w) && kind != "" && kind != "dumb"
}

// colored reports whether what is written to w may have colours.
func (s *session) colored(w io.Writer) bool {
	return !s.noColor && s.getenv("NO_COLOR") == "" && s.screen(w)
}

func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns there are to write to.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// askAbove is how many groups are touched without asking.
const askAbove = 20

// confirm asks whether to go on. Where nobody can be asked, the answer must have
// been given by a flag.
func (s *session) confirm(ctx context.Context, question string) error {
	if s.noInput || !terminal(s.in) || !terminal(s.err) {
		return usage("%s: that needs a yes, and there is nobody to ask; add --yes", strings.TrimSuffix(question, "?"))
	}
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	// A read of a terminal cannot be ended but by the end of the process, which
	// follows when ctx is done.
	go func() {
		line, _ := bufio.NewReader(s.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return failed(ctx.Err())
	case a := <-answer:
		if a != "y" && a != "yes" {
			return failed(errors.New("not confirmed: nothing was done"))
		}
		return nil
	}
}
