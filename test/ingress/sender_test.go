package ingress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

// The newest Alertmanager that `go install` can build: later modules lack the files
// of its user interface.
var alertmanagerTool = harness.Tool{Package: "github.com/prometheus/alertmanager/cmd/alertmanager", Version: "v0.31.1"}

// installed is where Alertmanager is. Where it cannot be had, the test is skipped.
func installed(t testing.TB) string {
	t.Helper()
	program, err := alertmanagerTool.Installed(t)
	if err != nil {
		t.Skip(err)
	}
	return program
}

// alertmanager is a real one, and what has gone from it to the ingress.
type alertmanager struct {
	t    testing.TB
	addr string
	way  *way
}

// startAlertmanager starts one that tells an ingress of all its alerts, and again
// every second of those that still fire: what takes hours elsewhere.
func startAlertmanager(t testing.TB, ingress, secretFile string) *alertmanager {
	t.Helper()
	program := installed(t)
	a := &alertmanager{t: t, addr: harness.FreeAddr(t), way: newWay(t, ingress)}
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	config := fmt.Sprintf(`
route:
  receiver: andon
  group_by: [alertname]
  group_wait: 10ms
  group_interval: 1s
  repeat_interval: 1s
receivers:
  - name: andon
    webhook_configs:
      - url: %s/webhook/alertmanager
        send_resolved: true
        http_config:
          authorization:
            type: Bearer
            credentials_file: %s
`, a.way.URL, secretFile)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Start(t, harness.Command{Name: "alertmanager " + a.addr, Path: program, Args: []string{
		"--config.file=" + file, "--storage.path=" + dir, "--web.listen-address=" + a.addr, "--cluster.listen-address=",
	}})
	answers(t, "http://"+a.addr+"/-/ready")
	return a
}

// alert is what Prometheus posts.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// tell posts an alert as Prometheus does, which says of one that fires until when it
// does so if nothing more is heard.
func (a *alertmanager) tell(what alert) {
	a.t.Helper()
	body, err := json.Marshal([]alert{what})
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.Post("http://"+a.addr+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		a.t.Fatalf("Alertmanager answers %s: %s", resp.Status, said)
	}
}

// way is how an Alertmanager reaches an ingress; it writes down what goes over it and
// changes nothing.
type way struct {
	*httptest.Server

	mu    sync.Mutex
	posts []post
}

// post is what Alertmanager posted and was answered.
type post struct {
	body       []byte
	status     int
	retryAfter string
	answer     []byte
}

func newWay(t testing.TB, ingress string) *way {
	t.Helper()
	target, err := url.Parse("http://" + ingress)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	w := &way{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // Alertmanager has gone, and comes again
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
			Transport: transport,
			ModifyResponse: func(resp *http.Response) error {
				answer, err := io.ReadAll(resp.Body)
				if err != nil {
					return err
				}
				resp.Body = io.NopCloser(bytes.NewReader(answer))
				w.mu.Lock()
				defer w.mu.Unlock()
				w.posts = append(w.posts, post{body, resp.StatusCode, resp.Header.Get("Retry-After"), answer})
				return nil
			},
			ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { w.Close(); transport.CloseIdleConnections() })
	return w
}

// answered is what was answered so after the first so many posts.
func (w *way) answered(status, after int) (with []post) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.posts[min(after, len(w.posts)):] {
		if p.status == status {
			with = append(with, p)
		}
	}
	return with
}

// count is how many posts were answered.
func (w *way) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.posts)
}

// await waits until so many posts after the first so many are taken whose alerts have
// a status.
func (w *way) await(t testing.TB, after, more int, status string) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, func() error {
		n := 0
		for _, p := range w.answered(http.StatusOK, after) {
			var sent struct{ Alerts []struct{ Status string } }
			var said struct{ Requests []string }
			if err := errors.Join(json.Unmarshal(p.body, &sent), json.Unmarshal(p.answer, &said)); err != nil {
				t.Fatalf("%s is answered %s: %v", p.body, p.answer, err)
			}
			if len(sent.Alerts) != 1 || sent.Alerts[0].Status != status {
				continue
			}
			// That nothing comes of one that has resolved could be because it is known.
			if asks := len(said.Requests) == 1; asks != (status == "firing") {
				t.Fatalf("%s is answered %s", p.body, p.answer)
			}
			n++
		}
		if n < more {
			return fmt.Errorf("%d posts of %s alerts of %d are taken", n, status, more)
		}
		return nil
	})
}

// another waits for a post after the first so many that asks for what none of these
// did, and returns the request.
func (w *way) another(t testing.TB, after int) (request string) {
	t.Helper()
	requests := func(posts []post) map[string]bool {
		all := make(map[string]bool)
		for _, p := range posts {
			var said struct{ Requests []string }
			if err := json.Unmarshal(p.answer, &said); err != nil {
				t.Fatalf("answered %s: %v", p.answer, err)
			}
			for _, r := range said.Requests {
				all[r] = true
			}
		}
		return all
	}
	harness.Eventually(t, 30*time.Second, func() error {
		all := w.answered(http.StatusOK, 0)
		late := w.answered(http.StatusOK, after)
		known := requests(all[:len(all)-len(late)])
		for r := range requests(late) {
			if !known[r] {
				request = r
				return nil
			}
		}
		return errors.New("nothing else is asked for")
	})
	return request
}

// answers waits until a site answers 200.
func answers(t testing.TB, site string) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, func() error { return harness.Answers(t.Context(), site) })
}
