// Package harness has what tests need that attack andon from outside: programs
// built and run as processes, nodes of a real nats-server, and connections that
// are bad on purpose. It knows nothing of what is to be proven, and no program
// imports it.
package harness
