package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/queue/broker"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const asyncapiFile = "../../deploy/asyncapi.yaml"

// asyncapi is the document, as far as the tests look at it.
type asyncapi struct {
	Channels   map[string]asyncapiChannel `yaml:"channels"`
	Operations map[string]struct {
		Channel ref `yaml:"channel"`
		Reply   struct {
			Channel ref `yaml:"channel"`
		} `yaml:"reply"`
	} `yaml:"operations"`
	Components struct {
		Parameters map[string]struct {
			Examples []string `yaml:"examples"`
		} `yaml:"parameters"`
		Messages map[string]asyncapiMessage `yaml:"messages"`
		Schemas  map[string]asyncapiSchema  `yaml:"schemas"`
	} `yaml:"components"`
	Streams  map[string]streamSettings `yaml:"x-streams"`
	Internal struct {
		Subjects []string `yaml:"subjects"`
		Streams  []string `yaml:"streams"`
		Buckets  []string `yaml:"buckets"`
	} `yaml:"x-internal"`

	whole any // as JSON
}

type asyncapiChannel struct {
	Address    string         `yaml:"address"`
	Parameters map[string]ref `yaml:"parameters"`
	Messages   map[string]ref `yaml:"messages"`
	Stream     string         `yaml:"x-stream"`
	Lane       stop.Lane      `yaml:"x-lane"`
}

type asyncapiMessage struct {
	ContentType string            `yaml:"contentType"`
	Headers     any               `yaml:"headers"`
	Payload     any               `yaml:"payload"`
	Examples    []asyncapiExample `yaml:"examples"`
}

type asyncapiExample struct {
	Name    string            `yaml:"name"`
	Headers map[string]string `yaml:"headers"`
	Payload map[string]any    `yaml:"payload"`
}

type asyncapiSchema struct {
	Required   []string       `yaml:"required"`
	Properties map[string]any `yaml:"properties"`
}

// ref is a reference within the document.
type ref struct {
	Ref string `yaml:"$ref"`
}

// name is the last part of what is meant.
func (r ref) name() string { return r.Ref[strings.LastIndex(r.Ref, "/")+1:] }

// streamSettings are what the contract says of a stream.
type streamSettings struct {
	Subjects             []string      `yaml:"subjects"`
	Retention            string        `yaml:"retention"`
	Discard              string        `yaml:"discard"`
	MaxAge               time.Duration `yaml:"max_age"`
	DuplicateWindow      time.Duration `yaml:"duplicate_window"`
	MaxMsgsPerSubject    int64         `yaml:"max_msgs_per_subject"`
	DiscardNewPerSubject bool          `yaml:"discard_new_per_subject"`
}

func readAsyncAPI(t *testing.T) *asyncapi {
	t.Helper()
	text, err := os.ReadFile(asyncapiFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncapi
	var whole any
	for _, into := range []any{&doc, &whole} {
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	doc.whole = asJSON(t, whole)
	return &doc
}

// asJSON is a value as the schemas want it.
func asJSON(t testing.TB, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// subject is the address of a channel with the first example of each parameter.
func (doc *asyncapi) subject(c asyncapiChannel) string {
	s := c.Address
	for name, p := range c.Parameters {
		s = strings.ReplaceAll(s, "{"+name+"}", doc.Components.Parameters[p.name()].Examples[0])
	}
	return s
}

// requests are the channels on which workers are asked for something.
func (doc *asyncapi) requests() map[string]asyncapiChannel {
	found := make(map[string]asyncapiChannel)
	for name, c := range doc.Channels {
		if c.Lane != "" {
			found[name] = c
		}
	}
	return found
}

// message is an example as a worker would get it on a subject.
func (e asyncapiExample) message(t testing.TB, subject string) stop.Message {
	t.Helper()
	data, err := json.Marshal(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	m := stop.Message{Subject: subject, Data: data, Header: make(map[string][]string), Stored: time.Now(), Sequence: 1, Delivered: 1}
	for name, value := range e.Headers {
		m.Header[name] = []string{value}
	}
	return m
}

// form is the source that a worker finds messages of this kind to have.
func (m asyncapiMessage) form() stop.Source {
	_, binary := m.Examples[0].Headers["ce-specversion"]
	switch {
	case binary:
		return stop.SourceBinary
	case m.ContentType == "application/cloudevents+json":
		return stop.SourceStructured
	default:
		return stop.SourceJSON
	}
}

// judge validates messages against the schemas of the document.
type judge struct {
	t         testing.TB
	doc       *asyncapi
	schemas   *jsonschema.Compiler
	base      string
	addresses map[string]*regexp.Regexp // by channel
}

func newJudge(t testing.TB, doc *asyncapi) *judge {
	t.Helper()
	path, err := filepath.Abs(asyncapiFile)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{t: t, doc: doc, schemas: jsonschema.NewCompiler(), base: "file://" + filepath.ToSlash(path), addresses: make(map[string]*regexp.Regexp)}
	j.schemas.AssertFormat()
	if err := j.schemas.AddResource(j.base, doc.whole); err != nil {
		t.Fatal(err)
	}
	for name, c := range doc.Channels {
		if c.Address != "" {
			j.addresses[name] = regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(c.Address), `[^.]+`) + "$")
		}
	}
	return j
}

// fits says why headers or payload do not fit a message of the document.
func (j *judge) fits(message string, headers map[string]string, payload any) error {
	for part, value := range map[string]any{"headers": headers, "payload": payload} {
		kind := j.doc.Components.Messages[message]
		if part == "headers" && kind.Headers == nil || part == "payload" && kind.Payload == nil {
			continue
		}
		schema, err := j.schemas.Compile(j.base + "#/components/messages/" + message + "/" + part)
		if err != nil {
			j.t.Fatal(err)
		}
		if value == nil || reflect.ValueOf(value).IsNil() {
			value = map[string]any{}
		}
		if err := schema.Validate(asJSON(j.t, value)); err != nil {
			return fmt.Errorf("%s of %s: %w", part, message, err)
		}
	}
	return nil
}

// channel is the one for a subject that has no other: a lane is no team.
func (j *judge) channel(subject string) string {
	var found []string
	for name, address := range j.addresses {
		if address.MatchString(subject) {
			found = append(found, name)
		}
	}
	// The fewer parameters, the closer.
	slices.SortFunc(found, func(a, b string) int { return len(j.doc.Channels[a].Parameters) - len(j.doc.Channels[b].Parameters) })
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// The parser of the AsyncAPI initiative has nothing to say against the document.
func TestAsyncAPIDocumentIsValid(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("there is no npm to install the parser with: ", err)
	}
	document, err := filepath.Abs(asyncapiFile)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", "validate.mjs", document)
	c.Dir = asyncapiParser(t, npm)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// asyncapiParser is where the parser is, as locked. It is installed if it is not.
func asyncapiParser(t *testing.T, npm string) (dir string) {
	t.Helper()
	source := os.DirFS("asyncapi")
	digest := sha256.New()
	for _, name := range []string{"package-lock.json", "validate.mjs"} {
		text, err := fs.ReadFile(source, name)
		if err != nil {
			t.Fatal(err)
		}
		digest.Write(text)
	}
	dir, err := harness.Cached("asyncapi-"+hex.EncodeToString(digest.Sum(nil)[:8]), func(fresh string) error {
		if err := os.CopyFS(fresh, source); err != nil {
			return err
		}
		c := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		c.Dir = fresh
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Skip("the parser of AsyncAPI cannot be installed here: ", err)
	}
	return dir
}

func TestAsyncAPIExamplesFitTheirSchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	j := newJudge(t, doc)
	for name, m := range doc.Components.Messages {
		if len(m.Examples) == 0 && m.Payload != nil {
			t.Errorf("%s has no example", name)
		}
		for _, e := range m.Examples {
			t.Run(name+"/"+e.Name, func(t *testing.T) {
				if err := j.fits(name, e.Headers, e.Payload); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What an example asks for is read on each of its channels as it says.
func TestAsyncAPIExamplesAreReadAsAWorkerReads(t *testing.T) {
	doc := readAsyncAPI(t)
	for channel, c := range doc.requests() {
		for name := range c.Messages {
			kind := doc.Components.Messages[name]
			for _, e := range kind.Examples {
				t.Run(channel+"/"+name+"/"+e.Name, func(t *testing.T) {
					r, bad := stop.Judge(e.message(t, doc.subject(c)))
					switch {
					case bad != nil:
						t.Error(bad)
					case r.Source != kind.form():
						t.Errorf("read as %s, want %s", r.Source, kind.form())
					case strings.HasPrefix(r.ID, "seq-"):
						t.Error("it has no identity, so nobody can find its result")
					}
				})
			}
		}
	}
}

func TestAsyncAPIChannelsHaveTheLanesOfTheCode(t *testing.T) {
	doc := readAsyncAPI(t)
	got, want := make(map[string]bool), make(map[string]bool)
	for _, action := range []string{stop.ActionStop, stop.ActionResume} {
		for _, lane := range stop.Lanes() {
			for _, team := range []string{"", "team-a"} {
				want[fmt.Sprintf("%s %s %q", action, lane, team)] = true
			}
		}
	}
	for name, c := range doc.requests() {
		subject := doc.subject(c)
		if lane := stop.LaneOf(subject); lane != c.Lane {
			t.Errorf("%s: requests on %s have the lane %s, not %s", name, subject, lane, c.Lane)
		}
		got[fmt.Sprintf("%s %s %q", stop.ActionOf(subject), c.Lane, stop.TeamOf(subject))] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions, lanes and teams with a channel (-want +got):\n%s", diff)
	}
}

// constants are the texts that pkg/stop spells under names that begin like this.
func constants(t *testing.T, prefix string) (values []string) {
	t.Helper()
	const dir = "../../pkg/stop"
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if !strings.HasPrefix(name.Name, prefix) || i >= len(spec.Values) {
					continue
				}
				if text, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value); err == nil {
					values = append(values, text)
				}
			}
			return true
		})
	}
	if len(values) == 0 {
		t.Fatalf("%s has no constants %s…", dir, prefix)
	}
	slices.Sort(values)
	return values
}

func TestAsyncAPIHasEverySubjectStreamAndBucket(t *testing.T) {
	doc := readAsyncAPI(t)
	subjects := constants(t, "Subject")
	found := make(map[string]bool)
	for _, s := range doc.Internal.Subjects {
		found[strings.TrimSuffix(s, ".>")] = true
	}
	streams := slices.Clone(doc.Internal.Streams)
	for name, c := range doc.Channels {
		if c.Address == "" {
			continue // an inbox
		}
		i := slices.IndexFunc(subjects, func(s string) bool { return c.Address == s || strings.HasPrefix(c.Address, s+".") })
		if i < 0 {
			t.Errorf("%s: no subject of the code is, or begins, %s", name, c.Address)
			continue
		}
		found[subjects[i]] = true
		if _, known := doc.Streams[c.Stream]; !known && c.Stream != "" {
			t.Errorf("%s: x-streams does not have %s", name, c.Stream)
		}
	}
	for name := range doc.Streams {
		streams = append(streams, name)
	}
	slices.Sort(streams)
	for _, set := range []struct {
		what      string
		want, got []string
	}{
		{"subjects", subjects, slices.Sorted(maps.Keys(found))},
		{"streams", constants(t, "Stream"), streams},
		{"buckets", constants(t, "Bucket"), slices.Sorted(slices.Values(doc.Internal.Buckets))},
	} {
		if diff := cmp.Diff(set.want, set.got); diff != "" {
			t.Errorf("%s (-pkg/stop +asyncapi.yaml):\n%s", set.what, diff)
		}
	}
}

func TestAsyncAPIHasAnOperationForEachChannel(t *testing.T) {
	doc := readAsyncAPI(t)
	used := make(map[string]bool)
	for _, o := range doc.Operations {
		used[o.Channel.name()], used[o.Reply.Channel.name()] = true, true
	}
	for name := range doc.Channels {
		if !used[name] {
			t.Errorf("nobody sends or receives on %s", name)
		}
	}
}

// The streams that a worker makes are kept as the document says, and there are no
// others.
func TestAsyncAPIStreamsAreThoseThatWorkersMake(t *testing.T) {
	doc := readAsyncAPI(t)
	quiet := slog.New(slog.DiscardHandler)
	b, err := broker.Start(t.Context(), broker.Config{StoreDir: filepath.Join(t.TempDir(), "store"), Listen: "off", AllowTemporary: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	q, err := queue.Open(t.Context(), queue.Config{InProcess: b, Name: "test", Registerer: prometheus.NewRegistry(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	js := jetStream(t, nats.DefaultURL, nats.InProcessServer(b))

	got := make(map[string]streamSettings)
	var internal []string
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		c := info.Config
		if _, contract := doc.Streams[c.Name]; !contract {
			internal = append(internal, c.Name)
			continue
		}
		got[c.Name] = streamSettings{
			Subjects: c.Subjects, Retention: asJSON(t, c.Retention).(string), Discard: asJSON(t, c.Discard).(string), MaxAge: c.MaxAge,
			DuplicateWindow: c.Duplicates, MaxMsgsPerSubject: max(0, c.MaxMsgsPerSubject), DiscardNewPerSubject: c.DiscardNewPerSubject,
		}
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, doc.Streams); diff != "" {
		t.Errorf("streams (-made +asyncapi.yaml):\n%s", diff)
	}
	said := slices.Clone(doc.Internal.Streams)
	for _, bucket := range doc.Internal.Buckets {
		said = append(said, "KV_"+bucket)
	}
	slices.Sort(internal)
	slices.Sort(said)
	if diff := cmp.Diff(internal, said); diff != "" {
		t.Errorf("internal streams (-made +asyncapi.yaml):\n%s", diff)
	}
}

func jetStream(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// The schemas that are written in the document have the fields of the code.
func TestAsyncAPISchemasHaveTheFieldsOfTheCode(t *testing.T) {
	doc := readAsyncAPI(t)
	for name, of := range map[string]any{"deadLetter": stop.DeadLetter{}, "progress": stop.Progress{}, "status": stop.Worker{}} {
		t.Run(name, func(t *testing.T) {
			var all, required []string
			for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
				field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				all = append(all, field)
				if options == "" {
					required = append(required, field)
				}
			}
			slices.Sort(all)
			slices.Sort(required)
			schema := doc.Components.Schemas[name]
			if diff := cmp.Diff(all, slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
				t.Errorf("fields (-code +asyncapi.yaml):\n%s", diff)
			}
			if diff := cmp.Diff(required, slices.Sorted(slices.Values(schema.Required))); diff != "" {
				t.Errorf("fields that are always there (-code +asyncapi.yaml):\n%s", diff)
			}
		})
	}
}

// overheard is what was said below as.refresh, by subject.
type overheard struct {
	mu   sync.Mutex
	said map[string][]*nats.Msg
}

func (o *overheard) add(m *nats.Msg) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said[m.Subject] = append(o.said[m.Subject], m)
}

func (o *overheard) last(subject string) *nats.Msg {
	o.mu.Lock()
	defer o.mu.Unlock()
	if all := o.said[subject]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// A worker is asked for all that the document has as examples. What it then says is
// in the document, in form, and its examples of results are what it says.
func TestAsyncAPIIsWhatAWorkerSays(t *testing.T) {
	doc := readAsyncAPI(t)
	j := newJudge(t, doc)
	addr := harness.FreeAddr(t)
	worker := harness.Start(t, harness.Command{
		Name: "worker", Path: harness.Program(t, harness.Module+"/cmd/worker"),
		Args: []string{"--simulate", "--region", "ap-guangzhou", "--nats-listen", addr, "--http-listen", "127.0.0.1:0", "--store-dir", filepath.Join(t.TempDir(), "store")},
	})
	if _, err := worker.Says(`"msg":"working"`, time.Minute); err != nil {
		t.Fatal(err)
	}
	js := jetStream(t, "nats://"+addr)
	heard := &overheard{said: make(map[string][]*nats.Msg)}
	if _, err := js.Conn().Subscribe("as.refresh.>", heard.add); err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	wait := func(subject string) (m *nats.Msg) {
		t.Helper()
		harness.Eventually(t, time.Minute, func() error {
			if m = heard.last(subject); m == nil {
				return fmt.Errorf("nobody says anything on %s", subject)
			}
			return nil
		})
		return m
	}
	publish := func(m stop.Message) {
		t.Helper()
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			t.Fatal(err)
		}
	}

	for _, channel := range []string{"stop", "resume"} { // what is to be resumed is paused before
		c := doc.Channels[channel]
		for _, name := range slices.Sorted(maps.Keys(c.Messages)) {
			for _, e := range doc.Components.Messages[name].Examples {
				m := e.message(t, c.Address)
				publish(m)
				r, _ := stop.Judge(m)
				wait(stop.ResultSubject(r.ID))
			}
		}
	}
	for _, e := range doc.Components.Messages["deadLetter"].Examples {
		var letter stop.DeadLetter
		if err := json.Unmarshal(e.message(t, "").Data, &letter); err != nil {
			t.Fatal(err)
		}
		publish(stop.Message{Subject: letter.Subject, Header: letter.Header, Data: letter.Data})
		alike(t, e, wait(stop.DeadSubject(letter.Request)))
	}
	for _, e := range doc.Components.Messages["result"].Examples {
		alike(t, e, wait(stop.ResultSubject(e.Headers["ce-id"])))
	}
	for _, e := range doc.Components.Messages["progress"].Examples {
		alike(t, e, wait(stop.ProgressSubject(e.Payload["Request"].(string))))
	}
	status, err := js.Conn().Request(stop.SubjectStatus, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.fits("status", nil, payloadOf(t, status)); err != nil {
		t.Error(err)
	}

	used := make(map[string]bool)
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for subject, said := range heard.said {
		if slices.ContainsFunc(doc.Internal.Subjects, func(s string) bool { return strings.HasPrefix(subject, strings.TrimSuffix(s, ">")) }) {
			continue
		}
		channel := j.channel(subject)
		if channel == "" {
			t.Errorf("%s has no channel", subject)
			continue
		}
		used[channel] = true
		for _, m := range said {
			j.fitsChannel(channel, m)
		}
	}
	for _, channel := range []string{"stop", "resume", "result", "targetResult", "dead", "progress", "status"} {
		if !used[channel] {
			t.Errorf("nothing was said on %s, so it was not tried", channel)
		}
	}
}

// fitsChannel sees that what was said is a message of the channel. What the example
// of a dead letter asks for is wrong by purpose.
func (j *judge) fitsChannel(channel string, m *nats.Msg) {
	j.t.Helper()
	headers := make(map[string]string)
	for name, values := range m.Header {
		headers[name] = values[0]
	}
	_, bad := stop.Judge(stop.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if j.doc.Channels[channel].Lane != "" && bad != nil {
		return
	}
	var misfits []error
	for _, message := range j.doc.Channels[channel].Messages {
		err := j.fits(message.name(), headers, payloadOf(j.t, m))
		if err == nil {
			return
		}
		misfits = append(misfits, err)
	}
	j.t.Errorf("what was said on %s is no message of %s: %v\n%s", m.Subject, channel, misfits, m.Data)
}

func payloadOf(t testing.TB, m *nats.Msg) (payload map[string]any) {
	t.Helper()
	if len(m.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(m.Data, &payload); err != nil {
		t.Fatalf("%s: %v\n%s", m.Subject, err, m.Data)
	}
	return payload
}

// otherEachTime is what no two runs have in common.
var otherEachTime = []string{
	"Worker", "RequestId", "RequestedAt", "StartedAt", "FinishedAt", "StoredAt", "DeadAt", "At", "End", "Sequence", "Rate", "Endpoint", "ce-time", "ce-source",
}

// alike compares an example with what was said: the same names everywhere, and the
// same values but for what no two runs have in common.
func alike(t testing.TB, e asyncapiExample, m *nats.Msg) {
	t.Helper()
	headers := make(map[string]any)
	for name, values := range m.Header {
		if !strings.HasPrefix(name, "Nats-") { // what JetStream was told
			headers[name] = values[0]
		}
	}
	want := make(map[string]any)
	for name, value := range e.Headers {
		want[name] = value
	}
	if diff := cmp.Diff(settled(asJSON(t, want)), settled(asJSON(t, headers))); diff != "" {
		t.Errorf("headers of the example %s (-asyncapi.yaml +worker):\n%s", e.Name, diff)
	}
	if diff := cmp.Diff(settled(asJSON(t, e.Payload)), settled(asJSON(t, payloadOf(t, m)))); diff != "" {
		t.Errorf("payload of the example %s (-asyncapi.yaml +worker):\n%s", e.Name, diff)
	}
}

// settled has the same in place of each value that is another each time.
func settled(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if v[name] = settled(v[name]); slices.Contains(otherEachTime, name) {
				v[name] = "…"
			}
		}
	case []any:
		for i := range v {
			v[i] = settled(v[i])
		}
	}
	return v
}
