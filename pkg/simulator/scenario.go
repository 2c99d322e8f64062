package simulator

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// The credentials that [Sample] accepts. They are no secret and open nothing.
const (
	SampleSecretID  = "AKIDSIMULATORSIMULATORSIMULATOR00"
	SampleSecretKey = "SimulatorSecretKeyThatOpensNothing"
)

//go:embed sample.yaml
var sampleYAML []byte

// Scenario is the world a [Simulator] starts with. In a file its fields are
// spelled as the API spells them; an unknown field is refused.
type Scenario struct {
	// Control serves the unsigned endpoints under /_sim/, see [Simulator.ServeHTTP].
	Control bool `yaml:"Control"`
	// Credentials are accepted; a call signed by any other SecretId is refused.
	Credentials []Credential `yaml:"Credentials"`
	Quota       Quota        `yaml:"Quota"`
	Timing      Timing       `yaml:"Timing"`
	// Undocumented chooses where the API's documentation leaves a choice.
	Undocumented Undocumented `yaml:"Undocumented"`
	// Regions are known besides the published ones and those of Groups.
	Regions []string `yaml:"Regions"`
	// UnservedRegions are known but answer UnsupportedRegion.
	UnservedRegions []string   `yaml:"UnservedRegions"`
	Groups          []Group    `yaml:"Groups"`
	Activities      []Activity `yaml:"Activities"`
	Faults          []Fault    `yaml:"Faults"`
	// MaxArrivals is how many arrivals are remembered at least; zero is 200,000.
	MaxArrivals int `yaml:"MaxArrivals"`
}

// Credential is a key pair that may call; with a Token a temporary one.
type Credential struct {
	SecretID  string `yaml:"SecretId"`
	SecretKey string `yaml:"SecretKey"`
	Token     string `yaml:"Token,omitempty"`
}

// Quota is how many calls a second are let through for one (action, host,
// SecretId), by time of arrival in a sliding second.
type Quota struct {
	// Default holds for actions not in Actions; zero is 20.
	Default int `yaml:"Default"`
	// Actions overrides single actions. DescribeAutoScalingGroups has 40 unless
	// it is named here.
	Actions map[string]int `yaml:"Actions"`
	// CountRejected makes refused arrivals use up quota too.
	CountRejected bool `yaml:"CountRejected"`
	// Off lets everything through.
	Off bool `yaml:"Off"`
}

// Timing is how fast refreshes go.
type Timing struct {
	// InitDuration is spent in INIT. With zero an activity started through the
	// API is RUNNING at once, and one placed in INIT stays there.
	InitDuration time.Duration `yaml:"InitDuration"`
	// BatchDuration is spent on one batch; zero is 24 hours.
	BatchDuration time.Duration `yaml:"BatchDuration"`
	// ScaleInDuration is spent on removing MaxSurge instances; zero is BatchDuration.
	ScaleInDuration time.Duration `yaml:"ScaleInDuration"`
}

// Choice is what an operation does where no document says.
type Choice string

// The choices; the zero Choice is Conflict.
const (
	Conflict Choice = "conflict"
	OK       Choice = "ok"
)

// Order is how a Describe sorts, by CreatedTime or in no useful way.
type Order string

// The orders; the zero Order is Newest. Scrambled is stable, so that paging
// works, and follows neither time nor id.
const (
	Newest    Order = "newest"
	Oldest    Order = "oldest"
	Scrambled Order = "scrambled"
)

// Undocumented holds the switches for what the API's documentation leaves open.
// The zero value is the likeliest API.
type Undocumented struct {
	// StopOnInit answers a Stop of an activity in INIT; OK pauses it.
	StopOnInit Choice `yaml:"StopOnInit"`
	// StopOnPaused answers a Stop of a paused activity; OK changes nothing.
	StopOnPaused Choice `yaml:"StopOnPaused"`
	// Mismatch is the code for an activity of another group; empty is
	// ResourceNotFound.RefreshActivityNotFound.
	Mismatch string `yaml:"Mismatch"`
	// DescribeLag is how long Describe shows the old status after a Stop.
	DescribeLag time.Duration `yaml:"DescribeLag"`
	// StaysDisabled leaves a group disabled after its refresh has ended.
	StaysDisabled bool `yaml:"StaysDisabled"`
	// DescribeOrder sorts the sets of both Describe actions.
	DescribeOrder Order `yaml:"DescribeOrder"`
}

// Sample returns the built-in scenario: ten groups in two regions, one
// activity in every status that matters, one key pair ([SampleSecretID]).
func Sample() Scenario {
	s, err := Decode(bytes.NewReader(sampleYAML))
	if err != nil {
		panic("simulator: embedded sample.yaml: " + err.Error())
	}
	return s
}

// More adds n groups to a region, each with a refresh that runs: asg-more00001 with
// asr-more00001 and so on.
func (s *Scenario) More(n int, region string) {
	for i := range n {
		number := fmt.Sprintf("more%05d", i+1)
		s.Groups = append(s.Groups, Group{Region: region, ID: "asg-" + number, Name: number})
		s.Activities = append(s.Activities, Activity{GroupID: "asg-" + number, ID: "asr-" + number, Status: Running})
	}
}

// SampleYAML returns the file behind [Sample], to start an own scenario from.
func SampleYAML() []byte { return bytes.Clone(sampleYAML) }

// Load reads a scenario file. It returns every fault it finds at once.
func Load(path string) (Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	defer f.Close()
	s, err := Decode(f)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario %s: %w", path, err)
	}
	return s, nil
}

// Decode reads a scenario as YAML or JSON and validates it.
func Decode(r io.Reader) (Scenario, error) {
	var s Scenario
	if err := decodeYAML(r, &s); err != nil {
		return Scenario{}, err
	}
	if err := s.Validate(); err != nil {
		return Scenario{}, err
	}
	return s, nil
}

// decodeYAML takes exactly one document and no unknown field. JSON is YAML too,
// so the control endpoints read their bodies with it and need no second set of
// rules for durations.
func decodeYAML(r io.Reader, into any) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	switch err := dec.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("is empty")
	case err != nil:
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("has more than one document")
	}
	return nil
}
