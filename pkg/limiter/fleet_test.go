package limiter

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

var deflt = stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"}

// fleet is a number of workers that call the API through limiters of their
// own, over one broker, in simulated time.
type fleet struct {
	t      testing.TB
	broker *broker
	rate   float64
	// toAPI is how long a call is on its way to the API, back how long until
	// its answer is here.
	toAPI, back func(r *rand.Rand) time.Duration
	// hiccup is how long a worker does nothing between permit and call.
	hiccup func(r *rand.Rand) time.Duration
	// each shares nothing with the others: the negative control.
	apart bool

	group sync.WaitGroup

	mu       sync.Mutex // guards all below
	arrivals []arrival
	events   []event
	byWorker map[string]int
	names    int
}

func newFleet(t testing.TB, seed uint64, rate float64) *fleet {
	f := &fleet{
		t: t, broker: newBroker(seed), rate: rate, byWorker: map[string]int{},
		toAPI:  func(*rand.Rand) time.Duration { return time.Millisecond },
		back:   func(*rand.Rand) time.Duration { return time.Millisecond },
		hiccup: none,
	}
	f.broker.wrote = func(r stored) {
		f.happened("%s writes %d: %d slots from number %d, in %s, each %s, next in %s", r.Worker, r.revision, r.granted(), r.Number, r.start().sub(r.stamp), r.Interval, r.next().sub(r.stamp))
	}
	return f
}

// simulation skips a test of a fleet under the race detector, which dies of its
// own in that many goroutines and timers ("CHECK failed: kEpochLast"). It sees
// the same code on a real broker in this package's other tests and in
// test/fleet.
func simulation(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("simulations are run without the race detector: make storm")
	}
}

// arrival is one call as the API saw it, and what became of it before.
type arrival struct {
	at, permitted time.Time
	worker        string
	way, hiccup   time.Duration
}

func (a arrival) String() string {
	return fmt.Sprintf("a call of %s arrives, permit at %s, hiccup of %s, on its way for %s", a.worker, a.permitted.Format(clockLayout), a.hiccup.Round(1e5), a.way.Round(1e5))
}

type event struct {
	at   time.Time
	what string
}

const clockLayout = "04:05.000"

// happened keeps what befell the fleet, for the log of a failed run.
func (f *fleet) happened(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, event{time.Now(), fmt.Sprintf(format, args...)})
}

// tell logs what happened and arrived around a moment.
func (f *fleet) tell(at time.Time, period time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.arrivals {
		f.events = append(f.events, event{a.at, a.String()})
	}
	slices.SortFunc(f.events, func(a, b event) int { return a.at.Compare(b.at) })
	for _, e := range f.events {
		if e.at.After(at.Add(-2*period)) && e.at.Before(at.Add(period)) {
			f.t.Log(e.at.Format(clockLayout), e.what)
		}
	}
}

// worker is one process.
type worker struct {
	fleet *fleet
	name  string
	lane  func(r *rand.Rand) stop.Lane // of its calls
	l     *Limiter
	dead  context.Context
	kill  context.CancelFunc
}

// join starts a process whose clock shows any time of day and runs at a speed
// of its own.
func (f *fleet) join(r *rand.Rand) *worker {
	f.t.Helper()
	f.mu.Lock()
	f.names++
	name := "w" + string(rune('0'+f.names/10)) + string(rune('0'+f.names%10))
	f.mu.Unlock()
	begun, offset, speed := time.Now(), time.Duration((r.Float64()-0.5)*float64(10*time.Minute)), 1+(r.Float64()-0.5)*200e-6
	k := &clock{read: func() tick { return tick(offset) + tick(float64(time.Since(begun))*speed) }}
	b := f.broker
	if f.apart {
		b = newBroker(r.Uint64())
	}
	l, err := open(Config{Worker: name, Rate: f.rate}, b, k, nil, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	w := &worker{fleet: f, name: name, l: l, lane: func(r *rand.Rand) stop.Lane { return stop.Lanes()[r.IntN(3)] }}
	w.dead, w.kill = context.WithCancel(context.Background())
	return w
}

// A call that takes longer than prompt, of a worker that dies before it could
// tell the fleet, goes down with the worker here: nobody knows of it, and it is
// the one thing that the limiter takes for granted.
const (
	prompt  = 31 * time.Millisecond
	telling = 500 * time.Millisecond
)

// call makes one call, and reports whether there was one.
func (w *worker) call(ctx context.Context, r *rand.Rand, lane stop.Lane) bool {
	f := w.fleet
	p, err := w.l.Acquire(ctx, stop.ActionStop, deflt, lane)
	if err != nil {
		return false
	}
	permitted := time.Now()
	hiccup := f.hiccup(r)
	if !w.sleep(hiccup) || time.Now().After(p.Until) {
		p.Release()
		return false
	}
	way := f.toAPI(r)
	time.Sleep(way) // also when the worker dies meanwhile
	a := arrival{at: time.Now(), worker: w.name, permitted: permitted, way: way, hiccup: hiccup}
	if w.sleep(f.back(r)) {
		p.Release()
	}
	if way > prompt && !w.sleep(telling) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrivals = append(f.arrivals, a)
	f.byWorker[w.name]++
	return true
}

// sleep reports whether the worker lives still.
func (w *worker) sleep(d time.Duration) bool {
	select {
	case <-w.dead.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// work has so many callers call without end until the worker dies.
func (w *worker) work(callers int, seed uint64, then func(r *rand.Rand) time.Duration) {
	for i := range callers {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		w.fleet.group.Go(func() {
			for w.dead.Err() == nil {
				ctx, cancel := w.dead, context.CancelFunc(func() {})
				if r.IntN(8) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(3*time.Second))))
				}
				w.call(ctx, r, w.lane(r))
				cancel()
				if !w.sleep(then(r)) {
					return
				}
			}
		})
	}
	w.fleet.group.Go(func() { <-w.dead.Done(); w.l.Close() })
}

// fullest is the most arrivals in any second of the run, and where it begins.
func (f *fleet) fullest(period time.Duration) (most int, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(f.arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
	first := 0
	for i, a := range f.arrivals {
		for !f.arrivals[first].at.After(a.at.Add(-period)) {
			first++
		}
		if i-first+1 > most {
			most, at = i-first+1, f.arrivals[first].at
		}
	}
	return most, at
}

// between counts arrivals.
func (f *fleet) between(from, to time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.arrivals {
		if !a.at.Before(from) && a.at.Before(to) {
			n++
		}
	}
	return n
}

// counts are the calls of each worker.
func (f *fleet) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.byWorker)
}

func none(*rand.Rand) time.Duration { return 0 }

// upTo is any time below most.
func upTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}
