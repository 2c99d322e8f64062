package simulator

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// target is the body of Stop, Resume and Cancel.
type target struct {
	AutoScalingGroupId *string
	RefreshActivityId  *string
}

type resumeRequest struct {
	AutoScalingGroupId *string
	RefreshActivityId  *string
	ResumeMode         *string
}

type refreshSettings struct {
	RollingUpdateSettings            *rollingUpdateSettings
	CheckInstanceTargetHealth        *bool   `json:",omitempty"`
	CheckInstanceTargetHealthTimeout *uint64 `json:",omitempty"`
}

type rollingUpdateSettings struct {
	BatchNumber *uint64
	BatchPause  *string
	MaxSurge    *int64
	FailProcess *string
}

type startRequest struct {
	AutoScalingGroupId *string
	RefreshSettings    *refreshSettings
	RefreshMode        *string
}

type rollbackRequest struct {
	AutoScalingGroupId      *string
	RefreshSettings         *refreshSettings
	OriginRefreshActivityId *string
	RefreshMode             *string
}

type empty struct{}

type created struct{ RefreshActivityId string }

// find returns the activity an operation is for.
func (w *world) find(c *call, t target) (*activity, *apiError) {
	switch {
	case t.AutoScalingGroupId == nil:
		return nil, missing("AutoScalingGroupId")
	case t.RefreshActivityId == nil:
		return nil, missing("RefreshActivityId")
	}
	a := w.activities[*t.RefreshActivityId]
	if a == nil || !a.group.seenBy(c) {
		return nil, fail(codeActivityNotFound, "Refresh activity `%s` is not found.", *t.RefreshActivityId)
	}
	if a.GroupID != *t.AutoScalingGroupId {
		return nil, fail(w.undocumented.Mismatch, "Refresh activity `%s` is not found in `%s`.", a.ID, *t.AutoScalingGroupId)
	}
	return a, nil
}

// stop pauses an activity; the batch that runs is finished first.
func (w *world) stop(c *call, t target) (any, *apiError) {
	a, err := w.find(c, t)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Status.Paused() && w.undocumented.StopOnPaused == OK:
		return empty{}, nil
	case a.Status == Init && w.undocumented.StopOnInit == OK:
	case a.Status != Running || a.ScaleIn:
		return nil, statusConflict(a, "StopInstanceRefresh")
	}
	if lag := max(w.undocumented.DescribeLag, c.describeLag()); lag > 0 {
		a.shown, a.shownUntil = a.shownStatus(c.now), c.now.Add(lag)
	}
	if a.Status == Init {
		w.agenda.schedule(a, time.Time{})
	}
	a.Status = ManualPause
	a.Stops++
	return empty{}, nil
}

// resume goes on after a pause. A failed batch is tried again, or skipped.
func (w *world) resume(c *call, r resumeRequest) (any, *apiError) {
	a, err := w.find(c, target{r.AutoScalingGroupId, r.RefreshActivityId})
	if err != nil {
		return nil, err
	}
	mode := value(r.ResumeMode)
	if mode != "" && mode != "RETRY" && mode != "CONTINUE" {
		return nil, fail(codeInvalidValue, "`ResumeMode` is neither `RETRY` nor `CONTINUE`.")
	}
	if !a.Status.Paused() {
		return nil, statusConflict(a, "ResumeInstanceRefresh")
	}
	for i := range a.Batches {
		if b := &a.Batches[i]; b.Status == Failed && mode != "CONTINUE" {
			b.Status = Waiting
		}
	}
	a.shownUntil = time.Time{}
	a.Resumes++
	w.run(a, c.now)
	return empty{}, nil
}

// cancel ends a paused activity for good, once its batch has settled.
func (w *world) cancel(c *call, t target) (any, *apiError) {
	a, err := w.find(c, t)
	if err != nil {
		return nil, err
	}
	if !a.Status.Paused() || a.running() != nil {
		return nil, statusConflict(a, "CancelInstanceRefresh")
	}
	a.shownUntil = time.Time{}
	w.end(a, Cancelled, c.now)
	return empty{}, nil
}

// startRefresh begins a rollout, if the group has none that lives.
func (w *world) startRefresh(c *call, r startRequest) (any, *apiError) {
	if r.AutoScalingGroupId == nil {
		return nil, missing("AutoScalingGroupId")
	}
	settings, err := readSettings(r.RefreshSettings)
	if err != nil {
		return nil, err
	}
	mode := value(r.RefreshMode)
	if mode == "" {
		mode = modeReset
	}
	if mode != modeReset && mode != modeReplace {
		return nil, fail(codeInvalidValue, "`RefreshMode` is neither `%s` nor `%s`.", modeReset, modeReplace)
	}
	g := w.groups[*r.AutoScalingGroupId]
	if !g.seenBy(c) {
		return nil, fail(codeGroupNotFound, "Auto scaling group `%s` is not found.", *r.AutoScalingGroupId)
	}
	if err := mayRefresh(g, settings, nil); err != nil {
		return nil, err
	}
	a := &activity{group: g, Activity: Activity{GroupID: g.ID, Type: typeNormal, Mode: mode, Settings: settings}}
	a.Batches = cutBatches(g, settings.BatchNumber)
	w.start(a, c.now)
	return created{a.ID}, nil
}

// mayRefresh checks what Start and Rollback have in common; origin is the
// activity that a rollback is about to end.
func mayRefresh(g *group, s Settings, origin *activity) *apiError {
	if other := g.live(); other != nil && other != origin {
		return fail(codeGroupInRefresh, "Auto scaling group `%s` has the refresh activity `%s`.", g.ID, other.ID)
	}
	switch {
	case g.DesiredCapacity == 0:
		return fail(codeNoInstanceRefresh, "Auto scaling group `%s` has no instance to refresh.", g.ID)
	case s.BatchNumber > g.DesiredCapacity:
		return fail(codeBatchNumberTooLarge, "`BatchNumber` %d is more than the %d instances.", s.BatchNumber, g.DesiredCapacity)
	case s.MaxSurge > (g.DesiredCapacity+s.BatchNumber-1)/s.BatchNumber:
		return fail(codeMaxSurgeTooLarge, "`MaxSurge` %d is more than a batch has instances.", s.MaxSurge)
	}
	return nil
}

func readSettings(r *refreshSettings) (Settings, *apiError) {
	if r == nil {
		return Settings{}, missing("RefreshSettings")
	}
	if r.RollingUpdateSettings == nil {
		return Settings{}, missing("RefreshSettings.RollingUpdateSettings")
	}
	in := r.RollingUpdateSettings
	if in.BatchNumber == nil {
		return Settings{}, missing("RefreshSettings.RollingUpdateSettings.BatchNumber")
	}
	// The cap only keeps the number an int; it is far above any group's size.
	s := Settings{
		BatchNumber: int(min(*in.BatchNumber, 1<<20)),
		BatchPause:  value(in.BatchPause),
		MaxSurge:    int(min(value(in.MaxSurge), 1<<20)),
		FailProcess: value(in.FailProcess),
	}.withDefaults()
	if err := s.validate(); err != nil {
		return s, fail(codeInvalidValue, "RollingUpdateSettings: %s.", err)
	}
	return s, nil
}

// rollback undoes a paused or the latest successful activity by a new one.
func (w *world) rollback(c *call, r rollbackRequest) (any, *apiError) {
	switch {
	case r.AutoScalingGroupId == nil:
		return nil, missing("AutoScalingGroupId")
	case r.OriginRefreshActivityId == nil:
		return nil, missing("OriginRefreshActivityId")
	}
	settings, err := readSettings(r.RefreshSettings)
	if err != nil {
		return nil, err
	}
	if mode := value(r.RefreshMode); mode != "" && mode != modeReset {
		return nil, fail(codeInvalidValue, "`RefreshMode` of a rollback is `%s`.", modeReset)
	}
	g := w.groups[*r.AutoScalingGroupId]
	if !g.seenBy(c) {
		return nil, fail(codeGroupNotFound, "Auto scaling group `%s` is not found.", *r.AutoScalingGroupId)
	}
	origin := w.activities[*r.OriginRefreshActivityId]
	if err := mayRollBack(g, origin, settings); err != nil {
		return nil, err
	}
	if !origin.Status.Ended() {
		w.end(origin, Cancelled, c.now)
	}
	return created{w.startRollback(origin, settings.BatchNumber, c.now).ID}, nil
}

func mayRollBack(g *group, origin *activity, s Settings) *apiError {
	switch {
	case origin == nil || origin.GroupID != g.ID:
		return fail(codeCanNotRollback, "The refresh activity to roll back is not one of `%s`.", g.ID)
	case origin.Type == typeRollback:
		return fail(codeCanNotRollbackAgain, "Refresh activity `%s` is a rollback itself.", origin.ID)
	case origin.Status == Init || origin.Status == Running:
		return statusConflict(origin, "RollbackInstanceRefresh")
	case origin.Mode == modeReplace, origin.Status == Cancelled, origin.Status == Failed, !g.latest(origin):
		return fail(codeCanNotRollback, "Refresh activity `%s` cannot be rolled back.", origin.ID)
	case s.MaxSurge > 0:
		return fail(codeMaxSurgeTooLarge, "A rollback takes no `MaxSurge`.")
	case !touched(origin):
		return fail(codeNoInstanceRollback, "Refresh activity `%s` has refreshed no instance.", origin.ID)
	}
	return mayRefresh(g, s, origin)
}

func touched(a *activity) bool {
	for _, b := range a.Batches {
		if b.Status != Waiting && b.Status != Cancelled {
			return true
		}
	}
	return false
}

// newActivityID returns an id that is free.
func (w *world) newActivityID() string {
	for {
		id := "asr-" + shortHash(strconv.FormatUint(rand.Uint64(), 36))
		if w.activities[id] == nil {
			return id
		}
	}
}
