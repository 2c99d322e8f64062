package faults

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

// The link between workers and their broker is bad in every way, for one worker
// or for all.
func TestN1TheLinkToTheBrokerIsBad(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		name      string
		condition harness.Condition
		cut       bool
	}{
		{"cut", harness.Condition{Refuse: true}, true},
		{"half open", harness.Condition{Silent: true}, false},
		{"at 1 kB/s", harness.Condition{BytesPerSecond: 1000}, false},
		{"with 500 ms each way", harness.Condition{Latency: 500 * time.Millisecond}, false},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, "N1 link to the broker "+bad.name, conf{workers: 2})
			w.ask(0)
			for i := range sized(2, 10) {
				w.pause(time.Second, 2*time.Second)
				sick := w.crew
				if i%2 == 1 {
					sick = sick[:1]
				}
				for _, m := range sick {
					m.each(bad.condition)
					if bad.cut {
						m.cut()
					}
				}
				if i%5 == 4 {
					w.pause(20*time.Second, 30*time.Second) // until the client gives the connection up
				} else {
					w.pause(time.Second, 4*time.Second)
				}
				for _, m := range sick {
					m.each(harness.Condition{})
				}
				w.injected()
				for _, m := range sick {
					m.back(5 * time.Second)
				}
			}
			w.finish(2 * time.Minute)
		})
	}
}

// cut ends the worker's connections to the broker.
func (m *worker) cut() {
	for _, l := range m.links {
		l.Cut()
	}
}

// back waits until the worker is connected.
func (m *worker) back(within time.Duration) {
	m.w.t.Helper()
	harness.Eventually(m.w.t, within, func() error {
		_, body, err := m.get("/readyz?verbose")
		if err == nil && !strings.Contains(body, "[+]connection ok") {
			err = fmt.Errorf("%s is not connected again: %s", m.name, body)
		}
		return err
	})
}

// The link between workers and the API is bad: what was sent may have arrived.
func TestN2TheLinkToTheAPIIsBad(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		name      string
		condition harness.Condition
		cut       bool
	}{
		{"refuses", harness.Condition{Refuse: true}, true},
		{"cuts before the answer", harness.Condition{Reset: true}, false},
		{"carries no answer", harness.Condition{Mute: true}, false},
		{"cuts amid the answer", harness.Condition{CutAfter: 60}, true},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, "N2 link to the API "+bad.name, conf{workers: 2, also: calm})
			w.ask(0)
			for range sized(2, 12) {
				w.pause(500*time.Millisecond, time.Second)
				for _, m := range w.crew {
					m.api.Set(bad.condition)
					if bad.cut {
						m.api.Cut()
					}
				}
				w.pause(500*time.Millisecond, 2*time.Second)
				for _, m := range w.crew {
					m.api.Set(harness.Condition{})
				}
				w.injected()
			}
			w.finish(2 * time.Minute)
		})
	}
}

// trust gives workers an API with TLS, reached by the address given.
func (w *world) trust(api *harness.API, endpoint string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range w.crew {
		m.command.Env = append(m.command.Env, "SSL_CERT_FILE="+file)
		m.command.Args[slices.Index(m.command.Args, "--endpoint")+1] = endpoint
	}
}

// A handshake that is cut has sent nothing, and one that is held up for long
// must not be taken for an answer.
func TestN2TheTLSHandshakeFails(t *testing.T) {
	t.Parallel()
	w := prepare(t, "N2 TLS handshake cut", conf{workers: 2, tls: true})
	link := harness.NewLink(t, w.api.Listener.Addr().String())
	w.trust(w.api, "https://"+link.Addr())
	w.start()
	w.ask(0)
	for range sized(2, 12) {
		w.pause(time.Second, 2*time.Second)
		link.Set(harness.Condition{CutAfter: 200})
		link.Cut()
		w.pause(500*time.Millisecond, 1500*time.Millisecond)
		link.Set(harness.Condition{})
		link.Cut()
		w.injected()
	}
	w.finish(time.Minute)
}

// Many workers come back at the same time.
func TestN3TheBrokerIsRestartedUnderManyWorkers(t *testing.T) {
	t.Parallel()
	n := sized(12, 50)
	w := begin(t, fmt.Sprintf("N3 broker restarted under %d workers", n), conf{workers: n, args: []string{"--concurrency", "4"}})
	w.ask(0)
	for range sized(1, 4) {
		w.pause(2*time.Second, 3*time.Second)
		w.kill(w.broker.Nodes[0])
		w.pause(500*time.Millisecond, time.Second)
		w.broker.Start(w.broker.Nodes[0])
		w.broker.Nodes[0].Answers(t)
		since := time.Now()
		w.injected()
		for _, m := range w.crew {
			m.back(10 * time.Second)
		}
		w.row.note = fmt.Sprintf("at most %d connections in 100 ms", w.crowd(since))
	}
	w.finish(2 * time.Minute)
}

// crowd is the most connections to the broker in a tenth of a second.
func (w *world) crowd(since time.Time) (most int) {
	var all []time.Time
	for _, m := range w.crew {
		for _, l := range m.links {
			for _, at := range l.Accepted() {
				if at.After(since) {
					all = append(all, at)
				}
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	first := 0
	for i := range all {
		for all[i].Sub(all[first]) >= 100*time.Millisecond {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
