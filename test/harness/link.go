package harness

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Condition is how bad a link is. The zero Condition is a good one.
type Condition struct {
	// Refuse has nobody listening.
	Refuse bool
	// Silent carries nothing, in either direction, and tells nobody: what is
	// sent waits. Connections are taken.
	Silent bool
	// Mute carries nothing to the client.
	Mute bool
	// Reset cuts a connection when the first byte of an answer comes.
	Reset bool
	// CutAfter cuts a connection when so many bytes have been carried to the
	// client; 0: never.
	CutAfter int
	// Latency holds up each piece, in both directions.
	Latency time.Duration
	// Jitter holds up each request for a random time up to it. A request is what
	// comes after an answer, however many pieces it comes in.
	Jitter time.Duration
	// BytesPerSecond bounds what is carried in each direction; 0: no bound.
	BytesPerSecond int
}

// Link is a way to a server on which the test has a hand.
type Link struct {
	t      testing.TB
	addr   string
	target string
	group  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil: nobody listens
	now      Condition
	changed  chan struct{} // closed when now is no more
	open     map[net.Conn]bool
	accepted []time.Time
	closed   bool
}

// NewLink is a good link until it is told otherwise.
func NewLink(t testing.TB, target string) *Link {
	t.Helper()
	l := &Link{t: t, target: target, open: make(map[net.Conn]bool), changed: make(chan struct{})}
	// Another process may be faster.
	Eventually(t, 10*time.Second, func() error { l.addr = FreeAddr(t); return l.listen() })
	t.Cleanup(l.close)
	return l
}

// Addr is where to connect.
func (l *Link) Addr() string { return l.addr }

// Set changes the condition, also of connections that are open.
func (l *Link) Set(c Condition) {
	l.mu.Lock()
	listening := l.listener != nil
	if c.Refuse && listening {
		l.listener.Close()
		l.listener = nil
	}
	l.now = c
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	if !c.Refuse && !listening {
		Eventually(l.t, 10*time.Second, l.listen)
	}
}

// Cut ends all connections that are open.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		reset(c)
	}
}

// Accepted is when connections were made.
func (l *Link) Accepted() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.accepted...)
}

func (l *Link) listen() error {
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return listener.Close()
	}
	l.listener = listener
	l.group.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.group.Go(func() { l.carry(c) })
		}
	})
	return nil
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	if l.listener != nil {
		l.listener.Close()
	}
	for c := range l.open {
		c.Close()
	}
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	l.group.Wait()
}

// reset ends a connection so that the other side notices, whatever is under way.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// hold takes note of a connection that is to be closed at the end.
func (l *Link) hold(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.open[c] = true
	}
	return !l.closed
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reset(c)
	delete(l.open, c)
}

func (l *Link) condition() (now Condition, changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.changed, l.closed
}

// carry moves what is sent in both directions until one side ends.
func (l *Link) carry(client net.Conn) {
	defer l.drop(client)
	l.mu.Lock()
	l.accepted = append(l.accepted, time.Now())
	l.mu.Unlock()
	server, err := net.DialTimeout("tcp", l.target, 2*time.Second)
	if err != nil {
		return
	}
	defer l.drop(server)
	if !l.hold(client, server) {
		return
	}
	// The end of one direction is the end of both, and of their waiting.
	ctx, end := context.WithCancel(context.Background())
	defer end()
	way := &way{link: l, ctx: ctx}
	l.group.Go(func() {
		defer l.drop(client)
		defer l.drop(server)
		defer end()
		way.move(client, server, true)
	})
	way.move(server, client, false)
}

// way is one connection that is carried.
type way struct {
	link *Link
	ctx  context.Context // ends with the connection

	mu    sync.Mutex
	begun bool // a request, which is not answered yet
	back  int  // bytes carried to the client
}

// move copies from one side to the other as the condition allows.
func (w *way) move(to, from net.Conn, back bool) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 && !w.pass(to, piece[:n], back) {
			return
		}
		if err != nil {
			return
		}
	}
}

// pass sends a piece on, when its time has come; false ends the connection.
func (w *way) pass(to net.Conn, piece []byte, back bool) bool {
	for {
		c, changed, closed := w.link.condition()
		switch {
		case closed || c.Reset && back:
			return false
		case c.Silent || c.Mute && back:
			select {
			case <-changed:
				continue
			case <-w.ctx.Done():
				return false
			}
		}
		w.pause(c.Latency)
		if w.begins(back) && c.Jitter > 0 {
			w.pause(rand.N(c.Jitter))
		}
		return w.write(to, piece, back, c)
	}
}

// begins reports whether the piece is the first of a request.
func (w *way) begins(back bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !back && !w.begun
	w.begun = !back
	return first
}

func (w *way) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-w.ctx.Done():
	}
}

func (w *way) write(to net.Conn, piece []byte, back bool, c Condition) bool {
	if back && c.CutAfter > 0 {
		w.mu.Lock()
		left := max(c.CutAfter-w.back, 0)
		w.back += len(piece)
		w.mu.Unlock()
		if left < len(piece) {
			_, _ = to.Write(piece[:left]) // it is cut all the same
			return false
		}
	}
	for len(piece) > 0 {
		n := len(piece)
		if c.BytesPerSecond > 0 {
			n = min(n, max(c.BytesPerSecond/20, 1))
			w.pause(time.Duration(n) * time.Second / time.Duration(c.BytesPerSecond))
			// A slow link that is healed is not slow for what waits on it.
			c, _, _ = w.link.condition()
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return false
		}
		piece = piece[n:]
	}
	return true
}
