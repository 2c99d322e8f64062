package simulator_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// fleet is a world of many groups, spread evenly over regions and accounts, of
// which the first ones have a refresh that runs.
type fleet struct {
	name                            string
	groups, live, regions, accounts int
}

var fleets = []fleet{
	{"Hundred", 100, 100, 10, 10},
	{"TenThousand", 10_000, 10_000, 10, 10},
	{"TenThousandInOneRegion", 10_000, 300, 1, 1},
}

func (f fleet) group(i int) string    { return fmt.Sprintf("asg-%d", i) }
func (f fleet) activity(i int) string { return fmt.Sprintf("asr-%d", i) }
func (f fleet) region(i int) string   { return "ap-" + string(rune('a'+i%f.regions)) }
func (f fleet) account(i int) string  { return fmt.Sprintf("AKIDFLEET%d", i/f.regions%f.accounts) }

func (f fleet) scenario() simulator.Scenario {
	sc := simulator.Scenario{Quota: simulator.Quota{Off: true}, MaxArrivals: 1000}
	for i := range f.accounts {
		sc.Credentials = append(sc.Credentials, simulator.Credential{SecretID: f.account(i * f.regions), SecretKey: "key"})
	}
	for i := range f.groups {
		sc.Groups = append(sc.Groups, simulator.Group{Region: f.region(i), ID: f.group(i), Accounts: []string{f.account(i)}, Tags: map[string]string{"team": "shop"}})
	}
	for i := range f.live {
		sc.Activities = append(sc.Activities, simulator.Activity{GroupID: f.group(i), ID: f.activity(i), Status: simulator.Running})
	}
	return sc
}

func (f fleet) start(b *testing.B) *simulator.Simulator {
	b.Helper()
	s, err := simulator.New(f.scenario())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// caller returns what makes a call for the i-th group, again and again. It
// signs once, for the caller's work is not what is measured.
func (f fleet) caller(b *testing.B, s *simulator.Simulator, i int, action, body string) func() {
	b.Helper()
	r := request{action: action, region: f.region(i), id: f.account(i), key: "key", body: body}.build(b)
	return func() {
		r.Body = io.NopCloser(strings.NewReader(body))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if bytes.Contains(w.Body.Bytes(), []byte(`"Error"`)) {
			b.Fatalf("%s: %s", body, w.Body)
		}
	}
}

// BenchmarkStopAmong is a Stop, and the Resume that makes the next one possible.
func BenchmarkStopAmong(b *testing.B) {
	for _, f := range fleets {
		b.Run(f.name, func(b *testing.B) {
			s := f.start(b)
			var pairs [][2]func()
			for n := range 100 {
				i := n * f.live / 100
				body := fmt.Sprintf(`{"AutoScalingGroupId":%q,"RefreshActivityId":%q}`, f.group(i), f.activity(i))
				pairs = append(pairs, [2]func(){
					f.caller(b, s, i, "StopInstanceRefresh", body), f.caller(b, s, i, "ResumeInstanceRefresh", body),
				})
			}
			i := 0
			for b.Loop() {
				pair := pairs[i%len(pairs)]
				pair[0]()
				pair[1]()
				i++
			}
		})
	}
}

func BenchmarkDescribeAmong(b *testing.B) {
	for _, f := range fleets {
		for _, q := range []struct{ name, action, body string }{
			{"ActivityByID", "DescribeRefreshActivities", `{"RefreshActivityIds":["asr-0"]}`},
			{"ActivityOfGroup", "DescribeRefreshActivities", `{"Filters":[{"Name":"auto-scaling-group-id","Values":["asg-0"]}]}`},
			{"ActivitiesOfRegion", "DescribeRefreshActivities", `{"Limit":1}`},
			{"GroupByID", "DescribeAutoScalingGroups", `{"AutoScalingGroupIds":["asg-0"]}`},
			{"GroupByName", "DescribeAutoScalingGroups", `{"Filters":[{"Name":"auto-scaling-group-name","Values":["asg-0"]}]}`},
			{"GroupsOfRegion", "DescribeAutoScalingGroups", `{"Filters":[{"Name":"tag:team","Values":["shop"]}],"Limit":1}`},
		} {
			b.Run(f.name+"/"+q.name, func(b *testing.B) {
				describe := f.caller(b, f.start(b), 0, q.action, q.body)
				for b.Loop() {
					describe()
				}
			})
		}
	}
}

// BenchmarkPopulate is adding all groups and activities, one after the other.
func BenchmarkPopulate(b *testing.B) {
	for _, f := range fleets {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				f.start(b)
			}
		})
	}
}
