package ingress

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// spans is a collector that keeps what it is sent, by name.
type spans struct {
	*httptest.Server

	mu  sync.Mutex
	all map[string]span
}

type span struct {
	service, trace, id, parent string
	kind                       tracev1.Span_SpanKind
	attributes                 map[string]string
}

func collectSpans(t testing.TB) *spans {
	t.Helper()
	s := &spans{all: make(map[string]span)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			return
		}
		s.take(&sent)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spans) take(sent *collector.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range sent.GetResourceSpans() {
		service := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				got := span{
					service: service, trace: hex.EncodeToString(one.GetTraceId()), id: hex.EncodeToString(one.GetSpanId()),
					parent: hex.EncodeToString(one.GetParentSpanId()), kind: one.GetKind(), attributes: make(map[string]string),
				}
				for _, a := range one.GetAttributes() {
					got.attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				s.all[one.GetName()] = got
			}
		}
	}
}

// await waits until there are spans with all of these names.
func (s *spans) await(t testing.TB, names ...string) map[string]span {
	t.Helper()
	var all map[string]span
	harness.Eventually(t, 30*time.Second, func() error {
		s.mu.Lock()
		all = maps.Clone(s.all)
		s.mu.Unlock()
		for _, name := range names {
			if _, ok := all[name]; !ok {
				return fmt.Errorf("no span %q among %d", name, len(all))
			}
		}
		return nil
	})
	return all
}

// One trace has the whole way, from the webhook to the result, over three processes
// and the broker between them.
func TestATraceHasTheWholeWay(t *testing.T) {
	s := collectSpans(t)
	r := newRig(t, 1)
	r.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
	r.work()
	r.listen()
	c := r.connect()

	const trace, sender = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	id := r.post(notification("1", group), "00-"+trace+"-"+sender+"-01")
	r.once(c)

	way := []string{"send as.refresh.stop", "process as.refresh.stop", "process as.refresh.task", "StopInstanceRefresh"}
	all := s.await(t, append(way, "send as.refresh.result")...)
	parent := sender
	for i, name := range way {
		one := all[name]
		if one.trace != trace || one.parent != parent {
			t.Errorf("%s is in trace %s below %s, want %s below %s", name, one.trace, one.parent, trace, parent)
		}
		if want := "andon-" + []string{"ingress", "worker", "worker", "worker"}[i]; one.service != want {
			t.Errorf("%s is of %s, want %s", name, one.service, want)
		}
		parent = one.id
	}
	task, result := all["process as.refresh.task"], all["send as.refresh.result"]
	if result.parent != task.id || result.attributes["andon.outcome"] != string(stop.OutcomePaused) || result.attributes["andon.group"] != group {
		t.Errorf("the span of the result is %+v, want it below %s", result, task.id)
	}
	if all["send as.refresh.stop"].kind != tracev1.Span_SPAN_KIND_PRODUCER || task.kind != tracev1.Span_SPAN_KIND_CONSUMER || all["StopInstanceRefresh"].kind != tracev1.Span_SPAN_KIND_CLIENT {
		t.Errorf("kinds: %+v", all)
	}
	if want := "00-" + trace + "-" + task.id + "-01"; r.carried(id) != want {
		t.Errorf("the result carries %q, want %q", r.carried(id), want)
	}
	for name, one := range all {
		for key, value := range one.attributes {
			if strings.Contains(value, secret) {
				t.Errorf("%s shows a secret in %s", name, key)
			}
		}
	}
}

// A collector that is away, or hangs, takes nothing from a pause.
func TestTracesAreNoConditionOfAPause(t *testing.T) {
	over := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(func() { close(over); hangs.Close() })
	for what, endpoint := range map[string]string{"away": "http://" + harness.FreeAddr(t), "hangs": hangs.URL} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, 1)
			r.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_BSP_SCHEDULE_DELAY=50"}
			r.work()
			r.listen()
			c := r.connect()
			r.post(notification("1", group), "")
			if got := r.once(c); got.Outcome != stop.OutcomePaused {
				t.Errorf("the result is %s: %s", got.Outcome, got.Message)
			}
		})
	}
}

// Without a receiver the trace of who asks goes to the result as it came.
func TestATraceIsCarriedWithoutSpans(t *testing.T) {
	r := newRig(t, 1)
	r.work()
	r.listen()
	c := r.connect()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	id := r.post(notification("1", group), trace)
	r.once(c)
	if got := r.carried(id); got != trace {
		t.Errorf("the result carries %q, want %q", got, trace)
	}
}
