// Package permissions holds no code: its tests start nats-server with what deploy/nats
// ships and see what each role can do and what it is refused, have the programs work
// under their roles, in the clear and over TLS, have three nodes form a cluster that
// takes no other for a node, and compare what a worker asks of the API with what
// deploy/cam grants.
package permissions
