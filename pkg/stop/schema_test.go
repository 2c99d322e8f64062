package stop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const (
	requestSchema = "../../testdata/schema/request.schema.json"
	resultSchema  = "../../testdata/schema/result.schema.json"
	sampleFolder  = "../../testdata/request"
)

func compile(tb testing.TB, path string) *jsonschema.Schema {
	tb.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// conforms says whether the payload is JSON and agrees with the schema.
func conforms(s *jsonschema.Schema, payload []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// The published schema and Decode are two readings of one contract.
func TestRequestSchemaAgreesWithDecode(t *testing.T) {
	schema := compile(t, requestSchema)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			err := conforms(schema, []byte(r.payload))
			switch allowed := r.says == "" || r.beyond; {
			case allowed && err != nil:
				t.Errorf("the schema refuses it: %v", err)
			case !allowed && err == nil:
				t.Error("the schema allows it")
			}
		})
	}
}

func TestReencodedRequestsFitTheSchema(t *testing.T) {
	schema := compile(t, requestSchema)
	for _, r := range rules() {
		if r.says != "" {
			continue
		}
		t.Run(r.name, func(t *testing.T) { reencode(t, schema, r.message()) })
	}
}

// reencode checks that a valid request, written again, is the same request
// and fits the schema. Two things are not written: that a list is empty, and
// that the only target of one stood there twice.
func reencode(t *testing.T, schema *jsonschema.Schema, m stop.Message) {
	t.Helper()
	r, bad := stop.Decode(m, defaults)
	if bad != nil {
		t.Fatal(bad)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("cannot be written: %v", err)
	}
	if err := conforms(schema, data); err != nil {
		t.Errorf("%s does not fit the schema: %v", data, err)
	}
	again, bad := stop.Decode(stop.Message{Subject: m.Subject, Data: data, Stored: m.Stored, Sequence: m.Sequence}, stop.Defaults{})
	if bad != nil {
		t.Fatalf("%s is refused: %v", data, bad)
	}
	again.Source, again.Traceparent = r.Source, r.Traceparent
	if len(r.Targets) == 1 {
		if again.Several() || again.Lane != stop.LaneOf(m.Subject) {
			t.Errorf("%s is for several targets, in the lane %s", data, again.Lane)
		}
		if diff := cmp.Diff(r.Targets[0], again.Target()); diff != "" {
			t.Errorf("target written and read again (-before +after):\n%s", diff)
		}
		again.Targets, again.Lane = r.Targets, r.Lane
		again.Account, again.Region, again.AutoScalingGroupID, again.RefreshActivityID = r.Account, r.Region, "", ""
	}
	if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("written and read again (-before +after):\n%s", diff)
	}
}

// sample is a message of testdata/request with what must come of it.
type sample struct {
	Name    string            `yaml:"name"`
	Subject string            `yaml:"subject"`
	Headers map[string]string `yaml:"headers"`
	Payload string            `yaml:"payload"`
	Expect  struct {
		Outcomes []stop.Outcome `yaml:"outcomes"`
		Status   stop.Status    `yaml:"status"`
	} `yaml:"expect"`
}

func (s sample) message() stop.Message {
	m := stop.Message{Subject: s.Subject, Data: []byte(s.Payload), Stored: stored, Sequence: 1, Delivered: 1}
	m.Header = make(map[string][]string)
	for name, value := range s.Headers {
		m.Header[name] = []string{value}
	}
	return m
}

// data is the request in the payload, taken out of its envelope if it has one.
func (s sample) data(tb testing.TB) []byte {
	tb.Helper()
	var event struct {
		Version string          `json:"specversion"`
		Data    json.RawMessage `json:"data"`
		Base64  string          `json:"data_base64"`
	}
	if json.Unmarshal([]byte(s.Payload), &event) != nil || event.Version == "" {
		return []byte(s.Payload)
	}
	if event.Base64 == "" {
		return event.Data
	}
	data, err := base64.StdEncoding.DecodeString(event.Base64)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func samples(tb testing.TB) map[string]sample {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(sampleFolder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no samples in %s (%v)", sampleFolder, err)
	}
	found := make(map[string]sample)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		var s sample
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		if err := dec.Decode(&s); err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		found[filepath.Base(path)] = s
	}
	return found
}

func TestSamplesAgreeWithSchemaAndDecode(t *testing.T) {
	schema := compile(t, requestSchema)
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range s.Expect.Outcomes {
				if !slices.Contains(stop.Outcomes(), o) {
					t.Errorf("expects %q, which is no outcome", o)
				}
			}
			wantInvalid := slices.Contains(s.Expect.Outcomes, stop.OutcomeInvalid)
			_, bad := stop.Decode(s.message(), defaults)
			if (bad != nil) != wantInvalid {
				t.Fatalf("expects %v, and Decode says: %v", s.Expect.Outcomes, bad)
			}
			err := conforms(schema, s.data(t))
			switch {
			case !wantInvalid && err != nil:
				t.Errorf("expects %v, and the schema refuses it: %v", s.Expect.Outcomes, err)
			case wantInvalid && err == nil && !beyondSchema(bad):
				t.Errorf("expects it to be invalid (%v), and the schema allows it", bad)
			}
		})
	}
}

// beyondSchema says whether only Decode can know: it is about the envelope,
// about sizes in bytes, or about a name that stands twice.
func beyondSchema(bad *stop.Invalid) bool {
	envelope := []string{"specversion", "id", "source", "type", "datacontenttype", "data_base64", "Content-Type"}
	return slices.Contains(envelope, bad.Field) ||
		strings.Contains(bad.Problem, "bytes long") || strings.Contains(bad.Problem, "stands twice")
}

// object is the part of a schema that speaks of the fields of a struct.
type object struct {
	Schema     string            `json:"$schema"`
	ID         string            `json:"$id"`
	Type       string            `json:"type"`
	Ref        string            `json:"$ref"`
	Additional any               `json:"additionalProperties"`
	Required   []string          `json:"required"`
	Enum       []string          `json:"enum"`
	Format     string            `json:"format"`
	MaxLength  int               `json:"maxLength"`
	MaxItems   int               `json:"maxItems"`
	Text       string            `json:"description"`
	Properties map[string]object `json:"properties"`
	Names      *object           `json:"propertyNames"`
	Then       struct {
		Required []string `json:"required"`
	} `json:"then"`
	Defs map[string]object `json:"$defs"`
}

func readSchema(t *testing.T, path string) object {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// A field that one of the two has and the other has not is a lie to somebody.
func TestSchemasHaveTheFieldsOfTheStructs(t *testing.T) {
	request, result := readSchema(t, requestSchema), readSchema(t, resultSchema)
	for _, row := range []struct {
		name   string
		of     reflect.Type
		schema object
	}{
		{"Request", reflect.TypeFor[stop.Request](), request},
		{"Target", reflect.TypeFor[stop.Target](), request.Defs["target"]},
		{"Selector", reflect.TypeFor[stop.Selector](), request.Defs["selector"]},
		{"Result", reflect.TypeFor[stop.Result](), result},
	} {
		t.Run(row.name, func(t *testing.T) {
			names := make(map[string]bool)
			for _, f := range reflect.VisibleFields(row.of) {
				name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "-" || f.Anonymous {
					continue
				}
				names[name] = true
				p, ok := row.schema.Properties[name]
				if !ok {
					t.Errorf("the schema has no %s", name)
					continue
				}
				if p.Text == "" {
					t.Errorf("the schema does not describe %s", name)
				}
				if f.Type == reflect.TypeFor[time.Time]() && p.Format != "date-time" {
					t.Errorf("%s is a time and has the format %q", name, p.Format)
				}
				// What a result always has, its reader may rely on. A summary has all
				// of its fields, but not every result is one.
				always := !strings.HasPrefix(options, "omit")
				if summary := len(f.Index) > 1; summary {
					if always != slices.Contains(row.schema.Then.Required, name) {
						t.Errorf("%s is always written in a summary: %t; the schema must say the same", name, always)
					}
					always = false
				}
				if row.name == "Result" && always != slices.Contains(row.schema.Required, name) {
					t.Errorf("%s is always written: %t; the schema must say the same", name, always)
				}
			}
			for name := range row.schema.Properties {
				if !names[name] {
					t.Errorf("the struct has no %s", name)
				}
			}
			if row.schema.Type != "object" || row.schema.Additional != false {
				t.Error("the schema allows what it does not know")
			}
		})
	}
	for path, s := range map[string]object{requestSchema: request, resultSchema: result} {
		if s.Schema != "https://json-schema.org/draft/2020-12/schema" || !strings.HasSuffix(s.ID, filepath.Base(path)) {
			t.Errorf("%s says it is %q of the draft %q", path, s.ID, s.Schema)
		}
	}
	if got := request.Properties["Targets"].MaxItems; got != stop.MaxTargets {
		t.Errorf("targets are at most %d in the schema and %d in Decode", got, stop.MaxTargets)
	}
	if got := request.Defs["selector"].Properties["Name"].Ref; got != "#/$defs/text" {
		t.Errorf("the name of a selector is %q in the schema, and a text in Decode", got)
	}
	if got := request.Defs["text"].MaxLength; got != stop.MaxTextBytes {
		t.Errorf("texts are at most %d long in the schema and %d in Decode", got, stop.MaxTextBytes)
	}
}

func TestRequestSchemaHasTheModes(t *testing.T) {
	want := []string{string(stop.ResumeRetry), string(stop.ResumeContinue), ""}
	if diff := cmp.Diff(want, readSchema(t, requestSchema).Properties["ResumeMode"].Enum); diff != "" {
		t.Errorf("modes (-Go +schema):\n%s", diff)
	}
}

func TestResultSchemaHasTheClosedSets(t *testing.T) {
	schema := readSchema(t, resultSchema)
	for _, o := range stop.Outcomes() {
		if !strings.Contains(schema.Properties["Outcome"].Text, string(o)+":") {
			t.Errorf("the schema does not say what %s means", o)
		}
	}
	if diff := cmp.Diff(words(stop.Outcomes()), schema.Properties["Outcome"].Enum); diff != "" {
		t.Errorf("outcomes (-Go +schema):\n%s", diff)
	}
	// A target is no summary.
	counted := slices.DeleteFunc(stop.Outcomes(), func(o stop.Outcome) bool { return o == stop.OutcomeDone })
	if diff := cmp.Diff(words(counted), schema.Properties["Outcomes"].Names.Enum); diff != "" {
		t.Errorf("outcomes that a summary counts (-Go +schema):\n%s", diff)
	}
	if diff := cmp.Diff(words(stop.Lanes()), schema.Properties["Lane"].Enum); diff != "" {
		t.Errorf("lanes (-Go +schema):\n%s", diff)
	}
}

func words[W ~string](set []W) []string {
	var texts []string
	for _, w := range set {
		texts = append(texts, string(w))
	}
	return texts
}

func TestEncodedResultsFitTheSchema(t *testing.T) {
	schema := compile(t, resultSchema)
	fits := func(name string, r stop.Result) {
		t.Helper()
		_, data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(schema, data); err != nil {
			t.Errorf("%s, %s: %v", r.Outcome, name, err)
		}
	}
	for _, o := range stop.Outcomes() {
		if o == stop.OutcomeDone {
			continue
		}
		full, target, none := fullResult(), targetResult(), stop.Result{Request: "r", Lane: stop.LaneNormal}
		full.Outcome, target.Outcome, none.Outcome = o, o, o
		fits("full", full)
		fits("of a target", target)
		fits("bare", none)
	}
	fits("full", summaryResult())
	fits("of nothing", stop.Result{Request: "r", Outcome: stop.OutcomeDone, Lane: stop.LaneBulk, Summary: &stop.Summary{Outcomes: map[stop.Outcome]int{}}})
	for _, m := range stop.Names([]stop.Target{{AutoScalingGroupID: "asg-" + text(32)}, {AutoScalingGroupID: "asg-a"}, {AutoScalingGroupID: "asg-a"}}) {
		r := targetResult()
		r.Target = m.Name
		fits(m.Name, r)
	}
	// The schema must be able to say no.
	for name, wrong := range map[string]func() stop.Result{
		"no outcome":       func() stop.Result { r := fullResult(); r.Outcome = "stopped"; return r },
		"no lane":          func() stop.Result { r := fullResult(); r.Lane = ""; return r },
		"no identity":      func() stop.Result { r := fullResult(); r.Request = "a.b"; return r },
		"attempts":         func() stop.Result { r := fullResult(); r.Attempts = -1; return r },
		"group":            func() stop.Result { r := fullResult(); r.AutoScalingGroupID = "*"; return r },
		"target":           func() stop.Result { r := targetResult(); r.Target = "a.b"; return r },
		"done, uncounted":  func() stop.Result { r := summaryResult(); r.Summary = nil; return r },
		"done, of one":     func() stop.Result { r := summaryResult(); r.AutoScalingGroupID = "asg-a"; return r },
		"done, a target's": func() stop.Result { r := summaryResult(); r.Target = "asg-a"; return r },
		"counted, of one":  func() stop.Result { r := fullResult(); r.Summary = summaryResult().Summary; return r },
		"counts null":      func() stop.Result { r := summaryResult(); r.Outcomes = nil; return r },
		"counts nothing":   func() stop.Result { r := summaryResult(); r.Outcomes["paused"] = 0; return r },
		"counts another":   func() stop.Result { r := summaryResult(); r.Outcomes["stopped"] = 1; return r },
		"counts summaries": func() stop.Result { r := summaryResult(); r.Outcomes["done"] = 1; return r },
		"less than none":   func() stop.Result { r := summaryResult(); r.Total = -1; return r },
	} {
		if _, data, err := wrong().Encode(); err != nil || conforms(schema, data) == nil {
			t.Errorf("%s: the schema allows %s (%v)", name, data, err)
		}
	}
}

// An invalid request has a result too, made of what could be read.
func TestResultsOfInvalidRequestsFitTheSchema(t *testing.T) {
	schema := compile(t, resultSchema)
	for _, rule := range rules() {
		r, bad := stop.Decode(rule.message(), defaults)
		if bad == nil {
			continue
		}
		_, data, err := stop.Result{
			Request: r.ID, Account: r.Account, Region: r.Region, AutoScalingGroupID: r.AutoScalingGroupID, RefreshActivityID: r.RefreshActivityID,
			Outcome: stop.OutcomeInvalid, Message: bad.Error(), Lane: r.Lane, Reason: r.Reason, RequestedBy: r.RequestedBy, Incident: r.Incident,
			RequestedAt: r.RequestedAt, StartedAt: stored, FinishedAt: stored, Worker: "w",
		}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(schema, data); err != nil {
			t.Errorf("%s: %v", rule.name, err)
		}
		if len(data) > 64<<10 {
			t.Errorf("%s: its result is %d bytes long", rule.name, len(data))
		}
	}
}
