package limiter

import (
	"testing"
	"time"
)

const noon = instant(1_800_000_000_000_000_000)

func TestSlotsOfARecord(t *testing.T) {
	const each = 50 * time.Millisecond
	for name, tc := range map[string]struct {
		record record
		// Relative to the stamp.
		start, next time.Duration
		granted     int
	}{
		"free":                {record{Base: noon.add(-time.Hour), Count: 1, Interval: each}, 0, each, 1},
		"in a row":            {record{Base: noon.add(100 * time.Millisecond), Count: 2, Interval: each}, 100 * time.Millisecond, 200 * time.Millisecond, 2},
		"nothing reserved":    {record{Base: noon.add(100 * time.Millisecond), Interval: each}, 100 * time.Millisecond, 100 * time.Millisecond, 0},
		"out of reach":        {record{Base: noon.add(reach + 1), Count: 2, Interval: each}, reach + 1, reach + 1, 0},
		"partly out of reach": {record{Base: noon.add(reach - each), Count: 5, Interval: each}, reach - each, reach + each, 2},
		"the clock went back": {record{Base: noon.add(time.Hour), Count: 1, Interval: each}, time.Hour, reach + push + each, 0},
		"a schedule begins":   {record{Interval: each, Pause: reach}, 0, reach, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := stored{record: tc.record, stamp: noon}
			if d := s.start().sub(noon); d != tc.start {
				t.Errorf("starts after %s, want %s", d, tc.start)
			}
			if n := s.granted(); n != tc.granted {
				t.Errorf("%d slots, want %d", n, tc.granted)
			}
			if d := s.next().sub(noon); d != tc.next {
				t.Errorf("the next is free after %s, want %s", d, tc.next)
			}
		})
	}
}

func TestIntervalKeepsThePeriod(t *testing.T) {
	for _, tc := range []struct {
		rate      float64
		allowance time.Duration
		factor    float64
		calls     int
		period    time.Duration
	}{
		{20, 8 * time.Millisecond, 1, 20, time.Second},
		{20.9, 100 * time.Millisecond, 1, 20, time.Second},
		{1, 8 * time.Millisecond, 1, 1, time.Second},
		{0.25, 8 * time.Millisecond, 1, 1, 4 * time.Second},
		{20, 8 * time.Millisecond, 0.7, 14, time.Second},
	} {
		got := budgetOf(tc.rate).interval(tc.allowance, tc.factor)
		if all, want := time.Duration(tc.calls)*got, tc.period+tc.allowance; all < want || all > want+want/1000 {
			t.Errorf("rate %v: %d intervals last %s, want %s and hardly more", tc.rate, tc.calls, all, want)
		}
	}
}

func TestForeignRecordsAreRefused(t *testing.T) {
	for _, data := range []string{
		"", "null", "[]", `{}`, `{"brake":{"factor":2}}`, `{"brake":{"factor":1},"count":-1}`, `{"brake":{"factor":1},"interval":-1}`,
		`{"brake":{"factor":1},"interval":9000000000000000000}`, `{"brake":{"factor":1},"pause":9000000000000000000}`, `{"brake":{"factor":1},"spread":{"slow":-1}}`,
	} {
		if r, err := decode([]byte(data)); err == nil {
			t.Errorf("%s was read as %+v", data, r)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	good, err := record{Base: noon, Count: 3, Interval: 50_000_000, Number: 7, Worker: "w", Rate: 20, Brake: brake{Factor: 1}, Turns: map[string]turn{"w": {At: noon, Wants: 2}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"brake":{"factor":1},"count":1000000,"interval":1,"base":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		s := stored{record: r, stamp: noon}
		if n := s.granted(); n < 0 || n > max(r.Count, 0) {
			t.Errorf("%d slots of %d", n, r.Count)
		}
		if d := s.next().sub(noon); d < 0 || d > reach+push+maxInterval {
			t.Errorf("the next slot is free after %s", d)
		}
	})
}

func TestBrake(t *testing.T) {
	b := brake{Factor: 1}
	full := budgetOf(20)
	b = b.cut(noon, full)
	if b = b.cut(noon.add(900*time.Millisecond), full); b.Factor != 0.7 {
		t.Errorf("two throttles in a second leave %v, want 0.7", b.Factor)
	}
	if b = b.ease(noon.add(1800 * time.Millisecond)); b.Factor != 0.7 {
		t.Errorf("less than a second later it is %v", b.Factor)
	}
	if b = b.ease(noon.add(3900 * time.Millisecond)); b.Factor < 0.849 || b.Factor > 0.851 {
		t.Errorf("three seconds after the last throttle it is %v, want 0.85", b.Factor)
	}
	if c := b.ease(noon.add(-time.Hour)).ease(noon.add(10*time.Second - time.Hour)); c.on() {
		t.Errorf("after the broker's clock went back it stays at %v", c.Factor)
	}
	if b = b.ease(noon.add(time.Minute)); b.on() {
		t.Errorf("after a minute it is %v", b.Factor)
	}
	for i := range 100 {
		b = b.cut(noon.add(time.Hour+time.Duration(i)*time.Second/2), full)
	}
	if rate := b.Factor * full.rate(); rate < 0.999 || rate > 1.001 {
		t.Errorf("throttled for long the rate is %v, want 1", rate)
	}
	if b := (brake{Factor: 1}).cut(noon, budgetOf(0.5)); b.Factor != 1 {
		t.Errorf("a rate below one a second was cut to %v of itself", b.Factor)
	}
}
