// Package asapi is Tencent Cloud's Auto Scaling API through its Go SDK: one
// attempt a call, the end of which is a value with a class. It holds the only
// table of the API's error codes, the accounts' credentials, and the rules by
// which endpoints are made.
//
// It never retries, never waits for a quota, never decides what an answer
// means for a request, and never lets a panic of the SDK through.
//
// What is switched off in the SDK, and why:
//
//   - its retries: they sleep without looking at the context, send an old
//     signature again, and would go past the limiter;
//   - its region breaker: after five failures it sends calls to Guangzhou,
//     which is another quota, and not where a simulator listens;
//   - its timeout: the context has one, and where an answer breaks off the SDK
//     does not close it, so that a goroutine would wait for the end of this one;
//   - its transport: it keeps two idle connections, so that bursts open dozens;
//   - its debug output: it prints signatures and tokens.
package asapi
