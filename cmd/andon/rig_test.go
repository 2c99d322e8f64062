package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m, func() error { return nil })) }

// desk is what the person who is paged sits at: a broker, workers and a simulated
// API that are really there, and the program.
type desk struct {
	t       testing.TB
	server  *server.Server
	api     *harness.API
	workers []*harness.Process
	env     []string
	program string
}

// newDesk starts a broker, and the simulated API with a scenario.
func newDesk(t testing.TB, sc simulator.Scenario, users ...*server.User) *desk {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 16 << 30, SyncAlways: true, Users: users,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	d := &desk{t: t, server: s, api: harness.StartAPI(t, sc), program: harness.Program(t, harness.Module+"/cmd/andon")}
	d.env = []string{"NATS_URL=" + d.url(""), "ANDON_BY=alice", "TZ=UTC", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	return d
}

// url is where a user of the broker connects.
func (d *desk) url(user string) string {
	if user == "" {
		return d.server.ClientURL()
	}
	return strings.Replace(d.server.ClientURL(), "nats://", "nats://"+user+":p@", 1)
}

// work starts a worker, and waits until it is ready.
func (d *desk) work(url string, args ...string) *harness.Process {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := harness.Start(d.t, harness.Command{
		Name: fmt.Sprintf("worker %d", len(d.workers)+1), Path: harness.Program(d.t, harness.Module+"/cmd/worker"),
		Args: append([]string{"--endpoint", d.api.URL, "--region", "ap-guangzhou", "--http-listen", addr}, args...),
		Env: []string{
			"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
			"HOME=" + d.t.TempDir(), "NATS_URL=" + url,
		},
	})
	d.workers = append(d.workers, p)
	harness.Eventually(d.t, 30*time.Second, func() error { return harness.Answers(d.t.Context(), "http://"+addr+"/readyz") })
	return p
}

// outcome is what a run of the program left.
type outcome struct {
	out, err string
	code     int
}

// andon runs the program.
func (d *desk) andon(args ...string) outcome { return d.with(nil, "", args...) }

// with runs it with more environment, and with an input.
func (d *desk) with(env []string, in string, args ...string) outcome {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, d.program, args...)
	var out, errs bytes.Buffer
	c.Env, c.Stdin, c.Stdout, c.Stderr = slices.Concat(d.env, env), strings.NewReader(in), &out, &errs
	err := c.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		d.t.Fatalf("andon %s: %v", strings.Join(args, " "), err)
	}
	return outcome{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// must is for what a test needs only in order to go on.
func (d *desk) must(args ...string) outcome {
	d.t.Helper()
	o := d.andon(args...)
	if o.code != exitReached {
		d.t.Fatalf("andon %s ends with %d:\n%s%s", strings.Join(args, " "), o.code, o.out, o.err)
	}
	return o
}

// varying is what differs from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "<time>"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "<clock>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "<address>"},
	{regexp.MustCompile(`seq-(\d+)-[0-9a-z]+`), "seq-$1-<stored>"},
	{regexp.MustCompile(`((stop|resume|plan)-)[a-z2-7]{12}`), "$1<new>"},
	{regexp.MustCompile(`\b(for|in) (\d+m)?\d+s\b`), "$1 <length>"},
	{regexp.MustCompile(`(?m)(  )(\d+m)?\d+s(  |$)`), "$1<length>$3"},
	{regexp.MustCompile(`,\d+,(asg-)`), ",<seconds>,$1"},
	{regexp.MustCompile(`(?m)^(<worker>.*  )\d+(  )`), "$1<in hand>$2"},
	{regexp.MustCompile(` {2,}`), "  "},
}

// steady is an output without what differs from run to run.
func (d *desk) steady(text string) string {
	host, err := os.Hostname()
	if err != nil {
		d.t.Fatal(err)
	}
	text = regexp.MustCompile(regexp.QuoteMeta(host)+`-\d+`).ReplaceAllString(text, "<worker>")
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return text
}
