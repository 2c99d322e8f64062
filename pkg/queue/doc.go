// Package queue is everything JetStream: the streams and consumers and their
// required settings, publishing, the loop that feeds messages to steps, and
// the one function that acknowledges, settle.
//
// The order that makes the promises true is kept here and nowhere else: what
// a verdict wants stored is stored first, then the message is acknowledged.
// A result is stored only if its subject holds none yet, so the results
// stream is the ledger that makes redelivery harmless. A message that is to
// come back is given back with a delay, never with a bare Nak, which would
// return it at once. What a killed broker has kept behind the place of its
// consumer cannot be acknowledged; it is dealt with in the same order and then
// removed.
//
// What many hands store in one stream at the same time is stored together
// (commit.go), each message still only where it may stand.
//
// The package never decides an outcome, never looks into a payload beyond
// what the verdict says, and never loses the order above to be faster. Only
// pkg/limiter shares its connection; JetStream's messages do not leave it.
package queue
