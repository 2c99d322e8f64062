package faults

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

var (
	atStop     = simulator.Match{Action: stop.ActionStop}
	atDescribe = simulator.Match{Action: stop.ActionDescribe}
)

// givenUp: a request may run out of attempts while the API is down, and says so.
func givenUp(_ request, got stop.Result) bool {
	return got.Outcome == stop.OutcomeFailed && strings.HasPrefix(got.Message, "given up after 8 attempts")
}

// maxAttempts is how often a Stop is tried, contract section 4.
const maxAttempts = 8

func TestA1TheAPIAnswersOnlyErrors(t *testing.T) {
	t.Parallel()
	w := begin(t, "A1 API answers only errors", conf{workers: 2, also: givenUp})
	w.ask(0)
	for i := range sized(1, 2) {
		w.pause(time.Second, 2*time.Second)
		bad := []simulator.Fault{
			{Kind: simulator.ErrorCode, Code: "InternalError", Match: atStop},
			{Kind: simulator.BadGateway, HTTPStatus: 500, Match: atStop},
		}[i]
		end := w.fault(bad)
		w.pause(time.Duration(sized(4, 60))*time.Second, time.Duration(sized(4, 60))*time.Second)
		end()
		w.injected()
	}
	w.finish(2 * time.Minute)
	calls := make(map[string]int)
	for _, a := range w.api.Sim.Arrivals() {
		if a.Action == stop.ActionStop {
			calls[a.ActivityIDs[0]]++
		}
	}
	for id, n := range calls {
		if n > maxAttempts {
			t.Errorf("%d Stops of %s, want at most %d", n, id, maxAttempts)
		}
	}
}

// Somebody else has used the quota up, for a while and for good.
func TestA2TheAPIThrottles(t *testing.T) {
	t.Parallel()
	t.Run("everything for a time", func(t *testing.T) {
		t.Parallel()
		w := begin(t, "A2 everything throttled for a time", conf{workers: 3})
		w.ask(0)
		for range sized(1, 2) {
			w.pause(2*time.Second, 3*time.Second)
			end := w.fault(simulator.Fault{Kind: simulator.Throttle, Match: atStop})
			w.pause(time.Duration(sized(3, 60))*time.Second, time.Duration(sized(4, 60))*time.Second)
			end()
			w.injected()
		}
		w.finish(3 * time.Minute)
	})
	t.Run("a quarter of the quota is left", func(t *testing.T) {
		t.Parallel()
		const left = 5
		w := begin(t, "A2 a quarter of the quota is left", conf{workers: 3, api: func(sc *simulator.Scenario) {
			sc.Quota.Actions[stop.ActionStop] = left
		}})
		w.injected()
		w.ask(sized(60, 300))
		w.asker.done()
		w.finish(4 * time.Minute)
		calls, throttled := 0, w.api.Throttled()
		for _, a := range w.api.Sim.Arrivals() {
			if a.Action == stop.ActionStop {
				calls++
			}
		}
		// The rate grows back by one call a second for each second without a throttle.
		if throttled*2 > calls+20 {
			t.Errorf("%d of %d calls were throttled: the fleet does not slow down", throttled, calls)
		}
		w.row.note = fmt.Sprintf("%d of %d calls throttled", throttled, calls)
	})
}

func TestA3AcceptedAndTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := begin(t, "A3 accepted, and the answer lost", conf{workers: 3})
	w.fault(simulator.Fault{Kind: simulator.LostAnswer, Match: atStop, Probability: .1, Seed: seed})
	w.fault(simulator.Fault{Kind: simulator.TruncatedBody, Match: atStop, Probability: .05, Seed: seed})
	w.fault(simulator.Fault{Kind: simulator.BadGateway, Accepted: true, Match: atStop, Probability: .05, Seed: seed})
	w.fault(simulator.Fault{Kind: simulator.DescribeLag, Delay: 2 * time.Second, Match: atStop, Probability: .1, Seed: seed})
	w.ask(sized(100, 1000))
	w.asker.done()
	w.finish(time.Minute)
	for _, a := range w.api.Sim.Arrivals() {
		if slices.Contains([]simulator.FaultKind{simulator.LostAnswer, simulator.TruncatedBody, simulator.BadGateway}, a.Fault) {
			w.row.injected++
		}
	}
}

// Between the plan and the Stop the activity comes into each of its statuses;
// the API has a conflict for it, and can be read only later.
func TestA4TheActivityChangesBeforeTheStop(t *testing.T) {
	t.Parallel()
	becomes := func(s simulator.Status, o stop.Outcome) fate {
		return fate{status: simulator.Running, becomes: s, outcome: o, called: true}
	}
	fates := []fate{
		becomes(simulator.Init, stop.OutcomeConflict), becomes(simulator.Successful, stop.OutcomeConflict),
		becomes(simulator.FailedPause, stop.OutcomeAlreadyPaused), becomes(simulator.AutoPause, stop.OutcomeAlreadyPaused),
		becomes(simulator.ManualPause, stop.OutcomeAlreadyPaused), becomes(simulator.Cancelled, stop.OutcomeConflict),
		becomes(simulator.Failed, stop.OutcomeConflict),
		{status: simulator.Running, scaleIn: true, outcome: stop.OutcomeConflict},
		{outcome: stop.OutcomeNotFound},
		{status: simulator.Running, foreign: true, outcome: stop.OutcomeNotFound},
		runs,
	}
	w := begin(t, "A4 activity changes before the Stop, Describe fails", conf{workers: 2, fates: fates, also: unread})
	// The change takes place while the Stop is under way.
	w.fault(simulator.Fault{Kind: simulator.Latency, Delay: 400 * time.Millisecond, Match: atStop})
	w.fault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InternalError", Match: atDescribe, Probability: .3, Seed: seed})
	n := sized(44, 400)
	w.ask(n)
	for changed := make(map[string]bool); ; {
		for _, a := range w.api.Sim.Arrivals() {
			if a.Action != stop.ActionStop || changed[a.ActivityIDs[0]] {
				continue
			}
			id := a.ActivityIDs[0]
			changed[id] = true
			if r := w.asker.request(id); r.becomes != "" {
				if err := w.api.Sim.SetStatus(id, r.becomes); err != nil {
					t.Fatal(err)
				}
				w.row.injected++
			}
		}
		if w.ended(n) {
			break
		}
		w.pause(20*time.Millisecond, 20*time.Millisecond)
	}
	w.finish(time.Minute)
}

// unread: an activity may not be readable eight times in a row, and that is said.
func unread(_ request, got stop.Result) bool {
	return got.Outcome == stop.OutcomeFailed && strings.HasPrefix(got.Message, "the activity cannot be read, given up after 8 tries")
}

// request is one that is asked, by its id.
func (a *asker) request(id string) request {
	var i int
	if _, err := fmt.Sscanf(id, "asr-a%d", &i); err != nil {
		return request{}
	}
	return newRequest(i, a.w.fates[i%len(a.w.fates)])
}

// ended reports whether so many requests have their results.
func (w *world) ended(n int) bool {
	w.asker.mu.Lock()
	defer w.asker.mu.Unlock()
	s, err := w.js().Stream(w.t.Context(), stop.StreamResults)
	return err == nil && int(s.CachedInfo().State.Msgs) >= n
}

// What comes back is no answer, or one that is meant to hurt.
func TestA5TheAPIAnswersGarbage(t *testing.T) {
	t.Parallel()
	w := prepare(t, "A5 garbage and hostile answers", conf{workers: 2})
	var turn, hostile atomic.Int64
	w.api.Instead = func(out http.ResponseWriter, _ *http.Request) bool {
		if turn.Add(1)%7 != 0 {
			return false
		}
		attacks := []func(http.ResponseWriter){bomb, redirect, headers, binary, text}
		attacks[int(hostile.Add(1))%len(attacks)](out)
		return true
	}
	w.start()
	for _, f := range []simulator.Fault{
		{Kind: simulator.NullBody},
		{Kind: simulator.EmptyObject},
		{Kind: simulator.TruncatedBody},
		{Kind: simulator.BadGateway},
		{Kind: simulator.HugeBody, Megabytes: 64},
		{Kind: simulator.SlowBody, BytesPerSecond: 10},
		{Kind: simulator.Hang},
	} {
		f.Probability, f.Seed = .02, seed
		w.fault(f)
	}
	w.ask(sized(80, 500))
	w.asker.done()
	w.finish(2 * time.Minute)
	for _, a := range w.api.Sim.Arrivals() {
		if a.Fault != "" {
			w.row.injected++
		}
	}
	w.row.injected += int(hostile.Load())
	most := 0.
	for _, m := range w.crew {
		most = max(most, m.residentMB())
	}
	w.row.note = fmt.Sprintf("a worker has at most %.0f MB", most)
	if limit := 100.; most > limit && !harness.Race {
		t.Errorf("a worker has used %.0f MB, want at most %.0f", most, limit)
	}
}

// bomb is a small answer that is a large one.
func bomb(w http.ResponseWriter) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 50 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	_ = z.Close() // the caller may have hung up
}

func redirect(w http.ResponseWriter) {
	w.Header().Set("Location", "http://192.0.2.1/")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func headers(w http.ResponseWriter) {
	for i := range 2000 {
		w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
	}
}

func binary(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte{0, 1, 2, 0xff, 0xfe})
}

func text(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"Response":{"Error":{"Code":5,"Message":[]},"RequestId":{}}}`)
}

// The credentials are refused, expire, and are replaced while requests wait.
// None of them ends for that reason.
func TestA6TheCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	w := prepare(t, "A6 credentials refused, expired, replaced", conf{workers: 2})
	write := func(key string) {
		for _, m := range w.crew {
			dir := filepath.Join(m.dir, ".tencentcloud")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("[default]\nsecret_id = %s\nsecret_key = %s\n", secretID, key)
			if err := os.WriteFile(filepath.Join(dir, "credentials"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range w.crew {
		m.command.Env = slices.DeleteFunc(m.command.Env, func(v string) bool { return strings.HasPrefix(v, "TENCENTCLOUD_") })
	}
	accept := func(key string) {
		if err := w.api.Sim.SetCredentials(simulator.Credential{SecretID: secretID, SecretKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	write(secretKey)
	accept(secretKey)
	w.start()
	w.ask(0)
	for i := range sized(2, 8) {
		w.pause(time.Second, 2*time.Second)
		if i%2 == 0 {
			key := fmt.Sprintf("%s%d", secretKey, i)
			accept(key)
			w.held()
			w.pause(0, time.Second)
			write(key)
		} else {
			end := w.fault(simulator.Fault{Kind: simulator.RefuseCredentials, Code: []string{
				"AuthFailure.TokenFailure", "UnauthorizedOperation.AutoScalingRoleUnauthorized",
			}[i/2%2]})
			w.held()
			w.pause(0, time.Second)
			end()
		}
		w.injected()
		w.released()
	}
	w.finish(2 * time.Minute)
}

// held waits until a worker says that it holds the account.
func (w *world) held() {
	w.t.Helper()
	harness.Eventually(w.t, 20*time.Second, func() error {
		_, body, err := w.crew[0].get("/readyz?verbose")
		if err == nil && !strings.Contains(body, "[-]credentials failed") {
			err = fmt.Errorf("not held: %s", body)
		}
		return err
	})
}

// released waits until no worker holds the account.
func (w *world) released() {
	w.t.Helper()
	for _, m := range w.crew {
		harness.Eventually(w.t, 40*time.Second, func() error {
			_, body, err := m.get("/readyz?verbose")
			if err == nil && !strings.Contains(body, "[+]credentials ok") {
				err = fmt.Errorf("still held: %s", body)
			}
			return err
		})
	}
}

// The clocks of workers and API are apart by more than a signature allows.
func TestC1TheClockIsWrong(t *testing.T) {
	t.Parallel()
	w := begin(t, "C1 clock ten minutes wrong", conf{workers: 2})
	w.ask(0)
	for i := range sized(2, 6) {
		w.pause(time.Second, 2*time.Second)
		w.api.Sim.SetClock([]time.Duration{10 * time.Minute, -10 * time.Minute}[i%2])
		w.held()
		if _, body, err := w.crew[0].get("/readyz?verbose"); err != nil || !strings.Contains(body, "SignatureExpire") {
			t.Errorf("readiness does not say why (%v): %s", err, body)
		}
		w.api.Sim.SetClock(0)
		w.injected()
		w.released()
	}
	w.finish(2 * time.Minute)
}
