package asapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// body tells whether it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestGuard(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		status int
		header http.Header
		length int64
		err    error
		says   string
	}{
		{name: "an answer", status: 200, length: -1},
		{name: "an answer of the largest length", status: 200, length: maxAnswer},
		{name: "a failure", status: 502, length: -1},
		{name: "no answer", err: broken, says: "broken"},
		{name: "not modified", status: 304, length: -1, says: "redirects (HTTP 304)"},
		{name: "a redirect", status: 307, length: -1, says: "redirects (HTTP 307)"},
		{name: "compressed", status: 200, header: http.Header{"Content-Encoding": {"gzip"}}, length: -1, says: "compressed"},
		{name: "compressed in a long way", status: 200, header: http.Header{"Content-Encoding": {strings.Repeat("x", 1000)}}, length: -1, says: "compressed (xxxxxxxxxxxxxxxxxxxx)"},
		{name: "too large", status: 200, length: maxAnswer + 1, says: "larger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := &body{Reader: strings.NewReader("x")}
			g := guard{next: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Header: tt.header, ContentLength: tt.length, Body: answer}, tt.err
			})}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://as.example", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := g.RoundTrip(req)
			if tt.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				if string(text) != "x" || err != nil {
					t.Errorf("read %q, %v", text, err)
				}
				return
			}
			if resp != nil || err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v, want an error with %s", resp, err, tt.says)
			}
			if answer.closed != (tt.err == nil) {
				t.Errorf("closed: %t", answer.closed)
			}
		})
	}
}

// TestGuardLeavesTheRequestAlone, as a RoundTripper must.
func TestGuardLeavesTheRequestAlone(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://as.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	g := guard{next: roundTrip(func(r *http.Request) (*http.Response, error) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asks for %s", got)
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}
	resp, err := g.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if req.Header.Get("Accept-Encoding") != "gzip" {
		t.Error("the caller's request was changed")
	}
}

func TestBounded(t *testing.T) {
	for size, fits := range map[int]bool{0: true, 1: true, 99: true, 100: true, 101: false, 1000: false} {
		b := &bounded{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", size))), left: 100 + 1}
		got, err := io.ReadAll(b)
		if fits && (err != nil || len(got) != size) || !fits && (!errors.Is(err, errTooLarge) || len(got) > 101) {
			t.Errorf("of %d bytes %d are read, %v", size, len(got), err)
		}
	}
}

// TestTransport: the numbers that the package's promises rest on.
func TestTransport(t *testing.T) {
	tr := newTransport(7)
	defer tr.CloseIdleConnections()
	if tr.MaxIdleConnsPerHost < 7 || tr.MaxIdleConns < 7 {
		t.Errorf("keeps %d of %d for 7 at once", tr.MaxIdleConnsPerHost, tr.MaxIdleConns)
	}
	if tr.MaxConnsPerHost != 0 {
		t.Error("a call may have to wait for another one's connection")
	}
	if tr.IdleConnTimeout <= 0 || tr.IdleConnTimeout >= time.Minute {
		t.Errorf("keeps idle connections for %s; the API closes them after 60 s", tr.IdleConnTimeout)
	}
	if got := tr.HTTP2.SendPingTimeout + tr.HTTP2.PingTimeout; tr.HTTP2.SendPingTimeout <= 0 || tr.HTTP2.PingTimeout <= 0 || got > 5*time.Second {
		t.Errorf("a dead HTTP/2 connection is kept for %s; a call has 5 s", got)
	}
	if tr.TLSClientConfig.MinVersion < tls.VersionTLS12 || tr.TLSClientConfig.InsecureSkipVerify {
		t.Error("TLS is weak")
	}
	if !tr.DisableCompression || tr.MaxResponseHeaderBytes <= 0 || tr.TLSHandshakeTimeout <= 0 || tr.Proxy == nil {
		t.Error("compression, headers, handshakes or proxies are not as promised")
	}
}

// TestDeadConnectionIsLeft: a connection that nobody closed, and over which
// nothing comes any more, costs a few calls and not all of them.
func TestDeadConnectionIsLeft(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			var spoken atomic.Value
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				spoken.Store(r.Proto)
				says(accepted)(w, r)
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)
			c := newClient(t, server.URL, timeout(time.Second))
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			c.transport.TLSClientConfig.RootCAs = pool
			c.transport.HTTP2.SendPingTimeout, c.transport.HTTP2.PingTimeout = 500*time.Millisecond, 500*time.Millisecond
			var forgotten atomic.Pointer[mute]
			dial := c.transport.DialContext
			c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				m := &mute{Conn: conn}
				forgotten.CompareAndSwap(nil, m)
				return m, nil
			}
			if a := c.Stop(t.Context(), web); !a.OK() || spoken.Load() != proto {
				t.Fatalf("%v: %+v", spoken.Load(), a)
			}
			forgotten.Load().on.Store(true)
			const patient = 10
			lost := 0
			for !c.Stop(t.Context(), web).OK() {
				if lost++; lost == patient {
					t.Fatalf("%d calls in a row were lost", lost)
				}
			}
			if lost == 0 {
				t.Error("no call was lost: the connection was not dead")
			}
		})
	}
}

// mute is a connection that, once on, swallows what is written and has nothing
// to read any more.
type mute struct {
	net.Conn
	on atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.on.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}
