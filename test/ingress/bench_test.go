package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// BenchmarkWebhookToStop is the time from the post of a webhook, as Alertmanager sends
// it, to the Stop's arrival at the API: for one group after the other, each when the
// one before has its result, without a limit on the rate, with every write synced.
func BenchmarkWebhookToStop(b *testing.B) {
	r := newRig(b, b.N)
	r.work()
	r.listen()
	c := r.connect()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		number := fmt.Sprintf("more%05d", i+1)
		body := fmt.Sprintf(`{"receiver":"andon","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"RefreshUnhealthy",`+
			`"auto_scaling_group_id":"asg-%s","region":%q},"annotations":{"summary":"bad refresh"},"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z",`+
			`"generatorURL":"http://prometheus.example/graph","fingerprint":"%016x"}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},`+
			`"externalURL":"http://alertmanager.example","version":"4","groupKey":"{}","truncatedAlerts":0}`,
			number, region, time.Now().UTC().Format(time.RFC3339Nano), i)
		arrives, posted := r.api.Await("asr-"+number), time.Now()
		id := r.post(body)
		select {
		case at := <-arrives:
			took = append(took, at.Sub(posted))
		case <-time.After(30 * time.Second):
			b.Fatalf("no Stop for asg-%s", number)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
		var got stop.Result
		err := c.Await(ctx, id, func(result stop.Result) bool { got = result; return false })
		cancel()
		if err != nil || got.Outcome != stop.OutcomePaused {
			b.Fatalf("asg-%s: %v, %q %s", number, err, got.Outcome, got.Message)
		}
	}
	b.StopTimer()
	slices.Sort(took)
	for _, percent := range []int{50, 99} {
		at := took[(len(took)*percent+99)/100-1] // the nearest rank
		b.ReportMetric(float64(at)/float64(time.Millisecond), fmt.Sprintf("ms-p%d", percent))
	}
}

// post posts to the ingress, and returns the request that this has made.
func (r *rig) post(body string) (id string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+r.ingress+"/webhook/alertmanager", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var said struct{ Requests []string }
	if err := json.Unmarshal(text, &said); err != nil || resp.StatusCode != http.StatusOK || len(said.Requests) != 1 {
		r.t.Fatalf("answered %s: %s", resp.Status, text)
	}
	return said.Requests[0]
}
