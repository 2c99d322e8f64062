package faults

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// full: as many faults as are worth recording, not as many as fit into a check.
var full = os.Getenv("FAULTS") == "full"

// suite leaves all but a few tests to those who ask for them.
func suite(t testing.TB) {
	t.Helper()
	if os.Getenv("FAULTS") == "" {
		t.Skip("make faults runs the suite, and make faults-short a small one")
	}
}

// sized is a number of the short form, or of the full one.
func sized(short, long int) int {
	if full {
		return long
	}
	return short
}

// ackWait is how long a message is left to a worker that says nothing, 30 s
// where no test is in a hurry.
var ackWait = time.Duration(sized(2, 3)) * time.Second

// seed repeats a run, as far as chance chose it.
var seed = func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("FAULTS_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano()) % 1_000_000
}()

// chance is the random choices of one class.
func chance(class string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, class)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
