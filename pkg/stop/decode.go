package stop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults are what the worker adds to a request.
type Defaults struct {
	// Region of requests that name none; may be empty.
	Region string
	// DryRun turns every request into a dry run.
	DryRun bool
}

// Decode reads a message as a request. The request it returns always has an
// ID, a Lane, a Source and its times, so that also an unreadable message can
// be answered; of the payload it holds as much as could be read and repeated.
func Decode(m Message, d Defaults) (Request, *Invalid) {
	r := Request{Action: ActionOf(m.Subject), Lane: LaneOf(m.Subject), Team: TeamOf(m.Subject), Sequence: m.Sequence, RequestedAt: m.Stored, Source: SourceUnreadable}
	env, bad := open(m)
	if bad == nil {
		r.Source = env.source
		bad = decodePayload(env.data, &r)
	}
	r.Traceparent = env.traceparent
	r.Since = since(header(m.Header, HeaderSince))
	r.ID = identity(r.ID, env, m)
	for _, problem := range []func() *Invalid{
		func() *Invalid { return r.complete(d) },
		r.validate,
	} {
		if bad == nil {
			bad = problem()
		}
	}
	if bad != nil {
		r.shorten()
		return r, bad
	}
	// What is Of another may mean one target: its lane is known when that one's
	// results have been read.
	if r.Several() && r.Of == "" && r.Lane == LaneNormal {
		r.Lane = LaneBulk
	}
	return r, nil
}

// since reads the header of that name. One that cannot be read, or will not be
// written, is as if it were not there: it must not break a pause.
func since(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Judge reads a message as a worker will: a region that is left out, and that only the
// workers know, is no fault.
func Judge(m Message) (Request, *Invalid) {
	return Decode(m, Defaults{Region: "ap-guangzhou"})
}

// shorten drops from a request that breaks the contract what must not be
// repeated in its result: texts that are too long, ids of the wrong shape, lists
// that may hold either, and what is only for requests to resume.
func (r *Request) shorten() {
	r.Reason, r.RequestedBy, r.Incident = Clip(r.Reason, MaxTextBytes), Clip(r.RequestedBy, MaxTextBytes), Clip(r.Incident, MaxTextBytes)
	for value, pattern := range map[*string]*regexp.Regexp{
		&r.Account: accountPattern, &r.Region: regionPattern,
		&r.AutoScalingGroupID: groupPattern, &r.RefreshActivityID: activityPattern, &r.Of: idPattern,
	} {
		if !pattern.MatchString(*value) {
			*value = ""
		}
	}
	r.Targets, r.Selector = nil, nil
	if r.ResumeMode != ResumeRetry && r.ResumeMode != ResumeContinue {
		r.ResumeMode = ""
	}
	if r.Action != ActionResume {
		r.Of, r.ResumeMode = "", ""
	}
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidID reports whether s can be the identity of a request.
func ValidID(s string) bool { return idPattern.MatchString(s) }

// identity finds the identity of a request, contract section 2: its own Id,
// else the CloudEvent's id and source, else Nats-Msg-Id, else its place in
// the stream. The stored time belongs to the place: a stream that was made
// again counts from one again, and its requests must not meet old results.
func identity(own string, env envelope, m Message) string {
	msgID := header(m.Header, "Nats-Msg-Id")
	switch {
	case own != "":
		return fit(own)
	case env.id != "":
		return "ce-" + Hash(env.origin, env.id)
	case msgID != "":
		return fit(msgID)
	default:
		return Place(m)
	}
}

// Place is the identity of a message that brings none: where and when it was
// stored. It is the same at each delivery.
func Place(m Message) string {
	return fmt.Sprintf("seq-%d-%s", m.Sequence, strconv.FormatInt(m.Stored.UnixNano(), 36))
}

// fit keeps an id that fits the pattern and hashes any other.
func fit(id string) string {
	if idPattern.MatchString(id) {
		return id
	}
	return "id-" + Hash(id)
}

// Hash is a name made of parts that cannot be one themselves: always the same for the
// same parts, 32 hexadecimal digits.
func Hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// The length keeps ("a","bc") and ("ab","c") apart.
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// fields are the names that may stand in a payload, by the path of their
// object. Names are matched to the letter: encoding/json alone would take
// "dryrun" for DryRun, and the last of two for the one that counts.
var fields = map[string][]string{
	"": {
		"Id", "Account", "Region", "AutoScalingGroupId", "RefreshActivityId", "Targets", "Selector", "MaxTargets",
		"Reason", "RequestedBy", "Incident", "NotAfter", "DryRun", "AllowRollback", "Of", "ResumeMode",
	},
	"Targets":  {"Account", "Region", "AutoScalingGroupId", "RefreshActivityId"},
	"Selector": {"Account", "Regions", "Tags", "Name", "LaunchConfigurationId"},
}

func decodePayload(data []byte, r *Request) *Invalid {
	err := json.Unmarshal(data, r)
	bad := explain(err, data)
	if err == nil {
		bad = checkNames(data)
	}
	if bad != nil {
		r.ID = ownID(data)
	}
	return bad
}

// ownID is the Id of a payload that breaks the contract elsewhere, spelled to
// the letter: an "id" that nobody meant must not take the place of one that
// somebody did.
func ownID(data []byte) string {
	var object map[string]json.RawMessage
	var id string
	if json.Unmarshal(data, &object) != nil || json.Unmarshal(object["Id"], &id) != nil {
		return ""
	}
	return id
}

// checkNames refuses what encoding/json lets pass.
func checkNames(data []byte) *Invalid {
	dec := json.NewDecoder(bytes.NewReader(data))
	tok, err := dec.Token()
	if err != nil {
		return invalid("", "the payload is not JSON: %v", err)
	}
	if tok != json.Delim('{') {
		return invalid("", "the payload is null, not a JSON object")
	}
	return checkObject(dec, "", 0)
}

// explain turns a message of encoding/json into one that names the field.
func explain(err error, data []byte) *Invalid {
	if err == nil {
		return nil
	}
	if typeErr, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if typeErr.Field == "" {
			return invalid("", "the payload is a JSON %s, not a JSON object", typeErr.Value)
		}
		return invalid(typeErr.Field, "is a JSON %s; want %s", typeErr.Value, wanted(typeErr))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return invalid("", "the payload is empty; want a JSON object")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalid("", "the payload is not JSON: %v at byte %d", syntax, syntax.Offset)
	}
	if strings.Contains(err.Error(), "parsing time") || strings.Contains(err.Error(), "Time.UnmarshalJSON") {
		return invalid("NotAfter", "%s", notTime)
	}
	return invalid("", "the payload cannot be read: %v", err)
}

func wanted(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "slice":
		return "a list"
	case "struct", "map", "ptr":
		return "an object"
	default:
		return "a string"
	}
}

// checkObject reads the rest of an object whose "{" has been read, and refuses
// unknown names, names that stand twice, and null: an unset DryRun must be
// left out, not be null.
func checkObject(dec *json.Decoder, path string, depth int) *Invalid {
	seen := make(map[string]bool)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return invalid(path, "is not JSON: %v", err)
		}
		name, _ := tok.(string)
		full := strings.TrimPrefix(path+"."+name, ".")
		if bad := checkName(path, name, seen); bad != nil {
			return bad
		}
		seen[name] = true
		if bad := checkValue(dec, full, depth+1); bad != nil {
			return bad
		}
	}
	_, err := dec.Token()
	if err != nil && !errors.Is(err, io.EOF) {
		return invalid(path, "is not JSON: %v", err)
	}
	return nil
}

func checkName(path, name string, seen map[string]bool) *Invalid {
	full := strings.TrimPrefix(path+"."+name, ".")
	if seen[name] {
		return invalid(full, "stands twice in its object")
	}
	allowed, known := fields[path]
	if !known || slices.Contains(allowed, name) {
		return nil
	}
	for _, a := range allowed {
		if strings.EqualFold(a, name) {
			return invalid(full, "is not a field of a request; did you mean %s?", a)
		}
	}
	return invalid(full, "is not a field of a request; known are %s", strings.Join(allowed, ", "))
}

func checkValue(dec *json.Decoder, path string, depth int) *Invalid {
	const deepest = 8
	if depth > deepest {
		return invalid(path, "is nested more than %d levels deep", deepest)
	}
	tok, err := dec.Token()
	if err != nil {
		return invalid(path, "is not JSON: %v", err)
	}
	switch tok {
	case nil:
		return invalid(path, "is null; leave it out instead")
	case json.Delim('{'):
		return checkObject(dec, path, depth)
	case json.Delim('['):
		for dec.More() {
			if bad := checkValue(dec, path, depth+1); bad != nil {
				return bad
			}
		}
		_, err = dec.Token()
		if err != nil {
			return invalid(path, "is not JSON: %v", err)
		}
	}
	return nil
}
