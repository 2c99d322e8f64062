package asapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// maxAnswer bounds the body of an answer. A page of a hundred activities with
// two thousand instances each would be larger; nobody pages through that here,
// and the API itself ends at 50 MB.
const maxAnswer = 8 << 20

// A connection may be gone without anybody having said so, as when a NAT forgets
// it. HTTP/1.1 leaves it with the first call that has no answer; HTTP/2 puts
// every later call on it too, until the kernel gives up after a quarter of an
// hour. So one that is silent for pingAfter is asked, and left after pingWait:
// together no more than a call may take by default.
const (
	pingAfter = 3 * time.Second
	pingWait  = 2 * time.Second
)

// newTransport keeps as many idle connections as there may be calls, so that
// calls find a warm one: a handshake before a call would make its arrival
// late. The API closes idle connections after 60 s; this side is first.
func newTransport(concurrency int) *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    3 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
		MaxIdleConns:           4 * concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A small compressed answer can be a large one.
		DisableCompression: true,
	}
}

// guard stands between the SDK and the network: it bounds answers and refuses
// what an API does not do.
type guard struct{ next http.RoundTripper }

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Accept-Encoding") != "" {
		req = req.Clone(req.Context())
		req.Header.Del("Accept-Encoding")
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	var refuse error
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		// Following would send a signed request to whoever asks for it.
		refuse = fmt.Errorf("the endpoint redirects (HTTP %d), which the API never does", resp.StatusCode)
	case resp.Header.Get("Content-Encoding") != "":
		refuse = fmt.Errorf("the answer is compressed (%.20s) without having been asked to be", resp.Header.Get("Content-Encoding"))
	case resp.ContentLength > maxAnswer:
		refuse = errTooLarge
	}
	if refuse != nil {
		resp.Body.Close()
		return nil, refuse
	}
	// One more than allowed tells an answer that is too long from one that just fits.
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer + 1}
	if req.Header.Get("X-TC-Action") == stop.ActionDescribe {
		resp.Body, resp.ContentLength = &trimmed{ReadCloser: resp.Body}, -1
	}
	return resp, nil
}

var errTooLarge = errors.New("the answer is larger than 8 MiB")

// bounded ends a body that is too long with an error, not with an end of file
// that could be taken for the whole.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
