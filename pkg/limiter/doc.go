// Package limiter gives permits: leave to make one call of the API. It keeps
// the calls under the quota that the API counts by arrival, and decides who
// goes next when several wait.
//
// It never makes a call, never looks at an answer other than "throttled", and
// fails only with the caller's own context or after Close.
//
// # Invariant
//
// No sliding second holds more arrivals of one (action, account, endpoint)
// than the rate, however long a call is on its way. Nobody sees an arrival
// here, but it lies between two moments that are seen: the permit is granted,
// and the permit is released when the call has ended. So each permit counts
// from its grant until one second after the last moment at which its call can
// have arrived:
//
//	last arrival = release, or grant + 1 s if it is not released by then
//
// and a permit is granted only while fewer than rate permits count.
//
// Why that holds: suppose a second with rate+1 arrivals. Take the one whose
// permit was granted last, at time t; it arrived at t or later. The rate others
// were granted before and arrived less than a second before it or after it, so
// each had its last possible arrival later than t - 1 s and still counted at t.
// Then rate permits counted, and this one was not granted. The order in which
// calls end does not matter: a slow call costs its own permit and holds up no
// other.
//
// Assumed: a call that is a second old has arrived or has died with its
// connection (a process frozen for longer between permit and call is one call
// over); and the API's clock gains less than a millisecond in a second on
// the monotonic clock of this machine (the second counted is 1.001 s long).
//
// # Pace
//
// Permits are also at least 1 s / rate apart, measured from the last grant. An
// idle time or a pause saves nothing up, so nothing ever comes in a burst; the
// first permit after an idle time is granted at once.
//
// A second holds whole calls only: above one a second the fraction of the rate
// is dropped (2.5 is 2 a second, evenly). Below one a second the same rule is
// kept over 1 s / rate: 0.5 is one arrival in any two seconds.
//
// # Cost
//
// Under backlog rate permits are granted every 1.001 s + d, where d is the time
// a call takes: 99.8 % of the quota at 1 ms, 95 % at 50 ms, 91 % at 100 ms. The
// difference is what it costs not to know when within d a call arrived.
// A permit that is never released costs at most a second more of the window,
// but keeps its slot among the calls in flight for good.
//
// # Lanes
//
// A permit goes to urgent, then normal, then bulk, first come first served
// within a lane, decided when it is granted. A lower lane that waits is not
// starved: bulk gets its share of the permits (one in 20 by default), and
// normal one in 10, whatever urgent asks for. So with all three backlogged
// urgent gets 85 %, normal 10 %, bulk 5 %; and at most two permits, one of each
// lower lane, pass an urgent waiter that is first in its lane. All lanes share
// the calls in flight.
//
// # Throttled all the same
//
// Then somebody else calls with the same sub-account. The rate is cut to 70 %,
// at most once a second, and grows back by 5 % of the full rate for every
// second without a throttle, never below one a second. Only the pace follows
// it; the window stays the configured one.
//
// # Scope
//
// One Limiter paces one process: workers that share a sub-account need one rate
// between them.
package limiter
