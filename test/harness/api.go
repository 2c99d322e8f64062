package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// API is the simulated API behind somebody who writes down when the head of
// each Stop has been read, before anything else happens to it: all by the
// monotonic clock of this process.
type API struct {
	*httptest.Server

	Sim *simulator.Simulator

	// Instead, if it is set before anybody calls, may answer a call in place of
	// the API, and says whether it has.
	Instead func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	stops   []simulator.Arrival
	awaited map[string]chan time.Time // by activity
}

// StartAPI serves a scenario.
func StartAPI(t testing.TB, sc simulator.Scenario) *API {
	t.Helper()
	a := newAPI(t, sc)
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { a.Sim.Close(); a.Close() })
	return a
}

// StartTLS serves a scenario with a certificate for 127.0.0.1 that nobody knows.
func StartTLS(t testing.TB, sc simulator.Scenario) *API {
	t.Helper()
	a := newAPI(t, sc)
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes are going to fail
	a.Server.StartTLS()
	t.Cleanup(func() { a.Sim.Close(); a.Close() })
	return a
}

func newAPI(t testing.TB, sc simulator.Scenario) *API {
	t.Helper()
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	return &API{Sim: sim, awaited: make(map[string]chan time.Time)}
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.Header.Get("X-TC-Action") == stop.ActionStop {
		a.note(now, r)
	}
	if a.Instead == nil || !a.Instead(w, r) {
		a.Sim.ServeHTTP(w, r)
	}
}

func (a *API) note(now time.Time, r *http.Request) {
	a.mu.Lock()
	a.stops = append(a.stops, simulator.Arrival{Time: now})
	awaited := len(a.awaited) > 0
	a.mu.Unlock()
	if !awaited {
		return
	}
	// A body that breaks off is for the simulator to judge.
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var target stop.Target
	if json.Unmarshal(body, &target) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.awaited[target.RefreshActivityID]; c != nil {
		c <- now
		delete(a.awaited, target.RefreshActivityID)
	}
}

// Await tells when the first Stop of an activity arrives after this call.
func (a *API) Await(activity string) <-chan time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan time.Time, 1)
	a.awaited[activity] = c
	return c
}

// within is the Stops of a span of time, in the order of their arrival.
func (a *API) within(from, to time.Time) []simulator.Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	var within []simulator.Arrival
	for _, s := range a.stops {
		if !s.Time.Before(from) && s.Time.Before(to) {
			within = append(within, s)
		}
	}
	slices.SortFunc(within, func(a, b simulator.Arrival) int { return a.Time.Compare(b.Time) })
	return within
}

// Most is the largest number of Stops in any sliding second since the begin.
func (a *API) Most() int { return a.MostBetween(time.Time{}, time.Now()) }

// MostBetween is that within a span of time.
func (a *API) MostBetween(from, to time.Time) int {
	return simulator.MostIn(time.Second, a.within(from, to))
}

// Crowd is the Stops of the first sliding second that holds more than so many,
// counted from the first of them; nil if none does.
func (a *API) Crowd(most int) (since []time.Duration) {
	list := a.within(time.Time{}, time.Now())
	for i := range list {
		if i+most < len(list) && list[i+most].Time.Sub(list[i].Time) < time.Second {
			for _, s := range list[i : i+most+1] {
				since = append(since, s.Time.Sub(list[i].Time).Round(time.Millisecond))
			}
			return since
		}
	}
	return nil
}

// Between counts the Stops of a span of time.
func (a *API) Between(from, to time.Time) int { return len(a.within(from, to)) }

// Next is when the first Stop after a time arrived, if one has.
func (a *API) Next(after time.Time) (time.Time, bool) {
	list := a.within(after, time.Now())
	if len(list) == 0 {
		return time.Time{}, false
	}
	return list[0].Time, true
}

// Gap is the longest time without a Stop in a span of time.
func (a *API) Gap(from, to time.Time) time.Duration {
	last, longest := from, time.Duration(0)
	for _, s := range a.within(from, to) {
		longest, last = max(longest, s.Time.Sub(last)), s.Time
	}
	return max(longest, to.Sub(last))
}

// Throttled is how many Stops the API refused for their rate.
func (a *API) Throttled() (n int) {
	for _, s := range a.Sim.Arrivals() {
		if s.Action == stop.ActionStop && strings.HasPrefix(s.Code, "RequestLimitExceeded") {
			n++
		}
	}
	return n
}
