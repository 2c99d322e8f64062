package simulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cutConnection ends the exchange without a further byte. net/http knows this
// panic, closes the connection and logs nothing.
func cutConnection() {
	panic(http.ErrAbortHandler)
}

// wait lets d pass. It reports false if the caller gave up or the Simulator was
// closed meanwhile.
func (s *Simulator) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// hang waits until nobody wants the answer any more.
func (s *Simulator) hang(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.closed:
	}
}

// write sends the answer, or what the call's fault makes of it. It returns
// normally only where the caller got an HTTP answer.
func (s *Simulator) write(ctx context.Context, w http.ResponseWriter, f *Fault, answer []byte) {
	kind := FaultKind("")
	if f != nil {
		kind = f.Kind
	}
	switch kind {
	case Cut, LostAnswer:
		cutConnection()
	case Hang:
		s.hang(ctx)
		cutConnection()
	case BadGateway:
		writeBadGateway(w, f.HTTPStatus)
	case NullBody:
		writeJSON(w, []byte("null"))
	case EmptyObject:
		writeJSON(w, []byte("{}"))
	case TruncatedBody:
		writeTruncated(w, answer)
	case HugeBody:
		s.writeHuge(ctx, w, answer, f.Megabytes)
	case SlowBody:
		s.writeSlowly(ctx, w, answer, f.BytesPerSecond)
	default:
		writeJSON(w, answer)
	}
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// A caller that is gone needs no answer; there is nobody else to tell.
	_, _ = w.Write(body)
}

func writeBadGateway(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	text := http.StatusText(status)
	fmt.Fprintf(w, "<html>\r\n<head><title>%d %s</title></head>\r\n<body><center><h1>%d %s</h1></center></body>\r\n</html>\r\n", status, text, status, text)
}

// writeTruncated promises the whole answer, sends half of it and hangs up.
func writeTruncated(w http.ResponseWriter, answer []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer[:len(answer)/2])
	flush(w)
	cutConnection()
}

// writeHuge sends a correct answer with a padding field in front, so that a
// reader has to take all of it. It holds 64 KiB at a time.
func (s *Simulator) writeHuge(ctx context.Context, w http.ResponseWriter, answer []byte, megabytes int) {
	w.Header().Set("Content-Type", "application/json")
	chunk := strings.Repeat("x", 64<<10)
	_, err := io.WriteString(w, `{"Padding":"`)
	for i := 0; i < megabytes*16 && err == nil; i++ {
		if ctx.Err() != nil || s.isClosed() {
			cutConnection()
		}
		_, err = io.WriteString(w, chunk)
	}
	if err == nil {
		_, err = io.WriteString(w, `",`+string(answer[1:]))
	}
	if err != nil {
		cutConnection()
	}
}

// writeSlowly sends the answer at a rate, in ten pieces a second at most.
func (s *Simulator) writeSlowly(ctx context.Context, w http.ResponseWriter, answer []byte, perSecond int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	size := max(perSecond/10, 1)
	pause := time.Second * time.Duration(size) / time.Duration(perSecond)
	for len(answer) > 0 {
		n := min(size, len(answer))
		if _, err := w.Write(answer[:n]); err != nil {
			cutConnection()
		}
		flush(w)
		answer = answer[n:]
		if !s.wait(ctx, pause) {
			cutConnection()
		}
	}
}

// flush is best effort: a recorder without Flush shows the same bytes later.
func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
}
