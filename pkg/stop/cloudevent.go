package stop

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Source says in which form a request came: a closed set and a metric label.
type Source string

// The forms of contract section 2, and what could not be read as any.
const (
	SourceJSON       Source = "json"
	SourceBinary     Source = "cloudevent_binary"
	SourceStructured Source = "cloudevent_structured"
	SourceUnreadable Source = "unreadable"
)

// Sources lists every form, for metrics that create their labels at start.
func Sources() []Source {
	return []Source{SourceJSON, SourceBinary, SourceStructured, SourceUnreadable}
}

// The CloudEvents types of requests.
const (
	RequestType       = "as.refresh.stop"
	ResumeRequestType = "as.refresh.resume"
)

// requestType is the type that a request for the action has.
func requestType(action string) string {
	if action == ActionResume {
		return ResumeRequestType
	}
	return RequestType
}

const (
	typeJSON       = "application/json"
	typeCloudEvent = "application/cloudevents"
)

// envelope is what stands around a payload.
type envelope struct {
	source Source
	// want is the type that an event must have.
	want        string
	data        []byte
	traceparent string
	// id and origin are the CloudEvent's identity; both empty for bare JSON.
	id, origin string
}

// attributes are the CloudEvents attributes that matter here.
type attributes struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	DataContentType string          `json:"datacontenttype"`
	Traceparent     string          `json:"traceparent"`
	Data            json.RawMessage `json:"data"`
	DataBase64      string          `json:"data_base64"`
}

// open finds the form of a message, as the NATS protocol binding of
// CloudEvents has it, but tolerant of its Go SDK, which sends structured
// events without a Content-Type and expects lower-case header names.
func open(m Message) (envelope, *Invalid) {
	env := envelope{source: SourceJSON, want: requestType(ActionOf(m.Subject)), data: m.Data, traceparent: traceparent(header(m.Header, "traceparent"))}
	if len(m.Data) > MaxRequestBytes {
		return env, invalid("", "the payload is %d bytes long; at most %d are allowed", len(m.Data), MaxRequestBytes)
	}
	content := strings.ToLower(header(m.Header, "Content-Type"))
	declared := strings.HasPrefix(content, typeCloudEvent)
	if !declared && header(m.Header, "ce-specversion") != "" {
		env.source = SourceBinary
		attr := attributes{
			SpecVersion: ceHeader(m, "specversion"), ID: ceHeader(m, "id"), Source: ceHeader(m, "source"), Type: ceHeader(m, "type"),
			DataContentType: first(header(m.Header, "Content-Type"), ceHeader(m, "datacontenttype")), Traceparent: ceHeader(m, "traceparent"),
		}
		return env.with(attr)
	}
	var attr attributes
	err := json.Unmarshal(m.Data, &attr)
	if !declared && (err != nil || attr.SpecVersion == "") {
		return env, nil
	}
	env.source = SourceStructured
	if strings.HasPrefix(content, typeCloudEvent+"-batch") {
		return env, invalid("Content-Type", "is a batch of CloudEvents; send one event a message")
	}
	if err != nil {
		return env, invalid("", "the CloudEvent is not JSON: %v", err)
	}
	env.data = attr.Data
	if attr.DataBase64 != "" {
		if attr.Data != nil {
			return env, invalid("data_base64", "cannot be combined with data")
		}
		data, err := base64.StdEncoding.DecodeString(attr.DataBase64)
		if err != nil {
			return env, invalid("data_base64", "is not base64: %v", err)
		}
		env.data = data
	}
	return env.with(attr)
}

func (e envelope) with(a attributes) (envelope, *Invalid) {
	e.id, e.origin = a.ID, a.Source
	if e.traceparent == "" {
		e.traceparent = traceparent(a.Traceparent)
	}
	content, _, _ := strings.Cut(strings.ToLower(a.DataContentType), ";")
	content = strings.TrimSpace(content)
	switch {
	case !strings.HasPrefix(a.SpecVersion, "1."):
		return e, invalid("specversion", "%s is not supported; want 1.0", quote(a.SpecVersion))
	case a.ID == "":
		return e, invalid("id", "is required in a CloudEvent")
	case a.Source == "":
		return e, invalid("source", "is required in a CloudEvent")
	case a.Type != e.want:
		return e, invalid("type", "%s is not a request of this subject; want %q", quote(a.Type), e.want)
	case content != "" && content != typeJSON && !strings.HasSuffix(content, "+json"):
		return e, invalid("datacontenttype", "%s is not supported; want %s", quote(content), typeJSON)
	}
	return e, nil
}

// ceHeader reads an attribute of a binary event. Values are percent-encoded
// by the binding; one that is not decodable is taken as it stands.
func ceHeader(m Message, name string) string {
	v := header(m.Header, "ce-"+name)
	if decoded, err := url.PathUnescape(v); err == nil {
		return decoded
	}
	return v
}

// header finds a header whatever its case: NATS headers are case-sensitive,
// and publishers differ. Of several spellings the first in byte order counts
// unless one is exact, so that each delivery reads the same identity.
func header(h map[string][]string, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	found := ""
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 && (found == "" || k < found) {
			found = k
		}
	}
	if found == "" {
		return ""
	}
	return h[found][0]
}

// reserved reports whether JetStream acts on a header.
func reserved(name string) bool { return strings.HasPrefix(strings.ToLower(name), "nats-") }

var traceparentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceparent keeps a well-formed W3C trace context and drops any other: a
// broken trace must not break a pause.
func traceparent(s string) string {
	if traceparentPattern.MatchString(s) {
		return s
	}
	return ""
}

// Traceparent is the W3C trace context of a request, in whatever form it comes; empty
// where there is none that is well-formed.
func Traceparent(m Message) string {
	env, _ := open(m)
	return env.traceparent
}

// Encode turns a result into the headers and the payload of a binary
// CloudEvent.
func (r Result) Encode() (map[string][]string, []byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("encode result of %s: %w", r.Key(), err)
	}
	h := map[string][]string{
		"ce-specversion":     {"1.0"},
		"ce-id":              {r.Key()},
		"ce-source":          {"/andon/" + url.PathEscape(r.Worker)},
		"ce-type":            {ResultType},
		"ce-time":            {r.FinishedAt.UTC().Format(time.RFC3339Nano)},
		"ce-datacontenttype": {typeJSON},
		"Content-Type":       {typeJSON},
	}
	if r.AutoScalingGroupID != "" {
		h["ce-subject"] = []string{r.AutoScalingGroupID}
	}
	if r.Traceparent != "" {
		h["traceparent"] = []string{r.Traceparent}
	}
	return h, data, nil
}
