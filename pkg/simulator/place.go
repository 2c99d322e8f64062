package simulator

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// addActivity places an activity in the middle of its life, as a scenario
// describes it.
func (w *world) addActivity(in Activity, now time.Time) error {
	if err := w.fillActivity(&in, now); err != nil {
		return err
	}
	a := &activity{Activity: in, group: w.groups[in.GroupID]}
	a.Batches = cutBatches(a.group, a.Settings.BatchNumber)
	w.place(a, now)
	w.insert(a)
	return nil
}

// fillActivity checks what a scenario gives and adds the defaults.
func (w *world) fillActivity(a *Activity, now time.Time) error {
	if !activityIDShape.MatchString(a.ID) {
		return fmt.Errorf("RefreshActivityId: %q is not like asr-juhf6ytr", a.ID)
	}
	if w.activities[a.ID] != nil {
		return fmt.Errorf("RefreshActivityId: %q is there twice", a.ID)
	}
	g := w.groups[a.GroupID]
	if g == nil {
		return fmt.Errorf("activity %s: AutoScalingGroupId: there is no group %q", a.ID, a.GroupID)
	}
	if a.Settings.BatchNumber == 0 {
		a.Settings.BatchNumber = min(3, g.DesiredCapacity)
	}
	a.Settings = a.Settings.withDefaults()
	if a.Type == "" {
		a.Type = typeNormal
	}
	if a.Mode == "" {
		a.Mode = modeReset
	}
	if a.Age == 0 {
		a.Age = 10 * time.Minute
	}
	a.Region = g.Region
	a.Created = now.Add(-a.Age)
	return validateActivity(a, g)
}

func validateActivity(a *Activity, g *group) error {
	if err := a.Settings.validate(); err != nil {
		return fmt.Errorf("activity %s: RollingUpdateSettings: %w", a.ID, err)
	}
	switch {
	case !slices.Contains(statuses, a.Status):
		return fmt.Errorf("activity %s: Status: %q is none of %v", a.ID, a.Status, statuses)
	case a.Type != typeNormal && a.Type != typeRollback:
		return fmt.Errorf("activity %s: ActivityType: %q is neither NORMAL nor ROLLBACK", a.ID, a.Type)
	case a.Mode != modeReset && a.Mode != modeReplace:
		return fmt.Errorf("activity %s: RefreshMode: %q is neither ROLLING_UPDATE_RESET nor ROLLING_UPDATE_REPLACE", a.ID, a.Mode)
	case a.Settings.BatchNumber > g.DesiredCapacity:
		return fmt.Errorf("activity %s: BatchNumber: %d is more than the %d instances of %s", a.ID, a.Settings.BatchNumber, g.DesiredCapacity, g.ID)
	case a.CurrentBatch < 0 || a.CurrentBatch > a.Settings.BatchNumber:
		return fmt.Errorf("activity %s: CurrentRefreshBatchNum: %d is not in 0..%d", a.ID, a.CurrentBatch, a.Settings.BatchNumber)
	case a.ScaleIn && a.Status != Running:
		return fmt.Errorf("activity %s: ScaleIn: only a RUNNING activity can be in it, this one is %s", a.ID, a.Status)
	case a.Settling && !a.Status.Paused():
		return fmt.Errorf("activity %s: Settling: only a paused activity can be, this one is %s", a.ID, a.Status)
	case a.BatchDuration < 0 || a.Age < 0:
		return fmt.Errorf("activity %s: BatchDuration and Age: negative", a.ID)
	}
	if other := g.live(); other != nil && !a.Status.Ended() {
		return fmt.Errorf("activity %s: group %s has the live refresh %s already", a.ID, a.GroupID, other.ID)
	}
	return nil
}

// place makes batches and times fit the activity's status.
func (w *world) place(a *activity, now time.Time) {
	allDone := a.ScaleIn || a.Status == Successful
	switch {
	case a.Status == Init:
		a.CurrentBatch = 0
	case allDone:
		a.CurrentBatch = len(a.Batches)
	case a.CurrentBatch == 0:
		a.CurrentBatch = 1
	}
	for i := range a.Batches {
		w.placeBatch(a, &a.Batches[i], allDone, now)
	}
	a.Started, a.Ended = time.Time{}, time.Time{}
	if a.Status != Init {
		a.Started = a.Created
	}
	if a.Status.Ended() {
		a.Ended = now
	}
	a.due = now.Add(w.phase(a))
	if a.Status == Init && w.timing.InitDuration == 0 {
		a.due = time.Time{}
	}
}

func (w *world) placeBatch(a *activity, b *Batch, allDone bool, now time.Time) {
	switch {
	case allDone || b.Num < a.CurrentBatch:
		b.Status = Successful
	case b.Num > a.CurrentBatch && a.Status.Ended():
		b.Status = Cancelled
	case b.Num > a.CurrentBatch:
		b.Status = Waiting
	case a.Status == Running || a.Settling:
		b.Status = Running
	case a.Status == FailedPause || a.Status == Failed:
		b.Status = Failed
	default:
		b.Status = Successful
	}
	b.Started, b.Ended = time.Time{}, time.Time{}
	if b.Num <= a.CurrentBatch {
		b.Started = a.Created
		if b.Status != Running {
			b.Ended = now
		}
	}
}

// phase is how long what the activity does now takes.
func (w *world) phase(a *activity) time.Duration {
	switch {
	case a.Status == Init:
		return w.timing.InitDuration
	case a.ScaleIn:
		return w.timing.ScaleInDuration
	case a.BatchDuration > 0:
		return a.BatchDuration
	default:
		return w.timing.BatchDuration
	}
}

// cutBatches spreads a group's instances over n batches, the first ones being
// larger where it does not divide.
func cutBatches(g *group, n int) []Batch {
	batches := make([]Batch, n)
	instance := 0
	for i := range batches {
		size := g.DesiredCapacity / n
		if i < g.DesiredCapacity%n {
			size++
		}
		batches[i] = Batch{Num: i + 1, Status: Waiting}
		for range size {
			batches[i].InstanceIDs = append(batches[i].InstanceIDs, instanceID(g.ID, instance))
			instance++
		}
	}
	return batches
}

// instanceID is the same for the same group and place in every run, so that a
// recording of one rehearsal can be compared with the next.
func instanceID(groupID string, i int) string {
	return "ins-" + shortHash(fmt.Sprintf("%s/%d", groupID, i))
}

// shortHash gives eight of the characters the API's ids consist of.
func shortHash(s string) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	h := fnv.New64a()
	h.Write([]byte(s))
	n := h.Sum64()
	id := make([]byte, 8)
	for i := range id {
		id[i] = alphabet[n%36]
		n /= 36
	}
	return string(id)
}
