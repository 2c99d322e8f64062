package simulator

import (
	"fmt"
	"slices"
	"time"
)

// Status is the Status of a refresh activity, or of one of its batches.
type Status string

// The statuses of an activity. Batches use some of them, and WAITING.
const (
	Init        Status = "INIT"
	Running     Status = "RUNNING"
	Successful  Status = "SUCCESSFUL"
	FailedPause Status = "FAILED_PAUSE"
	AutoPause   Status = "AUTO_PAUSE"
	ManualPause Status = "MANUAL_PAUSE"
	Cancelled   Status = "CANCELLED"
	Failed      Status = "FAILED"

	// Waiting is a status of batches only.
	Waiting Status = "WAITING"
)

// statuses are those an activity can have.
var statuses = []Status{Init, Running, Successful, FailedPause, AutoPause, ManualPause, Cancelled, Failed}

// Paused says whether the activity waits for a Resume.
func (s Status) Paused() bool { return s == FailedPause || s == AutoPause || s == ManualPause }

// Ended says whether nothing can happen to the activity any more.
func (s Status) Ended() bool { return s == Successful || s == Cancelled || s == Failed }

// The words of the API for an activity's type, mode and settings.
const (
	typeNormal   = "NORMAL"
	typeRollback = "ROLLBACK"

	modeReset   = "ROLLING_UPDATE_RESET"
	modeReplace = "ROLLING_UPDATE_REPLACE"

	pauseAutomatic  = "AUTOMATIC"
	pauseFirstBatch = "FIRST_BATCH_PAUSE"
	pauseEveryBatch = "BATCH_INTERVAL_PAUSE"

	failPause    = "AUTO_PAUSE"
	failRollback = "AUTO_ROLLBACK"
	failCancel   = "AUTO_CANCEL"
)

// Activity is a refresh of a group. A scenario fills the fields that have a
// name in the file; the others say how it went.
type Activity struct {
	GroupID  string `yaml:"AutoScalingGroupId"`
	ID       string `yaml:"RefreshActivityId"`
	OriginID string `yaml:"OriginRefreshActivityId,omitempty"`
	// Type is NORMAL or ROLLBACK; empty is NORMAL.
	Type   string `yaml:"ActivityType"`
	Status Status `yaml:"Status"`
	// Mode is ROLLING_UPDATE_RESET or ROLLING_UPDATE_REPLACE; empty is the first.
	Mode     string   `yaml:"RefreshMode"`
	Settings Settings `yaml:"RollingUpdateSettings"`
	// CurrentBatch is the batch that runs, or was last to run. Zero is the first
	// batch, or the last where all have run.
	CurrentBatch int `yaml:"CurrentRefreshBatchNum"`
	// ScaleIn puts a RUNNING activity into the phase in which the extra
	// instances of MaxSurge are removed: too late for a Stop.
	ScaleIn bool `yaml:"ScaleIn"`
	// Settling leaves the current batch of a paused activity running.
	Settling bool `yaml:"Settling"`
	// FailBatch is the batch that fails the first time it runs; zero is none.
	FailBatch int `yaml:"FailBatch"`
	// BatchDuration overrides Timing.BatchDuration.
	BatchDuration time.Duration `yaml:"BatchDuration"`
	// Age is how long before it was added the activity was created; zero is 10 minutes.
	Age time.Duration `yaml:"Age"`

	Region string `yaml:"-"`
	// Shown is the status that Describe shows; it lags behind Status if asked to.
	Shown   Status    `yaml:"-"`
	Batches []Batch   `yaml:"-"`
	Created time.Time `yaml:"-"`
	Started time.Time `yaml:"-"`
	Ended   time.Time `yaml:"-"`
	// Stops and Resumes count the calls that changed the status.
	Stops   int `yaml:"-"`
	Resumes int `yaml:"-"`
}

// Settings are the RollingUpdateSettings of an activity.
type Settings struct {
	// BatchNumber is the number of batches; zero is 3 in a scenario and refused
	// in a call.
	BatchNumber int `yaml:"BatchNumber"`
	// BatchPause is FIRST_BATCH_PAUSE, BATCH_INTERVAL_PAUSE or AUTOMATIC.
	BatchPause string `yaml:"BatchPause"`
	MaxSurge   int    `yaml:"MaxSurge"`
	// FailProcess is AUTO_PAUSE, AUTO_ROLLBACK or AUTO_CANCEL.
	FailProcess string `yaml:"FailProcess"`
}

// Batch is a part of a group's instances that is refreshed together.
type Batch struct {
	Num         int
	Status      Status
	InstanceIDs []string
	Started     time.Time
	Ended       time.Time
}

// activity is an Activity and the times at which it moves on by itself.
type activity struct {
	Activity

	group *group
	// due is when the phase that runs is over: INIT, a batch, or scale-in. The
	// agenda of the world goes by it: there, only schedule changes it.
	due  time.Time
	slot int // in the agenda
	// shown is what Describe says until shownUntil.
	shown      Status
	shownUntil time.Time
}

func (s Settings) withDefaults() Settings {
	if s.BatchPause == "" {
		s.BatchPause = pauseAutomatic
	}
	if s.FailProcess == "" {
		s.FailProcess = failPause
	}
	return s
}

func (s Settings) validate() error {
	switch {
	case s.BatchNumber <= 0:
		return fmt.Errorf("BatchNumber: %d is not positive", s.BatchNumber)
	case s.MaxSurge < 0:
		return fmt.Errorf("MaxSurge: %d is negative", s.MaxSurge)
	case !slices.Contains([]string{pauseAutomatic, pauseFirstBatch, pauseEveryBatch}, s.BatchPause):
		return fmt.Errorf("BatchPause: %q is none of AUTOMATIC, FIRST_BATCH_PAUSE, BATCH_INTERVAL_PAUSE", s.BatchPause)
	case !slices.Contains([]string{failPause, failRollback, failCancel}, s.FailProcess):
		return fmt.Errorf("FailProcess: %q is none of AUTO_PAUSE, AUTO_ROLLBACK, AUTO_CANCEL", s.FailProcess)
	}
	return nil
}

// running returns the batch being refreshed, which may outlive a Stop.
func (a *activity) running() *Batch {
	i := slices.IndexFunc(a.Batches, func(b Batch) bool { return b.Status == Running || b.Status == Init })
	if i < 0 {
		return nil
	}
	return &a.Batches[i]
}

// next returns the first batch that still has to run.
func (a *activity) next() *Batch {
	i := slices.IndexFunc(a.Batches, func(b Batch) bool { return b.Status == Waiting })
	if i < 0 {
		return nil
	}
	return &a.Batches[i]
}

// shownStatus is what Describe says now.
func (a *activity) shownStatus(now time.Time) Status {
	if now.Before(a.shownUntil) {
		return a.shown
	}
	return a.Status
}

// snapshot copies the activity, so that a reader outside the lock sees one state.
func (a *activity) snapshot(now time.Time) Activity {
	out := a.Activity
	out.Shown = a.shownStatus(now)
	out.Settling = a.Status.Paused() && a.running() != nil
	out.Batches = slices.Clone(a.Batches)
	for i := range out.Batches {
		out.Batches[i].InstanceIDs = slices.Clone(out.Batches[i].InstanceIDs)
	}
	return out
}
