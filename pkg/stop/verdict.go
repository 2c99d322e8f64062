package stop

import (
	"context"
	"time"
)

// Message is a message without its broker: what a step may know of it.
type Message struct {
	Subject string
	Data    []byte
	Header  map[string][]string
	// Stored is when JetStream stored it, Sequence where in its stream.
	Stored   time.Time
	Sequence uint64
	// Delivered counts deliveries, this one included. It is not a number of
	// attempts: a waiting or handed-back message is delivered again too. Zero
	// says that it is looked at ahead of its delivery, which is still to come.
	Delivered int
}

// Verdict is what a step wants done with its message. The queue stores first
// and acknowledges after; a step cannot acknowledge. The zero Verdict asks
// for the message to come again, so that a forgotten return loses nothing.
type Verdict struct {
	// Bulk, Parts, Tasks, DeadLetters and Results are stored, in that order,
	// then the message is acknowledged.
	Bulk        *Bulk
	Parts       []Part
	Tasks       []Task
	DeadLetters []DeadLetter
	Results     []Result
	// Settled acknowledges a message that needs nothing stored: the request
	// has its result already.
	Settled bool

	// Retry asks for the message again after this delay (at least a
	// millisecond), once History and Call, if any, have been stored.
	Retry time.Duration
	// History is what the message has been through. With a verdict that is
	// final it is forgotten.
	History *History
	// Call, where the message comes again, gives the activity back to others.
	Call *Call
}

// Final reports whether the verdict ends in an acknowledgement.
func (v Verdict) Final() bool {
	return v.Retry <= 0 && (v.Settled || v.Bulk != nil || len(v.Parts)+len(v.Tasks)+len(v.DeadLetters)+len(v.Results) > 0)
}

// Step looks at one message and says what must become of it. It returns soon
// after its context is done, and never acknowledges.
type Step func(ctx context.Context, m Message) Verdict
