package asapi

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// raw is the same call by hand: what the SDK is measured against.
type raw struct {
	client    http.Client
	url, host string
}

func newRaw(url string) *raw {
	return &raw{client: http.Client{Transport: newTransport(32)}, url: url, host: strings.TrimPrefix(url, "http://")}
}

// TC3-HMAC-SHA256, https://www.tencentcloud.com/document/api/377/4221.
func (r *raw) stop(ctx context.Context, t stop.Target) (requestID string, err error) {
	payload, err := json.Marshal(map[string]string{"AutoScalingGroupId": t.AutoScalingGroupID, "RefreshActivityId": t.RefreshActivityID})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(payload))
	if err != nil {
		return "", err
	}
	now := time.Now().UTC()
	stamp, date := strconv.FormatInt(now.Unix(), 10), now.Format(time.DateOnly)
	canonical := "POST\n/\n\ncontent-type:application/json\nhost:" + r.host + "\n\ncontent-type;host\n" + sum(payload)
	scope := date + "/as/tc3_request"
	toSign := "TC3-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + sum([]byte(canonical))
	signed := mac(mac(mac(mac([]byte("TC3"+simulator.SampleSecretKey), date), "as"), "tc3_request"), toSign)
	req.Header = http.Header{
		"Content-Type":   {"application/json"},
		"X-Tc-Action":    {stop.ActionStop},
		"X-Tc-Version":   {"2018-04-19"},
		"X-Tc-Timestamp": {stamp},
		"X-Tc-Region":    {t.Region},
		"Authorization": {"TC3-HMAC-SHA256 Credential=" + simulator.SampleSecretID + "/" + scope +
			", SignedHeaders=content-type;host, Signature=" + hex.EncodeToString(signed)},
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	var answer struct {
		Response struct {
			RequestID string `json:"RequestId"`
			Error     struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return "", err
	}
	if code := answer.Response.Error.Code; code != "" {
		return "", errors.New(code)
	}
	return answer.Response.RequestID, nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, text)
	return m.Sum(nil)
}

// TestRawIsTheSameCall: else the comparison would be with something less.
func TestRawIsTheSameCall(t *testing.T) {
	sim, server := newSimulator(t)
	r := newRaw(server.URL)
	defer r.client.CloseIdleConnections()
	if id, err := r.stop(t.Context(), web); err != nil || id == "" {
		t.Errorf("got %q, %v", id, err)
	}
	if a := newClient(t, server.URL).Stop(t.Context(), web); a.Class != stop.ClassConflict {
		t.Errorf("got %+v", a)
	}
	for _, a := range sim.Arrivals() {
		if fmt.Sprint(a.Action, a.Region, a.GroupID, a.ActivityIDs, a.SecretID) != fmt.Sprint(stop.ActionStop, web.Region, web.AutoScalingGroupID, []string{web.RefreshActivityID}, simulator.SampleSecretID) {
			t.Errorf("arrived %+v", a)
		}
	}
}

// The ratio of these two is what the SDK costs; the server is the cheapest
// there is, so that it is an upper bound.

func BenchmarkStopSDK(b *testing.B) {
	c := newClient(b, serve(b, says(accepted)).URL)
	b.ReportAllocs()
	for b.Loop() {
		if a := c.Stop(b.Context(), web); !a.OK() {
			b.Fatalf("got %+v", a)
		}
	}
}

func BenchmarkStopRaw(b *testing.B) {
	r := newRaw(serve(b, says(accepted)).URL)
	b.Cleanup(r.client.CloseIdleConnections)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.stop(b.Context(), web); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStopSDKParallel(b *testing.B) {
	c := newClient(b, serve(b, says(accepted)).URL)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := c.Stop(b.Context(), web); !a.OK() {
				b.Errorf("got %+v", a)
				return
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	codes := []string{stop.CodeConflict, "RequestLimitExceeded.UinLimitExceeded", "ResourceNotFound.RefreshActivityNotFound", "NeverSeen.Before"}
	b.ReportAllocs()
	for b.Loop() {
		for _, code := range codes {
			classify(code)
		}
	}
}
