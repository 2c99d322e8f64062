package fleet

import (
	"fmt"
	"os"
	"testing"

	"github.com/seed-a7c21902/andon/test/harness"
)

// memberVariable makes a member of this binary; it holds the member's job.
const memberVariable = "ANDON_TEST_FLEET_MEMBER"

func TestMain(m *testing.M) {
	if given := os.Getenv(memberVariable); given != "" {
		if err := serve(given, os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(harness.Run(m, func() error { return nil }))
}
