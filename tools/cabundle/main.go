// Command cabundle prints the root certificates that the image trusts: Mozilla's, as
// golang.org/x/crypto has them at the version that tools/go.mod names. Those of the
// machine or of a base image would change from build to build.
package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	for root := range bundle.Roots() {
		// Mozilla trusts these for some certificates only, which a file cannot say.
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			fmt.Fprintln(os.Stderr, "cabundle:", err)
			os.Exit(1)
		}
	}
}
