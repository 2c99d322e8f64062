// Package traces tells OpenTelemetry of the way of a request: who asked, when it was
// planned and carried out, the call, and the result. It stands around the parts of a
// program, which do not know of it, and never decides anything: what is lost of a trace
// is lost of nothing else.
//
// Spans follow the conventions for messaging (OpenTelemetry semantic conventions 1.44,
// docs/messaging): each is named by what is done and to which subject, without the ids
// in it. What processes a message is a child of what sent it, for one message is
// processed for its own sake and not in a batch.
package traces

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-a7c21902/andon/cmd/internal/build"
	"github.com/seed-a7c21902/andon/pkg/handler"
	"github.com/seed-a7c21902/andon/pkg/ingress"
	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Tracer makes spans. The nil Tracer makes none, and leaves everything as it is, trace
// contexts in messages included. It is safe for use by many goroutines.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// endWithin bounds how long the last spans are waited for.
const endWithin = 3 * time.Second

// Start returns a Tracer which sends spans as the environment says
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/), nil where it names no
// receiver. Variables that ask for what is not here are told in the log: often they are
// set for all programs of a machine, and none of them may keep this one from its work.
// The SDK reads the others, such as those of the sampler and of the headers, from the
// process's environment itself.
func Start(ctx context.Context, service string, getenv func(string) string, log *slog.Logger) *Tracer {
	provider, err := provide(ctx, service, getenv)
	if err != nil {
		log.Error("no spans are sent: OpenTelemetry's variables cannot be followed", "error", err)
	}
	if provider == nil {
		return nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans are not sent", "error", err) }))
	return newTracer(provider, log)
}

// provide makes what sends spans; nil where none are asked for.
func provide(ctx context.Context, service string, getenv func(string) string) (*sdktrace.TracerProvider, error) {
	if on, err := wanted(getenv); !on {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the exporter: %w", err)
	}
	// Later ones go before earlier ones: OTEL_SERVICE_NAME replaces ours.
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", service), attribute.String("service.version", build.Info().Version),
	), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process: %w", err)
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res)), nil
}

func newTracer(p *sdktrace.TracerProvider, log *slog.Logger) *Tracer {
	return &Tracer{provider: p, tracer: p.Tracer("github.com/seed-a7c21902/andon"), log: log}
}

// wanted reports whether the environment asks for spans to be sent.
func wanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := getenv("OTEL_TRACES_EXPORTER")
	switch {
	case exporter == "none", exporter == "" && getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%q: there is only otlp, and none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := getenv(name); p != "" && p != "http/protobuf" {
			return false, fmt.Errorf("%s=%q: there is only http/protobuf, which collectors take on port 4318", name, p)
		}
	}
	return true, nil
}

// End sends what is left, for a few seconds at most.
func (t *Tracer) End() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans are not sent", "error", err)
	}
}

// Publisher makes a span of each request that is published, which becomes the parent of
// all that is done for it.
func (t *Tracer) Publisher(to ingress.Publisher) ingress.Publisher {
	if t == nil {
		return to
	}
	return publisher{t, to}
}

type publisher struct {
	*Tracer
	to ingress.Publisher
}

func (p publisher) Publish(ctx context.Context, m stop.Message) (repeated bool, err error) {
	ctx, span := p.tracer.Start(from(ctx, stop.Traceparent(m)), "send "+stop.SubjectStop, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(message("send", stop.SubjectStop, m)...))
	defer span.End()
	m = carry(ctx, m)
	repeated, err = p.to.Publish(ctx, m)
	span.SetAttributes(attribute.Bool("andon.repeated", repeated))
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, "")
	}
	return repeated, err //nolint:wrapcheck // not this package's
}

// Worker makes spans of the planning of requests and of the carrying out of tasks.
func (t *Tracer) Worker(w queue.Worker) queue.Worker {
	if t == nil {
		return w
	}
	w.Plan, w.Execute = t.plan(w.Plan), t.execute(w.Execute)
	return w
}

func (t *Tracer) plan(step stop.Step) stop.Step {
	return func(ctx context.Context, m stop.Message) stop.Verdict {
		subject := stop.RequestSubject(stop.ActionOf(m.Subject), stop.LaneNormal)
		ctx, span := t.process(ctx, stop.Traceparent(m), subject, m)
		defer span.End()
		v := step(ctx, carry(ctx, m))
		settled(span, v)
		return v
	}
}

func (t *Tracer) execute(step stop.Step) stop.Step {
	return func(ctx context.Context, m stop.Message) stop.Verdict {
		ctx, span := t.process(ctx, stop.TaskTraceparent(m), stop.SubjectTasks, m)
		defer span.End()
		v := step(ctx, m)
		for i := range v.Results {
			v.Results[i].Traceparent = traceparent(ctx)
		}
		settled(span, v)
		return v
	}
}

func (t *Tracer) process(ctx context.Context, parent, destination string, m stop.Message) (context.Context, trace.Span) {
	return t.tracer.Start(from(ctx, parent), "process "+destination, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(message("process", destination, m)...), trace.WithAttributes(attribute.Int("andon.delivery", m.Delivered)))
}

// settled says what a step wants done.
func settled(span trace.Span, v stop.Verdict) {
	switch {
	case len(v.Results) > 0:
		span.SetAttributes(attribute.String("andon.outcome", string(v.Results[0].Outcome)))
	case len(v.Tasks)+len(v.Parts) > 0:
		span.SetAttributes(attribute.Int("andon.tasks", len(v.Tasks)), attribute.Int("andon.parts", len(v.Parts)))
	case v.Retry > 0:
		span.SetAttributes(attribute.Float64("andon.again_in_seconds", v.Retry.Seconds()))
	}
}

// Stored makes a span of a result that has been stored since then.
func (t *Tracer) Stored() func(r stop.Result, since time.Time) {
	if t == nil {
		return nil
	}
	return func(r stop.Result, since time.Time) {
		_, span := t.tracer.Start(from(context.Background(), r.Traceparent), "send "+stop.SubjectResults, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(since),
			trace.WithAttributes(message("send", stop.SubjectResults, stop.Message{Subject: stop.ResultSubject(r.Key())})...),
			trace.WithAttributes(
				attribute.String("andon.request", r.Request), attribute.String("andon.group", r.AutoScalingGroupID),
				attribute.String("andon.outcome", string(r.Outcome)), attribute.String("andon.lane", string(r.Lane)),
			))
		span.End()
	}
}

// API makes spans of the calls that change something. Those that only read serve many
// tasks at once, and belong to none.
func (t *Tracer) API(a handler.API) handler.API {
	if t == nil {
		return a
	}
	return api{a, t}
}

type api struct {
	handler.API
	*Tracer
}

func (a api) Stop(ctx context.Context, target stop.Target) stop.Answer {
	return a.call(ctx, stop.ActionStop, target, func(ctx context.Context) stop.Answer { return a.API.Stop(ctx, target) })
}

func (a api) Resume(ctx context.Context, target stop.Target, mode stop.ResumeMode) stop.Answer {
	return a.call(ctx, stop.ActionResume, target, func(ctx context.Context) stop.Answer { return a.API.Resume(ctx, target, mode) })
}

func (a api) call(ctx context.Context, action string, target stop.Target, do func(context.Context) stop.Answer) stop.Answer {
	ctx, span := a.tracer.Start(ctx, action, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rpc.system", "tencentcloud"), attribute.String("rpc.service", "as"), attribute.String("rpc.method", action),
		attribute.String("andon.account", target.Account), attribute.String("cloud.region", target.Region),
		attribute.String("andon.group", target.AutoScalingGroupID), attribute.String("andon.activity", target.RefreshActivityID),
	))
	defer span.End()
	answer := do(ctx)
	span.SetAttributes(attribute.String("andon.class", string(answer.Class)), attribute.String("andon.api_request", answer.RequestID))
	if !answer.OK() {
		what := cmp.Or(answer.Code, string(answer.Class))
		span.SetAttributes(attribute.String("error.type", what))
		span.SetStatus(codes.Error, what)
	}
	return answer
}

// message is what the conventions want to know of a message; the destination is its
// subject without what differs from message to message.
func message(operation, destination string, m stop.Message) []attribute.KeyValue {
	said := []attribute.KeyValue{
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.name", operation),
		attribute.String("messaging.operation.type", operation),
		attribute.String("messaging.destination.name", m.Subject), attribute.String("messaging.destination.template", destination),
	}
	if id := m.Header["Nats-Msg-Id"]; len(id) > 0 {
		said = append(said, attribute.String("messaging.message.id", id[0]))
	}
	if m.Sequence > 0 {
		said = append(said, attribute.String("andon.sequence", strconv.FormatUint(m.Sequence, 10)))
	}
	return said
}

const header = "traceparent"

var w3c propagation.TraceContext

// from is ctx within the trace of a traceparent.
func from(ctx context.Context, traceparent string) context.Context {
	return w3c.Extract(ctx, propagation.MapCarrier{header: traceparent})
}

// traceparent names the span of ctx.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier[header]
}

// carry is the message with the span of ctx for its parent. Names of headers in NATS
// tell capitals from others, and this one has none.
func carry(ctx context.Context, m stop.Message) stop.Message {
	h := make(map[string][]string, len(m.Header)+1)
	for name, values := range m.Header {
		if !strings.EqualFold(name, header) {
			h[name] = values
		}
	}
	h[header] = []string{traceparent(ctx)}
	m.Header = h
	return m
}
