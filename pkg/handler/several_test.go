package handler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// world is a region of groups that a rig's API shows, and that a Stop pauses.
func (r *rig) world(live int) {
	for i := range live {
		g := fmt.Sprintf("asg-%08d", i)
		r.api.shows[g] = stop.Activity{AutoScalingGroupID: g, RefreshActivityID: fmt.Sprintf("asr-%08d", i), Status: stop.StatusRunning}
		r.api.groups = append(r.api.groups, stop.Group{
			AutoScalingGroupID: g, Name: fmt.Sprintf("web-%d", i), LaunchConfigurationID: "asc-a", Tags: map[string]string{"odd": fmt.Sprint(i%2 == 1)},
		})
	}
	r.api.stop = func(t stop.Target) stop.Answer {
		r.api.mu.Lock()
		defer r.api.mu.Unlock()
		a := r.api.shows[t.AutoScalingGroupID]
		if a.Status != stop.StatusRunning {
			return stop.Answer{Class: stop.ClassConflict, Code: stop.CodeConflict}
		}
		a.Status = stop.StatusManualPause
		r.api.shows[t.AutoScalingGroupID] = a
		return stop.Answer{Class: stop.ClassOK, RequestID: "req"}
	}
}

// pending is a message of the fake queue.
type pending struct {
	m    stop.Message
	step stop.Step
	due  time.Time
}

// fleet carries requests out as the queue does, one message after the other in
// an order by chance. Where crash says so, it stores a part of what a step wants
// and forgets the rest, as a worker that dies.
type fleet struct {
	*rig
	dice    *rand.Rand
	crash   float64
	queue   []pending
	present map[string]bool // subjects of tasks, parts and bulks
	crashes int
}

func newFleet(r *rig, seed uint64, crash float64) *fleet {
	return &fleet{rig: r, dice: rand.New(rand.NewPCG(seed, 1)), crash: crash, present: map[string]bool{}}
}

func (f *fleet) publish(subject, payload string) {
	f.queue = append(f.queue, pending{step: f.Plan, m: stop.Message{Subject: subject, Data: []byte(payload), Sequence: uint64(len(f.queue) + 1), Stored: time.Now()}})
}

func (f *fleet) add(t *testing.T, subject string, step stop.Step, payload any) {
	t.Helper()
	if f.present[subject] {
		return
	}
	data, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	f.present[subject] = true
	f.queue = append(f.queue, pending{step: step, m: stop.Message{Subject: subject, Data: data, Sequence: 1, Stored: time.Now()}})
}

// run works until nothing is left.
func (f *fleet) run(t *testing.T) {
	t.Helper()
	for len(f.queue) > 0 {
		i := f.dice.IntN(len(f.queue))
		p := &f.queue[i]
		if wait := time.Until(p.due); wait > 0 {
			soonest := slices.MinFunc(f.queue, func(a, b pending) int { return a.due.Compare(b.due) })
			<-time.After(max(time.Until(soonest.due), time.Millisecond))
			continue
		}
		p.m.Delivered++
		m := p.m
		// Following waits for others, so it does not come before them.
		if bulk, ok := bulkOf(m); ok && f.waits(bulk) {
			p.due = time.Now().Add(time.Second)
			continue
		}
		v := p.step(t.Context(), m)
		if f.dice.Float64() < f.crash {
			f.crashes++
			f.storePart(t, v)
			continue
		}
		f.store(t, v)
		if !v.Final() {
			f.queue[i].due = time.Now().Add(v.Retry)
			continue
		}
		if v.History != nil {
			// Forgotten, and not to be written again by whoever knew it.
			f.ledger.histories[v.History.Key] = stop.History{Revision: v.History.Revision + 1}
		}
		delete(f.present, m.Subject)
		if task, ok := taskOf(m); ok {
			delete(f.ledger.tasks, task.Key())
		}
		f.queue = slices.Delete(f.queue, i, i+1)
	}
}

func (f *fleet) waits(b stop.Bulk) bool {
	done := 0
	for key := range f.ledger.results {
		if of, name := stop.SplitKey(key); of == b.Task.Request && name != "" {
			done++
		}
	}
	return done < b.Total
}

func (f *fleet) store(t *testing.T, v stop.Verdict) {
	t.Helper()
	if v.Bulk != nil {
		f.add(t, stop.BulkSubject(v.Bulk.Task.Request), f.Follow, *v.Bulk)
	}
	for _, p := range v.Parts {
		f.add(t, stop.PartSubject(p), f.Execute, p)
	}
	for _, task := range v.Tasks {
		f.add(t, stop.TaskSubject(task), f.Execute, task)
		f.ledger.tasks[task.Key()] = true
	}
	f.ledger.settle(t, v)
}

// storePart stores as much of a verdict as a worker did that died meanwhile.
func (f *fleet) storePart(t *testing.T, v stop.Verdict) {
	t.Helper()
	v.Parts = v.Parts[:f.dice.IntN(len(v.Parts)+1)]
	v.Tasks = v.Tasks[:f.dice.IntN(len(v.Tasks)+1)]
	v.Results = v.Results[:f.dice.IntN(len(v.Results)+1)]
	if f.dice.IntN(2) == 0 {
		v.History, v.Call = nil, nil
	}
	f.store(t, v)
}

func (f *fleet) outcomes(request string) map[stop.Outcome]int {
	counts := map[stop.Outcome]int{}
	for key, r := range f.ledger.results {
		if of, name := stop.SplitKey(key); of == request && name != "" {
			counts[r.Outcome]++
		}
	}
	return counts
}

func list(ids ...int) string {
	var targets []string
	for _, i := range ids {
		targets = append(targets, fmt.Sprintf(`{"AutoScalingGroupId":"asg-%08d"}`, i))
	}
	return "[" + strings.Join(targets, ",") + "]"
}

func count(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// Whatever dies when, every target has one result, the summary counts them, and
// no activity is stopped for nothing.
func TestABulkEndsAlikeWhoeverDies(t *testing.T) {
	const targets, live = 230, 40
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.permits.rate = 1000
				r.world(live)
				paused := r.api.shows["asg-00000003"]
				paused.Status = stop.StatusManualPause
				r.api.shows[paused.AutoScalingGroupID] = paused
				f := newFleet(r, seed, float64(seed%4)/8)
				f.publish("as.refresh.stop", `{"Id":"b","Region":"ap-guangzhou","Targets":`+list(append(count(targets), 3, 7)...)+`}`)
				f.run(t)
				want := map[stop.Outcome]int{stop.OutcomePaused: live - 1, stop.OutcomeAlreadyPaused: 1, stop.OutcomeNotFound: targets - live}
				if got := f.outcomes("b"); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("after %d crashes: %v, want %v", f.crashes, got, want)
				}
				done := r.ledger.results["b"]
				if done == nil || done.Outcome != stop.OutcomeDone || done.Summary == nil || done.Total != targets || fmt.Sprint(done.Outcomes) != fmt.Sprint(want) || done.Lane != stop.LaneBulk {
					t.Errorf("summary %+v", done)
				}
				if f.crash == 0 && len(r.api.stopped) != live-1 {
					t.Errorf("%d Stops of %d activities", len(r.api.stopped), live-1)
				}
			})
		})
	}
}

// A region that has many pages takes many permits to read. It is read for all its
// parts together, and waited for; its targets must not be looked at one by one.
func TestARegionOfManyPagesIsReadAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, pages = 3000, 60
		r := newRig(t)
		r.world(groups)
		r.api.page = groups / pages
		p := newFleet(r, 1, 0)
		p.publish("as.refresh.stop", `{"Id":"b","Region":"ap-guangzhou","DryRun":true,"Targets":`+list(count(groups)...)+`}`)
		began := time.Now()
		p.run(t)
		if got := p.outcomes("b"); got[stop.OutcomeWouldPause] != groups {
			t.Errorf("outcomes %v", got)
		}
		// This fleet has but one hand, so each part waits for a reading of its own.
		const parts = groups / stop.PartSize
		if reads := len(r.api.reads); reads > parts*pages {
			t.Errorf("%d calls for %d parts of a region of %d pages", reads, parts, pages)
		}
		if took, most := time.Since(began), parts*pages*time.Second/20+10*time.Second; took > most {
			t.Errorf("it took %v, want at most %v", took, most)
		}
	})
}

// Where the API does not answer, patience ends.
func TestAReadingThatDoesNotComeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.world(20)
		r.api.slow = 10 * glance
		began := time.Now()
		var targets []stop.Target
		for i := range 20 {
			targets = append(targets, stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: fmt.Sprintf("asg-%08d", i)})
		}
		for _, seen := range r.reader.all(t.Context(), glance, quota, targets, stop.LaneBulk) {
			if seen.held == 0 || seen.activity != nil {
				t.Fatalf("it was read: %+v", seen)
			}
		}
		if took := time.Since(began); took > 2*glance {
			t.Errorf("it took %v", took)
		}
	})
}
