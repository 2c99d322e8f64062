// Package fleet measures and attacks, from outside, what a fleet of workers
// does together: keep one quota of the API between them. It has nothing but
// tests. All that is not the test itself is a real process: the nodes of the
// broker, the workers, and members, which are the limiter and the API client
// alone under a load that a worker with its queues would not reach. What counts
// is what arrives at the API, by one clock.
package fleet
