package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestMetricsAreCleanAndCompleteFromTheStart(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	problems, err := testutil.GatherAndLint(q.conf.Registerer.(*prometheus.Registry))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for _, l := range stop.Lanes() {
		lane := "lane=" + string(l)
		for _, o := range stop.Outcomes() {
			if v := metric(t, q, "andon_results_total", lane, "outcome="+string(o)); v != 0 {
				t.Errorf("%s %s starts with %v", lane, o, v)
			}
		}
		for _, name := range []string{"andon_in_flight", "andon_queue_pending", "andon_queue_oldest_seconds"} {
			if v := metric(t, q, name, lane); v != 0 {
				t.Errorf("%s %s starts with %v", name, lane, v)
			}
		}
		metric(t, q, "andon_request_duration_seconds", lane)
	}
	for _, w := range stop.Whys() {
		metric(t, q, "andon_dead_letters_total", "why="+string(w))
	}
	metric(t, q, "andon_panics_total")
}

func TestTheBacklogIsCountedByLane(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	for lane, subjects := range map[stop.Lane][]string{
		stop.LaneUrgent: {"as.refresh.stop.urgent", "as.refresh.stop.urgent.team-a", "as.refresh.stop.urgent.team-a.x", "as.refresh.stop.urgent"},
		stop.LaneBulk:   {"as.refresh.stop.bulk", "as.refresh.stop.bulk.x"},
		stop.LaneNormal: {"as.refresh.stop", "as.refresh.stop", "as.refresh.stop", "as.refresh.stop.urgently", "as.refresh.stop.team-b.urgent"},
	} {
		for _, s := range subjects {
			publish(t, q, s, "{}")
		}
		for i := range subjects {
			if err := q.storeTasks(t.Context(), nil, []stop.Task{task(fmt.Sprint(lane, i), lane)}); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := metric(t, q, "andon_queue_pending", "lane="+string(lane)), float64(2*len(subjects)); got != want {
			t.Errorf("lane %s: %v pending, want %v", lane, got, want)
		}
	}
}

// Whatever stands first in the stream, each lane shows the age of its own
// oldest message.
func TestTheOldestOfEachLaneIsFound(t *testing.T) {
	t.Parallel()
	for _, subjects := range [][]string{
		{"as.refresh.stop.bulk", "as.refresh.stop.urgent", "as.refresh.stop"},
		{"as.refresh.stop.urgent", "as.refresh.stop.bulk.x", "as.refresh.stop.team-b"},
		{"as.refresh.stop", "as.refresh.stop.urgent.team-a", "as.refresh.stop.bulk"},
		{"as.refresh.stop.urgent.team-a", "as.refresh.stop.urgent", "as.refresh.stop.bulk.x", "as.refresh.stop.bulk", "as.refresh.stop.else", "as.refresh.stop"},
	} {
		t.Run(strings.Join(subjects, " "), func(t *testing.T) {
			t.Parallel()
			q := openQueue(t, startBroker(t))
			first := map[stop.Lane]time.Time{}
			for _, s := range subjects {
				before := time.Now()
				publish(t, q, s, "{}")
				if l := stop.LaneOf(s); first[l].IsZero() {
					first[l] = before
				}
			}
			// Make ages that can be told apart from zero.
			nothing(t, make(chan int), 50*time.Millisecond, "")
			lanes, err := q.Backlog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for l, since := range first {
				oldest := lanes[l].Oldest
				if oldest < 45*time.Millisecond || oldest > time.Since(since) {
					t.Errorf("lane %s: oldest is %v, want about %v", l, oldest, time.Since(since))
				}
			}
		})
	}
}

func TestTheOldestTaskCountsToo(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	if err := q.storeTasks(t.Context(), nil, []stop.Task{task("r", stop.LaneUrgent)}); err != nil {
		t.Fatal(err)
	}
	nothing(t, make(chan int), 50*time.Millisecond, "")
	publish(t, q, "as.refresh.stop.urgent", "{}")
	lanes, err := q.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b := lanes[stop.LaneUrgent]; b.Oldest < 45*time.Millisecond || b.Pending != 2 {
		t.Errorf("urgent is %+v", b)
	}
	if b := lanes[stop.LaneNormal]; b != (Backlog{}) {
		t.Errorf("normal is %+v", b)
	}
}

func TestManySubjectsDoNotSlowAScrapeDown(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	const requests = 1000
	for i := range requests {
		publish(t, q, fmt.Sprint("as.refresh.stop.team-", i), "{}")
	}
	before := time.Now()
	if v := metric(t, q, "andon_queue_pending", "lane=normal"); v != requests {
		t.Errorf("%v pending", v)
	}
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("a scrape took %v", took)
	}
}

func TestWhileTheBrokerIsAwayThereAreNoNumbers(t *testing.T) {
	t.Parallel()
	b := startBrokerAt(t, filepath.Join(t.TempDir(), "store"), "127.0.0.1:0")
	q := openQueue(t, b)
	publish(t, q, stop.SubjectStop, "{}")
	b.Shutdown()
	before := time.Now()
	for _, name := range []string{"andon_queue_pending", "andon_queue_oldest_seconds"} {
		if v, ok := sample(t, q, name, "lane=normal"); ok {
			t.Errorf("%s is %v without a broker", name, v)
		}
	}
	metric(t, q, "andon_in_flight", "lane=normal") // this worker's own numbers stay
	if took := time.Since(before) / 3; took > 3*time.Second {
		t.Errorf("a scrape took %v", took)
	}
}

// A broker that hangs is worse than one that is gone.
func TestABrokerThatHangsDoesNotHangAScrape(t *testing.T) {
	t.Parallel()
	s := startServer(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 16 << 30})
	q := openQueue(t, nil, func(c *Config) { c.URL = s.ClientURL() })
	// Somebody takes what is asked of the broker and never answers.
	if err := s.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	sub, err := q.nc.SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	before := time.Now()
	if _, ok := sample(t, q, "andon_queue_pending", "lane=normal"); ok {
		t.Error("a number without an answer")
	}
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("a scrape took %v", took)
	}
}

func TestOutcomesAreCountedByLane(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	work(t, q, Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict {
		r := result("r-" + string(m.Data))
		r.Lane, r.Outcome = stop.LaneOf(m.Subject), stop.OutcomeInvalid
		return stop.Verdict{DeadLetters: []stop.DeadLetter{stop.Bury(m, r.Request, stop.WhyInvalid, "no")}, Results: []stop.Result{r}}
	}})
	publish(t, q, "as.refresh.stop.urgent.team-a", "1")
	publish(t, q, "as.refresh.stop.bulk", "2")
	publish(t, q, "as.refresh.stop", "2") // the same identity again
	empty(t, q, stop.StreamStop)
	var sum float64
	for _, l := range stop.Lanes() {
		sum += metric(t, q, "andon_results_total", "lane="+string(l), "outcome=invalid")
	}
	if sum != 2 || metric(t, q, "andon_results_total", "lane=urgent", "outcome=invalid") != 1 {
		t.Errorf("%v results counted, want 2 and one of them urgent", sum)
	}
	if n := metric(t, q, "andon_dead_letters_total", "why=invalid"); n != 2 {
		t.Errorf("%v dead letters counted, want 2", n)
	}
}
