package main

import (
	"fmt"
	"io"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// printUse says how to get a client to talk to address.
func printUse(w io.Writer, address string, sc simulator.Scenario) {
	fmt.Fprintf(w, "simulated Auto Scaling API on http://%s: %d groups, %d refreshes, %d faults\n\n", address, len(sc.Groups), len(sc.Activities), len(sc.Faults))
	key := sc.Credentials[0]
	region := "ap-guangzhou"
	if len(sc.Groups) > 0 {
		region = sc.Groups[0].Region
	}
	fmt.Fprint(w, "credentials:\n")
	fmt.Fprintf(w, "  export TENCENTCLOUD_SECRET_ID=%s\n", key.SecretID)
	// Keys of an own scenario may be somebody's real ones by mistake.
	if key.SecretKey == simulator.SampleSecretKey {
		fmt.Fprintf(w, "  export TENCENTCLOUD_SECRET_KEY=%s\n", key.SecretKey)
	} else {
		fmt.Fprint(w, "  export TENCENTCLOUD_SECRET_KEY=   # as in the scenario\n")
	}
	fmt.Fprintf(w, "\nworker:\n  worker --endpoint http://%s --region %s\n", address, region)
	fmt.Fprintf(w, "\nGo SDK:\n  p := profile.NewClientProfile()\n  p.HttpProfile.Endpoint = %q\n  p.HttpProfile.Scheme = \"HTTP\"\n", address)
	fmt.Fprintf(w, "\ntccli speaks https only: put a TLS proxy that keeps the Host header in front, then --endpoint its-host\n")
	if sc.Control {
		fmt.Fprintf(w, "\ncontrol:\n  curl http://%s/_sim/\n", address)
	}
	fmt.Fprintln(w)
}
