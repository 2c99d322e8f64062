package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullWait bounds one pull; the broker sends a sign of life within it, so
	// that a loop that hears nothing knows that its pull is lost.
	pullWait      = 10 * time.Second
	pullHeartbeat = 2 * time.Second
)

// errNoHeartbeat says that the broker has fallen silent during a pull.
var errNoHeartbeat = errors.New("no heartbeat from the broker")

// puller asks one consumer for messages. Fetch of nats.go is not used because
// it takes a message without a payload but with a header "Status" for a word
// of the broker, so that a publisher could stall the queue, and because it
// forgets the messages that it holds when its context ends. Here a message is
// what has a reply subject to acknowledge to, and what arrives while stopping
// is given back.
type puller struct {
	nc      *nats.Conn
	subject string
	inbox   string
	sub     *nats.Subscription
	msgs    chan *nats.Msg
	status  chan nats.Status // fires when the connection is restored
	pulls   int
	// leftovers: a pull is not kept waiting by the broker, so it takes only what
	// nobody else is waiting for.
	leftovers bool
}

func newPuller(nc *nats.Conn, s source, slots int) (*puller, error) {
	p := &puller{
		nc: nc, inbox: nc.NewInbox(), leftovers: s.foreign,
		subject: jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + s.stream + "." + s.durable,
		// Room for the pulls that the broker may still hold after their
		// heartbeat was missed, and for their heartbeats.
		msgs: make(chan *nats.Msg, 4*slots+64),
	}
	var err error
	if p.sub, err = nc.ChanSubscribe(p.inbox+".*", p.msgs); err != nil {
		return nil, fmt.Errorf("subscribe to an inbox: %w", err)
	}
	p.status = nc.StatusChanged(nats.CONNECTED)
	return p, nil
}

// pull asks for n messages and hands each to take; heard is told of each sign
// of life. It returns when all have come, when the broker ends the pull, or
// when ctx does.
func (p *puller) pull(ctx context.Context, n int, heard func(), take func(*delivery)) error {
	p.pulls++
	own := p.inbox + "." + strconv.Itoa(p.pulls)
	want := map[string]any{"batch": n, "expires": pullWait, "idle_heartbeat": pullHeartbeat}
	if p.leftovers {
		want = map[string]any{"batch": n, "no_wait": true}
	}
	ask, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode pull: %w", err)
	}
	for len(p.status) > 0 {
		<-p.status // restored before this pull
	}
	if err := p.nc.PublishRequest(p.subject, own, ask); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for n > 0 {
		select {
		case m := <-p.msgs:
			silence.Reset(2 * pullHeartbeat)
			if m.Reply != "" {
				heard()
				take(&delivery{nc: p.nc, msg: m})
				n--
			} else if m.Subject == own {
				if over, err := verdictOfBroker(m.Header); over {
					return err
				}
				heard()
			}
		case <-p.status:
			return nil // a restarted broker has forgotten the pull
		case <-silence.C:
			return errNoHeartbeat
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// verdictOfBroker reads a status message: whether it ends the pull, and
// whether that is in order.
func verdictOfBroker(h nats.Header) (over bool, err error) {
	code, text := h.Get("Status"), h.Get("Description")
	switch code {
	case "100": // a heartbeat
		return false, nil
	case "404", "408": // nothing there, time is up
		return true, nil
	case "409":
		// The new leader is asked with the next pull.
		if strings.Contains(strings.ToLower(text), "leadership change") {
			return true, nil
		}
	case "503":
		return true, fmt.Errorf("pull: %w", nats.ErrNoResponders)
	}
	return true, fmt.Errorf("pull: %s %s", code, text)
}

// close ends what the broker may still send and gives back what has come
// without having been begun, so that another worker has it at once.
func (p *puller) close() {
	p.nc.RemoveStatusListener(p.status)
	if p.nc.Status() != nats.CONNECTED {
		_ = p.sub.Unsubscribe() // the broker has forgotten it, or will
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// Drain keeps taking until the broker has confirmed the end, which the
	// flush waits for.
	if p.sub.Drain() != nil || p.nc.FlushWithContext(ctx) != nil {
		return
	}
	for len(p.msgs) > 0 {
		if m := <-p.msgs; m.Reply != "" {
			_ = (&delivery{nc: p.nc, msg: m}).giveBack(shortestRetry) // at worst it comes again after AckWait
		}
	}
}

// delivery is one message on its way from a consumer to its acknowledgement.
type delivery struct {
	nc  *nats.Conn
	msg *nats.Msg

	mu      sync.Mutex
	settled bool
}

func (d *delivery) ack() error { return d.settle("+ACK") }

// giveBack has the message delivered again after the delay.
func (d *delivery) giveBack(delay time.Duration) error {
	return d.settle(fmt.Sprintf(`-NAK {"delay": %d}`, max(delay, shortestRetry)))
}

func (d *delivery) settle(verb string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled = true
	return d.nc.Publish(d.msg.Reply, []byte(verb))
}

// inProgress is a sign of life. After the message was given back it would
// undo the delay, so none is sent.
func (d *delivery) inProgress() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return nil
	}
	return d.nc.Publish(d.msg.Reply, []byte("+WPI"))
}
