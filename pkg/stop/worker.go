package stop

import "time"

// SubjectStatus is where all workers are asked how they do. Each answers with a
// [Worker].
const SubjectStatus = "as.refresh.status"

// Worker is what a worker tells of itself when it is asked.
type Worker struct {
	Worker    string    `json:"Worker"`
	Version   string    `json:"Version"`
	StartedAt time.Time `json:"StartedAt"`
	// DryRun and Simulated workers touch nothing in the cloud.
	DryRun    bool `json:"DryRun,omitempty"`
	Simulated bool `json:"Simulated,omitempty"`
	// Region is for requests that name none, Regions are those served (none: all),
	// Accounts the names that requests may use.
	Region   string   `json:"Region,omitempty"`
	Regions  []string `json:"Regions,omitempty"`
	Accounts []string `json:"Accounts"`
	// Endpoint is the access endpoint, with "{region}" where each region has its
	// own, and Rate the quota of each in calls a second.
	Endpoint string  `json:"Endpoint"`
	Rate     float64 `json:"Rate"`
	// InHand is how many messages it holds.
	InHand int `json:"InHand"`
	// Troubles are the checks of readiness that fail, and why; none: it is ready.
	Troubles []Trouble `json:"Troubles"`
	// Held are the accounts whose credentials were refused.
	Held []HeldAccount `json:"Held"`
	// Granted is what the limiter lets through of each action and quota in use, of
	// the whole fleet.
	Granted []Granted `json:"Granted"`
}

// Trouble is a check of readiness that fails.
type Trouble struct {
	Check   string `json:"Check"`
	Message string `json:"Message"`
}

// HeldAccount is an account that is left alone, but for a probe now and then,
// because the API refused its credentials or permissions for an action.
type HeldAccount struct {
	Account string    `json:"Account"`
	Action  string    `json:"Action"`
	Since   time.Time `json:"Since"`
	Answer  Answer    `json:"Answer"`
}

// Granted is how many calls of an action a second the whole fleet is granted
// against a quota at present.
type Granted struct {
	Quota

	Action string  `json:"Action"`
	Rate   float64 `json:"Rate"`
}
