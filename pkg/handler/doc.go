// Package handler is the way of a request: Plan turns a request into a task,
// Execute stops the activity of a task, and decide, a pure function, holds
// every rule about how a request ends.
//
//	Plan     decode, find the live activity                       -> a task, or a result
//	Execute  already decided? expired? permit, one call, decide   -> a result, or come back later
//
// Plan waits for no account: where the activity cannot be read now, the task
// says so, and Execute reads it first.
//
// Both are steps: they look at one message and return a verdict. The package
// never acknowledges and never stores a result; pkg/queue does, in that order
// reversed. It knows neither JetStream nor the Tencent SDK.
//
// The rules that never bend:
//
//  1. No Stop without a permit, and none after NotAfter.
//  2. No Stop before the history says that one is about to be made. A worker
//     that finds such a note of another treats the fate of that call as
//     unknown, and a worker whose note is refused has lost the task.
//  3. After an attempt whose fate is unknown, read back before judging. Our
//     own success is never reported as a conflict.
//  4. Refused credentials hold the account; they never fail a request.
//  5. Waiting for a permit, throttling, holds and crashes are no attempts.
package handler
