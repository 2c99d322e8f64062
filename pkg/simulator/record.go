package simulator

import (
	"slices"
	"time"
)

// Arrival is a call that reached the API, whatever became of it.
type Arrival struct {
	// Time is when the request had arrived, with its body.
	Time     time.Time
	Action   string
	Host     string
	SecretID string `json:"SecretId"`
	Region   string
	// GroupID and ActivityIDs are those named in the body.
	GroupID     string   `json:"AutoScalingGroupId,omitempty"`
	ActivityIDs []string `json:"RefreshActivityIds,omitempty"`
	BodySize    int
	RequestID   string `json:"RequestId"`
	// Code is the error answered; empty is success, or no answer of the API's own.
	Code string
	// Fault is what was injected, if anything was.
	Fault FaultKind `json:",omitempty"`
	// Accepted says that the call took effect, whether the caller learned of it or not.
	Accepted bool
	// Answered is when a complete answer had been written; zero is not yet, or never.
	Answered time.Time `json:",omitzero"`
}

// record keeps the arrivals. The Simulator's mutex guards it.
type record struct {
	keep int
	list []*Arrival
}

// add remembers an arrival. It drops old ones in large lots, so that a rehearsal
// of days neither grows nor copies for each call.
func (r *record) add(a *Arrival) {
	if len(r.list) >= 2*r.keep {
		r.list = append([]*Arrival(nil), r.list[len(r.list)-r.keep:]...)
	}
	r.list = append(r.list, a)
}

// Arrivals returns a copy of the record, oldest first. Arrivals that are still
// being served are in it.
func (s *Simulator) Arrivals() []Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Arrival, len(s.record.list))
	for i, a := range s.record.list {
		out[i] = *a
		out[i].ActivityIDs = slices.Clone(a.ActivityIDs)
	}
	return out
}

// ForgetArrivals empties the record. The quota still knows the last second.
func (s *Simulator) ForgetArrivals() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.list = nil
}

// MaxArrivals is the most arrivals of an action in any sliding window, counted
// as the API counts: apart for each host and SecretId, the worst pair returned.
// Refused and faulty arrivals count. An empty action counts all.
func (s *Simulator) MaxArrivals(action string, window time.Duration) int {
	by := map[quotaKey][]Arrival{}
	for _, a := range s.Arrivals() {
		if action == "" || a.Action == action {
			key := quotaKey{action, a.Host, a.SecretID}
			by[key] = append(by[key], a)
		}
	}
	most := 0
	for _, list := range by {
		most = max(most, MostIn(window, list))
	}
	return most
}

// MostIn is the largest number of arrivals less than window apart.
func MostIn(window time.Duration, arrivals []Arrival) int {
	list := slices.Clone(arrivals)
	slices.SortFunc(list, func(a, b Arrival) int { return a.Time.Compare(b.Time) })
	most, first := 0, 0
	for i := range list {
		for list[i].Time.Sub(list[first].Time) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
