// Package ingress proves, from outside, what andon promises to whoever wires an
// alert to it: that the alert pauses the refresh of its group once, however often it
// is told, and also when the broker is away at that moment. It has nothing but tests.
// Alertmanager is the real program, installed once and kept beside the caches of the
// user; so are the ingress, the worker and the broker. The simulated API is where a
// pause counts as one.
package ingress
