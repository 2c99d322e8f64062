package queue

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// FuzzVerdictOfBroker: a pull goes on only while the broker is heard of, and
// ends in order only by a word that is known.
func FuzzVerdictOfBroker(f *testing.F) {
	for _, status := range []string{
		"100 Idle Heartbeat", "404 No Messages", "408 Request Timeout", "409 Leadership Change", "409 Consumer Deleted", "503", "400 Bad Request", "", "  100",
	} {
		f.Add([]byte("NATS/1.0 " + status + "\r\n\r\n"))
	}
	f.Add([]byte("NATS/1.0\r\nStatus: 100\r\nStatus: 404\r\nDescription: x\r\n\r\n"))
	f.Add([]byte("NATS/1.0 409\r\nDescription: LEADERSHIP CHANGE\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := nats.DecodeHeadersMsg(data)
		if err != nil {
			return
		}
		code, text := h.Get("Status"), h.Get("Description")
		over, err := verdictOfBroker(h)
		if over == (code == "100") {
			t.Errorf("%q: over is %t", data, over)
		}
		moved := code == "409" && strings.Contains(strings.ToLower(text), "leadership change")
		if known := slices.Contains([]string{"100", "404", "408"}, code) || moved; known != (err == nil) {
			t.Errorf("%q: %v", data, err)
		}
		if err != nil && code != "503" && !strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error %q does not say so", data, err)
		}
	})
}

// labelled is somebody's consumer with this metadata.
type labelled struct {
	jetstream.Consumer
	info jetstream.ConsumerInfo
}

func (l labelled) CachedInfo() *jetstream.ConsumerInfo { return &l.info }

func consumerWith(metadata map[string]string) labelled {
	return labelled{info: jetstream.ConsumerInfo{Config: jetstream.ConsumerConfig{Metadata: metadata}}}
}

var consumerName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// FuzzQuotaOf: whoever may make consumers can write there what they like; what
// is believed is a quota that every worker serves alike.
func FuzzQuotaOf(f *testing.F) {
	for _, quota := range []string{
		`{"Account":"default","Endpoint":"https://as.intl.tencentcloudapi.com"}`, `{"account":"team_a","ENDPOINT":"http://127.0.0.1:8089"}`,
		`{"Account":"../..","Endpoint":"x"}`, `{"Account":"a","Endpoint":7}`, `{"Account":"a","Endpoint":"\ud800>.*%zz"}`, "null", "{",
	} {
		f.Add(quota, "urgent")
	}
	f.Add(`{"Account":"a"}`, "express")
	f.Fuzz(func(t *testing.T, quota, lane string) {
		found, ok := sourceOf(consumerWith(map[string]string{metaQuota: quota, metaLane: lane}))
		if !ok {
			return
		}
		got := found.quota
		if !stop.ValidAccount(got.Account) || !slices.Contains(stop.Lanes(), stop.Lane(lane)) {
			t.Errorf("%q in %q is taken for %+v", quota, lane, got)
		}
		for _, l := range stop.Lanes() {
			s := taskSource(got, l)
			if !consumerName.MatchString(s.durable) || !strings.HasPrefix(s.durable, got.Account+"_") {
				t.Errorf("%+v in %s makes the consumer %q", got, l, s.durable)
			}
			if again, ok := sourceOf(consumerWith(s.metadata())); !ok || again != s {
				t.Errorf("others read %+v, %t of the consumer of %+v", again, ok, got)
			}
		}
	})
}
