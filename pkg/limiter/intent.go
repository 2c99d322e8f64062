package limiter

import "time"

// intent is what a worker wants to reserve next.
type intent struct {
	rank  rank
	due   bool // it is the lane's share, not its rank, that counts
	count int
}

// ahead is how far before its time the slot may be reserved.
func (i intent) ahead() time.Duration {
	if i.due {
		return aheadDue
	}
	return ahead[i.rank]
}

// yields reports whether the intent leaves the next slot to a worker that waits
// for that lane, if it has waited for longer.
func (i intent) yields(lane rank) bool {
	if i.due {
		return lane == i.rank
	}
	return lane <= i.rank
}

// demand is what waits in this process.
type demand struct {
	waiting [ranks]int
	// reserved slots that nobody has yet, and those of them that are due to a
	// lane.
	reserved int
	due      [ranks]int
	// room is how many more calls can be in flight.
	room int
}

// intent says for whom to reserve the slot at the given time and those that
// follow. None if the count is 0.
func (d demand) intent(s served, at instant, interval time.Duration, bulkShare float64) intent {
	room := d.room - d.reserved
	if room <= 0 {
		return intent{}
	}
	for r := rankBulk; r > rankUrgent; r-- {
		if d.waiting[r] <= d.due[r] || d.reserved >= d.total() {
			continue
		}
		if earned := s.due(r, at, interval, bulkShare); earned > 0 {
			return intent{rank: r, due: true, count: min(earned, d.waiting[r]-d.due[r], room, blockOf(interval))}
		}
	}
	covered := d.reserved
	for r := range ranks {
		if open := d.waiting[r] - covered; open > 0 {
			most := blockOf(interval)
			if r == rankBulk {
				// Where only bulk waits, half the writes will do.
				most *= 2
			}
			return intent{rank: r, count: min(open, room, most)}
		}
		covered = max(0, covered-d.waiting[r])
	}
	return intent{}
}

func (d demand) total() int {
	n := 0
	for _, waiting := range d.waiting {
		n += waiting
	}
	return n
}

// more is the first lane that still waits when the intent is met, counted from
// 1; 0 if none does, or no more calls can be in flight.
func (d demand) more(i intent) int {
	covered := d.reserved + i.count
	if covered >= d.room {
		return 0
	}
	for r := range ranks {
		if d.waiting[r] > covered {
			return int(r) + 1
		}
		covered -= d.waiting[r]
	}
	return 0
}

// blockOf is how many slots are reserved at once at most.
func blockOf(interval time.Duration) int {
	return max(1, int(blockSpan/max(interval, 1)))
}

// blockTime is how long such a block lasts.
func blockTime(interval time.Duration) time.Duration {
	return time.Duration(blockOf(interval)) * interval
}

// grace is how long those whose turn it is are left to take it, each.
const grace = 4 * time.Millisecond

// mostLost bounds the head start of a worker that others were faster than, so
// many times in a row. It is what gets one in that the others do not know yet.
const mostLost = 5

// longestNap bounds how long a worker trusts that others are before it.
const longestNap = 300 * time.Millisecond

// step is what to do next, and not before a time.
type step int

const (
	stepRest  step = iota // nothing, until kicked
	stepRead              // read the schedule
	stepWrite             // reserve
)

// turnOf says when a worker with this intent acts on the schedule that it saw
// at the given time, and whether it must look again then.
//
// While slots are free there is nothing to wait for. Otherwise the next slot
// opens for the intent some time before it is due, and the worker that has
// waited longest goes first. The others sleep for half of the time that the
// ones before them will take, so that a worker reads the schedule a few times
// for each of its slots, however many there are.
func turnOf(s stored, i intent, worker string, lost int, now, seen instant) (step, instant) {
	if s.next() <= now {
		return stepWrite, now
	}
	opens := s.next().add(-i.ahead() - time.Duration(min(lost, mostLost))*grace)
	block := blockTime(s.Interval)
	n := before(s.Turns, worker, i, now, block)
	if n == 0 {
		return stepWrite, opens
	}
	at := opens.add(time.Duration(n) * grace)
	if seen >= opens {
		return stepWrite, at
	}
	nap := min(time.Duration(n)*block/2, longestNap)
	return stepRead, max(at, seen.add(nap))
}
