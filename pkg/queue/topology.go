package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// ErrWeaker says that a stream exists with settings that would break a
// promise of the contract.
var ErrWeaker = errors.New("weaker than required")

// errGone says that a stream was removed.
var errGone = errors.New("is gone")

const (
	// resultsLife is how long a result is kept, contract section 1. It must
	// outlive any redelivery of its request.
	resultsLife = 30 * 24 * time.Hour
	// historyLife outlives the retries of a task by far.
	historyLife = 7 * 24 * time.Hour
	// manifestsLife outlives a request for several targets by far; afterwards its
	// results say which these were.
	manifestsLife = 8 * 24 * time.Hour
	deadLife      = 90 * 24 * time.Hour
	// permitsLife is only for keys of quotas that are used no more.
	permitsLife = 24 * time.Hour
	// callsLife is for marks of what was removed: what is paused is kept anew
	// long before.
	callsLife = 90 * 24 * time.Hour
	// lettersApart is for how long a dead letter of a target is known when it
	// comes again.
	lettersApart = time.Hour
	mebibyte     = 1 << 20
)

// storeTimeout is how long a question to the broker waits for its answer, unless
// whoever asks has less time.
const storeTimeout = 5 * time.Second

// lookTimeout is that for a look at a consumer, which is repeated when it fails: a
// broker that has only just started loses questions without a word.
const lookTimeout = 1500 * time.Millisecond

type topology struct {
	*reader

	nc      *nats.Conn
	streams map[string]jetstream.Stream   // by name, those of buckets too
	into    map[string]*committer         // by the name of the stream
	buckets map[string]jetstream.KeyValue // by name
	conf    Config
}

func newTopology(nc *nats.Conn, c Config) (*topology, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(storeTimeout))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	t := &topology{
		nc: nc, conf: c,
		streams: make(map[string]jetstream.Stream), into: make(map[string]*committer), buckets: make(map[string]jetstream.KeyValue),
	}
	t.reader = &reader{
		js: js, log: c.Log,
		stream: func(_ context.Context, name string) (jetstream.Stream, error) { return t.streams[name], nil },
		bucket: func(_ context.Context, name string) (jetstream.KeyValue, error) { return t.buckets[name], nil },
	}
	return t, nil
}

// Shares of the store. Together they are what a broker must be able to hold;
// where it holds less, each is cut by the same factor.
const (
	requestsShare  = 512 * mebibyte
	resumesShare   = 128 * mebibyte
	tasksShare     = 512 * mebibyte
	bulkShare      = 64 * mebibyte
	resultsShare   = 2048 * mebibyte
	deadShare      = 256 * mebibyte
	historyShare   = 256 * mebibyte
	permitsShare   = 64 * mebibyte
	manifestsShare = 256 * mebibyte
	callsShare     = 128 * mebibyte
	controlShare   = 16 * mebibyte
	allShares      = requestsShare + resumesShare + tasksShare + bulkShare + resultsShare + deadShare +
		historyShare + permitsShare + manifestsShare + callsShare + controlShare
)

// bytes is the limit for a share of the store.
func (c Config) bytes(share int64) int64 {
	if c.Capacity <= 0 || c.Capacity >= allShares {
		return share
	}
	return int64(float64(share) * (float64(c.Capacity) / allShares))
}

// streams are the wanted streams. Every limit on size refuses the new rather
// than dropping the old, except in the dead letters, which must never stand
// in the way of a result.
func streams(c Config) []jetstream.StreamConfig {
	base := jetstream.StreamConfig{Storage: jetstream.FileStorage, Replicas: c.Replicas, Discard: jetstream.DiscardNew, AllowDirect: direct(c)}
	requests, resumes, tasks, bulk, results, dead := base, base, base, base, base, base

	requests.Name, requests.Subjects = stop.StreamStop, []string{stop.SubjectStop, stop.SubjectStop + ".>"}
	requests.Description = "requests to pause an instance refresh"
	requests.Retention, requests.MaxBytes = jetstream.WorkQueuePolicy, c.bytes(requestsShare)
	requests.Duplicates = time.Hour

	resumes.Name, resumes.Subjects = stop.StreamResume, []string{stop.SubjectResume, stop.SubjectResume + ".>"}
	resumes.Description = "requests to resume an instance refresh"
	resumes.Retention, resumes.MaxBytes = jetstream.WorkQueuePolicy, c.bytes(resumesShare)
	resumes.Duplicates = time.Hour

	tasks.Name, tasks.Subjects = stop.StreamTasks, []string{stop.SubjectTasks + ".>"}
	tasks.Description = "planned requests, by quota and lane"
	tasks.Retention, tasks.MaxBytes = jetstream.WorkQueuePolicy, c.bytes(tasksShare)
	tasks.AllowAtomicPublish, results.AllowAtomicPublish = true, true

	bulk.Name, bulk.Subjects = stop.StreamBulk, []string{stop.SubjectBulk + ".>"}
	bulk.Description = "requests for several targets, until their summary"
	bulk.Retention, bulk.MaxBytes = jetstream.WorkQueuePolicy, c.bytes(bulkShare)

	results.Name, results.Subjects = stop.StreamResults, []string{stop.SubjectResults + ".>"}
	results.Description = "one terminal result a request, and a target of one that means several"
	results.Retention, results.MaxBytes, results.MaxAge = jetstream.LimitsPolicy, c.bytes(resultsShare), resultsLife
	results.MaxMsgsPerSubject, results.DiscardNewPerSubject = 1, true

	dead.Name, dead.Subjects = stop.StreamDead, []string{stop.SubjectDead + ".>"}
	dead.Description = "requests that were given up or could not be read"
	dead.Retention, dead.MaxBytes, dead.MaxAge = jetstream.LimitsPolicy, c.bytes(deadShare), deadLife
	dead.Discard, dead.Duplicates = jetstream.DiscardOld, lettersApart

	return []jetstream.StreamConfig{requests, resumes, tasks, bulk, results, dead}
}

// direct reports whether any server that holds a stream may answer for what is
// in it, which costs the broker less. Of several a replica that lags would say
// that there is no task or result, and the request would be done once more.
func direct(c Config) bool { return c.Replicas <= 1 }

// buckets are the wanted buckets, as the streams that they are. They are not
// made as nats.go would, whose buckets let replicas answer: what was just
// stored must be found.
func buckets(c Config) []jetstream.StreamConfig {
	var all []jetstream.StreamConfig
	for _, b := range []struct {
		name, holds string
		history     int64
		share       int64
		life        time.Duration
	}{
		{stop.BucketHistory, "what tasks have been through", 1, historyShare, historyLife},
		{stop.BucketLimiter, "when the next call of each quota may be made", 64, permitsShare, permitsLife},
		{stop.BucketManifests, "the targets of requests that mean several", 1, manifestsShare, manifestsLife},
		{stop.BucketCalls, "the last call on each activity", 1, callsShare, callsLife},
		{stop.BucketControl, "what the whole fleet goes by", 1, controlShare, 0},
	} {
		s := jetstream.StreamConfig{
			Name: "KV_" + b.name, Subjects: []string{bucketPrefix(b.name) + ">"}, Description: b.holds,
			MaxMsgsPerSubject: b.history, MaxBytes: c.bytes(b.share), MaxAge: b.life, Discard: jetstream.DiscardNew,
			Storage: jetstream.FileStorage, Replicas: c.Replicas, AllowRollup: true, DenyDelete: true,
			AllowDirect: direct(c),
		}
		if b.name == stop.BucketManifests {
			s.Compression = jetstream.S2Compression // lists of much the same
		}
		s.AllowAtomicPublish = b.name != stop.BucketControl
		all = append(all, s)
	}
	return all
}

func bucketPrefix(bucket string) string { return "$KV." + bucket + "." }

// prove makes what is missing and refuses what is weaker.
func (t *topology) prove(ctx context.Context) error {
	for _, want := range append(streams(t.conf), buckets(t.conf)...) {
		s, err := t.ensureStream(ctx, want)
		if err != nil {
			return err
		}
		t.streams[want.Name] = s
		t.into[want.Name] = &committer{
			js: t.js, nc: t.nc, together: s.CachedInfo().Config.AllowAtomicPublish, hurried: want.Name == "KV_"+stop.BucketLimiter,
		}
		bucket, ok := strings.CutPrefix(want.Name, "KV_")
		if !ok {
			continue
		}
		if t.buckets[bucket], err = t.js.KeyValue(ctx, bucket); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, explain(err))
		}
	}
	for _, s := range standing() {
		if err := t.ensureConsumer(ctx, s); err != nil {
			return err
		}
	}
	return t.mayStore(ctx)
}

// mayStore finds out whether the broker lets this worker store what it will
// have to: a permission that is missing must end the start, not the first
// request. Each message expects a place in its stream that there cannot be, so
// whoever may send it is refused that, and nothing is stored. What others listen
// to, results and dead letters, is not tried: they would hear it. A refused
// permission is told to the connection, whose owner ends ctx.
func (t *topology) mayStore(ctx context.Context) error {
	const never = math.MaxInt64
	// A sign of life for a message that is in nobody's hands does nothing.
	if err := t.nc.Publish("$JS.ACK."+stop.StreamStop+"."+planDurable+".1.0.0.0.0", []byte("+WPI")); err != nil {
		return fmt.Errorf("try to acknowledge: %w", err)
	}
	for _, prefix := range []string{
		stop.SubjectTasks, stop.SubjectBulk, "$KV." + stop.BucketHistory, "$KV." + stop.BucketLimiter,
		"$KV." + stop.BucketManifests, "$KV." + stop.BucketCalls, "$KV." + stop.BucketControl,
	} {
		_, err := t.js.Publish(ctx, prefix+".permission", nil, jetstream.WithExpectLastSequence(never))
		if _, answered := errors.AsType[*jetstream.APIError](err); !answered && err != nil {
			return fmt.Errorf("try to store under %s: %w", prefix, explain(err))
		}
	}
	return nil
}

func (t *topology) ensureStream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := t.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = t.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			// Another worker was faster, or the name is taken: look again.
			s, err = t.js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, explain(err))
	}
	if err := sound(s.CachedInfo().Config, want); err != nil {
		return nil, err
	}
	return s, nil
}

// sound says in which ways a live stream is weaker than wanted.
func sound(have, want jetstream.StreamConfig) error {
	lacks := weaknesses(have, want)
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("stream %s is %w: %s; change it with \"nats stream edit\", or let andon make it anew under a free name",
		want.Name, ErrWeaker, strings.Join(lacks, "; "))
}

// intact looks whether the streams are still what they must be. One that is
// gone is not made again behind the back of whoever removed it: what was
// confirmed is gone too, and somebody has to know.
func (t *topology) intact(ctx context.Context) error {
	var faults []error
	for _, want := range append(streams(t.conf), buckets(t.conf)...) {
		s, err := t.js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			faults = append(faults, fmt.Errorf("stream %s %w, with what it held; restart the workers to have it made again", want.Name, errGone))
		case err != nil:
			return fmt.Errorf("look at stream %s: %w", want.Name, explain(err))
		default:
			faults = append(faults, sound(s.CachedInfo().Config, want))
		}
	}
	return errors.Join(faults...)
}

// weaknesses lists in which ways a live stream breaks what is wanted. Larger
// limits, more replicas or further subjects are nobody's business.
func weaknesses(have, want jetstream.StreamConfig) []string {
	var lacks []string
	lack := func(bad bool, name string, is, must any) {
		if bad {
			lacks = append(lacks, fmt.Sprintf("%s is %v, want %v", name, is, must))
		}
	}
	lack(have.Retention != want.Retention, "retention", have.Retention, want.Retention)
	lack(have.Storage != want.Storage, "storage", have.Storage, want.Storage)
	lack(have.Discard != want.Discard && want.Discard == jetstream.DiscardNew, "discard", have.Discard, want.Discard)
	lack(have.Replicas < want.Replicas, "replicas", have.Replicas, want.Replicas)
	lack(shorter(have.MaxAge, want.MaxAge), "max age", have.MaxAge, age(want.MaxAge))
	fewer := have.MaxMsgsPerSubject > 0 && have.MaxMsgsPerSubject < want.MaxMsgsPerSubject
	lack(fewer || want.DiscardNewPerSubject && have.MaxMsgsPerSubject != want.MaxMsgsPerSubject, "messages per subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	lack(want.MaxMsgsPerSubject <= 0 && have.MaxMsgsPerSubject > 0 && have.Discard == jetstream.DiscardOld, "messages per subject", have.MaxMsgsPerSubject, "no limit")
	lack(want.DiscardNewPerSubject && !have.DiscardNewPerSubject, "discard new per subject", have.DiscardNewPerSubject, true)
	lack(have.AllowDirect && have.Replicas > 1, "allow direct", "true", "false with several replicas")
	lack(have.NoAck, "no ack", have.NoAck, false)
	lack(have.Sealed, "sealed", have.Sealed, false)
	for _, s := range want.Subjects {
		lack(!covered(s, have.Subjects), "subjects", strings.Join(have.Subjects, " "), s)
	}
	return lacks
}

// shorter compares ages where zero means for ever.
func shorter(have, want time.Duration) bool {
	return have != 0 && (want == 0 || have < want)
}

func age(d time.Duration) string {
	if d == 0 {
		return "no limit"
	}
	return "at least " + d.String()
}

// covered reports whether a subject stands in the list or under one of its
// ">" wildcards.
func covered(subject string, list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		prefix, open := strings.CutSuffix(s, ">")
		return s == subject || open && strings.HasPrefix(subject, prefix) && subject != prefix
	})
}

// ensureConsumer makes a consumer, or brings one that somebody changed back
// to what a worker needs: consumers are andon's own. One that is as it must be
// is left alone. A pause stays in force either way, the broker sees to it.
func (t *topology) ensureConsumer(ctx context.Context, s source) error {
	want := jetstream.ConsumerConfig{
		Durable:       s.durable,
		FilterSubject: s.filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.ackWait(t.conf),
		// A request ends by a result, never by a count of deliveries.
		MaxDeliver:    -1,
		MaxAckPending: s.maxAckPending(),
		MaxWaiting:    512,
		Metadata:      s.metadata(),
		// What a broker keeps of who has which task is not worth a write to the disk
		// for each: when it is restarted, all tasks that were not acknowledged come
		// again, and nobody is surprised by that.
		MemoryStorage: s.lane != "" && t.conf.Replicas <= 1,
	}
	cons, err := t.js.Consumer(ctx, s.stream, s.durable)
	if err == nil && unchanged(cons.CachedInfo().Config, want) {
		return nil
	}
	if err == nil || errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = t.js.CreateOrUpdateConsumer(ctx, s.stream, want)
	}
	if refusedWith(err, consumerCreate) {
		// The broker leaves the files of a consumer that it cannot read, and can
		// make no other of that name.
		err = fmt.Errorf("%w; if that stays so, the broker cannot read the consumer's files: stop it, remove streams/%s/obs/%s below its store directory and start it again; requests are not in there",
			err, s.stream, s.durable)
	}
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", s.durable, s.stream, explain(err))
	}
	return nil
}

// consumerCreate is what the broker says when a consumer's files are in the way
// (JSConsumerCreateErrF of nats-server).
const consumerCreate jetstream.ErrorCode = 10012

// unchanged reports whether a consumer is as it was made, in all that can be
// changed and matters.
func unchanged(have, want jetstream.ConsumerConfig) bool {
	return have.FilterSubject == want.FilterSubject && len(have.FilterSubjects) == 0 &&
		have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && len(have.BackOff) == 0 &&
		have.MaxDeliver == want.MaxDeliver && have.MaxAckPending == want.MaxAckPending &&
		have.MaxRequestBatch == 0 && have.MaxRequestExpires == 0 && have.MaxRequestMaxBytes == 0 &&
		have.InactiveThreshold == 0 && !have.HeadersOnly && have.RateLimit == 0 && len(have.PriorityGroups) == 0 && have.Replicas == want.Replicas &&
		have.Metadata[metaQuota] == want.Metadata[metaQuota]
}

// lasting reports whether asking the broker again cannot help.
func lasting(err error) bool {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	// 503 is a cluster that is still forming, 404 a node that has not heard yet
	// of what another worker has just made.
	return ok && api.Code >= 400 && api.Code < 500 && api.Code != 404
}

// explain adds to an error of the broker what it means for a worker.
func explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream does not answer, is it enabled on the broker? %w", err)
	default:
		return err
	}
}
