package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

const region = "ap-guangzhou"

// api is the simulated API with its quota in force, behind somebody who writes
// down when the head of each Stop has been read, before anything else happens
// to it: all by the monotonic clock of this process.
type api struct {
	*httptest.Server

	sim *simulator.Simulator

	mu      sync.Mutex
	stops   []simulator.Arrival
	awaited map[string]chan time.Time // by activity
}

// newAPI has so many groups with a refresh that runs. A Stop of what is paused
// already does no harm, so that one activity is enough for any number of calls.
func newAPI(t testing.TB, rate float64, groups int, latency time.Duration) *api {
	t.Helper()
	sc := simulator.Scenario{
		Credentials:  []simulator.Credential{{SecretID: simulator.SampleSecretID, SecretKey: simulator.SampleSecretKey}},
		Quota:        simulator.Quota{Actions: map[string]int{stop.ActionStop: int(rate)}},
		Undocumented: simulator.Undocumented{StopOnPaused: simulator.OK},
	}
	if latency > 0 {
		sc.Faults = []simulator.Fault{{Kind: simulator.Latency, Delay: latency}}
	}
	for i := range groups {
		g, a := names(i)
		sc.Groups = append(sc.Groups, simulator.Group{Region: region, ID: g, Name: g})
		sc.Activities = append(sc.Activities, simulator.Activity{GroupID: g, ID: a, Status: simulator.Running})
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{sim: sim, awaited: make(map[string]chan time.Time)}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { sim.Close(); a.Close() })
	return a
}

func names(i int) (group, activity string) {
	return fmt.Sprintf("asg-g%05d", i), fmt.Sprintf("asr-a%05d", i)
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.Header.Get("X-TC-Action") == stop.ActionStop {
		a.note(now, r)
	}
	a.sim.ServeHTTP(w, r)
}

func (a *api) note(now time.Time, r *http.Request) {
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

// await tells when the first Stop of an activity arrives after this call.
func (a *api) await(activity string) <-chan time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan time.Time, 1)
	a.awaited[activity] = c
	return c
}

// most is the largest number of Stops in any sliding second since the begin.
func (a *api) most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return simulator.MostIn(time.Second, a.stops)
}

// mostBetween is that within a span of time.
func (a *api) mostBetween(from, to time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var within []simulator.Arrival
	for _, s := range a.stops {
		if !s.Time.Before(from) && s.Time.Before(to) {
			within = append(within, s)
		}
	}
	return simulator.MostIn(time.Second, within)
}

// between counts the Stops of a span of time.
func (a *api) between(from, to time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.stops {
		if !s.Time.Before(from) && s.Time.Before(to) {
			n++
		}
	}
	return n
}

// gap is the longest time without a Stop in a span of time.
func (a *api) gap(from, to time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, longest := from, time.Duration(0)
	for _, s := range a.stops {
		if s.Time.Before(from) || s.Time.After(to) {
			continue
		}
		longest, last = max(longest, s.Time.Sub(last)), s.Time
	}
	return max(longest, to.Sub(last))
}

// throttled is how many Stops the API refused for their rate.
func (a *api) throttled() (n int) {
	for _, s := range a.sim.Arrivals() {
		if s.Action == stop.ActionStop && strings.HasPrefix(s.Code, "RequestLimitExceeded") {
			n++
		}
	}
	return n
}
