package simulator_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

func TestScenarioFilesLoad(t *testing.T) {
	files, err := filepath.Glob("../../testdata/scenario/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			sc, err := simulator.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := simulator.New(sc)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		})
	}
}

// The sample is what demos, tests and the documentation speak of.
func TestSampleHasOneOfEach(t *testing.T) {
	s := sim(t, nil)
	for id, want := range map[string]simulator.Status{
		"asr-runweb01": simulator.Running,
		"asr-runapi01": simulator.Running,
		"asr-rungame1": simulator.Running,
		"asr-oldweb00": simulator.Successful,
		"asr-pausecrt": simulator.ManualPause,
		"asr-failpay1": simulator.FailedPause,
		"asr-donerep1": simulator.Successful,
		"asr-badchat1": simulator.Cancelled,
		"asr-backchat": simulator.Running,
		"asr-initlob1": simulator.Init,
		"asr-scalein1": simulator.Running,
	} {
		wantStatus(t, s, id, want)
	}
	if got := len(s.Activities()); got != 11 {
		t.Errorf("%d activities", got)
	}
	for _, id := range []string{"asg-idlepool", "asg-reports1"} {
		if a, ok := s.Live(id); ok {
			t.Errorf("group %s has the live refresh %s", id, a.ID)
		}
	}
	if c := simulator.Sample().Credentials; len(c) != 1 || c[0].SecretID != simulator.SampleSecretID || c[0].SecretKey != simulator.SampleSecretKey {
		t.Errorf("the sample's credentials differ from the constants: %+v", c)
	}
}

func TestScenarioErrors(t *testing.T) {
	const head = "Credentials: [{SecretId: AKIDX, SecretKey: k}]\n"
	const group = head + "Groups: [{Region: ap-tokyo, AutoScalingGroupId: asg-a}]\n"
	for _, tt := range []struct{ name, yaml, want string }{
		{"empty", "", "is empty"},
		{"two documents", head + "---\n" + head, "more than one document"},
		{"misspelt field", "Grups: []\n", "Grups"},
		{"wrong type", "Groups: 7\n", "cannot unmarshal"},
		{"twice the same field", head + head, "already defined"},
		{"no credentials", "Groups: []\n", "Credentials"},
		{"no key", "Credentials: [{SecretId: AKIDX}]\n", "SecretKey"},
		{"same id twice", "Credentials: [{SecretId: AKIDX, SecretKey: k}, {SecretId: AKIDX, SecretKey: l}]\n", "twice"},
		{"group id", head + "Groups: [{Region: ap-tokyo, AutoScalingGroupId: web}]\n", `"web" is not like asg-`},
		{"group region", head + "Groups: [{Region: Tokyo, AutoScalingGroupId: asg-a}]\n", "not like ap-guangzhou"},
		{"group name taken", head + "Groups: [{Region: ap-tokyo, AutoScalingGroupId: asg-a, AutoScalingGroupName: x}, {Region: ap-tokyo, AutoScalingGroupId: asg-b, AutoScalingGroupName: x}]\n", "taken by asg-a"},
		{"capacity", head + "Groups: [{Region: ap-tokyo, AutoScalingGroupId: asg-a, DesiredCapacity: 2001}]\n", "0..2000"},
		{"activity of no group", group + "Activities: [{AutoScalingGroupId: asg-b, RefreshActivityId: asr-a, Status: RUNNING}]\n", `no group "asg-b"`},
		{"activity status", group + "Activities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: PAUSED}]\n", "PAUSED"},
		{"two live ones", group + "Activities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: RUNNING}, {AutoScalingGroupId: asg-a, RefreshActivityId: asr-b, Status: INIT}]\n", "live refresh asr-a already"},
		{"scale-in of a pause", group + "Activities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: AUTO_PAUSE, ScaleIn: true}]\n", "ScaleIn"},
		{"batches", group + "Activities: [{AutoScalingGroupId: asg-a, RefreshActivityId: asr-a, Status: RUNNING, RollingUpdateSettings: {BatchNumber: 7}}]\n", "more than the 6 instances"},
		{"quota of no action", head + "Quota: {Actions: {Stop: 5}}\n", `"Stop" is not an action`},
		{"negative duration", head + "Timing: {BatchDuration: -1s}\n", "negative"},
		{"choice", head + "Undocumented: {StopOnInit: maybe}\n", "neither conflict nor ok"},
		{"order", head + "Undocumented: {DescribeOrder: random}\n", "newest"},
		{"fault", head + "Faults: [{Kind: meteor}]\n", "Faults[0]"},
		{"fault name twice", head + "Faults: [{Kind: cut, Name: a}, {Kind: hang, Name: a}]\n", "Faults[1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := simulator.Decode(strings.NewReader(tt.yaml))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := simulator.Decode(strings.NewReader("Timing: {InitDuration: -1s}\nFaults: [{Kind: cut}, {Kind: meteor}]\n"))
		for _, want := range []string{"Credentials", "InitDuration", "Faults[1]"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v lacks %q", err, want)
			}
		}
	})
	t.Run("file name is in the error", func(t *testing.T) {
		if _, err := simulator.Load("nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
			t.Errorf("error %v", err)
		}
	})
}

func TestNewRefusesWhatDecodeWouldRefuse(t *testing.T) {
	if _, err := simulator.New(simulator.Scenario{}); err == nil {
		t.Error("a scenario without credentials was accepted")
	}
	sc := simulator.Sample()
	sc.Faults = []simulator.Fault{{Name: "a", Kind: simulator.Cut}, {Name: "a", Kind: simulator.Cut}}
	if _, err := simulator.New(sc); err == nil {
		t.Error("two faults of one name were accepted")
	}
}
