package fleet

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowly is a way to the server on which each request travels for a random
// time up to jitter. Answers come back at once.
func slowly(t testing.TB, server string, jitter time.Duration) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{server: server, jitter: jitter, open: make(map[net.Conn]bool)}
	s.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() { s.carry(c) })
		}
	})
	t.Cleanup(func() { l.Close(); s.close(); s.group.Wait() })
	return l.Addr().String()
}

type slow struct {
	server string
	jitter time.Duration
	group  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// hold takes note of a connection that is to be closed at the end.
func (s *slow) hold(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = true
	return !s.closed
}

func (s *slow) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Close()
	delete(s.open, c)
}

func (s *slow) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
}

// carry moves what is sent in both directions. A request is what comes after
// an answer: it is held up once, however many pieces it comes in.
func (s *slow) carry(client net.Conn) {
	defer s.drop(client)
	server, err := net.Dial("tcp", s.server)
	if err != nil {
		return
	}
	defer s.drop(server)
	if !s.hold(client) || !s.hold(server) {
		return
	}
	var begun atomic.Bool // a request, which is not answered yet
	s.group.Go(func() {
		defer s.drop(client)
		move(client, server, func() { begun.Store(false) })
	})
	move(server, client, func() {
		if begun.CompareAndSwap(false, true) {
			<-time.After(rand.N(s.jitter)) // the way there
		}
	})
}

// move copies from one side to the other and calls before each piece that it
// has read and not yet sent.
func move(to io.Writer, from io.Reader, before func()) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			before()
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
