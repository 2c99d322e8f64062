package traces

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

const asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestWhenSpansAreSent(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, c := range map[string]struct {
		env  map[string]string
		on   bool
		says string
	}{
		"nothing is set":       {},
		"endpoint":             {env: map[string]string{endpoint: "http://c:4318"}, on: true},
		"endpoint of traces":   {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, on: true},
		"exporter alone":       {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		"name alone":           {env: map[string]string{"OTEL_SERVICE_NAME": "brake"}},
		"no exporter":          {env: map[string]string{endpoint: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}},
		"disabled":             {env: map[string]string{endpoint: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}},
		"unknown exporter":     {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, says: `OTEL_TRACES_EXPORTER="zipkin"`},
		"protocol of the SDK":  {env: map[string]string{endpoint: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, on: true},
		"protocol not here":    {env: map[string]string{endpoint: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, says: "4318"},
		"disabled and unknown": {env: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin"}},
	} {
		t.Run(name, func(t *testing.T) {
			on, err := wanted(func(key string) string { return c.env[key] })
			if on != c.on || (err != nil) != (c.says != "") {
				t.Fatalf("got %v, %v", on, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, want it to name %s", err, c.says)
			}
		})
	}
}

// A variable that is set for all programs of a machine must not end this one.
func TestVariablesThatCannotBeFollowedAreTold(t *testing.T) {
	var said bytes.Buffer
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
	if tracer := Start(t.Context(), "andon", func(key string) string { return env[key] }, slog.New(slog.NewTextHandler(&said, nil))); tracer != nil {
		t.Error("spans are made")
	}
	if !strings.Contains(said.String(), "level=ERROR") || !strings.Contains(said.String(), "4318") {
		t.Errorf("said is %q", said.String())
	}
}

// recorded is a Tracer, and what it has told.
func recorded(t *testing.T) (*Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	tracer := newTracer(sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept)), slog.New(slog.DiscardHandler))
	t.Cleanup(tracer.End)
	return tracer, kept.GetSpans
}

func TestARequestIsPlannedWithinItsTraceInWhateverForm(t *testing.T) {
	for form, m := range map[string]stop.Message{
		"header":           {Header: map[string][]string{"Traceparent": {asked}}, Data: []byte(`{}`)},
		"binary event":     {Header: map[string][]string{"ce-specversion": {"1.0"}, "ce-traceparent": {asked}}, Data: []byte(`{}`)},
		"structured event": {Data: []byte(`{"specversion":"1.0","traceparent":"` + asked + `","data":{}}`)},
	} {
		t.Run(form, func(t *testing.T) {
			tracer, told := recorded(t)
			m.Subject = "as.refresh.stop.urgent.shop"
			var seen stop.Message
			w := tracer.Worker(queue.Worker{Plan: func(_ context.Context, m stop.Message) stop.Verdict { seen = m; return stop.Verdict{Settled: true} }})
			if v := w.Plan(t.Context(), m); !v.Settled {
				t.Errorf("the verdict is another: %+v", v)
			}
			span := told()[0]
			if got := span.Parent.SpanID().String(); span.Name != "process as.refresh.stop" || !strings.Contains(asked, got) {
				t.Errorf("%q is below %s, want it below %s", span.Name, got, asked)
			}
			if got := stop.Traceparent(seen); !strings.Contains(got, span.SpanContext.SpanID().String()) {
				t.Errorf("the step is told of %q, want the span of planning", got)
			}
			if len(seen.Header["Traceparent"]) > 0 || string(seen.Data) != string(m.Data) {
				t.Errorf("the message has become %+v", seen)
			}
		})
	}
}

func TestATaskIsCarriedOutWithinTheTraceOfItsRequest(t *testing.T) {
	for what, work := range map[string]any{
		"task": stop.Task{Traceparent: asked},
		"part": stop.Part{Of: stop.Bulk{Task: stop.Task{Traceparent: asked}}},
	} {
		t.Run(what, func(t *testing.T) {
			tracer, told := recorded(t)
			data, err := json.Marshal(work)
			if err != nil {
				t.Fatal(err)
			}
			w := tracer.Worker(queue.Worker{Execute: func(context.Context, stop.Message) stop.Verdict {
				return stop.Verdict{Results: []stop.Result{{Outcome: stop.OutcomePaused, Traceparent: asked}}}
			}})
			v := w.Execute(t.Context(), stop.Message{Subject: "as.refresh.task.q.normal.r", Data: data})
			span := told()[0]
			if got := span.Parent.SpanID().String(); !strings.Contains(asked, got) {
				t.Errorf("the span is below %s, want it below %s", got, asked)
			}
			if !strings.Contains(v.Results[0].Traceparent, span.SpanContext.SpanID().String()) {
				t.Errorf("the result carries %s, want the span", v.Results[0].Traceparent)
			}
		})
	}
}

func TestWithoutAReceiverNothingIsTouched(t *testing.T) {
	var tracer *Tracer
	defer tracer.End()
	m := stop.Message{Header: map[string][]string{"Traceparent": {asked}}}
	w := tracer.Worker(queue.Worker{Plan: func(_ context.Context, got stop.Message) stop.Verdict {
		if len(got.Header) != 1 || got.Header["Traceparent"][0] != asked {
			t.Errorf("the header has become %v", got.Header)
		}
		return stop.Verdict{}
	}})
	w.Plan(t.Context(), m)
	if tracer.Stored() != nil || tracer.API(nil) != nil || tracer.Publisher(nil) != nil {
		t.Error("something stands around the parts")
	}
}
