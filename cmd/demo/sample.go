package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// sample is a file of the samples' folder: one message, byte by byte, and what
// must come of it.
type sample struct {
	Name    string            `yaml:"name"`
	Subject string            `yaml:"subject"`
	Headers map[string]string `yaml:"headers"`
	Payload string            `yaml:"payload"`
	Expect  expectation       `yaml:"expect"`

	// id is the identity that the request will have.
	id string
}

// expectation is met by any of the outcomes and, where it names one, by the
// status.
type expectation struct {
	Outcomes []stop.Outcome `yaml:"outcomes"`
	Status   stop.Status    `yaml:"status"`
}

func (e expectation) met(r stop.Result) bool {
	return slices.Contains(e.Outcomes, r.Outcome) && (e.Status == "" || e.Status == r.Status)
}

func (e expectation) String() string {
	words := make([]string, 0, len(e.Outcomes))
	for _, o := range e.Outcomes {
		words = append(words, string(o))
	}
	return strings.TrimSpace(strings.Join(words, " or ") + " " + string(e.Status))
}

// loadSamples reads the samples of a folder in the order of their file names.
func loadSamples(dir string) ([]sample, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no sample requests (*.yaml) in %s", dir)
	}
	var samples []sample
	var faults []error
	ids := make(map[string]string)
	for _, path := range paths {
		s, err := loadSample(path)
		if err == nil && ids[s.id] != "" {
			err = fmt.Errorf("%s: is the same request, %s, as %s", path, s.id, ids[s.id])
		}
		ids[s.id] = path
		samples, faults = append(samples, s), append(faults, err)
	}
	return samples, errors.Join(faults...)
}

func loadSample(path string) (sample, error) {
	var s sample
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	for _, o := range s.Expect.Outcomes {
		if !slices.Contains(stop.Outcomes(), o) {
			return s, fmt.Errorf("%s: %q is no outcome", path, o)
		}
	}
	if s.Name == "" || s.Subject == "" || len(s.Expect.Outcomes) == 0 {
		return s, fmt.Errorf("%s: name, subject and expect.outcomes are required", path)
	}
	m := s.message()
	r, _ := stop.Decode(stop.Message{Subject: m.Subject, Data: m.Data, Header: m.Header}, stop.Defaults{})
	if strings.HasPrefix(r.ID, "seq-") {
		return s, fmt.Errorf("%s: needs an Id, a CloudEvents id or a Nats-Msg-Id to know its result by", path)
	}
	s.id = r.ID
	return s, nil
}

func (s sample) message() *nats.Msg {
	m := nats.NewMsg(s.Subject)
	m.Data = []byte(s.Payload)
	for name, value := range s.Headers {
		m.Header[name] = []string{value}
	}
	return m
}
