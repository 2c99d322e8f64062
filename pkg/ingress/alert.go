package ingress

import (
	"maps"
	"time"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Source is a sender of webhooks: a closed set, the last element of its path and a
// metric label.
type Source string

// The sources.
const (
	SourceAlertmanager Source = "alertmanager"
	SourceGrafana      Source = "grafana"
	SourceTCOP         Source = "tcop"
	SourcePagerDuty    Source = "pagerduty"
	SourceCloudEvents  Source = "cloudevents"
	SourceRequest      Source = "request"
)

// Sources lists them.
func Sources() []Source {
	return []Source{SourceAlertmanager, SourceGrafana, SourceTCOP, SourcePagerDuty, SourceCloudEvents, SourceRequest}
}

// Alert is one alert of any sender that fires, or has ceased to.
type Alert struct {
	Source Source
	// Name is what kind of alert it is, Identity which firing of it: the same at
	// each repetition and from each replica, another when it fires anew.
	Name, Identity string
	Firing         bool
	// Began is when it began to fire; zero where the sender does not say.
	Began time.Time
	// Labels are what rules match on, Annotations what is said beside.
	Labels, Annotations map[string]string
	// Summary says in words what is wrong, Link where to look.
	Summary, Link string
}

// fields are what templates may use.
func (a Alert) fields() map[string]any {
	return map[string]any{
		"Source": string(a.Source), "Name": a.Name, "Summary": a.Summary, "Link": a.Link,
		"Labels": maps.Clone(a.Labels), "Annotations": maps.Clone(a.Annotations),
	}
}

// id is the identity of the request that an alert makes for a target.
func id(parts ...string) string { return "alert-" + stop.Hash(parts...) }
