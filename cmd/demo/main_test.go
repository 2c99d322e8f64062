package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// TestMain lets the test's own binary be the worker that the demo starts: one
// that answers every sample as its file expects, or misbehaves as
// DEMO_FAKE_WORKER says.
func TestMain(m *testing.M) {
	if how := os.Getenv("DEMO_FAKE_WORKER"); how != "" {
		os.Exit(fakeWorker(how, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func TestDemo(t *testing.T) {
	tests := []struct {
		how            string
		code           int
		stdout, stderr string
	}{
		{"obliging", 0, `(?m)^15 passed, 0 failed$`, `^$`},
		{"wrong", 1, `(?s)expected would_pause RUNNING.*\n14 passed, 1 failed\n`, "1 of 15 samples came to another end"},
		{"dead", 1, `^$`, `the worker's last lines:\nno disk\n.*ended by itself: exit status 3`},
		{"dying", 1, `\n1 passed, 14 failed\n`, `no result of \["by activity" .*ended by itself: exit status 3`},
		{"sulking", 1, `(?m)^15 passed, 0 failed$`, "stop the worker: exit status 4"},
	}
	for _, tt := range tests {
		t.Run(tt.how, func(t *testing.T) {
			t.Setenv("DEMO_FAKE_WORKER", tt.how)
			t.Setenv("NATS_URL", "nats://must.not.be.used:4222")
			var stdout, stderr bytes.Buffer
			getenv := func(name string) string { return map[string]string{"DEMO_EXIT": "1"}[name] }
			code := run(t.Context(), []string{"-worker", os.Args[0], "-requests", folder}, getenv, &stdout, &stderr)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !regexp.MustCompile(tt.stdout).MatchString(stdout.String()) {
				t.Errorf("stdout does not match %q:\n%s", tt.stdout, &stdout)
			}
			if !regexp.MustCompile(tt.stderr).MatchString(stderr.String()) {
				t.Errorf("stderr does not match %q:\n%s", tt.stderr, &stderr)
			}
		})
	}
}

// TestByHand follows results until it is told to stop.
func TestByHand(t *testing.T) {
	t.Setenv("DEMO_FAKE_WORKER", "obliging")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout := &lines{seen: make(chan string, 100)}
	done := make(chan int, 1)
	go func() {
		var stderr bytes.Buffer
		code := run(ctx, []string{"-worker", os.Args[0], "-requests", folder}, func(string) string { return "" }, stdout, &stderr)
		if code != 0 {
			t.Errorf("exit code %d: %s", code, &stderr)
		}
		done <- code
	}()
	url := regexp.MustCompile(`--server (\S+)`).FindStringSubmatch(stdout.wait(t, "nats --server"))[1]
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish(stop.SubjectStop, []byte(`{"Id":"by-hand","Region":"ap-singapore","AutoScalingGroupId":"asg-gamelive"}`)); err != nil {
		t.Fatal(err)
	}
	if line := stdout.wait(t, "by-hand"); !strings.Contains(line, "paused") {
		t.Errorf("the result of a request by hand: %q", line)
	}
	cancel()
	<-done
}

// lines is a writer whose reader waits for a line.
type lines struct{ seen chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.seen <- string(p)
	return len(p), nil
}

func (l *lines) wait(t *testing.T, part string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line := <-l.seen:
			if strings.Contains(line, part) {
				return line
			}
		case <-timeout:
			t.Fatalf("no line with %q", part)
		}
	}
}

func fakeWorker(how string, args []string) int {
	if how == "dead" {
		fmt.Fprintln(os.Stderr, "no disk")
		return 3
	}
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	if err := answerAll(ctx, how, args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if how == "sulking" {
		return 4
	}
	return 0
}

// answerAll is a worker without an API: it knows the right answers.
func answerAll(ctx context.Context, how string, args []string) error {
	value := make(map[string]string)
	for i, a := range args[:len(args)-1] {
		value[a] = args[i+1]
	}
	b, err := broker.Start(ctx, broker.Config{StoreDir: value["--store-dir"], Listen: "127.0.0.1:0", AllowTemporary: true})
	if err != nil {
		return err
	}
	defer b.Shutdown()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	}()
	nc, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for name, subject := range map[string]string{stop.StreamStop: stop.SubjectStop, stop.StreamResults: stop.SubjectResults} {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject, subject + ".>"}}); err != nil {
			return err
		}
	}
	samples, err := loadSamples(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "{\"msg\":\"http listening\",\"addr\":%q}\n{\"msg\":\"broker listening\",\"url\":%q}\n", l.Addr(), b.ClientURL())
	c, err := js.OrderedConsumer(ctx, stop.StreamStop, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	reader, err := c.Consume(func(m jetstream.Msg) { answer(how, m, js, samples) })
	if err != nil {
		return err
	}
	defer reader.Stop()
	<-ctx.Done()
	return nil
}

func answer(how string, m jetstream.Msg, js jetstream.JetStream, samples []sample) {
	meta, _ := m.Metadata()
	req, _ := stop.Decode(stop.Message{Subject: m.Subject(), Data: m.Data(), Header: m.Headers(), Stored: meta.Timestamp}, stop.Defaults{})
	r := stop.Result{Request: req.ID, Outcome: stop.OutcomePaused, RequestedAt: meta.Timestamp}
	for i, s := range samples {
		if s.id != req.ID {
			continue
		}
		if how == "dying" && i == 1 {
			os.Exit(3)
		}
		r.Outcome, r.Status = s.Expect.Outcomes[0], s.Expect.Status
		if how == "wrong" && i == 0 {
			r.Outcome = stop.OutcomeFailed
		}
	}
	data, _ := json.Marshal(r)
	_, _ = js.Publish(context.Background(), stop.ResultSubject(req.ID), data)
}
