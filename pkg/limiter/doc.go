// Package limiter gives permits: leave to make one call of the API. It keeps
// the calls of all workers together under the quota that the API counts by
// arrival, and decides who goes next when several wait.
//
// It never makes a call, never looks at an answer other than "throttled", never
// compares the times of day of two machines, and gives no permit without the
// broker.
//
// # Schedule
//
// Each (action, account, endpoint) has one record in a JetStream bucket: its
// schedule. A worker whose callers wait reserves the next free slots in it by
// compare-and-set; the broker stamps the record when it stores it. The slots of
// a record follow from the record and its stamp alone (record.go): the first is
// the first free one of the record before, or the stamp if that is past, and
// each further one follows an interval later. So whoever reads the record knows
// which slot is free next. A call is begun at its slot: not before, and if that
// was missed by too much, not at all.
//
// # Invariant
//
// No sliding second holds more arrivals than the rate, R. Calls are not equally
// fast, so a call may arrive by its lateness L after the earliest time at which
// a call of that slot can arrive. R+1 arrivals in a second need a call and the
// R-th after it to arrive less than a second apart, so what must hold is
//
//	slot(n+R) >= slot(n) + L(n) + 1 s
//
// The interval provides for an allowance A, which the fleet learns from how
// much the times from slot to answer differ (spread.go):
//
//	R intervals = 1 s + A
//
// A call that turns out to be later than A, or has no answer yet when it should
// have, is told to the schedule by its worker, which moves the next free slot
// by what is missing (lateness.floor). It has three quarters of a second for that:
// the R-th slot after is reserved no sooner than reach before its time.
//
// docs/limiter.md has the whole argument, what it takes for granted, and the
// measurements.
//
// # Clocks
//
// Slots are times of the broker's clock. A worker knows how far that is from
// its own monotonic clock by the stamps of what it stores: between sending and
// confirmation (clock.go). When a stamp does not fit to what is known, the
// bucket has a new leader or somebody has set its clock; then the worker lets
// all slots of the old clock pass before it takes one by the new.
//
// # Lanes
//
// Whoever is more urgent may reserve further ahead, and so passes by all that
// wait in the fleet: bulk 95 ms, normal 125 ms, urgent 160 ms. A lower lane that
// has waited for its share, one slot in 10 for normal and one in 20 for bulk,
// reserves before all others. Within a worker slots go to the most urgent
// caller when their time comes, whoever they were reserved for, except those
// shares. Among workers whose callers are equally urgent, the one goes first
// that has waited longest (turns.go).
//
// # Throttled all the same
//
// Then somebody else calls with the same sub-account. The worker that was told
// so cuts the rate in the schedule to 70 %, at most once a second for the whole
// fleet; it grows back by 5 % of the full rate for every second without a
// throttle, and never falls below one a second.
package limiter
