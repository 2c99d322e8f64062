package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// as is a user with a role of deploy/nats.
func as(t *testing.T, role string) *server.User {
	t.Helper()
	var o server.Options
	text := fmt.Sprintf(`authorization {users: [{user: %[1]s, password: p, permissions: {include "../../deploy/nats/roles/%[1]s.conf"}}]}`, role)
	if err := o.ProcessConfigString(text); err != nil {
		t.Fatal(err)
	}
	return o.Users[0]
}

func TestEachRoleCanDoWhatItIsForAndIsToldWhatItMayNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample(), &server.User{Username: "worker", Password: "p"}, as(t, "observer"), as(t, "operator"), as(t, "team-a"))
	d.work(d.url("worker"))
	andon := func(user, args string) outcome {
		return d.with([]string{"NATS_URL=" + d.url(user), "ANDON_NATS_INBOX_PREFIX=_INBOX_" + user}, "", strings.Fields(args)...)
	}
	for _, c := range []struct {
		user, args string
		code       int
		says       string
	}{
		{"team-a", "stop asg-shopweb1 --urgent --team team-a --id INC-1", exitReached, "stored"},
		{"team-a", "stop asg-shopweb1 --id INC-2", exitFailed, `Publish to "as.refresh.stop"`},
		{"team-a", "watch INC-1", exitFailed, `"$JS.API.CONSUMER.CREATE.AS_REFRESH_RESULTS.`},
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
		{"team-a", "status", exitFailed, `queues not known: NATS refuses a permission that is needed`},
	} {
		o := andon(c.user, c.args)
		if o.code != c.code || !strings.Contains(o.out+o.err, c.says) {
			t.Errorf("%s: andon %s: ends with %d, want %d and %q:\n%s%s", c.user, c.args, o.code, c.code, c.says, o.out, o.err)
		}
	}
}
