package simulator

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The version of the API, and how large a request may be.
const (
	apiVersion = "2018-04-19"
	maxBody    = 10 << 20
)

// Simulator is the API. It is safe for concurrent use.
type Simulator struct {
	control http.Handler // nil if the scenario keeps it off
	closed  chan struct{}
	close   sync.Once

	mu          sync.Mutex      // guards all below
	regions     map[string]bool // served or not
	credentials map[string]Credential
	world       *world
	quota       *counter
	faults      *faultSet
	record      record
	ahead       time.Duration // of this machine's clock
}

// New starts the scenario: ages and durations count from now.
func New(sc Scenario) (*Simulator, error) {
	if err := sc.Validate(); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if sc.MaxArrivals == 0 {
		sc.MaxArrivals = 200_000
	}
	s := &Simulator{
		regions:     knownRegions(sc),
		closed:      make(chan struct{}),
		credentials: map[string]Credential{},
		world:       newWorld(sc.Timing, sc.Undocumented),
		quota:       newCounter(sc.Quota),
		faults:      &faultSet{},
		record:      record{keep: sc.MaxArrivals},
	}
	if sc.Control {
		s.control = s.controlHandler()
	}
	for _, c := range sc.Credentials {
		s.credentials[c.SecretID] = c
	}
	if err := s.populate(sc); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return s, nil
}

func (s *Simulator) populate(sc Scenario) error {
	var all []error
	for _, g := range sc.Groups {
		all = append(all, s.AddGroup(g))
	}
	for _, a := range sc.Activities {
		all = append(all, s.AddActivity(a))
	}
	for _, f := range sc.Faults {
		_, err := s.AddFault(f)
		all = append(all, err)
	}
	return errors.Join(all...)
}

// Close releases every call that a fault holds up; their connections are cut.
// Calls that arrive later are served, but nothing delays them.
func (s *Simulator) Close() {
	s.close.Do(func() { close(s.closed) })
}

func (s *Simulator) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// call is one request on its way.
type call struct {
	named

	r        *http.Request
	body     []byte
	now      time.Time
	action   string
	region   string
	secretID string
	fate     fate
	arrival  *Arrival // guarded by the Simulator's mutex; its RequestID stays
	faults   *faultSet
}

func (c *call) describeLag() time.Duration { return c.faults.describeLag(c) }

// ServeHTTP is the API at every path but, if the scenario asks for it, those
// under /_sim/, which control the simulator and need no signature.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.control != nil && strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control.ServeHTTP(w, r)
		return
	}
	c := s.receive(r)
	ctx := r.Context()
	if f := c.fate.fault; f.prevents() {
		if !s.wait(ctx, c.fate.before+c.fate.after) {
			cutConnection()
		}
		s.write(ctx, w, f, nil)
		s.answered(c)
		return
	}
	// The quota counts arrivals, so the checks come before any delay.
	err := s.check(c)
	if !s.wait(ctx, c.fate.before) {
		cutConnection()
	}
	answer := s.perform(c, err)
	if !s.wait(ctx, c.fate.after) {
		cutConnection()
	}
	s.write(ctx, w, c.fate.fault, answer)
	s.answered(c)
}

// receive reads the request, records it and decides what will go wrong with it.
func (s *Simulator) receive(r *http.Request) *call {
	// A body that breaks off is judged by what arrived of it.
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	c := &call{
		r:        r,
		body:     body,
		now:      time.Now(),
		action:   r.Header.Get("X-TC-Action"),
		region:   r.Header.Get("X-TC-Region"),
		secretID: secretIDIn(r.Header.Get("Authorization")),
		named:    namesIn(body),
		faults:   s.faults,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.fate = s.faults.fate(c)
	c.arrival = &Arrival{
		Time: c.now, Action: c.action, Host: r.Host, SecretID: c.secretID, Region: c.region,
		GroupID: c.groupID, ActivityIDs: c.activityIDs, BodySize: len(body),
		RequestID: newRequestID(), Fault: c.fate.kind(),
	}
	s.record.add(c.arrival)
	return c
}

func (s *Simulator) answered(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.arrival.Answered = time.Now()
}

// action is what a name in X-TC-Action stands for.
type action func(w *world, c *call) (any, *apiError)

// operation makes an action of a function and the parameters it takes.
func operation[T any](do func(*world, *call, T) (any, *apiError)) action {
	return func(w *world, c *call) (any, *apiError) {
		var params T
		if err := decodeBody(c.body, &params); err != nil {
			return nil, err
		}
		return do(w, c, params)
	}
}

// actions is the API. It is never written to.
var actions = map[string]action{
	"StopInstanceRefresh":       operation((*world).stop),
	"ResumeInstanceRefresh":     operation((*world).resume),
	"CancelInstanceRefresh":     operation((*world).cancel),
	"StartInstanceRefresh":      operation((*world).startRefresh),
	"RollbackInstanceRefresh":   operation((*world).rollback),
	"DescribeRefreshActivities": operation((*world).describeActivities),
	"DescribeAutoScalingGroups": operation((*world).describeGroups),
}

// perform does what the call asks, unless a check refused it, and returns the
// answer's body.
func (s *Simulator) perform(c *call, refused *apiError) []byte {
	result, err := s.act(c, refused)
	// A result shares nothing with the world, so others need not wait for a long
	// one to be encoded.
	return envelope(result, err, c.arrival.RequestID)
}

// act is the part of perform that needs the lock.
func (s *Simulator) act(c *call, refused *apiError) (result any, err *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = refused
	if err == nil {
		c.now = time.Now()
		s.world.advance(c.now)
		result, err = actions[c.action](s.world, c)
	}
	c.arrival.Accepted = err == nil
	if err != nil {
		c.arrival.Code = err.Code
	}
	return result, err
}

// envelope wraps a result or an error as every answer of the API is.
func envelope(result any, err *apiError, requestID string) []byte {
	fields := map[string]any{}
	if err != nil {
		fields["Error"] = err
	} else {
		for name, v := range members(result) {
			fields[name] = v
		}
	}
	fields["RequestId"] = requestID
	return mustJSON(map[string]any{"Response": fields})
}

// members are the fields of a result as JSON has them.
func members(result any) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(mustJSON(result), &m); err != nil {
		panic("simulator: result is not an object: " + err.Error())
	}
	return m
}

// mustJSON is for values of this package, which all can be encoded.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	return b
}

// newRequestID returns a random UUID, version 4.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
