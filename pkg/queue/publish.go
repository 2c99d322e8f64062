package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Publish stores a request as it stands, under its subject and with its
// headers, and returns its sequence once the broker has it on disk. Without
// that answer nothing is promised: publish the same again.
func (q *Queue) Publish(ctx context.Context, m stop.Message) (sequence uint64, err error) {
	ack, err := q.js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if err != nil {
		return 0, fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	return ack.Sequence, nil
}
