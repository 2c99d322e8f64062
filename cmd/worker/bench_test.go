package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

// BenchmarkEndToEnd is a request from its publishing to its result without a
// limit on the rate: broker with every write synced, plan, task, permit, note,
// signed HTTP call by the SDK, result, acknowledgement; with the simulator,
// all on this machine.
func BenchmarkEndToEnd(b *testing.B) {
	for _, publishers := range []int{1, 64} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			r := newRig(b, b.N)
			r.work("--rate", "10000", "--concurrency", "64", "--log-level", "info")
			// What the worker itself allocates cannot be told from the rest of
			// the process; the number is for all parts together.
			b.ReportAllocs()
			b.ResetTimer()
			next := make(chan int)
			var group sync.WaitGroup
			for range publishers {
				group.Go(func() {
					for i := range next {
						r.ask(activityOf(i), i)
						if publishers == 1 {
							r.await(time.Minute, activityOf(i))
						}
					}
				})
			}
			var ids []string
			for i := range b.N {
				ids = append(ids, activityOf(i))
				next <- i
			}
			close(next)
			group.Wait()
			r.await(10*time.Minute, ids...)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// BenchmarkIdle is what a worker costs that has nothing to do.
func BenchmarkIdle(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	for _, embedded := range []bool{true, false} {
		b.Run(fmt.Sprintf("embedded=%v", embedded), func(b *testing.B) {
			r := newRig(b, 1)
			web := harness.FreeAddr(b)
			args := []string{"--endpoint", r.api.URL, "--region", rigRegion, "--http-listen", web}
			if embedded {
				args = append(args, "--nats-listen", "off", "--store-dir", harness.DiskDir(b))
			} else {
				args = append(args, "--nats-url", r.url)
			}
			p := harness.Start(b, harness.Command{Name: "worker", Path: harness.Program(b, harness.Module+"/cmd/worker"), Args: args, Env: []string{
				"HOME=" + b.TempDir(), "PATH=" + os.Getenv("PATH"),
				"TENCENTCLOUD_SECRET_ID=" + simulator.SampleSecretID, "TENCENTCLOUD_SECRET_KEY=" + simulator.SampleSecretKey,
			}})
			r.eventually(30*time.Second, func() error {
				resp, err := http.Get("http://" + web + "/readyz")
				if err != nil {
					return err
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					return fmt.Errorf("not ready: %s\n%s", resp.Status, p.Log)
				}
				return nil
			})
			const watch = 10 * time.Second
			before := cpuTime(b, p.PID())
			b.ResetTimer()
			<-time.After(watch) // the span that is measured
			b.StopTimer()
			used := cpuTime(b, p.PID()) - before
			b.ReportMetric(100*used.Seconds()/watch.Seconds(), "cpu-%")
			b.ReportMetric(residentMB(b, p.PID()), "rss-MB")
		})
	}
}

// cpuTime is how long a process has used a core, in ticks of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The second field is in parentheses and may hold blanks; user and system
	// time are the fields 14 and 15.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
