package fleet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/test/harness"
)

const quota = 20 // Stops a second, in the tests of crashes

// How long no Stop may arrive.
const (
	// afterReturn: the broker, or a part of it, is back.
	afterReturn = 5 * time.Second
	// afterElection: the cluster has chosen a new leader for the schedule, and
	// the last question to the old one is still waited for.
	afterElection = 2 * time.Second
	// election is how long that takes a cluster at most when the old leader is
	// killed: its nodes wait for four to nine seconds, which cannot be set, and
	// twice if they disagree.
	election = 20 * time.Second
)

// A worker that dies takes with it at most what it had reserved.
func TestTheOthersUseTheQuotaOfAKilledWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, plan{nodes: 1, rate: quota, members: 4})
	f.all(orderLoad)
	harness.Pause(t, 2*time.Second)

	f.members[0].Kill()
	killed := time.Now()
	f.members = f.members[1:]
	const seconds = 5
	harness.Pause(t, (1+seconds)*time.Second)
	for i := range seconds {
		from := killed.Add(time.Duration(1+i) * time.Second)
		if n := f.api.Between(from, from.Add(time.Second)); n*10 < quota*9 {
			t.Errorf("%d Stops in the second that begins %v after the kill, of a quota of %d", n, from.Sub(killed), quota)
		}
	}
	f.all(orderRest)
	f.within(quota)
}

// A cluster that loses the node with the schedule goes on with it elsewhere,
// and the clock of the new leader, which is another, gives nothing twice.
func TestAClusterGoesOnWithoutTheLeaderOfTheSchedule(t *testing.T) {
	t.Parallel()
	f := newFleet(t, plan{nodes: 3, rate: quota, members: 4})
	f.all(orderLoad)
	harness.Pause(t, 2*time.Second)

	old := f.broker.leader(nil)
	killed := time.Now()
	old.Kill()
	f.broker.leader(old)
	elected := time.Now()
	t.Logf("a new leader %v after the kill", elected.Sub(killed).Round(time.Millisecond))
	harness.Pause(t, afterElection+time.Second)
	f.resumed("the election", elected, afterElection)

	restarted := time.Now()
	f.broker.Start(old)
	harness.Pause(t, 4*time.Second)
	f.resumed("the restart of the old leader", restarted, 2*time.Second)

	handed := time.Now()
	old = f.broker.leader(nil)
	f.broker.stepDown()
	f.broker.leader(old)
	harness.Pause(t, 3*time.Second)
	f.resumed("a leader handed over", handed, 2*time.Second)
	f.all(orderRest)
	f.within(quota)
}

// Without its broker the fleet makes no calls, for nobody can say whether
// others do; and with it again there is no burst.
func TestNoPermitsWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, plan{nodes: 1, rate: quota, members: 4})
	f.all(orderLoad)
	harness.Pause(t, 2*time.Second)

	n := f.broker.Nodes[0]
	n.Kill()
	killed := time.Now()
	harness.Pause(t, 3*time.Second)
	// What was reserved may still be used.
	const reserved = 500 * time.Millisecond
	if got := f.api.Between(killed.Add(reserved), time.Now()); got > 0 {
		t.Errorf("%d Stops arrived more than %v after the broker had been killed", got, reserved)
	}

	restarted := time.Now()
	f.broker.Start(n)
	harness.Pause(t, 7*time.Second)
	f.resumed("the restart of the broker", restarted, afterReturn)
	f.all(orderRest)
	f.within(quota)
}

// A worker that stands still for a while, as a machine does that is moved or
// has no memory left, wakes with permits that were good long ago. Each of them
// is a call too many. One that is frozen just between its last look at the time
// and the sending cannot know; that is one call, and rare.
func TestAFrozenWorkerDoesNotCallWithOldPermits(t *testing.T) {
	t.Parallel()
	if !harness.CanFreeze {
		t.Skip("processes cannot be frozen here")
	}
	f := newFleet(t, plan{nodes: 1, rate: quota, members: 4})
	f.all(orderLoad)
	harness.Pause(t, time.Second)
	over := 0
	for i := range 6 {
		begun := time.Now()
		frozen := []*crew{f.members[i%4], f.members[(i+1)%4]}
		for _, m := range frozen {
			m.Freeze()
		}
		// After a second the others have long had what was left of the quota.
		harness.Pause(t, time.Second+rand.N(200*time.Millisecond))
		for _, m := range frozen {
			m.Thaw()
		}
		harness.Pause(t, 100*time.Millisecond+rand.N(200*time.Millisecond))
		switch n := f.api.MostBetween(begun, time.Now()); {
		case n > quota+len(frozen):
			t.Errorf("%d Stops in a second when workers woke", n)
		case n > quota:
			over++
		}
	}
	f.all(orderRest)
	if over > 1 {
		t.Errorf("workers woke six times and used an old permit %d times", over)
	}
}

// resumed checks that Stops arrive again soon after what has happened, and soon
// at the pace of the quota.
func (f *fleet) resumed(what string, since time.Time, allowed time.Duration) {
	f.t.Helper()
	now := time.Now()
	gap := f.api.Gap(since, now)
	f.t.Logf("after %s no Stop arrived for %v", what, gap.Round(time.Millisecond))
	if gap > allowed {
		f.t.Errorf("after %s no Stop arrived for %v, want at most %v", what, gap, allowed)
	}
	harness.Eventually(f.t, 5*time.Second, func() error {
		now := time.Now()
		if n := f.api.Between(now.Add(-time.Second), now); n*10 < quota*9 {
			return fmt.Errorf("%v after %s %d Stops arrive in a second, of a quota of %d", now.Sub(since).Round(time.Second), what, n, quota)
		}
		return nil
	})
}
