package stop_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// The contract gives all three forms the same meaning, and the two forms of a
// CloudEvent the same identity.
func TestFormsOfARequest(t *testing.T) {
	const attrs = `"id":"e 1","source":"/s"`
	b64 := base64.StdEncoding.EncodeToString([]byte(oneGroup))
	enveloped := func(rest string) string {
		return `{"specversion":"1.0","type":"as.refresh.stop",` + attrs + rest + `}`
	}
	for _, row := range []struct {
		name   string
		m      stop.Message
		source stop.Source
	}{
		{"structured, with Content-Type", with(structured(attrs, oneGroup), "Content-Type", "application/cloudevents+json"), stop.SourceStructured},
		{"structured, with a charset", with(structured(attrs, oneGroup), "content-type", "Application/CloudEvents+JSON; charset=utf-8"), stop.SourceStructured},
		// The Go SDK of CloudEvents sends it so.
		{"structured, without Content-Type", bare(structured(attrs, oneGroup)), stop.SourceStructured},
		{"structured, with the Content-Type of JSON", with(structured(attrs, oneGroup), "Content-Type", "application/json"), stop.SourceStructured},
		{"structured, Content-Type before ce- headers", with(structured(attrs, oneGroup), "Content-Type", "application/cloudevents+json", "ce-specversion", "1.0", "ce-id", "other", "ce-source", "/t", "ce-type", "x"), stop.SourceStructured},
		{"structured, data_base64", bare(enveloped(`,"data_base64":"` + b64 + `"`)), stop.SourceStructured},
		{"structured, with datacontenttype", bare(enveloped(`,"datacontenttype":"application/json","data":` + oneGroup)), stop.SourceStructured},
		{"structured, with a JSON type of its own", bare(enveloped(`,"datacontenttype":"application/vnd.shop+json; v=1","data":` + oneGroup)), stop.SourceStructured},
		{"structured, with extensions", bare(enveloped(`,"team":"shop","time":"2026-11-23T04:00:00Z","subject":"x","data":` + oneGroup)), stop.SourceStructured},
		{"structured, of a later minor version", bare(strings.Replace(structured(attrs, oneGroup), `"1.0"`, `"1.1"`, 1)), stop.SourceStructured},
		{"binary", with(oneGroup, "ce-specversion", "1.0", "ce-id", "e%201", "ce-source", "/s", "ce-type", "as.refresh.stop"), stop.SourceBinary},
		{"binary, not percent-encoded", with(oneGroup, "ce-specversion", "1.0", "ce-id", "e 1", "ce-source", "/s", "ce-type", "as.refresh.stop"), stop.SourceBinary},
		{"binary, all of it percent-encoded", with(oneGroup, "ce-specversion", "1%2E0", "ce-id", "%65%20%31", "ce-source", "%2Fs", "ce-type", "as.refresh%2estop"), stop.SourceBinary},
		{"binary, with Content-Type", with(oneGroup, "ce-specversion", "1.0", "ce-id", "e%201", "ce-source", "/s", "ce-type", "as.refresh.stop", "Content-Type", "application/json; charset=utf-8"), stop.SourceBinary},
		{"binary, with datacontenttype", with(oneGroup, "ce-specversion", "1.0", "ce-id", "e%201", "ce-source", "/s", "ce-type", "as.refresh.stop", "ce-datacontenttype", "application/json"), stop.SourceBinary},
		{"binary, as Go spells headers", with(oneGroup, "Ce-Specversion", "1.0", "Ce-Id", "e%201", "Ce-Source", "/s", "Ce-Type", "as.refresh.stop"), stop.SourceBinary},
		{"binary, in capitals", with(oneGroup, "CE-SPECVERSION", "1.0", "CE-ID", "e%201", "CE-SOURCE", "/s", "CE-TYPE", "as.refresh.stop"), stop.SourceBinary},
		{"binary, in any case", with(oneGroup, "cE-sPecVersion", "1.0", "ce-ID", "e%201", "Ce-source", "/s", "ce-Type", "as.refresh.stop"), stop.SourceBinary},
	} {
		t.Run(row.name, func(t *testing.T) {
			want, bad := stop.Decode(bare(structured(attrs, oneGroup)), defaults)
			if bad != nil {
				t.Fatal(bad)
			}
			want.Source = row.source
			got, bad := stop.Decode(row.m, defaults)
			if diff := cmp.Diff(want, got); bad != nil || diff != "" {
				t.Errorf("invalid: %v, request (-want +got):\n%s", bad, diff)
			}
		})
	}
}

func TestCloudEventsRefused(t *testing.T) {
	binary := func(pairs ...string) stop.Message {
		headers := []string{"ce-specversion", "1.0", "ce-id", "e", "ce-source", "/s", "ce-type", "as.refresh.stop"}
		for i := 0; i < len(pairs); i += 2 {
			if at := slices.Index(headers, pairs[i]); at >= 0 {
				headers[at+1] = pairs[i+1]
				continue
			}
			headers = append(headers, pairs[i], pairs[i+1])
		}
		return with(oneGroup, headers...)
	}
	event := func(members string) stop.Message { return bare(`{"specversion":"1.0",` + members + `}`) }
	const whole = `"id":"e","source":"/s","type":"as.refresh.stop"`
	for _, row := range []struct {
		name        string
		m           stop.Message
		field, says string
	}{
		{"structured without id", event(`"source":"/s","type":"as.refresh.stop","data":` + oneGroup), "id", "is required"},
		{"structured without source", event(`"id":"e","type":"as.refresh.stop","data":` + oneGroup), "source", "is required"},
		{"structured without type", event(`"id":"e","source":"/s","data":` + oneGroup), "type", `want "as.refresh.stop"`},
		{"structured of another type", event(`"id":"e","source":"/s","type":"as.refresh.resume","data":` + oneGroup), "type", `"as.refresh.resume" is not a request`},
		{"a result is not a request", event(`"id":"e","source":"/s","type":"as.refresh.stop.result","data":` + oneGroup), "type", "is not a request"},
		{"structured of a type in another case", event(`"id":"e","source":"/s","type":"AS.refresh.stop","data":` + oneGroup), "type", "is not a request"},
		{"structured of another version", bare(`{"specversion":"0.3",` + whole + `,"data":` + oneGroup + `}`), "specversion", `"0.3" is not supported`},
		{"structured without version, declared", with(`{`+whole+`,"data":`+oneGroup+`}`, "Content-Type", "application/cloudevents+json"), "specversion", "is not supported"},
		{"structured without version, undeclared, is a bare request", bare(`{` + whole + `,"data":` + oneGroup + `}`), "id", "did you mean Id?"},
		{"structured with XML data", event(whole + `,"datacontenttype":"application/xml","data":` + oneGroup), "datacontenttype", `"application/xml" is not supported`},
		{"structured without data", event(whole), "", "is empty"},
		{"structured with null data", event(whole + `,"data":null`), "", "is null"},
		{"structured with data as text", event(whole + `,"data":"{}"`), "", "is a JSON string"},
		{"structured with a list as data", event(whole + `,"data":[` + oneGroup + `]`), "", "is a JSON array"},
		{"structured with broken base64", event(whole + `,"data_base64":"%%%"`), "data_base64", "is not base64"},
		{"structured with base64 of no request", event(whole + `,"data_base64":"eA=="`), "", "is not JSON"},
		{"structured with data twice", event(whole + `,"data":` + oneGroup + `,"data_base64":"e30="`), "data_base64", "cannot be combined"},
		{"structured, data breaks the contract", event(whole + `,"data":` + group(`"Dryrun":true`)), "Dryrun", "did you mean DryRun?"},
		{"structured, declared, not JSON", with("<event/>", "Content-Type", "application/cloudevents+xml"), "", "the CloudEvent is not JSON"},
		{"structured, declared, an id of another type", with(`{"specversion":"1.0","id":5}`, "Content-Type", "application/cloudevents+json"), "", "the CloudEvent is not JSON"},
		{"structured, undeclared, an id of another type", bare(`{"specversion":"1.0","id":5}`), "Id", "want a string"},
		{"batch", with("["+structured(`"id":"e","source":"/s"`, oneGroup)+"]", "Content-Type", "application/cloudevents-batch+json"), "Content-Type", "is a batch"},
		{"batch in another case", with("[]", "content-type", "Application/CloudEvents-Batch+JSON"), "Content-Type", "is a batch"},
		{"batch, undeclared", bare("[" + structured(`"id":"e","source":"/s"`, oneGroup) + "]"), "", "is a JSON array"},
		{"binary without id", binary("ce-id", ""), "id", "is required"},
		{"binary without source", binary("ce-source", ""), "source", "is required"},
		{"binary without type", binary("ce-type", ""), "type", "is not a request"},
		{"binary of another type", binary("ce-type", "com.example.other"), "type", `"com.example.other" is not a request`},
		{"binary of another version", binary("ce-specversion", "2.0"), "specversion", "is not supported"},
		{"binary with XML", binary("Content-Type", "text/xml"), "datacontenttype", `"text/xml" is not supported`},
		{"binary with XML by attribute", binary("ce-datacontenttype", "text/xml"), "datacontenttype", "is not supported"},
		{"a very long type is shown in part", binary("ce-type", text(5000)), "type", "…"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, bad := stop.Decode(row.m, defaults)
			if bad == nil {
				t.Fatalf("is accepted as %+v", got)
			}
			if bad.Field != row.field || !strings.Contains(bad.Error(), row.says) {
				t.Errorf("names the field %q and says %q; want %q and %q in it", bad.Field, bad, row.field, row.says)
			}
			if !stop.ValidID(got.ID) || got.AutoScalingGroupID != "" && got.Source == stop.SourceUnreadable {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The type of an event is that of its subject: whoever may publish to resume
// does not pause by a slip, nor the other way round.
func TestTypeOfACloudEventIsThatOfItsSubject(t *testing.T) {
	for _, subject := range []string{
		"as.refresh.stop", "as.refresh.stop.urgent", "as.refresh.stop.as.refresh.resume",
		"as.refresh.resume", "as.refresh.resume.bulk.team-a", "as.refresh.resume.as.refresh.stop",
	} {
		want := stop.RequestType
		if strings.HasPrefix(subject, "as.refresh.resume") {
			want = stop.ResumeRequestType
		}
		for _, kind := range []string{"as.refresh.stop", "as.refresh.resume", "as.refresh.stop.result", "as.refresh.resume.urgent", "AS.refresh.resume", ""} {
			for form, m := range map[stop.Source]stop.Message{
				stop.SourceStructured: bare(`{"specversion":"1.0","id":"e","source":"/s","type":"` + kind + `","data":` + oneGroup + `}`),
				stop.SourceBinary:     with(oneGroup, "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/s", "ce-type", kind),
			} {
				m.Subject = subject
				got, bad := stop.Decode(m, defaults)
				if kind == want {
					if bad != nil || got.Source != form || got.Action != stop.ActionOf(subject) {
						t.Errorf("%s of the type %q under %s: got %+v, invalid: %v", form, kind, subject, got, bad)
					}
					continue
				}
				if bad == nil || bad.Field != "type" || !strings.Contains(bad.Problem, `want "`+want+`"`) {
					t.Errorf("%s of the type %q under %s: invalid: %v, want the type %s", form, kind, subject, bad, want)
				}
			}
		}
	}
}

// An event that is not read keeps the identity it would have had, so that its
// redelivery meets its own result.
func TestRefusedCloudEventKeepsItsIdentity(t *testing.T) {
	good, _ := stop.Decode(bare(structured(`"id":"e","source":"/s"`, oneGroup)), defaults)
	bad, invalid := stop.Decode(with("{}", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/s", "ce-type", "x"), defaults)
	if invalid == nil || bad.ID != good.ID || bad.Source != stop.SourceUnreadable {
		t.Errorf("got %q of %q, want %q (%v)", bad.ID, bad.Source, good.ID, invalid)
	}
}

// Headers without ce-specversion do not make a CloudEvent: the payload is a
// request by itself.
func TestWithoutSpecversionThePayloadIsBare(t *testing.T) {
	got, bad := stop.Decode(with(group(`"Id":"own"`), "ce-id", "e", "ce-type", "x"), defaults)
	if bad != nil || got.Source != stop.SourceJSON || got.ID != "own" {
		t.Errorf("got %+v, invalid: %v", got, bad)
	}
}

func TestPercentEncoding(t *testing.T) {
	id := func(header string) string {
		r, bad := stop.Decode(with(oneGroup, "ce-specversion", "1.0", "ce-id", header, "ce-source", "/s", "ce-type", "as.refresh.stop"), defaults)
		if bad != nil {
			t.Fatal(bad)
		}
		return r.ID
	}
	plain, bad := stop.Decode(bare(structured(`"id":"100% für \"x\"","source":"/s"`, oneGroup)), defaults)
	if bad != nil {
		t.Fatal(bad)
	}
	if got := id(`100%25%20f%C3%BCr%20%22x%22`); got != plain.ID {
		t.Errorf("encoded as the binding asks: got %q, want %q", got, plain.ID)
	}
	if got := id(`100% für "x"`); got != plain.ID {
		t.Errorf("not encoded: got %q, want %q", got, plain.ID)
	}
	if id("a+b") == id("a b") {
		t.Error("a plus sign is taken for a space")
	}
}

// NATS headers keep their case, so one message can hold a header in several
// spellings. Which of them counts must not change from delivery to delivery.
func TestSpellingsOfOneHeader(t *testing.T) {
	m := with(oneGroup, "NATS-MSG-ID", "a", "nats-msg-id", "b", "Nats-Msg-ID", "c", "nats-Msg-Id", "d")
	for range 100 {
		if got, _ := stop.Decode(m, defaults); got.ID != "a" {
			t.Fatalf("got %q, want the first in byte order", got.ID)
		}
	}
	m.Header["Nats-Msg-Id"] = []string{"exact", "second"}
	for range 100 {
		if got, _ := stop.Decode(m, defaults); got.ID != "exact" {
			t.Fatalf("got %q, want the exact spelling", got.ID)
		}
	}
	m.Header["Nats-Msg-Id"] = nil
	if got, _ := stop.Decode(m, defaults); got.ID != "a" {
		t.Errorf("got %q; a header without a value does not count", got.ID)
	}
}

func TestTraceparent(t *testing.T) {
	event := func(header, extension string) stop.Message {
		m := bare(structured(`"id":"e","source":"/s","traceparent":"`+extension+`"`, oneGroup))
		m.Header = map[string][]string{"Traceparent": {header}}
		return m
	}
	for _, row := range []struct {
		name string
		m    stop.Message
		want string
	}{
		{"carried", with(oneGroup, "traceparent", trace), trace},
		{"carried in any case of its name", with(oneGroup, "TraceParent", trace), trace},
		{"carried from an unreadable request", with("{", "traceparent", trace), trace},
		{"carried from an extension", event("", trace), trace},
		{"carried from a binary extension", with(oneGroup, "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/s", "ce-type", "as.refresh.stop", "ce-traceparent", trace), trace},
		{"the header before the extension", event(trace, strings.Replace(trace, "4bf9", "0000", 1)), trace},
		{"the extension where the header is broken", event("x", trace), trace},
		{"none", bare(oneGroup), ""},
		{"dropped: capitals", with(oneGroup, "traceparent", strings.ToUpper(trace)), ""},
		{"dropped: too short", with(oneGroup, "traceparent", trace[1:]), ""},
		{"dropped: too long", with(oneGroup, "traceparent", trace+"-x"), ""},
		{"dropped: line end", with(oneGroup, "traceparent", trace+"\n"), ""},
		{"dropped: other text", with(oneGroup, "traceparent", "x\r\nNats-Rollup: all"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, _ := stop.Decode(row.m, defaults); got.Traceparent != row.want {
				t.Errorf("got %q, want %q", got.Traceparent, row.want)
			}
		})
	}
}

func TestSourcesAreClosed(t *testing.T) {
	want := []stop.Source{"json", "cloudevent_binary", "cloudevent_structured", "unreadable"}
	if diff := cmp.Diff(want, stop.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}
