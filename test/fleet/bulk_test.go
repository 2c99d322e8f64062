package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// targets is how many groups the bulks of this file name.
const targets = 10_000

// BenchmarkBulk is how long one request for ten thousand groups takes until its
// summary is stored, with one worker and one broker that syncs every write, all
// on this machine: where 3 % of the groups have a live refresh, in one account
// with one endpoint; and where all have, in ten accounts and ten regions with an
// endpoint each, with the broker's files on the disk and in memory.
func BenchmarkBulk(b *testing.B) {
	for _, c := range []struct {
		name              string
		accounts, regions int
		live              int // of a hundred
		memory            bool
	}{
		{"one-quota-3%-live", 1, 1, 3, false},
		{"100-quotas-all-live", 10, 10, 100, false},
		{"100-quotas-all-live-files-in-memory", 10, 10, 100, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlaces(c.accounts, c.regions, c.live)
			dir := b.TempDir()
			if c.memory {
				dir = harness.MemoryDir(b)
			}
			api, broker := harness.StartAPI(b, p.scenario()), newBrokerIn(b, 1, dir)
			w := p.work(b, "worker", broker, api)
			begun := time.Now()
			publish(b, broker.JS, "bulk", p.request("bulk"))
			done := p.await(b, broker.JS, "bulk", 10*time.Minute)
			took := time.Since(begun)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took.Seconds(), "s")
			b.ReportMetric(float64(api.Between(begun, time.Now())), "stops")
			b.ReportMetric(float64(done.Outcomes[stop.OutcomePaused]), "paused")
			b.ReportMetric(float64(p.most(api)), "most/s")
			b.ReportMetric(float64(api.Throttled()), "throttled")
			b.ReportMetric(peak(b, w), "MB-peak")
		})
	}
}

// places are groups spread over accounts and regions.
type places struct {
	accounts, regions []string
	live              int
}

func newPlaces(accounts, regions, live int) places {
	p := places{live: live}
	for i := range accounts {
		p.accounts = append(p.accounts, fmt.Sprintf("a%d", i))
	}
	p.regions = []string{
		"ap-guangzhou", "ap-singapore", "ap-shanghai", "ap-beijing", "ap-hongkong", "ap-tokyo", "ap-seoul", "ap-bangkok", "ap-jakarta", "ap-nanjing",
	}[:regions]
	return p
}

// place is the account and region of a group.
func (p places) place(i int) (account, region string) {
	return p.accounts[i%len(p.accounts)], p.regions[i/len(p.accounts)%len(p.regions)]
}

func secretOf(account string) string { return "AKIDFLEET" + strings.ToUpper(account) }

func (p places) scenario() simulator.Scenario {
	var sc simulator.Scenario
	for _, a := range p.accounts {
		sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: secretOf(a), SecretKey: "secret-of-" + a})
	}
	for i := range targets {
		account, region := p.place(i)
		g, a := names(i)
		sc.Groups = append(sc.Groups, simulator.Group{Region: region, ID: g, Name: g, Accounts: []string{secretOf(account)}})
		if i*p.live/100 != (i+1)*p.live/100 {
			sc.Activities = append(sc.Activities, simulator.Activity{GroupID: g, ID: a, Status: simulator.Running})
		}
	}
	return sc
}

// work runs a worker that has the accounts. The API stands in as the proxy for
// whatever host the endpoint names.
func (p places) work(t testing.TB, name string, b *broker, a *harness.API) *harness.Process {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("accounts:\n")
	for _, account := range p.accounts {
		file := filepath.Join(dir, account)
		if err := os.WriteFile(file, []byte("[default]\nsecret_id = "+secretOf(account)+"\nsecret_key = secret-of-"+account+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&config, "  %s: {credentials-file: %s}\n", account, file)
	}
	if err := os.WriteFile(filepath.Join(dir, "worker.yaml"), []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w := harness.Start(t, harness.Command{Name: name, Path: harness.Program(t, harness.Module+"/cmd/worker"), Env: []string{
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "HTTP_PROXY=" + a.URL, "NO_PROXY=127.0.0.1",
		"NATS_URL=" + b.URL(), "ANDON_ENDPOINT=http://as.{region}.example", "ANDON_HTTP_LISTEN=127.0.0.1:0", "ANDON_LOG_FORMAT=json",
		"ANDON_CONFIG=" + filepath.Join(dir, "worker.yaml"),
	}})
	if _, err := w.Says(`"msg":"working"`, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	return w
}

// request names every group.
func (p places) request(id string) []byte {
	var list []stop.Target
	for i := range targets {
		account, region := p.place(i)
		group, _ := names(i)
		list = append(list, stop.Target{Account: account, Region: region, AutoScalingGroupID: group})
	}
	data, err := json.Marshal(stop.Request{ID: id, Targets: list, NotAfter: time.Now().Add(time.Hour)})
	if err != nil {
		panic(err) // made of strings
	}
	return data
}

func publish(t testing.TB, js jetstream.JetStream, id string, data []byte) {
	t.Helper()
	if _, err := js.Publish(t.Context(), stop.SubjectStop, data, jetstream.WithMsgID(id)); err != nil {
		t.Fatal(err)
	}
}

// await waits for the summary of a request.
func (p places) await(t testing.TB, js jetstream.JetStream, id string, within time.Duration) stop.Result {
	t.Helper()
	results, err := js.Stream(t.Context(), stop.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	var done stop.Result
	harness.Eventually(t, within, func() error {
		msg, err := results.GetLastMsgForSubject(t.Context(), stop.ResultSubject(id))
		if err != nil {
			return err
		}
		return json.Unmarshal(msg.Data, &done)
	})
	if done.Summary == nil || done.Total != targets {
		t.Fatalf("the result is %+v", done)
	}
	return done
}

// most is the largest number of Stops that any quota had in a second.
func (p places) most(a *harness.API) int {
	byQuota := make(map[string][]simulator.Arrival)
	for _, arrival := range a.Sim.Arrivals() {
		if arrival.Action == stop.ActionStop {
			key := arrival.Host + arrival.SecretID
			byQuota[key] = append(byQuota[key], arrival)
		}
	}
	most := 0
	for _, arrivals := range byQuota {
		most = max(most, simulator.MostIn(time.Second, arrivals))
	}
	return most
}

// peak is the most memory that a process has had, in megabytes.
func peak(t testing.TB, p *harness.Process) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/status")
	if err != nil {
		t.Log("memory is not known here: ", err)
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
