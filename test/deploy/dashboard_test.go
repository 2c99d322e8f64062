package deploy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const dashboardFile = "../../deploy/grafana/andon.json"

// dashboard is one of Grafana's, as far as the tests look at it.
type dashboard struct {
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	} `json:"datasource"`
	GridPos struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

func loadDashboard(t testing.TB) dashboard {
	t.Helper()
	data, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	return d
}

// filled is an expression as Grafana sends it when everything is chosen.
func filled(expr string, rate, shown time.Duration) string {
	for variable, value := range map[string]string{
		"$job": ".*", "$account": ".*", "$lane": ".*", "$__rate_interval": rate.String(), "$__range": shown.String(),
	} {
		expr = strings.ReplaceAll(expr, variable, value)
	}
	return expr
}

func TestDashboardCanBeRead(t *testing.T) {
	d := loadDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			expr, ok := strings.CutPrefix(v.Definition, "label_values(")
			expr, _, more := strings.Cut(expr, ", ")
			if !ok || !more {
				t.Errorf("variable %s: %q is not label_values(series, label)", v.Name, v.Definition)
				continue
			}
			parsed(t, filled(expr, time.Minute, time.Hour))
		}
	}
	if want := []string{"datasource", "job", "account", "lane"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %v, want %v", variables, want)
	}
	ids, taken := make(map[int]string), make(map[[2]int]string)
	for _, p := range d.Panels {
		if other := ids[p.ID]; other != "" {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%q has no room at %v beside %q", p.Title, at, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, no description, no unit or no expression", p.ID, p.Title)
		}
		if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q does not ask the Prometheus that is chosen", p.Title)
		}
		for _, target := range p.Targets {
			expr := filled(target.Expr, time.Minute, time.Hour)
			if strings.Contains(expr, "$") {
				t.Errorf("%q has a variable that nobody fills: %s", p.Title, target.Expr)
				continue
			}
			parsed(t, expr)
		}
	}
}
