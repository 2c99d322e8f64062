package stop_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// The names of the contract and of the design; a change here needs a move of
// what is stored.
func TestNamesToTheLetter(t *testing.T) {
	got := []string{
		stop.StreamResume, stop.SubjectResume, stop.ProgressSubject("r"), stop.ResultSubject("r.asg-a"), stop.TargetResults("r"), stop.BucketControl, stop.ControlHold,
		stop.StreamBulk, stop.SubjectBulk, stop.BulkSubject("r"), stop.SubjectProgress, stop.BucketManifests, stop.BucketCalls, stop.BucketLimiter,
		stop.ControlBudget, stop.ControlPaused, stop.TaskClaim("r.asg-a"), stop.ResumeRequestType,
		stop.StreamStop, stop.StreamResults, stop.StreamDead, stop.StreamTasks, stop.BucketHistory,
		stop.SubjectStop, stop.SubjectResults, stop.SubjectDead, stop.SubjectTasks,
		stop.ResultSubject("r"), stop.DeadSubject("r"), stop.TaskClaim("r"),
		stop.LaneTasks("default_host", stop.LaneBulk), stop.LaneTasks("*", stop.LaneUrgent),
		stop.RequestType, stop.ResultType,
	}
	want := []string{
		"AS_REFRESH_RESUME", "as.refresh.resume", "as.refresh.progress.r", "as.refresh.result.r.asg-a", "as.refresh.result.r.*", "as_refresh_control", "hold",
		"AS_REFRESH_BULK", "as.refresh.bulk", "as.refresh.bulk.r", "as.refresh.progress", "as_refresh_manifests", "as_refresh_calls", "as_refresh_limiter",
		"budget", "paused", "as.refresh.task.*.*.r.asg-a", "as.refresh.resume",
		"AS_REFRESH_STOP", "AS_REFRESH_RESULTS", "AS_REFRESH_DEAD", "AS_REFRESH_TASKS", "as_refresh_history",
		"as.refresh.stop", "as.refresh.result", "as.refresh.dead", "as.refresh.task",
		"as.refresh.result.r", "as.refresh.dead.r", "as.refresh.task.*.*.r",
		"as.refresh.task.default_host.bulk.>", "as.refresh.task.*.urgent.>",
		"as.refresh.stop", "as.refresh.stop.result",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestLaneOf(t *testing.T) {
	for subject, want := range map[string]stop.Lane{
		"as.refresh.stop":                      stop.LaneNormal,
		"as.refresh.stop.urgent":               stop.LaneUrgent,
		"as.refresh.stop.urgent.team-a":        stop.LaneUrgent,
		"as.refresh.stop.urgent.team-a.bulk":   stop.LaneUrgent,
		"as.refresh.stop.bulk":                 stop.LaneBulk,
		"as.refresh.stop.bulk.team-a":          stop.LaneBulk,
		"as.refresh.stop.bulk.urgent":          stop.LaneBulk,
		"as.refresh.stop.team-a":               stop.LaneNormal,
		"as.refresh.stop.team-a.urgent":        stop.LaneNormal,
		"as.refresh.stop.normal":               stop.LaneNormal,
		"as.refresh.stop.urgentx":              stop.LaneNormal,
		"as.refresh.stop.as.refresh.stop.bulk": stop.LaneNormal,
		"as.refresh.stop.bulky":                stop.LaneNormal,
		"as.refresh.stop.Urgent":               stop.LaneNormal,
		"as.refresh.stop.urgent-team-a":        stop.LaneNormal,
		"as.refresh.stopurgent":                stop.LaneNormal,
		"as.refresh":                           stop.LaneNormal,
		"as.refresh.task.q.urgent.r":           stop.LaneNormal,
		"":                                     stop.LaneNormal,
	} {
		if got := stop.LaneOf(subject); got != want {
			t.Errorf("%q: got %s, want %s", subject, got, want)
		}
		// The inverse has the same shape.
		if rest, ok := strings.CutPrefix(subject, stop.SubjectStop); ok {
			if got := stop.LaneOf(stop.SubjectResume + rest); got != want {
				t.Errorf("%q: got %s, want %s", stop.SubjectResume+rest, got, want)
			}
		}
	}
}

// What is not told to resume is to pause: that is what the stream holds.
func TestActionOf(t *testing.T) {
	for subject, want := range map[string]string{
		"as.refresh.stop":                          stop.ActionStop,
		"as.refresh.stop.urgent.team-a":            stop.ActionStop,
		"as.refresh.stop.as.refresh.resume":        stop.ActionStop,
		"as.refresh.stop.resume":                   stop.ActionStop,
		"as.refresh.resume":                        stop.ActionResume,
		"as.refresh.resume.urgent":                 stop.ActionResume,
		"as.refresh.resume.team-a":                 stop.ActionResume,
		"as.refresh.resume.as.refresh.stop.urgent": stop.ActionResume,
		"as.refresh.resumes":                       stop.ActionStop,
		"as.refresh.resume-all":                    stop.ActionStop,
		"as.refresh.Resume":                        stop.ActionStop,
		"x.as.refresh.resume":                      stop.ActionStop,
		"":                                         stop.ActionStop,
	} {
		if got := stop.ActionOf(subject); got != want {
			t.Errorf("%q: got %s, want %s", subject, got, want)
		}
	}
}

func TestTeamOf(t *testing.T) {
	for subject, want := range map[string]string{
		"as.refresh.stop":                    "",
		"as.refresh.stop.team-a":             "team-a",
		"as.refresh.stop.team-a.service-b":   "team-a",
		"as.refresh.stop.urgent":             "",
		"as.refresh.stop.urgent.team-a":      "team-a",
		"as.refresh.stop.urgent.team-a.x.y":  "team-a",
		"as.refresh.stop.bulk.team-a":        "team-a",
		"as.refresh.stop.bulk.urgent":        "urgent", // free is what follows the lane
		"as.refresh.stop.team-a.urgent":      "team-a",
		"as.refresh.stop.normal.team-a":      "normal", // no lane is asked for so
		"as.refresh.stop.urgentx":            "urgentx",
		"as.refresh.stop.as.refresh.stop.as": "as",
		"as.refresh.stops.team-a":            "",
		"as.refresh":                         "",
		"team-a":                             "",
		"":                                   "",
	} {
		if got := stop.TeamOf(subject); got != want {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
		if rest, ok := strings.CutPrefix(subject, stop.SubjectStop+"."); ok {
			if got := stop.TeamOf(stop.SubjectResume + "." + rest); got != want {
				t.Errorf("%q: got %q, want %q", stop.SubjectResume+"."+rest, got, want)
			}
		}
		// The request says the same as its subject, whatever is in it.
		for _, payload := range []string{oneGroup, "{"} {
			m := bare(payload)
			m.Subject = subject
			if r, _ := stop.Decode(m, defaults); r.Team != want || r.Action != stop.ActionOf(subject) {
				t.Errorf("%q: the request is of the team %q and asks for %s", subject, r.Team, r.Action)
			}
		}
	}
}

func TestRequestSubject(t *testing.T) {
	for lane, want := range map[stop.Lane]string{
		stop.LaneUrgent: ".urgent",
		stop.LaneNormal: "",
		stop.LaneBulk:   ".bulk",
		"":              "",
		"other":         "",
	} {
		if got := stop.RequestSubject(stop.ActionStop, lane); got != "as.refresh.stop"+want {
			t.Errorf("%q: got %s, want as.refresh.stop%s", lane, got, want)
		}
		if got := stop.RequestSubject(stop.ActionResume, lane); got != "as.refresh.resume"+want {
			t.Errorf("%q: got %s, want as.refresh.resume%s", lane, got, want)
		}
	}
	for _, action := range []string{stop.ActionStop, stop.ActionResume} {
		for _, lane := range stop.Lanes() {
			subject := stop.RequestSubject(action, lane)
			if stop.LaneOf(subject) != lane || stop.ActionOf(subject) != action || stop.TeamOf(subject) != "" || stop.TeamOf(subject+".a.b") != "a" {
				t.Errorf("a request published in %s is read as %s %s of the team %q", subject, stop.ActionOf(subject), stop.LaneOf(subject), stop.TeamOf(subject+".a.b"))
			}
		}
	}
}

func TestTaskLane(t *testing.T) {
	for subject, want := range map[string]stop.Lane{
		"as.refresh.task.default_h.urgent.r": stop.LaneUrgent,
		"as.refresh.task.default_h.normal.r": stop.LaneNormal,
		"as.refresh.task.default_h.bulk.r":   stop.LaneBulk,
		"as.refresh.task.urgent.bulk.urgent": stop.LaneBulk,
		"as.refresh.task.default_h.other.r":  stop.LaneNormal,
		"as.refresh.task.default_h":          stop.LaneNormal,
		"as.refresh.task":                    stop.LaneNormal,
		"":                                   stop.LaneNormal,
	} {
		if got := stop.TaskLane(subject); got != want {
			t.Errorf("%q: got %s, want %s", subject, got, want)
		}
	}
}

// Quota and lane have a token each, so that each pair has its own consumer.
func TestTaskSubject(t *testing.T) {
	task := stop.Task{
		Request: "deploy-4711", Lane: stop.LaneUrgent,
		Quota: stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"},
	}
	const want = "as.refresh.task.default_as-intl-tencentcloudapi-com.urgent.deploy-4711"
	if got := stop.TaskSubject(task); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var safeToken = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// matches is how NATS matches a subject.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

// Whatever a payload says, the subjects made of it have as many tokens as
// they should, hold no wildcard, and are short.
func TestSubjectsHoldOnlySafeTokens(t *testing.T) {
	for _, id := range []string{
		"plain", "a.b", "*", ">", "a b", "\u0000", "größe", "a\r\nb", text(64), text(65), text(5000), "..", ".", strings.Repeat("*.", 50), "$JS.API.>",
	} {
		r, bad := stop.Decode(with(oneGroup, "Nats-Msg-Id", id), defaults)
		if bad != nil {
			t.Fatal(bad)
		}
		for _, lane := range stop.Lanes() {
			for _, q := range quotas() {
				task := stop.Task{Request: r.ID, Lane: lane, Quota: q}
				subject := stop.TaskSubject(task)
				checkSubject(t, subject, 6)
				if !matches(stop.TaskClaim(r.ID), subject) {
					t.Errorf("%s is not claimed by %s", subject, stop.TaskClaim(r.ID))
				}
				if matches(stop.TaskClaim("x"+r.ID), subject) {
					t.Errorf("%s is claimed by another request", subject)
				}
				for _, other := range stop.Lanes() {
					if got := matches(stop.LaneTasks(q.Token(), other), subject); got != (other == lane) {
						t.Errorf("%s is taken for the lane %s: %t", subject, other, got)
					}
				}
				if got := stop.TaskLane(subject); got != lane {
					t.Errorf("%s: read as lane %s", subject, got)
				}
				if got := stop.TaskQuota(subject); got != q.Token() {
					t.Errorf("%s: read as quota %s", subject, got)
				}
				task.Name = "asg-shopweb1-2"
				subject = stop.TaskSubject(task)
				checkSubject(t, subject, 7)
				// A target has a claim of its own.
				if !matches(stop.TaskClaim(task.Key()), subject) || matches(stop.TaskClaim(r.ID), subject) || !matches(stop.LaneTasks(q.Token(), lane), subject) {
					t.Errorf("%s is not found again, or by another's claim", subject)
				}
			}
		}
		checkSubject(t, stop.BulkSubject(r.ID), 4)
		checkSubject(t, stop.ProgressSubject(r.ID), 4)
		checkSubject(t, stop.ResultSubject(r.ID), 4)
		checkSubject(t, stop.DeadSubject(r.ID), 4)
	}
}

func checkSubject(t *testing.T, subject string, tokens int) {
	t.Helper()
	parts := strings.Split(subject, ".")
	if len(parts) != tokens {
		t.Errorf("%q has %d tokens, want %d", subject, len(parts), tokens)
	}
	for _, part := range parts {
		if !safeToken.MatchString(part) {
			t.Errorf("%q holds the token %q", subject, part)
		}
	}
	// The server closes the connection of who sends a longer line than 4 KiB.
	if len(subject) > 1024 {
		t.Errorf("%.40q… is %d bytes long", subject, len(subject))
	}
}
