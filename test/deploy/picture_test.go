package deploy

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

const pictureFile = "../../docs/dashboard.png"

//go:embed picture/page.html
var picturePage []byte

// Of an incident of a quarter of an hour, watched with the rules as they are: the picture in the
// documentation. Grafana is in no package registry, so a page draws the panels from the
// dashboard's own expressions and places.
func TestDashboardPicture(t *testing.T) {
	if os.Getenv("PICTURE") == "" {
		t.Skip("make dashboard-picture draws it, which takes as long as what it shows")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	const step = 5 * time.Second
	s := newStage(t, rules, 6000, step)
	s.drill()
	page, height := s.page(step)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cache, "andon-dashboard.html")
	write(t, file, page)
	t.Logf("the page is %s", file)
	picture, err := filepath.Abs(pictureFile)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
		"--user-data-dir="+t.TempDir(), fmt.Sprintf("--window-size=1560,%d", height), "--screenshot="+picture, "file://"+file)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, out)
	}
}

// drill is an incident as it may happen.
func (s *stage) drill() {
	s.t.Helper()
	lasts := func(d time.Duration) { s.t.Helper(); harness.Pause(s.t, d) }
	atStop := simulator.Match{Action: stop.ActionStop}
	s.fault(simulator.Fault{Kind: simulator.Latency, Delay: 30 * time.Millisecond, DelayMax: 180 * time.Millisecond, Seed: 1})
	s.fault(simulator.Fault{Kind: simulator.ErrorCode, Code: "InvalidParameterValue", Match: simulator.Match{Action: stop.ActionStop, GroupID: groupName(broken)}})
	defer s.flow("as.refresh.stop", 2*time.Second)()
	defer s.flow("as.refresh.stop.urgent", 5*time.Second)()
	defer s.poster("alertmanager", secretOfWeb, http.StatusOK)()
	defer s.poster("grafana", secretOfWeb, http.StatusOK)()

	lasts(45 * time.Second) // an ordinary day
	s.bulk("INC-4711", 2000)
	lasts(75 * time.Second)
	s.ask("as.refresh.stop", one(groupName(broken), "refused"))
	s.ask("as.refresh.stop", map[string]any{"AutoScalingGroup": "misspelt"})
	s.ask("as.refresh.stop", one(groupName(broken+1), "the same again"))
	lasts(time.Minute)

	end := s.fault(simulator.Fault{Name: "others", Kind: simulator.Throttle, Match: atStop, Probability: .5, Seed: 2})
	s.bulk("INC-4712", 400)
	lasts(70 * time.Second)
	end()
	lasts(20 * time.Second)

	end = s.fault(simulator.Fault{Name: "expired", Kind: simulator.RefuseCredentials})
	lasts(200 * time.Second)
	end()
	lasts(30 * time.Second)

	end = s.fault(simulator.Fault{Name: "lost", Kind: simulator.LostAnswer, Match: atStop, Probability: .4, Seed: 3})
	s.bulk("INC-4713", 200)
	lasts(30 * time.Second)
	end()
	s.workers[1].Kill()
	lasts(30 * time.Second)
	release := s.hold("maintenance of the API")
	lasts(30 * time.Second)
	release()
	s.begin(s.workers[1])
	lasts(30 * time.Second)
	s.ask("as.refresh.resume", map[string]any{"Of": "INC-4711", "Reason": "the image is mended"})
	lasts(150 * time.Second)
}

// page is the dashboard with what each of its panels shows, and how high it is.
func (s *stage) page(step time.Duration) (page string, height int) {
	s.t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		s.t.Fatal(err)
	}
	d, from, to := loadDashboard(s.t), s.prom.begun.Truncate(step).Add(step), time.Now().Truncate(step)
	data := make(map[string][]sample)
	for _, panel := range d.Panels {
		// A row of the grid is 38 pixels high, and the header of the page 56.
		height = max(height, (panel.GridPos.Y+panel.GridPos.H)*38+56)
		for _, target := range panel.Targets {
			// Grafana never looks at less than four scrapes.
			found, err := s.prom.between(filled(target.Expr, 4*step, to.Sub(from)), from, to, step)
			if err != nil {
				s.t.Fatalf("%s: %v", panel.Title, err)
			}
			data[strconv.Itoa(panel.ID)+target.RefID] = found
		}
	}
	drawn, err := json.Marshal(map[string]any{
		"dashboard": json.RawMessage(raw), "data": data, "from": from.Unix(), "to": to.Unix(), "step": step.Seconds(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	parts := bytes.SplitN(picturePage, []byte("} = PICTURE;"), 2)
	if len(parts) != 2 {
		s.t.Fatal(errors.New("the page has no place for what it draws"))
	}
	return string(parts[0]) + "} = " + string(drawn) + ";" + string(parts[1]), height
}
