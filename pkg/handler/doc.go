// Package handler is the way of a request: Plan turns a request into a task, or
// into parts when it means several targets, Execute does what a task says to its
// activity, Follow ends a request for several targets, and decide, a pure
// function, holds every rule about how a target ends.
//
//	Plan     decode, settle which targets are meant, find the live activity  -> a task, parts, or a result
//	Execute  a part: read what is live, sort                                 -> tasks and results
//	         a task: already decided? expired? note, permit, one call        -> a result, or come back later
//	Follow   count the results of a request for several targets              -> its summary
//	Audit    count what the fleet holds paused
//
// Plan waits for no account: where the activity cannot be read now, the task
// says so, and Execute reads it first.
//
// Plan, Execute and Follow are steps: they look at one message and return a
// verdict. The package never acknowledges and never stores a result; pkg/queue
// does, in that order reversed. It knows neither JetStream nor the Tencent SDK.
//
// The rules that never bend:
//
//  1. No call without a permit, and none after NotAfter.
//  2. No call before a note of it stands with the activity. A task that finds
//     such a note of its own, without an answer, treats the fate of that call as
//     unknown; a worker whose note was replaced has lost the activity; and of
//     several tasks for one activity only the one whose note stands calls.
//  3. After an attempt whose fate is unknown, read back before judging. Our
//     own success is never reported as a conflict.
//  4. Refused credentials hold the account; they never fail a request.
//  5. Waiting for a permit, throttling, holds and crashes are no attempts.
//  6. Which targets a request means is stored before anything is done about one
//     of them, and never changes.
package handler
