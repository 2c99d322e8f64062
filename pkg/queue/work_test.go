package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// most watches how many are inside at once.
type most struct{ now, top atomic.Int32 }

func (m *most) enter() (leave func()) {
	n := m.now.Add(1)
	for top := m.top.Load(); n > top && !m.top.CompareAndSwap(top, n); top = m.top.Load() {
	}
	return func() { m.now.Add(-1) }
}

func TestMessagesInHandNeverExceedTheSlots(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 3, 16} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			t.Parallel()
			q := openQueue(t, startBroker(t))
			const requests = 100
			for i := range requests {
				publish(t, q, stop.SubjectStop, fmt.Sprint("r-", i))
			}
			var inside most
			full := make(chan struct{})
			var once sync.Once
			var tries atomic.Int32
			work(t, q, Worker{Slots: slots, Plan: func(_ context.Context, m stop.Message) stop.Verdict {
				defer inside.enter()()
				if int(inside.now.Load()) == slots {
					once.Do(func() { close(full) })
				}
				<-full // nobody leaves before all slots have been in use
				if tries.Add(1)%3 == 0 && m.Delivered == 1 {
					return stop.Verdict{Retry: 10 * time.Millisecond}
				}
				return planned(t.Context(), m)
			}})
			empty(t, q, stop.StreamStop)
			if top := int(inside.top.Load()); top != slots {
				t.Errorf("%d messages at once, want %d", top, slots)
			}
			if n := left(t, q, stop.StreamResults); n != requests {
				t.Errorf("%d results, want %d", n, requests)
			}
		})
	}
}

// One slow message must not keep the other slots waiting for its pull.
func TestASlowMessageDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	release := make(chan struct{})
	work(t, q, Worker{Slots: 2, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		if string(m.Data) == "slow" {
			<-release
		}
		return planned(ctx, m)
	}})
	publish(t, q, stop.SubjectStop, "slow")
	for i := range 20 {
		publish(t, q, stop.SubjectStop, fmt.Sprint("r-", i))
	}
	eventually(t, soon, func() error {
		if n := left(t, q, stop.StreamResults); n != 20 {
			return fmt.Errorf("%d results beside the slow one", n)
		}
		return nil
	})
	close(release)
	empty(t, q, stop.StreamStop)
}

func TestAStepSlowerThanAckWaitIsNotDeliveredTwice(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	const wait = 600 * time.Millisecond
	var deliveries atomic.Int32
	plan := func(_ context.Context, m stop.Message) stop.Verdict {
		deliveries.Add(1)
		<-time.After(4 * wait) // the step's own work
		return answer("r")
	}
	first, second := openQueue(t, b, ackWait(wait)), openQueue(t, b, ackWait(wait))
	work(t, first, Worker{Plan: plan})
	work(t, second, Worker{Plan: plan})
	publish(t, first, stop.SubjectStop, "{}")
	empty(t, first, stop.StreamStop)
	if n := deliveries.Load(); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

func TestAPanicHurtsItselfOnly(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	var crashes atomic.Int32
	gaveUp := make(chan error, 10)
	work(t, q, Worker{
		Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
			if string(m.Data) == "broken" {
				crashes.Add(1)
				var nobody *stop.Request
				return answer(nobody.ID)
			}
			return planned(ctx, m)
		},
		GiveUp: func(_ context.Context, m stop.Message, cause error) stop.Verdict {
			gaveUp <- cause
			return stop.Verdict{DeadLetters: []stop.DeadLetter{stop.Bury(m, "broken", stop.WhyPanic, cause.Error())}, Results: []stop.Result{result("broken")}}
		},
	})
	publish(t, q, stop.SubjectStop, "broken")
	for i := range 10 {
		publish(t, q, stop.SubjectStop, fmt.Sprint("r-", i))
	}
	cause := receive(t, gaveUp, "GiveUp")
	empty(t, q, stop.StreamStop)
	if n := crashes.Load(); n != maxPanics {
		t.Errorf("%d crashes before it was given up, want %d", n, maxPanics)
	}
	if n := metric(t, q, "andon_panics_total"); n != maxPanics {
		t.Errorf("%v crashes counted, want %d", n, maxPanics)
	}
	if cause == nil || len(gaveUp) != 0 {
		t.Errorf("given up with %v and %d times more", cause, len(gaveUp))
	}
	if r, d := left(t, q, stop.StreamResults), left(t, q, stop.StreamDead); r != 11 || d != 1 {
		t.Errorf("%d results and %d dead letters, want 11 and 1", r, d)
	}
}

func TestCrashesAreCountedAcrossARestart(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	var crashes atomic.Int32
	crashed := make(chan struct{}, 10)
	worker := Worker{
		Plan: func(context.Context, stop.Message) stop.Verdict {
			crashes.Add(1)
			crashed <- struct{}{}
			panic("broken")
		},
		GiveUp: func(context.Context, stop.Message, error) stop.Verdict { return answer("broken") },
	}
	q := openQueue(t, b)
	publish(t, q, stop.SubjectStop, "broken")
	for range maxPanics {
		each := openQueue(t, b)
		end := work(t, each, worker)
		receive(t, crashed, "crash")
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, q, stop.StreamStop)
	if n := crashes.Load(); n != maxPanics {
		t.Errorf("%d crashes, want %d", n, maxPanics)
	}
}

func TestAPanicWhileGivingUpLosesNothing(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	gaveUp := make(chan struct{}, 10)
	work(t, q, Worker{
		Plan: func(context.Context, stop.Message) stop.Verdict { panic("broken") },
		GiveUp: func(context.Context, stop.Message, error) stop.Verdict {
			gaveUp <- struct{}{}
			panic("broken too")
		},
	})
	publish(t, q, stop.SubjectStop, "broken")
	receive(t, gaveUp, "GiveUp")
	nothing(t, gaveUp, 500*time.Millisecond, "given up in a hot loop")
	if n := left(t, q, stop.StreamStop); n != 1 {
		t.Errorf("%d requests left, want 1", n)
	}
}

func planToTask(l stop.Lane) stop.Step {
	return func(_ context.Context, m stop.Message) stop.Verdict {
		return stop.Verdict{Tasks: []stop.Task{task(string(m.Data), l)}}
	}
}

func executeTask(_ context.Context, m stop.Message) stop.Verdict {
	var got stop.Task
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return stop.Verdict{}
	}
	return answer(got.Request)
}

func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	js := admin(t, q.conf)
	work(t, q, Worker{Plan: planToTask(stop.LaneNormal), Execute: executeTask})
	n := 0
	send := func() {
		for range 10 {
			publish(t, q, stop.SubjectStop, fmt.Sprint("r-", n))
			n++
		}
	}
	send()
	empty(t, q, stop.StreamStop, stop.StreamTasks)
	for _, s := range []source{planSource(), taskSource(quotaOfAccount("default"), stop.LaneNormal)} {
		if err := js.DeleteConsumer(t.Context(), s.stream, s.durable); err != nil {
			t.Fatal(err)
		}
		send()
		empty(t, q, stop.StreamStop, stop.StreamTasks)
	}
	if got := left(t, q, stop.StreamResults); got != uint64(n) {
		t.Errorf("%d results, want %d", got, n)
	}
	eventually(t, soon, q.Consuming)
}

func TestADeletedConsumerLosesNoMessageInHand(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(2*time.Second))
	js := admin(t, q.conf)
	begun, release := make(chan struct{}, 10), make(chan struct{})
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- struct{}{}
		<-release
		return planned(ctx, m)
	}})
	publish(t, q, stop.SubjectStop, "r")
	receive(t, begun, "delivery")
	if err := js.DeleteConsumer(t.Context(), stop.StreamStop, planDurable); err != nil {
		t.Fatal(err)
	}
	close(release)
	empty(t, q, stop.StreamStop)
	if n := metric(t, q, "andon_results_total", "lane=normal", "outcome=paused"); n != 1 {
		t.Errorf("%v results counted, want 1", n)
	}
}

func TestAConsumerThatSomebodyChangedIsBroughtBack(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(time.Second))
	js := admin(t, q.conf)
	work(t, q, Worker{Plan: planned})
	publish(t, q, stop.SubjectStop, "r-1")
	empty(t, q, stop.StreamStop)
	was := consumer(t, js)
	weak := was
	// None of these makes a pull fail, so only looking can find them.
	weak.MaxDeliver, weak.AckWait, weak.MaxAckPending = 3, 10*time.Millisecond, 1
	if _, err := js.UpdateConsumer(t.Context(), stop.StreamStop, weak); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*soon, func() error {
		if c := consumer(t, js); !unchanged(c, was) {
			return fmt.Errorf("the consumer is still %+v", c)
		}
		return nil
	})
	publish(t, q, stop.SubjectStop, "r-2")
	empty(t, q, stop.StreamStop)
	if n := left(t, q, stop.StreamResults); n != 2 {
		t.Errorf("%d results, want 2", n)
	}
}

// consumer is how the consumer of the requests stands at the broker.
func consumer(t *testing.T, js jetstream.JetStream) jetstream.ConsumerConfig {
	t.Helper()
	cons, err := js.Consumer(t.Context(), stop.StreamStop, planDurable)
	if err != nil {
		t.Fatal(err)
	}
	return cons.CachedInfo().Config
}

func TestEachChangeOfAConsumerIsSeenAndCanBeUndone(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	js := admin(t, q.conf)
	was := consumer(t, js)
	for _, c := range []struct {
		rule   string
		change func(*jetstream.ConsumerConfig)
	}{
		{"deliveries that count", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }},
		{"a shorter AckWait", func(c *jetstream.ConsumerConfig) { c.AckWait = 10 * time.Millisecond }},
		{"a list of delays", func(c *jetstream.ConsumerConfig) {
			c.BackOff, c.MaxDeliver = []time.Duration{time.Millisecond, time.Second}, 3
		}},
		{"one message at a time", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 1 }},
		{"headers only", func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }},
		{"some subjects only", func(c *jetstream.ConsumerConfig) { c.FilterSubject = "as.refresh.stop.urgent.>" }},
		{"several subjects only", func(c *jetstream.ConsumerConfig) {
			c.FilterSubjects = []string{"as.refresh.stop.urgent.>", "as.refresh.stop.bulk.>"}
		}},
		{"batches of one", func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 1 }},
		{"short pulls", func(c *jetstream.ConsumerConfig) { c.MaxRequestExpires = time.Second }},
		{"small pulls", func(c *jetstream.ConsumerConfig) { c.MaxRequestMaxBytes = 1 }},
		{"a life of its own", func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Hour }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			weak := was
			c.change(&weak)
			if _, err := js.UpdateConsumer(t.Context(), stop.StreamStop, weak); err != nil {
				t.Fatal(err)
			}
			if unchanged(consumer(t, js), was) {
				t.Error("the change is not seen")
			}
			if err := q.ensureConsumer(t.Context(), planSource()); err != nil {
				t.Fatal(err)
			}
			if have := consumer(t, js); !unchanged(have, was) {
				t.Errorf("the consumer is still %+v", have)
			}
		})
	}
}

// "nats consumer pause" is how operators stop the whole fleet at once: a
// worker that starts must not undo it.
func TestAPausedConsumerStaysPaused(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b, ackWait(time.Second))
	js := admin(t, q.conf)
	if _, err := js.PauseConsumer(t.Context(), stop.StreamStop, planDurable, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	// The other also finds a setting to bring back.
	other := openQueue(t, b, ackWait(2*time.Second))
	begun := make(chan string, 10)
	work(t, other, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- string(m.Data)
		return planned(ctx, m)
	}})
	publish(t, q, stop.SubjectStop, "r")
	nothing(t, begun, time.Second, "delivered while paused")
	if _, err := js.ResumeConsumer(t.Context(), stop.StreamStop, planDurable); err != nil {
		t.Fatal(err)
	}
	receive(t, begun, "delivery after the pause")
	empty(t, q, stop.StreamStop)
}

func TestAnotherWorkerFindsAQuota(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	planner, other := openQueue(t, b), openQueue(t, b)
	executed := make(chan stop.Lane, 10)
	work(t, other, Worker{
		Plan: func(context.Context, stop.Message) stop.Verdict { return stop.Verdict{Retry: time.Millisecond} },
		Execute: func(ctx context.Context, m stop.Message) stop.Verdict {
			executed <- stop.TaskLane(m.Subject)
			return executeTask(ctx, m)
		},
	})
	// The planner does not work off tasks itself, so the other must find them.
	for _, account := range []string{"a", "b"} {
		for _, l := range stop.Lanes() {
			one := task(account+"-"+string(l), l)
			one.Quota = quotaOfAccount(account)
			if err := planner.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
				t.Fatal(err)
			}
		}
	}
	empty(t, planner, stop.StreamTasks)
	lanes := map[stop.Lane]int{}
	for range 6 {
		lanes[<-executed]++
	}
	for _, l := range stop.Lanes() {
		if lanes[l] != 2 {
			t.Errorf("%d tasks in lane %s, want 2", lanes[l], l)
		}
	}
}

func TestAWorkerThatStartsFindsTheQuotasThatAreThere(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := openQueue(t, b)
	if err := q.storeTasks(t.Context(), nil, []stop.Task{task("r", stop.LaneBulk)}); err != nil {
		t.Fatal(err)
	}
	t.Run("its own, learnt before Work", func(t *testing.T) {
		end := work(t, q, Worker{Execute: executeTask})
		empty(t, q, stop.StreamTasks)
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	t.Run("again after Work has ended", func(t *testing.T) {
		if err := q.storeTasks(t.Context(), nil, []stop.Task{task("s", stop.LaneUrgent)}); err != nil {
			t.Fatal(err)
		}
		work(t, q, Worker{Execute: executeTask})
		empty(t, q, stop.StreamTasks)
	})
}

// Names of accounts that begin alike, or that make the same token, must not
// hide each other.
func TestQuotasThatLookAlikeAreAllServed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	planner, other := openQueue(t, b), openQueue(t, b)
	work(t, other, Worker{Execute: executeTask})
	quotas := []stop.Quota{
		quotaOfAccount("a"), quotaOfAccount("a_b"), quotaOfAccount("a_b_c"), quotaOfAccount("a-b"),
		{Account: "a", Endpoint: "https://as"},
		{Account: "a", Endpoint: "https://as.example.com:8443"},
		{Account: "a", Endpoint: "http://as.example.com"},
	}
	for i, quota := range quotas {
		one := task(fmt.Sprint("r-", i), stop.LaneNormal)
		one.Quota = quota
		if err := planner.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, planner, stop.StreamTasks)
	if n := left(t, planner, stop.StreamResults); n != uint64(len(quotas)) {
		t.Errorf("%d results, want %d", n, len(quotas))
	}
}

func TestForeignConsumersOfTheTasksAreLeftAlone(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	js := admin(t, q.conf)
	for name, meta := range map[string]map[string]string{
		"nobodys":     nil,
		"bad_json":    {metaQuota: "{", metaLane: "urgent"},
		"bad_account": {metaQuota: `{"Account":"../..","Endpoint":"x"}`, metaLane: "urgent"},
		"bad_lane":    {metaQuota: `{"Account":"a","Endpoint":"x"}`, metaLane: "express"},
		"no_account":  {metaQuota: `{}`, metaLane: "urgent"},
	} {
		if _, err := js.CreateConsumer(t.Context(), stop.StreamTasks, jetstream.ConsumerConfig{
			Durable: name, FilterSubject: "as.refresh.task." + name + ".>", AckPolicy: jetstream.AckExplicitPolicy, Metadata: meta,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.discoverOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(q.quotas.known) != 0 {
		t.Errorf("quotas were made of foreign consumers: %v", q.quotas.known)
	}
}

func TestTheGateHoldsBackOneAccount(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	held := make(chan struct{})
	executed := make(chan string, 100)
	var asked sync.Map
	work(t, q, Worker{
		Plan: planned,
		Execute: func(ctx context.Context, m stop.Message) stop.Verdict {
			var got stop.Task
			if err := json.Unmarshal(m.Data, &got); err != nil {
				t.Error(err)
			}
			executed <- got.Quota.Account
			return executeTask(ctx, m)
		},
		Gate: func(ctx context.Context, account string) {
			asked.Store(account, true)
			if account != "held" {
				return
			}
			select {
			case <-held:
			case <-ctx.Done():
			}
		},
	})
	for i := range 5 {
		for _, account := range []string{"held", "free"} {
			one := task(fmt.Sprint(account, i), stop.LaneNormal)
			one.Quota = quotaOfAccount(account)
			if err := q.storeTasks(t.Context(), nil, []stop.Task{one}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 5 {
		if account := receive(t, executed, "task"); account != "free" {
			t.Fatal("a task of the held account was fetched")
		}
	}
	nothing(t, executed, 300*time.Millisecond, "a task of the held account was fetched")
	publish(t, q, stop.SubjectStop, "planning-goes-on")
	empty(t, q, stop.StreamStop)
	if _, ok := asked.Load("held"); !ok {
		t.Error("the gate was not asked")
	}
	close(held)
	empty(t, q, stop.StreamTasks)
	if len(executed) != 5 {
		t.Errorf("%d tasks of the held account after it was released, want 5", len(executed))
	}
}

// Stopping.

func TestStoppingFinishesWhatWasBegunAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q, next := openQueue(t, b), openQueue(t, b)
	const requests, slots = 30, 4
	begun := make(chan string, requests)
	end := work(t, q, Worker{Slots: slots, Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- string(m.Data)
		<-ctx.Done()
		return planned(ctx, m)
	}})
	for i := range requests {
		publish(t, q, stop.SubjectStop, fmt.Sprint("r-", i))
	}
	for range slots {
		receive(t, begun, "delivery")
	}
	before := time.Now()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("Work returned after %v", took)
	}
	done := left(t, q, stop.StreamResults)
	if done < slots {
		t.Errorf("%d results of %d messages that were begun", done, slots)
	}

	// AckWait is 30 s, so a message that was not given back would be seen late.
	before = time.Now()
	work(t, next, Worker{Slots: slots, Plan: planned})
	empty(t, next, stop.StreamStop)
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("the next worker had the rest after %v", took)
	}
	if n := left(t, q, stop.StreamResults); n != requests {
		t.Errorf("%d results, want %d", n, requests)
	}
}

func TestWhatWasBegunIsKeptAliveWhileStopping(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	const wait = 600 * time.Millisecond
	q, next := openQueue(t, b, ackWait(wait)), openQueue(t, b, ackWait(wait))
	begun := make(chan struct{}, 10)
	plan := func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- struct{}{}
		<-time.After(4 * wait) // a call that cannot be broken off
		return planned(ctx, m)
	}
	end := work(t, q, Worker{Plan: plan})
	publish(t, q, stop.SubjectStop, "r")
	receive(t, begun, "delivery")
	work(t, next, Worker{Plan: plan})
	if err := end(); err != nil {
		t.Fatal(err)
	}
	empty(t, next, stop.StreamStop)
	if len(begun) != 0 {
		t.Error("the message was delivered to another worker too")
	}
}

// A large plan takes longer to store than any one answer of the broker may.
func TestAVerdictWithManyTasksIsStoredWhole(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t), ackWait(300*time.Millisecond))
	const tasks = 3000
	var deliveries atomic.Int32
	var executed sync.Map
	work(t, q, Worker{
		Plan: func(context.Context, stop.Message) stop.Verdict {
			deliveries.Add(1)
			var v stop.Verdict
			for i := range tasks {
				v.Tasks = append(v.Tasks, task(fmt.Sprint("r-", i), stop.LaneBulk))
			}
			return v
		},
		Execute: func(_ context.Context, m stop.Message) stop.Verdict {
			executed.Store(m.Subject, true)
			return stop.Verdict{Settled: true}
		},
	})
	publish(t, q, stop.SubjectStop, "{}")
	emptyWithin(t, inTime, q, stop.StreamStop, stop.StreamTasks)
	n := 0
	executed.Range(func(any, any) bool { n++; return true })
	if n != tasks || deliveries.Load() != 1 {
		t.Errorf("%d tasks executed after %d deliveries of the request, want %d and 1", n, deliveries.Load(), tasks)
	}
}

// Messages may come at any moment of the stop. None may be forgotten in a
// buffer until AckWait.
func TestStoppingUnderLoadForgetsNoMessage(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	publisher := openQueue(t, b)
	const rounds, each = 15, 40
	for round := range rounds {
		q := openQueue(t, b)
		end := work(t, q, Worker{Slots: 16, Plan: planned})
		for i := range each {
			publish(t, publisher, stop.SubjectStop, fmt.Sprintf("r-%d-%d", round, i))
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		q.Close()
	}
	before := time.Now()
	work(t, openQueue(t, b), Worker{Slots: 16, Plan: planned})
	empty(t, publisher, stop.StreamStop)
	if took := time.Since(before); took > 10*time.Second {
		t.Errorf("the rest came after %v: some was forgotten until AckWait", took)
	}
	if n := left(t, publisher, stop.StreamResults); n != rounds*each {
		t.Errorf("%d results, want %d", n, rounds*each)
	}
}

func TestStoppingAnIdleWorkerIsQuick(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	end := work(t, q, Worker{Plan: planned, Execute: executeTask})
	if err := q.storeTasks(t.Context(), nil, []stop.Task{task("r", stop.LaneNormal)}); err != nil {
		t.Fatal(err)
	}
	empty(t, q, stop.StreamTasks)
	eventually(t, soon, q.Consuming)
	before := time.Now()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > time.Second {
		t.Errorf("Work returned after %v", took)
	}
	if err := q.Consuming(); err == nil || err.Error() != "not started" {
		t.Errorf("after the end Consuming says %v", err)
	}
}

func TestLanesOfRequestsAreShownInFlight(t *testing.T) {
	t.Parallel()
	q := openQueue(t, startBroker(t))
	begun, release := make(chan struct{}, 3), make(chan struct{})
	work(t, q, Worker{Plan: func(ctx context.Context, m stop.Message) stop.Verdict {
		begun <- struct{}{}
		<-release
		return planned(ctx, m)
	}})
	for i, subject := range []string{"as.refresh.stop", "as.refresh.stop.urgent.team-a", "as.refresh.stop.bulk"} {
		publish(t, q, subject, fmt.Sprint("r-", i))
	}
	for range 3 {
		receive(t, begun, "delivery")
	}
	for _, l := range stop.Lanes() {
		if n := metric(t, q, "andon_in_flight", "lane="+string(l)); n != 1 {
			t.Errorf("%v in flight in lane %s, want 1", n, l)
		}
	}
	close(release)
	empty(t, q, stop.StreamStop)
	eventually(t, soon, func() error {
		for _, l := range stop.Lanes() {
			if n := metric(t, q, "andon_in_flight", "lane="+string(l)); n != 0 {
				return errors.New("still in flight")
			}
		}
		return nil
	})
}
