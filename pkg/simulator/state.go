package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// at lets time pass and runs do under the lock.
func (s *Simulator) at(do func(now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.world.advance(now)
	do(now)
}

// Activity returns a copy of a refresh activity of any region.
func (s *Simulator) Activity(id string) (a Activity, ok bool) {
	s.at(func(now time.Time) {
		if found := s.world.activities[id]; found != nil {
			a, ok = found.snapshot(now), true
		}
	})
	return a, ok
}

// Activities returns copies of all activities, oldest first.
func (s *Simulator) Activities() []Activity {
	out := []Activity{}
	s.at(func(now time.Time) {
		for _, a := range s.world.activities {
			out = append(out, a.snapshot(now))
		}
	})
	slices.SortFunc(out, func(a, b Activity) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Live returns the refresh of a group that has not ended, if it has one.
func (s *Simulator) Live(groupID string) (a Activity, ok bool) {
	s.at(func(now time.Time) {
		g := s.world.groups[groupID]
		if g == nil {
			return
		}
		if found := g.live(); found != nil {
			a, ok = found.snapshot(now), true
		}
	})
	return a, ok
}

// Groups returns copies of all groups, by id, with the EnabledStatus the API shows.
func (s *Simulator) Groups() []Group {
	out := []Group{}
	s.at(func(time.Time) {
		for _, g := range s.world.groups {
			shown := g.Group
			shown.EnabledStatus = g.enabledStatus()
			out = append(out, shown)
		}
	})
	slices.SortFunc(out, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// AddGroup adds a scaling group, and its region if that is new.
func (s *Simulator) AddGroup(g Group) (err error) {
	s.at(func(now time.Time) {
		err = s.world.addGroup(g, now)
		if _, known := s.regions[g.Region]; err == nil && !known {
			s.regions[g.Region] = true
		}
	})
	return err
}

// AddActivity adds a refresh to a group that exists, in any status.
func (s *Simulator) AddActivity(a Activity) (err error) {
	s.at(func(now time.Time) { err = s.world.addActivity(a, now) })
	return err
}

// SetStatus puts an activity into a status, as if it had come there by itself,
// settled and out of the scale-in phase.
func (s *Simulator) SetStatus(id string, status Status) error {
	return s.replace(id, func(a *Activity) { a.Status, a.ScaleIn, a.Settling = status, false, false })
}

// SetScaleIn puts an activity into the phase in which a Stop comes too late, or
// takes it back to its last batch.
func (s *Simulator) SetScaleIn(id string, on bool) error {
	return s.replace(id, func(a *Activity) { a.Status, a.ScaleIn, a.Settling = Running, on, false })
}

// replace changes an activity and places it anew; if it does not fit, nothing
// has changed.
func (s *Simulator) replace(id string, change func(*Activity)) (err error) {
	s.at(func(now time.Time) {
		old := s.world.activities[id]
		if old == nil {
			err = fmt.Errorf("there is no activity %q", id)
			return
		}
		in := old.Activity
		in.Age = max(now.Sub(in.Created), 1)
		change(&in)
		s.world.remove(old)
		if err = s.world.addActivity(in, now); err != nil {
			s.world.insert(old)
		}
	})
	return err
}

// FinishBatch lets the batch that runs, the scale-in phase or INIT end now.
func (s *Simulator) FinishBatch(id string) error {
	err := fmt.Errorf("there is no activity %q", id)
	s.at(func(now time.Time) {
		a := s.world.activities[id]
		if a == nil {
			return
		}
		err = nil
		s.world.agenda.schedule(a, now)
		if !s.world.step(a) {
			err = fmt.Errorf("activity %s is %s and has nothing to finish", id, a.Status)
		}
	})
	return err
}

// AddFault puts a fault in force, after those that are, and returns its name.
func (s *Simulator) AddFault(f Fault) (name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.add(f)
}

// RemoveFault ends a fault. It reports whether it was still in force.
func (s *Simulator) RemoveFault(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.faults.index(name)
	if i < 0 {
		return false
	}
	s.faults.list = slices.Delete(s.faults.list, i, i+1)
	return true
}

// ClearFaults ends all faults. Calls they hold up stay held up.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.list = nil
}

// Faults returns those in force, with the Skip and Count that are left.
func (s *Simulator) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Fault{}
	for _, p := range s.faults.list {
		f := p.given
		f.Skip, f.Count = p.Skip, p.Count
		out = append(out, f)
	}
	return out
}

// SetCredentials replaces the accepted key pairs, as a rotation does. None is
// allowed: then every call is refused.
func (s *Simulator) SetCredentials(credentials ...Credential) error {
	if err := errors.Join(validateCredentials(credentials)...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.credentials)
	for _, c := range credentials {
		s.credentials[c.SecretID] = c
	}
	return nil
}

// SetClock has the API judge the time of calls by a clock that is ahead of this
// machine's, or behind it: the other side of a caller whose clock is wrong.
// Nothing else goes by that clock.
func (s *Simulator) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}
