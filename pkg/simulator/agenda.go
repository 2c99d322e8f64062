package simulator

import (
	"container/heap"
	"time"
)

// agenda is the activities that are due at some time, as a heap: what is due
// next can be told without a look at the others.
type agenda []*activity

// The methods of [heap.Interface].

func (q agenda) Len() int           { return len(q) }
func (q agenda) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q agenda) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].slot, q[j].slot = i, j
}

func (q *agenda) Push(x any) {
	a := x.(*activity)
	a.slot = len(*q)
	*q = append(*q, a)
}

func (q *agenda) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil // let it be collected
	*q = (*q)[:last]
	return a
}

// add enters an activity, unless nothing is due.
func (q *agenda) add(a *activity) {
	if !a.due.IsZero() {
		heap.Push(q, a)
	}
}

// drop takes out what add has entered.
func (q *agenda) drop(a *activity) {
	if !a.due.IsZero() {
		heap.Remove(q, a.slot)
	}
}

// schedule says when the phase that runs is over; the zero time is never.
func (q *agenda) schedule(a *activity, at time.Time) {
	q.drop(a)
	a.due = at
	q.add(a)
}
