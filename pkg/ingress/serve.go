package ingress

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of a connection: a sender that is slow, or many that are, take nothing from
// the others for long.
const (
	headWithin   = 5 * time.Second
	bodyWithin   = 10 * time.Second
	answerWithin = 15 * time.Second
	idleFor      = time.Minute
	maxHead      = 16 << 10
	maxOpen      = 512
	closeWithin  = 5 * time.Second
)

// Serve answers on l until ctx is done, and then for as long as what is being
// answered takes, five seconds at most.
func (i *Ingress) Serve(ctx context.Context, l net.Listener) error {
	crowd := newCrowd(maxOpen)
	server := &http.Server{
		Handler: crowd.handle(i), ConnContext: crowd.join, ConnState: crowd.leave,
		ReadHeaderTimeout: headWithin, ReadTimeout: bodyWithin, WriteTimeout: answerWithin, IdleTimeout: idleFor, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(i.conf.Log.Handler(), slog.LevelDebug), // who breaks off is nobody's trouble
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve webhooks: %w", err)
	case <-ctx.Done():
	}
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	err := server.Shutdown(brief)
	if err != nil {
		_ = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// crowd are the open connections. When there are too many, the one goes that has had
// nothing answered for longest: whoever has something to say is newer than thousands
// that only stand in the door.
type crowd struct {
	most int

	mu   sync.Mutex
	idle *list.List // of *guest, the one that has been so for longest in front
	all  map[net.Conn]*guest
}

// guest is a connection. Its place among the idle is nil while it is being answered.
type guest struct {
	conn  net.Conn
	place *list.Element
}

type guestKey struct{}

func newCrowd(most int) *crowd {
	return &crowd{most: most, idle: list.New(), all: make(map[net.Conn]*guest)}
}

// join is for http.Server.ConnContext.
func (c *crowd) join(ctx context.Context, conn net.Conn) context.Context {
	g := &guest{conn: conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[conn] = g
	g.place = c.idle.PushBack(g)
	if len(c.all) > c.most && c.idle.Len() > 1 {
		first := c.idle.Front().Value.(*guest)
		c.forget(first)
		_ = first.conn.Close() // its goroutine sees that
	}
	return context.WithValue(ctx, guestKey{}, g)
}

// leave is for http.Server.ConnState.
func (c *crowd) leave(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.all[conn]; g != nil {
		c.forget(g)
	}
}

func (c *crowd) forget(g *guest) {
	delete(c.all, g.conn)
	if g.place != nil {
		c.idle.Remove(g.place)
		g.place = nil
	}
}

// handle keeps connections that are being answered from being closed.
func (c *crowd) handle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, _ := r.Context().Value(guestKey{}).(*guest)
		c.busy(g, true)
		defer c.busy(g, false)
		next.ServeHTTP(w, r)
	})
}

func (c *crowd) busy(g *guest, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.all[g.conn] != g: // closed meanwhile
	case busy && g.place != nil:
		c.idle.Remove(g.place)
		g.place = nil
	case !busy && g.place == nil:
		g.place = c.idle.PushBack(g)
	}
}
