package limiter

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// crowd starts so many workers with a backlog and lets them get into step.
func (f *fleet) crowd(n int) (alive []*worker) {
	for i := range n {
		w := f.join(rand.New(rand.NewPCG(3, uint64(i))))
		w.work(8, uint64(i), none)
		alive = append(alive, w)
	}
	time.Sleep(5 * time.Second)
	return alive
}

// end kills who is alive and checks the window of the whole run.
func (f *fleet) end(alive []*worker, most int) {
	f.t.Helper()
	for _, w := range alive {
		w.kill()
	}
	f.group.Wait()
	if n, at := f.fullest(time.Second); n > most {
		f.t.Errorf("%d arrivals in a second, want at most %d", n, most)
		f.tell(at, time.Second)
	}
}

func TestNoPermitsWithoutTheBroker(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		alive := f.crowd(4)
		f.broker.change(func(b *broker) { b.down = true })
		down := time.Now()
		time.Sleep(10 * time.Second)
		if n := f.between(down.Add(reach+10*time.Millisecond), time.Now()); n > 0 {
			t.Errorf("%d calls while the broker was away", n)
		}
		f.broker.change(func(b *broker) { b.down = false })
		back := time.Now()
		time.Sleep(5 * time.Second)
		if n := f.between(back, back.Add(2*time.Second)); n < 10 {
			t.Errorf("%d calls in the two seconds after the broker was back", n)
		}
		if n := f.between(back.Add(2*time.Second), back.Add(4*time.Second)); n < 38 {
			t.Errorf("%d calls in two seconds after that, want all of the quota", n)
		}
		f.end(alive, 20)
	})
}

func TestChangedClockOfTheBrokerNeitherBurstsNorStops(t *testing.T) {
	simulation(t)
	for _, by := range []time.Duration{-5 * time.Minute, -100 * time.Millisecond, -time.Millisecond, time.Millisecond, 100 * time.Millisecond, 5 * time.Minute} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, 20)
				alive := f.crowd(4)
				f.broker.change(func(b *broker) { b.ahead += by })
				changed := time.Now()
				time.Sleep(5 * time.Second)
				if n := f.between(changed.Add(3*time.Second), changed.Add(5*time.Second)); n < 38 {
					t.Errorf("%d calls in two seconds, three after the change, want all of the quota", n)
				}
				f.end(alive, 20)
			})
		})
	}
}

func TestDeadWorkerCostsLessThanASecond(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		alive := f.crowd(4)
		for range 20 {
			dead := alive[0]
			dead.kill()
			killed := time.Now()
			alive = append(alive[1:], f.join(rand.New(rand.NewPCG(8, 8))))
			time.Sleep(2 * time.Second)
			if n := f.between(killed.Add(time.Second), killed.Add(2*time.Second)); n < 19 {
				t.Errorf("%d calls in the second after the first, want all of the quota", n)
			}
			alive[len(alive)-1].work(8, 1, none)
			time.Sleep(time.Second)
		}
		f.end(alive, 20)
	})
}

func TestLateCallIsMadeUpFor(t *testing.T) {
	simulation(t)
	for _, late := range []time.Duration{60 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond, 5 * time.Second} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, 20)
				calls := 0
				f.toAPI = func(*rand.Rand) time.Duration {
					f.mu.Lock()
					defer f.mu.Unlock()
					calls++
					if calls == 150 {
						return min(late, lateArrival)
					}
					return time.Millisecond
				}
				f.back = func(*rand.Rand) time.Duration {
					f.mu.Lock()
					defer f.mu.Unlock()
					if late > lateArrival && calls == 150 {
						return late
					}
					return time.Millisecond
				}
				alive := f.crowd(4)
				time.Sleep(10 * time.Second)
				from := time.Now()
				time.Sleep(5 * time.Second)
				if n := f.between(from, time.Now()); n < 97 {
					t.Errorf("%d calls in five seconds long after the late one", n)
				}
				f.end(alive, 20)
			})
		})
	}
}

func TestThrottleSlowsTheWholeFleet(t *testing.T) {
	simulation(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 20)
		alive := f.crowd(4)
		for range 50 { // one cut, and no more before a second is over
			alive[0].l.Throttled(stop.ActionStop, deflt)
		}
		from := time.Now()
		time.Sleep(time.Second)
		if n := f.between(from.Add(200*time.Millisecond), from.Add(1200*time.Millisecond)); n > 14 {
			t.Errorf("%d calls in the second after a throttle, want at most 14", n)
		}
		for range 200 {
			alive[1].l.Throttled(stop.ActionStop, deflt)
			time.Sleep(200 * time.Millisecond)
		}
		// One call a second is the least, and it grows by one each second from
		// here: a shorter look could fall between two calls.
		from = time.Now()
		time.Sleep(1500 * time.Millisecond)
		if n := f.between(from, time.Now()); n < 1 || n > 3 {
			t.Errorf("%d calls in one and a half seconds after many throttles, want one to three", n)
		}
		time.Sleep(25 * time.Second)
		from = time.Now()
		time.Sleep(5 * time.Second)
		if n := f.between(from, time.Now()); n < 97 {
			t.Errorf("%d calls in five seconds long after the throttles, want all of the quota", n)
		}
		f.end(alive, 20)
	})
}

// What somebody else stores under the key, or deletes, stops nobody for long.
func TestForeignRecordIsReplaced(t *testing.T) {
	simulation(t)
	for name, spoil := range map[string]func(ctx context.Context, b *broker, key string) error{
		"garbage": func(ctx context.Context, b *broker, key string) error {
			_, err := b.Update(ctx, key, []byte("what is this?"), b.newest(key))
			return err
		},
		"numbers out of range": func(ctx context.Context, b *broker, key string) error {
			_, err := b.Update(ctx, key, []byte(`{"base": 9e18, "interval": 9e18, "brake": {"factor": 1}}`), b.newest(key))
			return err
		},
		"a slot in the far future": func(ctx context.Context, b *broker, key string) error {
			_, err := b.Update(ctx, key, []byte(`{"worker": "x", "base": 9000000000000000000, "interval": 50000000, "brake": {"factor": 1}}`), b.newest(key))
			return err
		},
		"nothing": func(_ context.Context, b *broker, key string) error {
			b.change(func(b *broker) { delete(b.last, key) })
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1, 20)
				alive := f.crowd(2)
				key := stop.ActionStop + "." + deflt.Token()
				spoiled := time.Now()
				for { // the workers write as well
					err := spoil(t.Context(), f.broker, key)
					if err == nil {
						break
					}
					if !lost(err) {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Second)
				if n := f.between(spoiled.Add(3*time.Second), spoiled.Add(5*time.Second)); n < 38 {
					t.Errorf("%d calls in two seconds, three after it, want all of the quota", n)
				}
				f.end(alive, 20)
			})
		})
	}
}

// newest is the revision of a key.
func (b *broker) newest(key string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last[key]
}

func lost(err error) bool {
	api, ok := err.(*jetstream.APIError) //nolint:errorlint // the fake returns it bare
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
