package queue

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go/micro"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// serviceName is what "nats micro ls" shows.
const serviceName = "andon"

// Serve registers the worker with the service API of NATS, so that it is listed
// and tells whoever asks on stop.SubjectStatus how it does. end takes it off the
// list. A broker that does not let the worker be asked keeps it from nothing else.
//
// A service answers to whatever subject the question names, with the rights of
// the worker. The answer to stop.SubjectStatus does not go where something is
// stored; the verbs of the service API ($SRV) do not look, so the right to publish
// them is for those who are trusted with the workers.
func (q *Queue) Serve(worker, version string, report func() stop.Worker) (end func(), err error) {
	service, err := micro.AddService(q.nc, micro.Config{
		Name: serviceName, Version: semantic(version), Description: "pauses instance refreshes of auto scaling groups",
		Metadata: map[string]string{"worker": worker, "version": version},
	})
	if err != nil {
		return nil, fmt.Errorf("register with the service API of NATS: %w", err)
	}
	answer := func(req micro.Request) {
		if kept(req.Reply()) {
			q.conf.Log.Warn("a question whose answer would be stored is not answered", "reply", stop.Clip(req.Reply(), 200))
			return
		}
		if err := req.RespondJSON(report()); err != nil {
			q.conf.Log.Debug("whoever asked is not answered", "error", err)
		}
	}
	err = service.AddEndpoint("status", micro.HandlerFunc(answer), micro.WithEndpointSubject(stop.SubjectStatus), micro.WithEndpointQueueGroupDisabled())
	if err != nil {
		_ = service.Stop() // the error that counts is the one before
		return nil, fmt.Errorf("answer on %s: %w", stop.SubjectStatus, err)
	}
	return func() {
		if err := service.Stop(); err != nil {
			q.conf.Log.Debug("the service is listed until the connection ends", "error", err)
		}
	}, nil
}

// kept reports whether what is published to a subject may be stored, or acted
// upon.
func kept(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, "as.")
}

var semver = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// semantic is a version as the service API wants it.
func semantic(version string) string {
	if v := strings.TrimPrefix(version, "v"); semver.MatchString(v) {
		return v
	}
	return "0.0.0"
}

var violation = regexp.MustCompile(`(Publish|Subscription) to "(\S+)"`)

// vital reports whether a worker cannot do without what the broker refuses:
// anything but being asked, and answering.
func vital(refused error) bool {
	found := violation.FindStringSubmatch(refused.Error())
	switch {
	case found == nil:
		return true
	case found[1] == "Subscription":
		return found[2] != stop.SubjectStatus && !strings.HasPrefix(found[2], "$SRV.")
	default:
		return kept(found[2])
	}
}
