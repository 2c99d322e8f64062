package ingress

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// decoders read what each sender posts. They are lenient about what they do not
// use: senders add fields, and a new one must not keep an alert from its target.
var decoders = map[Source]func(body []byte) (alerts []Alert, truncated int, err error){
	SourceAlertmanager: decodeGroup(SourceAlertmanager),
	SourceGrafana:      decodeGroup(SourceGrafana),
	SourceTCOP:         decodeTCOP,
	SourcePagerDuty:    decodePagerDuty,
}

// alertGroup is version 4 of Alertmanager's webhook, and version 1 of Grafana's,
// which has the same shape
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config,
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/).
type alertGroup struct {
	ExternalURL     string         `json:"externalURL"`
	Alerts          []groupedAlert `json:"alerts"`
	TruncatedAlerts int            `json:"truncatedAlerts"`
}

type groupedAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// decodeGroup reads the alerts of a group. Each has a status of its own: that of
// the group is firing while any of them is.
func decodeGroup(source Source) func([]byte) ([]Alert, int, error) {
	return func(body []byte) ([]Alert, int, error) {
		var p alertGroup
		if err := read(body, &p); err != nil {
			return nil, 0, err
		}
		if p.Alerts == nil {
			return nil, 0, errors.New("has no alerts; is it the default payload of the webhook?")
		}
		var alerts []Alert
		for i, a := range p.Alerts {
			if a.Fingerprint == "" || a.StartsAt.IsZero() {
				return nil, 0, fmt.Errorf("alerts[%d] has no fingerprint or no startsAt; is it the default payload of the webhook?", i)
			}
			alerts = append(alerts, Alert{
				Source: source, Name: a.Labels["alertname"], Firing: a.Status == "firing", Began: a.StartsAt,
				Identity: a.Fingerprint + "/" + strconv.FormatInt(a.StartsAt.UnixNano(), 10),
				Labels:   a.Labels, Annotations: a.Annotations,
				Summary: cmp.Or(a.Annotations["summary"], a.Annotations["description"], a.Labels["alertname"]),
				Link:    cmp.Or(a.Annotations["runbook_url"], a.GeneratorURL, p.ExternalURL),
			})
		}
		return alerts, p.TruncatedAlerts, nil
	}
}

// tcop is the callback of Tencent Cloud Observability Platform, of metrics and of
// events (https://www.tencentcloud.com/document/product/248/38919). What is a number
// in one sample of its documentation is a string in another.
type tcop struct {
	SessionID   string `json:"sessionId"`
	AlertID     string `json:"alertId"`
	AlarmStatus text   `json:"alarmStatus"`
	AlarmType   string `json:"alarmType"`
	Object      struct {
		Region     string                     `json:"region"`
		Namespace  string                     `json:"namespace"`
		Dimensions map[string]json.RawMessage `json:"dimensions"`
	} `json:"alarmObjInfo"`
	Policy struct {
		ID         string `json:"policyId"`
		Type       string `json:"policyType"`
		Name       string `json:"policyName"`
		Conditions struct {
			MetricName string `json:"metricName"`
			EventName  string `json:"eventName"`
			Shown      string `json:"metricShowName"`
			EventShown string `json:"eventShowName"`
			Current    text   `json:"currentValue"`
			Unit       string `json:"unit"`
		} `json:"conditions"`
	} `json:"alarmPolicyInfo"`
	FirstOccurTime string `json:"firstOccurTime"`
}

// text is a string, or a number as it is written.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	*t = text(n)
	return nil
}

// beijing is the zone of TCOP's times, which do not say it: inferred from samples.
var beijing = time.FixedZone("UTC+8", 8*60*60)

func decodeTCOP(body []byte) ([]Alert, int, error) {
	var c tcop
	if err := read(body, &c); err != nil {
		return nil, 0, err
	}
	identity := cmp.Or(c.AlertID, c.SessionID)
	if identity == "" || c.AlarmStatus == "" {
		return nil, 0, errors.New("has no alertId, no sessionId or no alarmStatus; is it a callback of an alarm?")
	}
	labels := map[string]string{
		"policy_id": c.Policy.ID, "policy_name": c.Policy.Name, "policy_type": c.Policy.Type,
		"metric": c.Policy.Conditions.MetricName, "event": c.Policy.Conditions.EventName,
		"namespace": c.Object.Namespace, "tcop_region": c.Object.Region, "alarm_type": c.AlarmType,
	}
	for name, raw := range c.Object.Dimensions {
		var value text
		if json.Unmarshal(raw, &value) == nil { // an object within is no label
			labels["dimension_"+name] = string(value)
		}
	}
	what := cmp.Or(c.Policy.Conditions.Shown, c.Policy.Conditions.EventShown, c.Policy.Conditions.MetricName, c.Policy.Conditions.EventName)
	summary := strings.TrimSpace(fmt.Sprintf("%s: %s %s%s", c.Policy.Name, what, c.Policy.Conditions.Current, c.Policy.Conditions.Unit))
	began, err := time.ParseInLocation("2006-01-02 15:04:05", c.FirstOccurTime, beijing)
	if err != nil {
		began = time.Time{} // it is only for the fence
	}
	return []Alert{{
		Source: SourceTCOP, Name: c.Policy.Name, Identity: identity + "/" + c.FirstOccurTime, Firing: c.AlarmStatus == "1", Began: began, Labels: labels, Summary: summary,
	}}, 0, nil
}

// pagerDuty is version 3 of PagerDuty's webhook
// (https://developer.pagerduty.com/docs/webhooks-overview).
type pagerDuty struct {
	Event struct {
		ID         string          `json:"id"`
		EventType  string          `json:"event_type"`
		OccurredAt time.Time       `json:"occurred_at"`
		Data       json.RawMessage `json:"data"`
	} `json:"event"`
}

type pagerDutyIncident struct {
	ID          string    `json:"id"`
	Number      int       `json:"number"`
	HTMLURL     string    `json:"html_url"`
	Status      string    `json:"status"`
	IncidentKey string    `json:"incident_key"`
	Title       string    `json:"title"`
	Urgency     string    `json:"urgency"`
	CreatedAt   time.Time `json:"created_at"`
	Service     struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"service"`
	Priority *struct {
		Summary string `json:"summary"`
	} `json:"priority"`
}

// firingEvents are those of PagerDuty that may mean that something must be paused;
// rules match on the label event_type. All others are read and left.
var firingEvents = map[string]bool{"incident.triggered": true, "incident.escalated": true, "incident.priority_updated": true}

func decodePagerDuty(body []byte) ([]Alert, int, error) {
	var p pagerDuty
	if err := read(body, &p); err != nil {
		return nil, 0, err
	}
	if p.Event.EventType == "" {
		return nil, 0, errors.New("has no event.event_type; is it a webhook of version 3?")
	}
	if !firingEvents[p.Event.EventType] {
		return []Alert{{Source: SourcePagerDuty, Name: p.Event.EventType, Identity: p.Event.ID}}, 0, nil
	}
	var i pagerDutyIncident
	if err := read(p.Event.Data, &i); err != nil {
		return nil, 0, fmt.Errorf("event.data %w", err)
	}
	if i.ID == "" {
		return nil, 0, errors.New("event.data has no id")
	}
	labels := map[string]string{
		"event_type": p.Event.EventType, "service_id": i.Service.ID, "service": i.Service.Summary,
		"urgency": i.Urgency, "title": i.Title, "incident_key": i.IncidentKey,
	}
	if i.Priority != nil {
		labels["priority"] = i.Priority.Summary
	}
	began := i.CreatedAt
	if began.IsZero() {
		began = p.Event.OccurredAt
	}
	return []Alert{{
		// One incident is one firing, whatever becomes of it on the way.
		Source: SourcePagerDuty, Name: i.Title, Identity: i.ID, Firing: i.Status != "resolved", Began: began,
		Labels: labels, Summary: i.Title, Link: i.HTMLURL,
	}}, 0, nil
}

// read decodes one JSON object.
func read(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return errors.New("is empty; want a JSON object")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("cannot be read as JSON of the expected shape: %w", err)
	}
	return nil
}
