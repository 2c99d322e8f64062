package deploy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const (
	rulesFile      = "../../deploy/prometheus/andon.rules.yaml"
	rulesTestsFile = "../../deploy/prometheus/andon.rules.test.yaml"
	operationsFile = "../../docs/operations.md"
)

// rules is a file of alerts.
type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           model.Duration    `yaml:"for,omitempty"`
	KeepFiringFor model.Duration    `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

// name tells rules of one alert apart.
func (r rule) name() string { return ruleName(r.Alert, r.Labels) }

func ruleName(alert string, labels map[string]string) string {
	name := alert + " " + labels["severity"]
	if p := labels["program"]; p != "" {
		name += " " + p
	}
	return name
}

func loadRules(t testing.TB) rules {
	t.Helper()
	var r rules
	load(t, rulesFile, &r)
	return r
}

// load reads a file of YAML that has no fields but those of the value.
func load(t testing.TB, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestRulesAreWhatPrometheusReads(t *testing.T) {
	promtool := prometheusTool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "--lint=all", "--lint-fatal", rulesFile}, {"test", "rules", rulesTestsFile}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Each rule has a unit test in which it fires, and one, later or before, in which it
// does not.
func TestRulesHaveUnitTests(t *testing.T) {
	var tests struct {
		RuleFiles          []string `yaml:"rule_files"`
		EvaluationInterval string   `yaml:"evaluation_interval"`
		Tests              []struct {
			Name      string           `yaml:"name"`
			Interval  string           `yaml:"interval"`
			Input     []map[string]any `yaml:"input_series"`
			PromQL    []map[string]any `yaml:"promql_expr_test"`
			AlertRule []struct {
				EvalTime  model.Duration `yaml:"eval_time"`
				Alertname string         `yaml:"alertname"`
				Expected  []struct {
					Labels      map[string]string `yaml:"exp_labels"`
					Annotations map[string]string `yaml:"exp_annotations"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	load(t, rulesTestsFile, &tests)
	fires, before, after := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, test := range tests.Tests {
		silent := make(map[string]bool) // by alert, before it fired in this test
		fired := make(map[string][]string)
		for _, a := range test.AlertRule {
			if len(a.Expected) == 0 {
				silent[a.Alertname] = true
				for _, name := range fired[a.Alertname] {
					after[name] = true
				}
			}
			for _, e := range a.Expected {
				name := ruleName(a.Alertname, e.Labels)
				fires[name], fired[a.Alertname] = true, append(fired[a.Alertname], name)
				before[name] = before[name] || silent[a.Alertname]
			}
		}
	}
	for _, r := range loadRules(t).Groups[0].Rules {
		for what, seen := range map[string]map[string]bool{"fires": fires, "is silent before": before, "is over afterwards": after} {
			if !seen[r.name()] {
				t.Errorf("%s: no unit test in which it %s", r.name(), what)
			}
		}
	}
}

// Whoever is paged is told what it means and where to read on.
func TestRulesLeadToTheRunbook(t *testing.T) {
	text, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	headings := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			headings[name] = true
		}
	}
	alerts := make(map[string]bool)
	for _, r := range loadRules(t).Groups[0].Rules {
		alerts[r.Alert] = true
		want := "https://github.com/seed-a7c21902/andon/blob/main/docs/operations.md#" + strings.ToLower(r.Alert)
		if got := r.Annotations["runbook_url"]; got != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.name(), got, want)
		}
		if !headings[r.Alert] {
			t.Errorf("%s has no section %q in %s", r.Alert, "### "+r.Alert, operationsFile)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: summary or description is missing", r.name())
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity is %q, want page or ticket", r.name(), s)
		}
	}
	for name := range headings {
		if strings.HasPrefix(name, "Andon") && !alerts[name] {
			t.Errorf("%s has a section on %s, which is no alert", operationsFile, name)
		}
	}
}

// What is scaled, and how, so that hours are over in seconds: every duration in the file
// of rules, in `for`, `keep_firing_for`, ranges, offsets and where a time is compared with
// one, is divided by the factor; but a range is never shorter than what is scraped five
// times. Nothing else is changed.
const (
	scaleFactor = 240 // four hours are a minute
	shortest    = 5 * time.Second
)

// scaled writes the rules with their durations scaled, and returns the file.
func scaled(t testing.TB) string {
	t.Helper()
	all := loadRules(t)
	for _, g := range all.Groups {
		for i := range g.Rules {
			r := &g.Rules[i]
			r.For, r.KeepFiringFor = r.For/scaleFactor, r.KeepFiringFor/scaleFactor
			r.Expr = scaledExpr(parsed(t, r.Expr))
		}
	}
	data, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "andon.rules.yaml")
	write(t, file, string(data))
	return file
}

func scaledExpr(e parser.Expr) string {
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			n.Range = max(n.Range/scaleFactor, shortest)
		case *parser.VectorSelector:
			n.OriginalOffset /= scaleFactor
		case *parser.SubqueryExpr:
			n.Range, n.OriginalOffset = max(n.Range/scaleFactor, shortest), n.OriginalOffset/scaleFactor
		case *parser.NumberLiteral:
			if n.Duration {
				n.Val, n.Duration = n.Val/scaleFactor, false
			}
		}
		return nil
	})
	return e.String()
}

func TestScalingChangesDurationsAlone(t *testing.T) {
	for expr, want := range map[string]string{
		`a > 4h`:                             `a > 60`,
		`a > 20`:                             `a > 20`,
		`rate(a{b="1h"}[1h]) > 2m`:           `rate(a{b="1h"}[15s]) > 0.5`,
		`increase(a[5m]) unless a offset 8m`: `increase(a[5s]) unless a offset 2s`,
		`time() - process_start_time_seconds < 15m and b == 3`:     `time() - process_start_time_seconds < 3.75 and b == 3`,
		`max_over_time(sum by (c) (rate(a[1d]))[2d:]) > 60 * 1.5`:  `max_over_time(sum by (c) (rate(a[6m]))[12m:]) > 60 * 1.5`,
		`60 * rate(andon_throttled_total{account="a"}[10m]) > 3`:   `60 * rate(andon_throttled_total{account="a"}[5s]) > 3`,
		`absent(a) unless on () group(last_over_time(a[1d])) == 1`: `absent(a) unless on () group(last_over_time(a[6m])) == 1`,
	} {
		if got := scaledExpr(parsed(t, expr)); got != want {
			t.Errorf("%s\nis scaled to %s\nand should be %s", expr, got, want)
		}
	}
}

// selectors are the parts of an expression that choose series, and the labels that it
// sorts by.
func selectors(e parser.Expr) (all []*parser.VectorSelector, labels []string) {
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			all = append(all, n)
		case *parser.AggregateExpr:
			labels = append(labels, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				labels = append(labels, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	return all, labels
}

// ofTarget are the labels that Prometheus gives to what it scrapes, or an operator in
// its configuration; the last are of its own ALERTS.
var ofTarget = []string{"job", "instance", "cluster", "namespace", "alertname", "alertstate", "severity"}

// unknown says what of an expression no process has ever shown: metrics, by name with
// their labels, and the values that labels are compared with.
func unknown(e parser.Expr, known map[string][]map[string]string) error {
	var errs []error
	all, sorted := selectors(e)
	labels := make(map[string]bool) // of all metrics in the expression
	for _, l := range ofTarget {
		labels[l] = true
	}
	for _, s := range all {
		series := known[s.Name]
		if len(series) == 0 {
			errs = append(errs, fmt.Errorf("there is no metric %s", s.Name))
			continue
		}
		of := make(map[string]bool)
		matched := false
		for _, one := range series {
			for l := range one {
				of[l], labels[l] = true, true
			}
			fits := true
			for _, m := range s.LabelMatchers {
				fits = fits && m.Matches(one[m.Name])
			}
			matched = matched || fits
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && !of[m.Name] && !slices.Contains(ofTarget, m.Name) {
				errs = append(errs, fmt.Errorf("%s has no label %s, only %v", s.Name, m.Name, slices.Sorted(maps.Keys(of))))
			}
		}
		if !matched {
			errs = append(errs, fmt.Errorf("no series fits %s", s))
		}
	}
	for _, l := range sorted {
		if !labels[l] {
			errs = append(errs, fmt.Errorf("nothing in it has a label %s", l))
		}
	}
	return errors.Join(errs...)
}

func TestWhatIsUnknownIsFound(t *testing.T) {
	known := map[string][]map[string]string{
		"a": {{"__name__": "a", "job": "j", "lane": "urgent"}, {"__name__": "a", "job": "j", "lane": "bulk"}},
		"b": {{"__name__": "b", "job": "j"}},
	}
	for expr, want := range map[string]string{
		`sum by (job, cluster, lane) (rate(a{lane!="bulk"}[5m])) and on (job) b > 0`: "",
		`rate(c[5m])`:            "there is no metric c",
		`a{why="x"}`:             "a has no label why",
		`a{lane="slow"}`:         `no series fits a{lane="slow"}`,
		`sum by (why) (a)`:       "nothing in it has a label why",
		`a unless on (lanes) b`:  "nothing in it has a label lanes",
		`max by (lane) (b)`:      "nothing in it has a label lane",
		`histogram_sum(a) or d`:  "there is no metric d",
		`a{lane=~"urgent|bulk"}`: "",
	} {
		err := unknown(parsed(t, expr), known)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", expr, err, want)
		}
	}
}
