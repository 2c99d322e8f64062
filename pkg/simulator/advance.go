package simulator

import "time"

// advance lets the time pass that has passed since anybody looked. Nothing runs
// in the background: an activity is where it should be whenever it is read.
func (w *world) advance(now time.Time) {
	// A step puts what comes after it on the agenda, which may be due too.
	for len(w.agenda) > 0 && !now.Before(w.agenda[0].due) {
		w.step(w.agenda[0])
	}
}

// step does what is due for the activity and reports whether there was
// anything to do.
func (w *world) step(a *activity) bool {
	at := a.due
	switch {
	case a.Status == Init:
		w.run(a, at)
	case a.Status == Running && a.ScaleIn:
		w.end(a, Successful, at)
	case a.running() != nil:
		w.finishBatch(a, at)
	default:
		w.agenda.schedule(a, time.Time{})
		return false
	}
	return true
}

// run takes an activity to RUNNING: the batch that settles goes on, else the
// next one starts, else the extra instances go, else it is done.
func (w *world) run(a *activity, at time.Time) {
	a.Status = Running
	if a.Started.IsZero() {
		a.Started = at
	}
	if a.running() != nil {
		return
	}
	if b := a.next(); b != nil {
		b.Status, b.Started = Running, at
		a.CurrentBatch = b.Num
		w.agenda.schedule(a, at.Add(w.phase(a)))
		return
	}
	if a.Settings.MaxSurge > 0 {
		a.ScaleIn = true
		w.agenda.schedule(a, at.Add(w.phase(a)))
		return
	}
	w.end(a, Successful, at)
}

// finishBatch ends the batch that runs, and decides how the activity goes on.
func (w *world) finishBatch(a *activity, at time.Time) {
	b := a.running()
	b.Ended = at
	w.agenda.schedule(a, time.Time{})
	failed := a.FailBatch == b.Num
	if failed {
		a.FailBatch = 0
		b.Status = Failed
	} else {
		b.Status = Successful
	}
	if a.Status != Running {
		return
	}
	switch {
	case failed:
		w.failBatch(a, at)
	case a.next() != nil && a.pausesAfter(b.Num):
		a.Status = AutoPause
	default:
		w.run(a, at)
	}
}

func (a *activity) pausesAfter(batch int) bool {
	return a.Settings.BatchPause == pauseEveryBatch || a.Settings.BatchPause == pauseFirstBatch && batch == 1
}

func (w *world) failBatch(a *activity, at time.Time) {
	switch a.Settings.FailProcess {
	case failCancel:
		w.end(a, Cancelled, at)
	case failRollback:
		w.end(a, Cancelled, at)
		w.startRollback(a, a.Settings.BatchNumber, at)
	default:
		a.Status = FailedPause
	}
}

// end closes the activity. Batches that never ran are cancelled; one that still
// runs goes on, as the API does not interrupt instances.
func (w *world) end(a *activity, s Status, at time.Time) {
	a.Status, a.Ended, a.ScaleIn = s, at, false
	for b := a.next(); b != nil; b = a.next() {
		b.Status = Cancelled
	}
	if a.running() == nil {
		w.agenda.schedule(a, time.Time{})
	}
	if w.undocumented.StaysDisabled {
		a.group.EnabledStatus = disabled
	}
}

// start adds a new activity to the group.
func (w *world) start(a *activity, at time.Time) {
	a.Created = at
	a.Status = Init
	a.Region = a.group.Region
	a.ID = w.newActivityID()
	w.insert(a)
	if w.timing.InitDuration == 0 {
		w.run(a, at)
		return
	}
	w.agenda.schedule(a, at.Add(w.timing.InitDuration))
}

// startRollback adds the activity that takes the refreshed instances of origin
// back to what they were.
func (w *world) startRollback(origin *activity, batches int, at time.Time) *activity {
	a := &activity{group: origin.group, Activity: Activity{
		GroupID:  origin.GroupID,
		OriginID: origin.ID,
		Type:     typeRollback,
		Mode:     modeReset,
		Settings: Settings{BatchNumber: batches}.withDefaults(),
	}}
	a.Batches = cutBatches(a.group, batches)
	w.start(a, at)
	return a
}
