// Package ingress turns what alerting systems post into requests to pause: webhooks
// of Alertmanager, Grafana, Tencent Cloud Observability Platform and PagerDuty,
// CloudEvents, and the contract's request as JSON.
//
// A request is answered with 2xx once the broker has confirmed what it asks for, with
// 503 where trying again helps, and with 4xx only for what can never work, because
// senders drop that. The same firing of an alert is the same request, however often
// and from however many replicas it comes.
//
// The package never guesses a target: an alert that maps to none is counted and
// logged, and leads to nothing. It never calls the cloud, holds no credentials of it,
// and knows no broker but as a [Publisher].
package ingress
