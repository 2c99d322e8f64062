package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

type metrics struct {
	results     *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	inFlight    *prometheus.GaugeVec
	deadLetters *prometheus.CounterVec
	panics      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, q *Queue) *metrics {
	m := &metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_results_total", Help: "Results stored by this worker, by lane and outcome.",
		}, []string{"lane", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_request_duration_seconds", Help: "Time from a request being stored to its result being stored.",
			Buckets:                     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"lane"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_in_flight", Help: "Messages in this worker's hands, by lane.",
		}, []string{"lane"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_dead_letters_total", Help: "Dead letters stored by this worker, by reason.",
		}, []string{"why"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_panics_total", Help: "Crashes while handling a message; the message comes again.",
		}),
	}
	for _, l := range stop.Lanes() {
		m.duration.WithLabelValues(string(l))
		m.inFlight.WithLabelValues(string(l))
		for _, o := range stop.Outcomes() {
			m.results.WithLabelValues(string(l), string(o))
		}
	}
	for _, w := range stop.Whys() {
		m.deadLetters.WithLabelValues(string(w))
	}
	reg.MustRegister(m.results, m.duration, m.inFlight, m.deadLetters, m.panics, &backlog{queue: q})
	return m
}

func (m *metrics) result(r stop.Result) {
	m.results.WithLabelValues(string(r.Lane), string(r.Outcome)).Inc()
	m.duration.WithLabelValues(string(r.Lane)).Observe(time.Since(r.RequestedAt).Seconds())
}

var (
	pendingDesc = prometheus.NewDesc("andon_queue_pending", "Requests and tasks of the whole fleet that have no result yet, by lane.", []string{"lane"}, nil)
	oldestDesc  = prometheus.NewDesc("andon_queue_oldest_seconds", "Age of the oldest request or task without a result, by lane; 0 when there is none.", []string{"lane"}, nil)
)

// backlog asks the broker when it is scraped. While the broker is away it
// reports nothing: an old number would look like a healthy one.
type backlog struct{ queue *Queue }

func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- pendingDesc
	ch <- oldestDesc
}

func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	lanes, err := b.queue.Backlog(ctx)
	if err != nil {
		b.queue.conf.Log.Debug("backlog is not known", "error", err)
		return
	}
	for lane, l := range lanes {
		ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(l.Pending), string(lane))
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, l.Oldest.Seconds(), string(lane))
	}
}

// Backlog is what waits in one lane.
type Backlog struct {
	// Pending counts requests and tasks, in the broker or in somebody's hands.
	Pending uint64
	// Oldest is the age of the oldest of them.
	Oldest time.Duration
}

// Backlog asks the broker what waits, by lane, for the whole fleet.
func (r *reader) Backlog(ctx context.Context) (map[stop.Lane]Backlog, error) {
	lanes := make(map[stop.Lane]Backlog)
	for _, l := range stop.Lanes() {
		lanes[l] = Backlog{}
	}
	for _, from := range []struct {
		stream string
		laneOf func(string) stop.Lane
	}{
		{stop.StreamStop, stop.LaneOf}, {stop.StreamResume, stop.LaneOf}, {stop.StreamTasks, stop.TaskLane},
	} {
		if err := r.count(ctx, from.stream, from.laneOf, lanes); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

func (r *reader) count(ctx context.Context, stream string, laneOf func(string) stop.Lane, lanes map[stop.Lane]Backlog) error {
	s, err := r.stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stream, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("count messages of %s: %w", stream, err)
	}
	for subject, n := range info.State.Subjects {
		b := lanes[laneOf(subject)]
		b.Pending += n
		lanes[laneOf(subject)] = b
	}
	for _, filter := range firstOf(stream, info.State.Subjects) {
		first, err := s.GetMsg(ctx, info.State.FirstSeq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // done with in between
		}
		if err != nil {
			return fmt.Errorf("read first message of %s: %w", stream, err)
		}
		lane := laneOf(first.Subject)
		b := lanes[lane]
		b.Oldest = max(b.Oldest, time.Since(first.Time))
		lanes[lane] = b
	}
	return nil
}

// firstOf lists filters whose first messages are the oldest of their lanes.
// Only the normal lane of the requests has no filter of its own: it is every
// subject that is of no other lane.
func firstOf(stream string, subjects map[string]uint64) []string {
	if len(subjects) == 0 {
		return nil
	}
	if stream == stop.StreamTasks {
		return []string{stop.LaneTasks("*", stop.LaneUrgent), stop.LaneTasks("*", stop.LaneNormal), stop.LaneTasks("*", stop.LaneBulk)}
	}
	action := stop.ActionStop
	if stream == stop.StreamResume {
		action = stop.ActionResume
	}
	var filters []string
	for _, l := range []stop.Lane{stop.LaneUrgent, stop.LaneBulk} {
		filters = append(filters, stop.RequestSubject(action, l), stop.RequestSubject(action, l)+".>")
	}
	// Bounds a scrape when somebody gives every request a subject of its own:
	// beyond it the age is that of some request, not of the oldest.
	const most = 100
	for subject := range subjects {
		if stop.LaneOf(subject) == stop.LaneNormal && len(filters) < most {
			filters = append(filters, subject)
		}
	}
	return filters
}
