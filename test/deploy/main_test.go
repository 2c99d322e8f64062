package deploy

import (
	"os"
	"testing"

	"github.com/seed-a7c21902/andon/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m, func() error { return nil })) }
