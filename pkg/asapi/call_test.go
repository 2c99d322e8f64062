package asapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestStopAtTheSimulator(t *testing.T) {
	target := func(group, activity string) stop.Target {
		return stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: group, RefreshActivityID: activity}
	}
	other := web
	other.Region = "xx-newplace"
	tests := []struct {
		name   string
		target stop.Target
		fault  simulator.Fault
		class  stop.Class
		code   string
	}{
		{name: "running", target: web, class: stop.ClassOK},
		{name: "paused already", target: target("asg-shopcart", "asr-pausecrt"), class: stop.ClassConflict, code: stop.CodeConflict},
		{name: "unknown activity", target: target("asg-shopweb1", "asr-unknown1"), class: stop.ClassNotFound, code: "ResourceNotFound.RefreshActivityNotFound"},
		{name: "activity of another group", target: target("asg-unknown1", "asr-runweb01"), class: stop.ClassNotFound, code: "ResourceNotFound.RefreshActivityNotFound"},
		{name: "unknown group", target: web, fault: simulator.Fault{Kind: simulator.ErrorCode, Code: "ResourceNotFound.AutoScalingGroupIdNotFound"}, class: stop.ClassNotFound, code: "ResourceNotFound.AutoScalingGroupIdNotFound"},
		{name: "over", target: target("asg-reports1", "asr-donerep1"), class: stop.ClassConflict, code: stop.CodeConflict},
		{name: "region the API does not know", target: other, class: stop.ClassCaller},

		{name: "throttled", target: web, fault: simulator.Fault{Kind: simulator.Throttle}, class: stop.ClassThrottled, code: "RequestLimitExceeded"},
		{name: "throttled: main account", target: web, fault: simulator.Fault{Kind: simulator.Throttle, Code: "RequestLimitExceeded.UinLimitExceeded"}, class: stop.ClassThrottled, code: "RequestLimitExceeded.UinLimitExceeded"},
		{name: "throttled: region", target: web, fault: simulator.Fault{Kind: simulator.Throttle, Code: "RequestLimitExceeded.GlobalRegionUinLimitExceeded"}, class: stop.ClassThrottled, code: "RequestLimitExceeded.GlobalRegionUinLimitExceeded"},
		{name: "throttled: address", target: web, fault: simulator.Fault{Kind: simulator.Throttle, Code: "RequestLimitExceeded.IPLimitExceeded"}, class: stop.ClassThrottled, code: "RequestLimitExceeded.IPLimitExceeded"},
		{name: "unknown key", target: web, fault: simulator.Fault{Kind: simulator.RefuseCredentials}, class: stop.ClassCredential, code: "AuthFailure.SecretIdNotFound"},
		{name: "no role", target: web, fault: simulator.Fault{Kind: simulator.ErrorCode, Code: "UnauthorizedOperation.AutoScalingRoleUnauthorized"}, class: stop.ClassCredential, code: "UnauthorizedOperation.AutoScalingRoleUnauthorized"},
		{name: "internal error", target: web, fault: simulator.Fault{Kind: simulator.ErrorCode, Code: "InternalError"}, class: stop.ClassTransient, code: "InternalError"},
		{name: "unknown code", target: web, fault: simulator.Fault{Kind: simulator.ErrorCode, Code: "NeverSeen.Before"}, class: stop.ClassTransient, code: "NeverSeen.Before"},

		{name: "null", target: web, fault: simulator.Fault{Kind: simulator.NullBody}, class: stop.ClassTransient},
		{name: "empty object", target: web, fault: simulator.Fault{Kind: simulator.EmptyObject}, class: stop.ClassTransient},
		{name: "502 with a page", target: web, fault: simulator.Fault{Kind: simulator.BadGateway}, class: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "truncated", target: web, fault: simulator.Fault{Kind: simulator.TruncatedBody}, class: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "cut before the answer", target: web, fault: simulator.Fault{Kind: simulator.Cut}, class: stop.ClassTransient, code: "ClientError.NetworkError"},
		{name: "answer lost", target: web, fault: simulator.Fault{Kind: simulator.LostAnswer}, class: stop.ClassTransient, code: "ClientError.NetworkError"},
		{name: "64 MB", target: web, fault: simulator.Fault{Kind: simulator.HugeBody}, class: stop.ClassTransient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim, server := newSimulator(t)
			if tt.fault.Kind != "" {
				addFault(t, sim, tt.fault)
			}
			a := newClient(t, server.URL).Stop(t.Context(), tt.target)
			if a.Class != tt.class || tt.code != "" && a.Code != tt.code || a.OK() != (tt.class == stop.ClassOK) {
				t.Errorf("got %+v, want class %s, code %s", a, tt.class, tt.code)
			}
			if a.Unsent {
				t.Errorf("got %+v, though it was sent", a)
			}
			if !a.OK() && a.Message == "" {
				t.Errorf("got %+v, which says nothing", a)
			}
			arrivals := sim.Arrivals()
			if len(arrivals) != 1 {
				t.Fatalf("%d calls arrived, want one attempt", len(arrivals))
			}
			if spoken := tt.fault.Kind == "" || tt.code != "" && !strings.HasPrefix(tt.code, "ClientError"); spoken && a.RequestID != arrivals[0].RequestID {
				t.Errorf("RequestId is %q, the API's was %q", a.RequestID, arrivals[0].RequestID)
			}
			if tt.name == "running" {
				if got, _ := sim.Activity(web.RefreshActivityID); got.Status != simulator.ManualPause {
					t.Errorf("the activity is %s", got.Status)
				}
			}
		})
	}
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.Bytes()
}

func TestAnswersOfOthers(t *testing.T) {
	refusal := func(code string) string {
		return `{"Response":{"Error":{"Code":"` + code + `","Message":"no"},"RequestId":"req-1"}}`
	}
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   stop.Class
		code   string
		says   string
	}{
		{name: "accepted", answer: says(accepted), want: stop.ClassOK},
		{name: "accepted, as plain text", answer: answer(200, "text/plain", accepted), want: stop.ClassOK},
		{name: "accepted, as octets", answer: answer(200, "application/octet-stream", accepted), want: stop.ClassOK},
		{name: "accepted, with a field that nobody knows", answer: says(`{"Response":{"RequestId":"req-1","New":{"A":1}},"Newer":2}`), want: stop.ClassOK},
		{name: "accepted, but 503", answer: answer(503, "application/json", accepted), want: stop.ClassTransient, code: "ClientError.HttpStatusCodeError", says: "503"},
		{name: "accepted, but 404", answer: answer(404, "application/json", accepted), want: stop.ClassTransient, code: "ClientError.HttpStatusCodeError", says: "404"},
		// HTTP status alone decides nothing.
		{name: "refusal with 400", answer: answer(400, "application/json", refusal("InvalidParameter")), want: stop.ClassCaller, code: "InvalidParameter"},
		{name: "refusal with 429", answer: answer(429, "application/json", refusal("RequestLimitExceeded")), want: stop.ClassThrottled, code: "RequestLimitExceeded"},
		{name: "refusal with 503", answer: answer(503, "application/json", refusal(stop.CodeConflict)), want: stop.ClassConflict, code: stop.CodeConflict},
		{name: "refusal without a code", answer: says(refusal("")), want: stop.ClassOK},
		{name: "refusal of the old form", answer: says(`{"code":4000,"codeDesc":"InvalidParameter","message":"no"}`), want: stop.ClassCaller, code: "InvalidParameter"},
		{name: "refusal of the old form, unknown", answer: says(`{"code":4000,"message":"no"}`), want: stop.ClassTransient, says: "no"},
		{name: "refusal of the old form, without a word", answer: says(`{"code":4000}`), want: stop.ClassTransient, says: "does not say why"},

		{name: "nothing", answer: says(""), want: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "500 and nothing", answer: answer(500, "", ""), want: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "502 and a page", answer: answer(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"), want: stop.ClassTransient, says: "502 Bad Gateway"},
		{name: "204", answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, want: stop.ClassTransient},
		{name: "null", answer: says("null"), want: stop.ClassTransient, says: "makes no sense"},
		{name: "null with 502", answer: answer(502, "application/json", "null"), want: stop.ClassTransient},
		{name: "{}", answer: says("{}"), want: stop.ClassTransient, says: "empty"},
		{name: "Response null", answer: says(`{"Response":null}`), want: stop.ClassTransient, says: "empty"},
		{name: "Response {}", answer: says(`{"Response":{}}`), want: stop.ClassTransient, says: "empty"},
		{name: "RequestId null", answer: says(`{"Response":{"RequestId":null}}`), want: stop.ClassTransient},
		{name: "RequestId a number", answer: says(`{"Response":{"RequestId":1}}`), want: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "Response a list", answer: says(`{"Response":[]}`), want: stop.ClassTransient},
		{name: "Error a string", answer: says(`{"Response":{"Error":"no"}}`), want: stop.ClassTransient},
		{name: "a list", answer: says("[]"), want: stop.ClassTransient},
		{name: "a string", answer: says(`"ok"`), want: stop.ClassTransient},
		{name: "two documents", answer: says(accepted + accepted), want: stop.ClassTransient},
		{name: "truncated", answer: says(accepted[:20]), want: stop.ClassTransient, code: "ClientError.ParseJsonError"},
		{name: "shorter than announced", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(accepted))
		}, want: stop.ClassTransient},
		{name: "an event stream", answer: answer(200, "text/event-stream", "data: "+accepted+"\n\n"), want: stop.ClassTransient, code: "ClientError.TypeError"},
		{name: "gzip unasked", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(gzipped(accepted))
		}, want: stop.ClassTransient, says: "compressed (gzip)"},
		{name: "gzip undeclared", answer: answer(200, "application/json", string(gzipped(accepted))), want: stop.ClassTransient},
		{name: "other encoding", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write([]byte(accepted))
		}, want: stop.ClassTransient, says: "compressed (br)"},
		{name: "not UTF-8", answer: says("\xff\xfe" + accepted), want: stop.ClassTransient},
		{name: "not HTTP", answer: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n")
				conn.Close()
			}
		}, want: stop.ClassTransient, code: "ClientError.NetworkError"},
		{name: "header without end", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
			w.Write([]byte(accepted))
		}, want: stop.ClassTransient, code: "ClientError.NetworkError"},
		{name: "clock", answer: says(refusal("AuthFailure.SignatureExpire")), want: stop.ClassCredential, says: "clock of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var arrived atomic.Int32
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				arrived.Add(1)
				tt.answer(w, r)
			})
			a := newClient(t, server.URL).Stop(t.Context(), web)
			if a.Class != tt.want || tt.code != "" && a.Code != tt.code {
				t.Errorf("got %+v, want class %s, code %s", a, tt.want, tt.code)
			}
			if a.Unsent {
				t.Errorf("got %+v, though it was sent", a)
			}
			if !strings.Contains(a.Message, tt.says) || !utf8.ValidString(a.Message) || len(a.Message) > maxMessage {
				t.Errorf("the message is %q, want %q in it", a.Message, tt.says)
			}
			if n := arrived.Load(); n != 1 {
				t.Errorf("%d calls arrived, want one attempt", n)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		followed.Add(1)
		says(accepted)(w, r)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		a := newClient(t, server.URL).Stop(t.Context(), web)
		if a.Class != stop.ClassTransient || a.Unsent || !strings.Contains(a.Message, "redirects") {
			t.Errorf("HTTP %d: %+v", status, a)
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("a signed request was sent elsewhere %d times", n)
	}
}

// TestLargeAnswer: neither an announced nor a streamed flood is read whole.
func TestLargeAnswer(t *testing.T) {
	const size = 50 << 20
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for name, announced := range map[string]bool{"announced": true, "streamed": false} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if announced {
					w.Header().Set("Content-Length", "52428800")
				}
				for range size / len(chunk) {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
			c := newClient(t, server.URL)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a := c.Stop(t.Context(), web)
			runtime.ReadMemStats(&after)
			if a.Class != stop.ClassTransient || a.Unsent || !strings.Contains(a.Message, "larger than 8 MiB") {
				t.Errorf("got %+v", a)
			}
			// Reading 8 MiB into a growing buffer allocates a few times that.
			if got := after.TotalAlloc - before.TotalAlloc; got > 7*maxAnswer {
				t.Errorf("%d MiB allocated for an answer of 50 MiB", got>>20)
			}
		})
	}
}

func TestLargestAnswerIsRead(t *testing.T) {
	server := serve(t, says(accepted+strings.Repeat(" ", maxAnswer-len(accepted))))
	if a := newClient(t, server.URL).Stop(t.Context(), web); !a.OK() {
		t.Errorf("got %.200s", a.Message)
	}
}

// TestEndsAtTheDeadline: whatever the endpoint is doing then.
func TestEndsAtTheDeadline(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
				w.Write([]byte(" "))
				http.NewResponseController(w).Flush()
			}
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"never answering", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"header and no body", func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{"a byte at a time", drip},
	}
	const deadline = time.Second
	ends := map[string]struct {
		timeout time.Duration
		ctx     func(t *testing.T, arrived <-chan struct{}) context.Context
		says    string
	}{
		"own": {deadline, func(t *testing.T, _ <-chan struct{}) context.Context { return t.Context() }, "no answer in time"},
		"caller's": {patience, func(t *testing.T, _ <-chan struct{}) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			t.Cleanup(cancel)
			return ctx
		}, "deadline exceeded"},
		"cancelled": {patience, func(t *testing.T, arrived <-chan struct{}) context.Context {
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { <-arrived; cancel(errors.New("the worker stops")) }()
			return ctx
		}, "the worker stops"},
	}
	for _, tt := range tests {
		for name, end := range ends {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				arrived := make(chan struct{})
				server := serve(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body) // net/http notices a hang-up only then
					close(arrived)
					tt.answer(w, r)
				})
				c := newClient(t, server.URL, timeout(end.timeout))
				began := time.Now()
				a := c.Stop(end.ctx(t, arrived), web)
				if took := time.Since(began); took > patience/2 {
					t.Errorf("it took %s", took)
				}
				if a.Class != stop.ClassTransient || a.Unsent || !strings.Contains(a.Message, end.says) {
					t.Errorf("got %+v, want a transient answer that says %q", a, end.says)
				}
			})
		}
	}
}

func TestSimulatedHangAndDrip(t *testing.T) {
	for _, fault := range []simulator.Fault{{Kind: simulator.Hang}, {Kind: simulator.Hang, Accepted: true}, {Kind: simulator.SlowBody, BytesPerSecond: 1}} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			sim, server := newSimulator(t)
			addFault(t, sim, fault)
			a := newClient(t, server.URL, timeout(time.Second)).Stop(t.Context(), web)
			if a.Class != stop.ClassTransient || a.Unsent || !strings.Contains(a.Message, "no answer in time") {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestUnsent(t *testing.T) {
	t.Run("connection refused", func(t *testing.T) {
		server := httptest.NewServer(says(accepted))
		server.Close()
		a := newClient(t, server.URL).Stop(t.Context(), web)
		if a.Class != stop.ClassTransient || !a.Unsent || !strings.Contains(a.Message, "refused") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		a := newClient(t, "http://andon.invalid").Stop(t.Context(), web)
		if a.Class != stop.ClassTransient || !a.Unsent || !strings.Contains(a.Message, "andon.invalid") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("not TLS", func(t *testing.T) {
		server := serve(t, says(accepted))
		a := newClient(t, strings.Replace(server.URL, "http", "https", 1)).Stop(t.Context(), web)
		if a.Class != stop.ClassTransient || !a.Unsent {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("certificate of nobody", func(t *testing.T) {
		server := httptest.NewUnstartedServer(says(accepted))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.StartTLS()
		defer server.Close()
		a := newClient(t, server.URL).Stop(t.Context(), web)
		if a.Class != stop.ClassTransient || !a.Unsent || !strings.Contains(a.Message, "certificate") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("hung up before the request", func(t *testing.T) {
		// Whether the header has left before the end is noticed is up to the
		// kernel; that a call which may have left is not called unsent is not.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		a := newClient(t, "http://"+listener.Addr().String()).Stop(t.Context(), web)
		if a.Class != stop.ClassTransient {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("context dead before the call", func(t *testing.T) {
		sim, server := newSimulator(t)
		c := newClient(t, server.URL)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the worker stops"))
		for range 20 {
			a := c.Stop(ctx, web)
			if a.Class != stop.ClassTransient || !a.Unsent || !strings.Contains(a.Message, "the worker stops") {
				t.Errorf("got %+v", a)
			}
		}
		if a := c.Stop(t.Context(), web); !a.OK() {
			t.Errorf("afterwards: %+v", a)
		}
		if n := len(sim.Arrivals()); n != 1 {
			t.Errorf("%d calls arrived, want that with a live context alone", n)
		}
	})
}

// TestStaleConnection: the API closes connections that this side still thinks
// alive. Nothing was sent twice, and the answer does not claim to know its fate.
func TestStaleConnection(t *testing.T) {
	var arrived atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		says(accepted)(w, r)
	})
	c := newClient(t, server.URL)
	if a := c.Stop(t.Context(), web); !a.OK() {
		t.Fatalf("got %+v", a)
	}
	if a := c.Stop(t.Context(), web); a.Class != stop.ClassTransient || a.Unsent {
		t.Errorf("got %+v, want transient and perhaps sent", a)
	}
	if n := arrived.Load(); n != 2 {
		t.Errorf("%d calls arrived, want one for each attempt", n)
	}
}

// TestAPIHasTheLastWord: what the API said stands, even when the context ended
// while it was being read; what the SDK made of the end does not.
func TestAPIHasTheLastWord(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		err  error
		want stop.Class
		code string
	}{
		"conflict":      {sdkerrors.NewTencentCloudSDKError(stop.CodeConflict, "no", "req-1"), stop.ClassConflict, stop.CodeConflict},
		"network error": {sdkerrors.NewTencentCloudSDKErrorWithCause("ClientError.NetworkError", "x", "", context.Canceled), stop.ClassTransient, ""},
		"broken answer": {sdkerrors.NewTencentCloudSDKError("ClientError.ParseJsonError", "x", ""), stop.ClassTransient, ""},
		"plain error":   {io.ErrUnexpectedEOF, stop.ClassTransient, ""},
	}
	for name, tt := range tests {
		if a := refusal(ctx, tt.err); a.Class != tt.want || a.Code != tt.code {
			t.Errorf("%s: %+v, want class %s, code %q", name, a, tt.want, tt.code)
		}
	}
}

func TestMessageIsBounded(t *testing.T) {
	tests := []struct{ name, message, want string }{
		{"empty", "", ""},
		{"short", "no such thing", "no such thing"},
		{"as long as allowed", strings.Repeat("x", maxMessage), strings.Repeat("x", maxMessage)},
		{"longer", strings.Repeat("x", maxMessage+1), strings.Repeat("x", maxMessage-3) + "…"},
		{"cut within a letter", strings.Repeat("暂", maxMessage), strings.Repeat("暂", (maxMessage-3)/3) + "…"},
		{"not UTF-8", "a\xff\xfeb", "a?b"},
	}
	for _, tt := range tests {
		if got := bound(tt.message, maxMessage); got != tt.want {
			t.Errorf("%s: %d bytes: %.40q…, want %d: %.40q…", tt.name, len(got), got, len(tt.want), tt.want)
		}
	}

	page := "<html>" + strings.Repeat("x", 1<<20)
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		w.Write([]byte(page))
	})
	if a := newClient(t, server.URL).Stop(t.Context(), web); len(a.Message) > maxMessage || !strings.Contains(a.Message, "<html>") {
		t.Errorf("a page of 1 MiB is in a message of %d bytes", len(a.Message))
	}
}

// TestWordsAreBounded: a code or an id of a megabyte would make a result that
// the broker never takes.
func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("r", 1<<20)
	refused := newClient(t, serve(t, says(`{"Response":{"Error":{"Code":"AuthFailure.`+long+`","Message":"m"},"RequestId":"`+long+`"}}`)).URL)
	if a := refused.Stop(t.Context(), web); a.Class != stop.ClassCredential || len(a.Code) != maxWord || len(a.RequestID) != maxWord {
		t.Errorf("class %s, code of %d bytes, id of %d bytes", a.Class, len(a.Code), len(a.RequestID))
	}
	shown := newClient(t, serve(t, says(`{"Response":{"TotalCount":1,"RefreshActivitySet":[{"AutoScalingGroupId":"`+long+`","RefreshActivityId":"`+long+`","ActivityType":"`+long+`","Status":"`+long+`"}],"RequestId":"r"}}`)).URL)
	page, a := shown.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-tokyo"})
	if !a.OK() || len(page.Activities) != 1 {
		t.Fatalf("%+v, %d activities", a, len(page.Activities))
	}
	for _, word := range []string{page.Activities[0].AutoScalingGroupID, page.Activities[0].RefreshActivityID, page.Activities[0].ActivityType, string(page.Activities[0].Status)} {
		if len(word) != maxWord {
			t.Errorf("a word of %d bytes", len(word))
		}
	}
	for _, code := range sdkCodes(t) {
		if len(code) > maxWord {
			t.Errorf("code %s would be cut", code)
		}
	}
}
