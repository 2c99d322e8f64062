package stop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Again is the message to publish in order to ask anew for what a dead letter
// holds, and the identity of that request. The place of the letter in its stream
// makes it: who asks twice for the same letter asks for the same request. NotAfter
// is left out, for somebody has decided now; everything else is as it was.
func (d DeadLetter) Again(place uint64) (Message, string, error) {
	if d.Truncated() {
		return Message{}, "", fmt.Errorf("%d of %d bytes are kept: it was longer than a letter may be", len(d.Data), d.Size)
	}
	// What was put among the tasks would be no request there the second time either.
	if !under(d.Subject, SubjectStop) && !under(d.Subject, SubjectResume) {
		return Message{}, "", fmt.Errorf("it stood under %s, where no requests are", quote(d.Subject))
	}
	old := Message{Subject: d.Subject, Header: d.Header, Data: d.Data, Stored: d.StoredAt, Sequence: d.Sequence}
	if _, bad := Judge(old); bad != nil {
		return Message{}, "", fmt.Errorf("it cannot be carried out as it is: %w", bad)
	}
	env, bad := open(old)
	if bad != nil {
		return Message{}, "", bad
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(env.data, &fields); err != nil {
		return Message{}, "", fmt.Errorf("read the request: %w", err)
	}
	key := Task{Request: d.Request, Name: d.Target}.Key()
	id := "again-" + strconv.FormatUint(place, 10) + "-" + Hash(key)[:12]
	fields["Id"] = json.RawMessage(strconv.Quote(id))
	delete(fields, "NotAfter")
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	// Escaped, "<" is six times as long, and the request perhaps too long.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		return Message{}, "", fmt.Errorf("encode the request: %w", err)
	}
	anew := Message{Subject: d.Subject, Header: map[string][]string{"Nats-Msg-Id": {id}}, Data: bytes.TrimSuffix(data.Bytes(), []byte("\n"))}
	if env.traceparent != "" {
		anew.Header["traceparent"] = []string{env.traceparent}
	}
	return anew, id, nil
}
