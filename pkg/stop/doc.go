// Package stop is the contract as Go types: what a request, a task, an answer
// of the API, and a result are, how bytes become a request, and how subjects,
// streams and buckets are spelled. It is the vocabulary that every other
// package of the project shares.
//
// It does no I/O, keeps no state and imports no client library; it never
// decides an outcome (that is pkg/handler) and never acknowledges anything
// (that is pkg/queue).
//
// The words, in the order in which a request meets them:
//
//	Request   what somebody asks: pause this group's instance refresh
//	Target    the one group (and activity) that a request names
//	Lane      urgent, normal or bulk: who goes first
//	Quota     (account, access endpoint): what the API counts calls against
//	Task      one activity to stop, one lane, one quota
//	Answer    what a call came back with, as a value with a Class
//	Activity  an instance refresh as the API describes it
//	History   what a task has been through: attempts, unknown fates
//	Verdict   what a step wants stored, or when it wants to be asked again
//	Result    the one terminal record of a request; its Outcome is a closed set
package stop
