package handler

import (
	"testing"
	"time"
)

func TestDelaysHaveFullJitterAndABound(t *testing.T) {
	const samples = 2000
	for n, ceiling := range map[int]time.Duration{1: base, 2: 2 * base, 4: 8 * base, 7: longest, 8: longest} {
		var sum, most time.Duration
		for range samples {
			d := delay(n)
			if d < 0 || d > ceiling+time.Millisecond {
				t.Fatalf("delay %d is %v, want at most %v", n, d, ceiling)
			}
			sum, most = sum+d, max(most, d)
		}
		// Of a uniform spread the mean of 2000 is within 5 % of the middle
		// (seven standard errors), and the largest close to the end.
		if mean := sum / samples; mean < ceiling*45/100 || mean > ceiling*55/100 || most < ceiling*9/10 {
			t.Errorf("delay %d: mean %v, most %v of %v", n, mean, most, ceiling)
		}
	}
}
