package ingress

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Publisher stores messages. It returns no error once the broker has confirmed, and is
// safe for use by many goroutines. Storing the same again, by its Nats-Msg-Id, is
// harmless: it is repeated then, as far as the broker remembers.
type Publisher interface {
	Publish(ctx context.Context, m stop.Message) (repeated bool, err error)
}

// Config says what is taken from whom.
type Config struct {
	// Auth is by source: those that are in it are served, and no others. Nil: all
	// are, and take from everybody.
	Auth map[Source]Auth
	// Rules map alerts to groups.
	Rules []Rule
	// Team, if it is set, is the token below which requests are published, for the
	// policy and for the permissions of the broker.
	Team string
	// Rate is how many requests a second a source may make, in bursts of ten times
	// as many; zero is 50.
	Rate float64
	// Registerer takes the metrics, Log the events. Both are required.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Ingress is an http.Handler for webhooks.
type Ingress struct {
	conf    Config
	to      Publisher
	rules   *mapping
	metrics *metrics
	mux     *http.ServeMux

	mu sync.Mutex
	// unmapped are the alerts of which it was said that they map to nothing.
	unmapped map[string]bool
}

// Limits of a request.
const (
	// MaxBody is how much a body may have, in bytes.
	MaxBody = 1 << 20
	// publishWithin is how long the broker is given to confirm. TCOP waits for five
	// seconds in all.
	publishWithin = 4 * time.Second
	// publishAtOnce is how many alerts of a request are published at the same time.
	publishAtOnce = 32
	// retryAfter is what senders are told, in seconds, when the broker is away.
	retryAfter = "5"

	usualRate = 50
	bursts    = 10
)

// Validate says what is wrong with the configuration, secrets that cannot be read
// included: every fault.
func (c Config) Validate() error {
	_, err := open(c, nil)
	return err
}

// New makes an ingress, or returns what [Config.Validate] does.
func New(c Config, to Publisher) (*Ingress, error) {
	i, err := open(c, to)
	if err != nil {
		return nil, err
	}
	i.metrics = newMetrics(c.Registerer)
	return i, nil
}

// open understands the configuration.
func open(c Config, to Publisher) (*Ingress, error) {
	i := &Ingress{conf: c, to: to, mux: http.NewServeMux(), unmapped: make(map[string]bool)}
	var faults []error
	var err error
	if i.rules, err = newMapping(c.Rules); err != nil {
		faults = append(faults, err)
	}
	if c.Team != "" && !stop.ValidTeam(c.Team) {
		faults = append(faults, fmt.Errorf("team %q: want letters, digits, - and _, and not the name of a lane", c.Team))
	}
	if c.Rate < 0 {
		faults = append(faults, fmt.Errorf("rate %v: must not be negative", c.Rate))
	}
	if c.Auth != nil && len(c.Auth) == 0 {
		faults = append(faults, errors.New("sources: names none, so that nothing would be served; say which, or leave it out"))
	}
	for s := range c.Auth {
		if !known(s) {
			faults = append(faults, fmt.Errorf("%q is no source; there are %v", s, Sources()))
		}
	}
	for _, s := range Sources() {
		if _, served := c.Auth[s]; !served && c.Auth != nil {
			continue
		}
		v, err := newVerifier(s, c.Auth[s])
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s, err))
		}
		perSecond := cmp.Or(c.Rate, usualRate)
		d := &door{ingress: i, source: s, verifier: v, limit: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*bursts)))}
		for _, pattern := range patterns(s) {
			i.mux.Handle(pattern, d)
		}
	}
	return i, errors.Join(faults...)
}

func known(s Source) bool { return slices.Contains(Sources(), s) }

// patterns are where a source posts. Grafana can be told to PUT.
func patterns(s Source) []string {
	switch s {
	case SourceRequest:
		return []string{"POST /v1/stop"}
	case SourceGrafana:
		return []string{"POST /webhook/grafana", "PUT /webhook/grafana"}
	default:
		return []string{"POST /webhook/" + string(s)}
	}
}

// ServeHTTP answers one request.
func (i *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// door is where one source comes in.
type door struct {
	ingress  *Ingress
	source   Source
	verifier *verifier
	limit    *rate.Limiter
}

// refusal is an answer that is no success.
type refusal struct {
	fate   fate
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(f fate, status int, err error) *refusal { return &refusal{f, status, err} }

// answer is what a sender is told.
type answer struct {
	// Requests are those that are stored, by their ids.
	Requests []string `json:"Requests,omitempty"`
	// NotFiring and Unmapped count alerts that led to nothing.
	NotFiring int    `json:"NotFiring,omitempty"`
	Unmapped  int    `json:"Unmapped,omitempty"`
	Error     string `json:"Error,omitempty"`
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	said, refused := d.take(r)
	i := d.ingress
	status, fate := http.StatusOK, fateDone
	if refused != nil {
		status, fate, said.Error = refused.status, refused.fate, refused.Error()
		i.conf.Log.Warn("a post is not taken", "source", d.source, "from", r.RemoteAddr, "status", status, "error", stop.Clip(said.Error, 500))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	switch status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="andon", Bearer`)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(said) // who has gone away asks again
	i.metrics.requests.WithLabelValues(string(d.source), string(fate)).Inc()
	i.metrics.duration.WithLabelValues(string(d.source)).Observe(time.Since(began).Seconds())
}

// take reads, checks and publishes one post. Who posts is checked before anything
// that costs more than its head.
func (d *door) take(r *http.Request) (answer, *refusal) {
	signed, err := d.verifier.header(r)
	if errors.Is(err, errNoCredentials) {
		return answer{}, refuse(fateRefused, http.StatusUnauthorized, err)
	}
	if err != nil {
		return answer{}, refuse(fateRefused, http.StatusForbidden, err)
	}
	// Alertmanager and TCOP drop what is answered 429, so it is 503.
	if !d.limit.Allow() {
		return answer{}, refuse(fateLimited, http.StatusServiceUnavailable, errors.New("too many requests; come again"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return answer{}, refuse(fateInvalid, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit))
	}
	if err != nil {
		return answer{}, refuse(fateInvalid, http.StatusBadRequest, fmt.Errorf("the body breaks off: %w", err))
	}
	if signed {
		if err := d.verifier.body(r, body); err != nil {
			return answer{}, refuse(fateRefused, http.StatusForbidden, err)
		}
	}
	if decode := decoders[d.source]; decode != nil {
		alerts, truncated, err := decode(body)
		if err != nil {
			return answer{}, refuse(fateInvalid, http.StatusBadRequest, fmt.Errorf("the body %w", err))
		}
		if truncated > 0 {
			d.ingress.conf.Log.Error("the sender has left out alerts: raise or remove its max_alerts", "source", d.source, "left_out", truncated)
		}
		return d.ingress.alerts(r.Context(), d.source, alerts, r.Header.Get("traceparent"))
	}
	return d.ingress.request(r, body)
}

// alerts publishes a request for each alert that fires and maps to a group.
func (i *Ingress) alerts(ctx context.Context, source Source, alerts []Alert, traceparent string) (answer, *refusal) {
	var said answer
	count := func(f fate) { i.metrics.alerts.WithLabelValues(string(source), string(f)).Inc() }
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(publishAtOnce)
	for _, a := range alerts {
		if !a.Firing {
			said.NotFiring++
			count(fateResolved)
			continue
		}
		r, err := i.rules.request(a)
		if err != nil {
			said.Unmapped++
			count(fateUnmapped)
			i.sayUnmapped(a, err)
			continue
		}
		m, err := i.message(r, a.Began, traceparent)
		if err != nil {
			return said, refuse(fateInvalid, http.StatusBadRequest, err)
		}
		said.Requests = append(said.Requests, r.ID)
		group.Go(func() error {
			repeated, err := i.to.Publish(ctx, m)
			if err != nil {
				return fmt.Errorf("publish %s: %w", r.ID, err)
			}
			if repeated {
				count(fateRepeated)
				return nil
			}
			count(fateStored)
			i.conf.Log.Info("alert taken", "source", source, "alert", a.Name, "request", r.ID, "group", r.AutoScalingGroupID, "lane", r.Lane)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		// Some may be stored; when all come again, these are known.
		said.Requests = nil
		return said, refuse(fateUnavailable, http.StatusServiceUnavailable, fmt.Errorf("not all is stored, come again: %w", err))
	}
	return said, nil
}

// sayUnmapped says once of a kind of alert that it leads to nothing.
func (i *Ingress) sayUnmapped(a Alert, why error) {
	const most = 1000
	kind := string(a.Source) + "/" + a.Name
	i.mu.Lock()
	said := i.unmapped[kind] || len(i.unmapped) >= most
	if !said {
		i.unmapped[kind] = true
	}
	i.mu.Unlock()
	if !said {
		i.conf.Log.Warn("an alert maps to no group, and pauses nothing; add a rule, or do not send it here",
			"source", a.Source, "alert", stop.Clip(a.Name, 200), "error", stop.Clip(why.Error(), 500))
	}
}

// message is a request as it is published.
func (i *Ingress) message(r stop.Request, began time.Time, traceparent string) (stop.Message, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return stop.Message{}, fmt.Errorf("encode the request: %w", err)
	}
	m := stop.Message{Subject: i.subject(r.Lane), Header: map[string][]string{"Nats-Msg-Id": {r.ID}}, Data: data}
	if !began.IsZero() {
		m.Header[stop.HeaderSince] = []string{began.UTC().Format(time.RFC3339Nano)}
	}
	if traceparent != "" {
		m.Header["traceparent"] = []string{traceparent}
	}
	return m, nil
}

func (i *Ingress) subject(l stop.Lane) string {
	subject := stop.RequestSubject(stop.ActionStop, l)
	if i.conf.Team != "" {
		subject += "." + i.conf.Team
	}
	return subject
}

// request publishes a request of the contract, bare or as a CloudEvent in the HTTP
// binding, as it stands. What the workers would refuse is refused here.
func (i *Ingress) request(r *http.Request, body []byte) (answer, *refusal) {
	lane := stop.Lane(cmp.Or(r.URL.Query().Get("lane"), string(stop.LaneNormal)))
	if lane != stop.LaneNormal && lane != stop.LaneUrgent && lane != stop.LaneBulk {
		return answer{}, refuse(fateInvalid, http.StatusBadRequest, fmt.Errorf("lane %q: must be urgent, normal or bulk", stop.Clip(string(lane), 40)))
	}
	m := stop.Message{Subject: i.subject(lane), Header: headers(r), Data: body, Stored: time.Now()}
	known, bad := stop.Judge(m)
	if bad != nil {
		return answer{}, refuse(fateInvalid, http.StatusBadRequest, bad)
	}
	m.Header["Nats-Msg-Id"] = []string{known.ID}
	ctx, cancel := context.WithTimeout(r.Context(), publishWithin)
	defer cancel()
	repeated, err := i.to.Publish(ctx, m)
	if err != nil {
		return answer{}, refuse(fateUnavailable, http.StatusServiceUnavailable, fmt.Errorf("not known to be stored, come again with the same Id: %w", err))
	}
	if !repeated {
		i.conf.Log.Info("request taken", "request", known.ID, "group", known.AutoScalingGroupID, "lane", lane)
	}
	return answer{Requests: []string{known.ID}}, nil
}

// headers are those of HTTP that mean something to the workers.
func headers(r *http.Request) map[string][]string {
	kept := make(map[string][]string)
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		switch {
		case strings.HasPrefix(lower, "ce-"), lower == "traceparent":
			kept[lower] = values[:1]
		case lower == "content-type":
			kept["Content-Type"] = values[:1]
		case lower == "idempotency-key":
			kept["Nats-Msg-Id"] = values[:1]
		}
	}
	return kept
}
