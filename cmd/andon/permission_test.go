package main

import (
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// subjects reads a list of deploy/nats.
func subjects(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nats/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

func allowed(name string, publish ...string) *server.User {
	return &server.User{Username: name, Password: "p", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_" + name + ".>", "as.refresh.progress.*"}},
	}}
}

func TestEachRoleCanDoWhatItIsForAndIsToldWhatItMayNot(t *testing.T) {
	t.Parallel()
	observer := subjects(t, "observer-publish.txt")
	operator := append(subjects(t, "operator-publish.txt"), observer...)
	d := newDesk(
		t, simulator.Sample(), &server.User{Username: "worker", Password: "p"}, allowed("observer", observer...), allowed("operator", operator...),
		allowed("team", "as.refresh.stop.urgent.team-a"),
	)
	d.work(d.url("worker"))
	as := func(user, args string) outcome {
		return d.with([]string{"NATS_URL=" + d.url(user), "ANDON_NATS_INBOX_PREFIX=_INBOX_" + user}, "", strings.Fields(args)...)
	}
	for _, c := range []struct {
		user, args string
		code       int
		says       string
	}{
		{"team", "stop asg-shopweb1 --urgent --team team-a --id INC-1", exitReached, "stored"},
		{"team", "stop asg-shopweb1 --id INC-2", exitFailed, `Publish to "as.refresh.stop"`},
		{"team", "watch INC-1", exitFailed, `"$JS.API.CONSUMER.CREATE.AS_REFRESH_RESULTS.`},
		{"operator", "stop asg-shopapi1 --id INC-3 --wait", exitReached, "paused"},
		{"observer", "watch INC-1", exitReached, "paused"},
		{"observer", "watch INC-3 -o jsonl", exitReached, `"Outcome":"paused"`},
		{"observer", "results", exitReached, "INC-3"},
		{"observer", "results INC-1", exitReached, "asg-shopweb1"},
		{"observer", "why asg-shopweb1", exitReached, "neither scales nor heals"},
		{"observer", "paused", exitReached, "asg-shopapi1"},
		{"observer", "dead ls", exitReached, "no dead letters"},
		{"observer", "status", exitReached, "ready"},
		{"observer", "stop asg-gamelive -r ap-singapore --id INC-4", exitFailed, `INC-4 was not published: NATS refuses a permission that is needed: nats: permissions violation: Permissions Violation for Publish to "as.refresh.stop"`},
		{"observer", "resume INC-1", exitFailed, `"as.refresh.resume"`},
		{"observer", "hold --reason look", exitFailed, `"$KV.as_refresh_control.hold"`},
		{"operator", "hold --reason look", exitReached, "heard by 1 of 1 worker"},
		{"observer", "release", exitFailed, `"$KV.as_refresh_control.hold"`},
		{"operator", "release", exitReached, "released"},
		{"operator", "resume INC-1 --wait --id INC-5", exitReached, "resumed"},
		{"team", "status", exitFailed, `queues not known: NATS refuses a permission that is needed`},
	} {
		o := as(c.user, c.args)
		if o.code != c.code || !strings.Contains(o.out+o.err, c.says) {
			t.Errorf("%s: andon %s: ends with %d, want %d and %q:\n%s%s", c.user, c.args, o.code, c.code, c.says, o.out, o.err)
		}
	}
}
