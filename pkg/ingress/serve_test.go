package ingress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// serve runs an ingress on a port until the test ends.
func serve(t *testing.T, i *Ingress) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return i.Serve(ctx, l) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("it did not end well: %v", err)
		}
	})
	return l.Addr().String()
}

// Whoever opens thousands of connections and says nothing, or little by little, is cut
// off; who has something to say is heard within the time that senders wait.
func TestManyWhoAreSlowKeepNobodyOut(t *testing.T) {
	i, s := newTest(t)
	addr := serve(t, i)
	const many = 10_000
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	for n := range many {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break // the machine has no more, which is as good
		}
		conns = append(conns, c)
		if n%2 == 0 {
			fmt.Fprintf(c, "POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\n")
		}
	}
	began := time.Now()
	client := &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+addr+"/webhook/alertmanager", "application/json", strings.NewReader(string(sample(t, "alertmanager.json"))))
	if err != nil {
		t.Fatalf("with %d connections that say nothing: %v", len(conns), err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(s.requests(t)) != 1 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	t.Logf("%d connections that say nothing: answered after %v", len(conns), time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v, and TCOP waits for five seconds", took)
	}
}

func TestABodyThatTricklesIsCutOff(t *testing.T) {
	t.Parallel()
	i, s := newTest(t)
	addr := serve(t, i)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	c.SetReadDeadline(time.Now().Add(bodyWithin + 5*time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("answered %d", resp.StatusCode)
		}
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is waited for without end")
	}
	if len(s.requests(t)) != 0 {
		t.Error("it was stored")
	}
}
