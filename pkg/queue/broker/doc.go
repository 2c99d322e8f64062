// Package broker runs a NATS server with JetStream inside the process that uses
// it, so that a worker needs nothing installed beside it and still keeps every
// request it has confirmed.
//
// # What it promises
//
// What JetStream confirmed is on the disk. A stock nats-server confirms first and
// calls fsync every two minutes: Jepsen's analysis of NATS 2.12.1
// (https://jepsen.io/analyses/nats-2.12.1) lost 14 % of the confirmed messages to
// one power cut, and our own cuts under 2.15.2 left 0 of 47,523 confirmed messages.
// With [server.Options.SyncAlways] 85 cuts lost none of 47,542. It costs about
// 0.3 ms a message; the API behind the queue takes twenty calls a second.
//
// One process uses a store directory at a time. The server has no lock of its own:
// two on one directory both start, and of 110 confirmed messages 20 were left. Here
// an exclusive flock on a file in the directory refuses the second. The kernel
// drops it when the process dies, however it dies, so no stale lock needs removing.
//
// The directory is readable by its owner alone, on a disk that outlives a restart,
// and cannot fill that disk: a full disk makes publishes time out and needs a
// restart, while a full store answers with a clean error at once.
//
// # What it never does
//
// It never joins a cluster, never handles signals, never serves monitoring over
// HTTP, never exits the process, and never deletes what it finds in the directory.
// It authenticates nobody: whoever reaches the listening address may publish.
// Keep it on loopback, or use a broker of your own for more than one host.
//
// # How it fails
//
// [Start] refuses with a sentence that says what to change. Later trouble shows in
// [Broker.Healthy]. Bit rot is not detected: one flipped bit in a block file can
// truncate a stream at the next start, so use a file system with checksums where
// that matters.
package broker
