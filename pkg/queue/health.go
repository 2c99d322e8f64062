package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// loops are the running loops and when each last heard from the broker.
type loops struct {
	mu  sync.Mutex
	all map[string]*loop
}

type loop struct {
	mu    sync.Mutex
	heard time.Time
	err   error
}

func (l *loops) add(name string) *loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[string]*loop)
	}
	l.all[name] = &loop{heard: time.Now()}
	return l.all[name]
}

func (l *loops) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, name)
}

func (l *loop) alive(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if err == nil {
		l.heard = time.Now()
	}
}

// Connected says why the broker cannot be reached, nil if it can.
func (q *Queue) Connected() error {
	if s := q.nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("connection to NATS at %s: %v", q.where(), s)
	}
	return nil
}

// Consuming says why messages are not being consumed, nil if they are. A loop
// that is quiet because all its slots are in use is not in trouble.
func (q *Queue) Consuming() error {
	q.loops.mu.Lock()
	defer q.loops.mu.Unlock()
	if q.loops.all["plan"] == nil {
		return errors.New("not started")
	}
	var faults []string
	for name, l := range q.loops.all {
		l.mu.Lock()
		if l.err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v (since %v)", name, l.err, time.Since(l.heard).Round(time.Second)))
		}
		l.mu.Unlock()
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}
