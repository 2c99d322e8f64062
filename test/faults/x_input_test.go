package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// Whatever is published under the prefix ends as one result that says what is
// wrong, and as a dead letter; nobody else is hurt, and the API hears nothing.
func TestX1GarbageIsPublished(t *testing.T) {
	t.Parallel()
	w := begin(t, "X1 garbage published", conf{workers: 2})
	n := sized(300, 10_000)
	for i := range n {
		m := &nats.Msg{Subject: stop.SubjectStop + garbledSubject(w.random), Data: garbage(w.random, i), Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("garbage-%d", i)}}}
		harness.Eventually(t, 10*time.Second, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.js().PublishMsg(ctx, m)
			return err
		})
	}
	w.row.injected = n
	w.ask(len(mixed)) // in the middle of it
	w.asker.done()
	w.settle(2 * time.Minute)
	stored, _, err := readAll(t.Context(), w.js(), stop.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	letters, _, err := readAll(t.Context(), w.js(), stop.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	invalid, asked := 0, w.asker.asked()
	var good []stop.Result
	for _, m := range stored {
		var got stop.Result
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatal(err)
		}
		r, ok := asked[got.Request]
		switch {
		case ok:
			good = append(good, got)
			if err := w.agrees(r, got); err != nil {
				w.row.wrong++
				t.Error(err)
			}
		case got.Outcome != stop.OutcomeInvalid || got.Message == "":
			w.row.wrong++
			t.Errorf("garbage ends as %s: %q", got.Outcome, got.Message)
		default:
			invalid++
		}
	}
	w.row.requests, w.row.lost = len(asked)+n, len(asked)+n-len(good)-invalid
	if w.row.lost != 0 {
		t.Errorf("%d results of %d, and %d of %d that say what is wrong", len(good), len(asked), invalid, n)
	}
	if len(letters) < n {
		t.Errorf("%d dead letters for %d messages that cannot be read", len(letters), n)
	}
	for _, err := range w.inspect(stored) {
		t.Error(err)
	}
}

func garbledSubject(random *rand.Rand) string {
	return []string{"", ".urgent", ".bulk", ".urgentx", ".team-a.b.c", ".urgent.team", "." + strings.Repeat("x", 200), ".späť", ".bulk.\x01"}[random.IntN(9)]
}

// garbage is the i-th payload that is no request, each with a name of its own.
func garbage(random *rand.Rand, i int) []byte {
	field := func(name string, value any) []byte {
		v, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return fmt.Appendf(nil, `{"Id":"g%d","AutoScalingGroupId":"asg-g%d",%q:%s}`, i, i, name, v)
	}
	switch random.IntN(12) {
	case 0:
		b := make([]byte, random.IntN(300))
		for at := range b {
			b[at] = byte(random.Uint32())
		}
		return b
	case 1:
		return []byte(strings.Repeat(`[`, 1+random.IntN(50_000)))
	case 2:
		return []byte(strings.Repeat(`{"a":`, 1+random.IntN(10_000)))
	case 3:
		return fmt.Appendf(nil, `{"Id":"g%d","Id":"h%d","AutoScalingGroupId":"asg-g%d"}`, i, i, i) // twice
	case 4:
		return field("RefreshActivityId", "asr-*.>")
	case 5:
		return field("Region", "../../etc/passwd\x00")
	case 6:
		return field("Reason", strings.Repeat("r", 1025+random.IntN(60_000)))
	case 7:
		return fmt.Appendf(nil, `{"Id":%d,"AutoScalingGroupId":"asg-g%d"}`, i, i)
	case 8:
		return field("NotAfter", "tomorrow")
	case 9:
		return field("dryrun", true)
	case 10:
		return fmt.Appendf(nil, `{"Id":"%s%d","AutoScalingGroupId":["asg-g%d"]}`, strings.Repeat("i", 5000), i, i)
	default:
		whole := fmt.Appendf(nil, `{"Id":"g%d","AutoScalingGroupId":"asg-g%d"}`, i, i)
		return whole[:random.IntN(len(whole))] // broken off
	}
}

// The same request comes ten times, out of order and on several subjects; later
// its id is used for another group.
func TestX2RequestsComeTwiceAndIDsAreUsedAgain(t *testing.T) {
	t.Parallel()
	w := begin(t, "X2 requests ten times, ids used again", conf{workers: 3})
	w.asker = w.newAsker(0)
	n := sized(40, 300)
	type copyOf struct {
		r       request
		subject string
	}
	var copies []copyOf
	for i := range n {
		r := newRequest(i, mixed[i%len(mixed)])
		if err := r.place(w.api.Sim); err != nil {
			t.Fatal(err)
		}
		w.asker.confirm(r)
		for range 9 {
			copies = append(copies, copyOf{r, subjects[w.random.IntN(len(subjects))]})
		}
	}
	w.random.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
	for _, c := range copies {
		harness.Eventually(t, 10*time.Second, func() error { return w.asker.try(c.subject, c.r.payload()) })
		w.row.injected++
	}
	w.settle(time.Minute)
	for i := range n {
		other := newRequest(n+i, runs)
		if err := other.place(w.api.Sim); err != nil {
			t.Fatal(err)
		}
		payload := strings.Replace(string(other.payload()), `"Id":"`+other.id, `"Id":"`+newRequest(i, runs).id, 1)
		harness.Eventually(t, 10*time.Second, func() error { return w.asker.try(stop.SubjectStop, []byte(payload)) })
		w.row.injected++
	}
	w.finish(time.Minute)
	for i := range n {
		if a, _ := w.api.Sim.Activity(newRequest(n+i, runs).id); a.Status != simulator.Running {
			t.Errorf("%s was paused by a request whose id had its result", a.ID)
		}
	}
}
