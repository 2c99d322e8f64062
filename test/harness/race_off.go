//go:build !race

package harness

// Race says that the tests run under the race detector, and so do the programs
// of this project that they start.
const Race = false
