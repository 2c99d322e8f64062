package faults

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/seed-a7c21902/andon/test/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the time each test waits for its quota of 20 calls a second.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		if err := f.Value.Set("8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(harness.Run(m, printTable))
}
