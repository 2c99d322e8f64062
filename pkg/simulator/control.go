package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"go.yaml.in/yaml/v3"
)

const (
	controlPrefix  = "/_sim/"
	maxControlBody = 1 << 20
)

// ControlUsage lists the endpoints under /_sim/. They are unsigned: serve them
// on loopback only. Bodies are YAML or JSON, spelled as in a scenario file.
const ControlUsage = `GET    /_sim/arrivals                  every call so far; ?action= chooses one action
DELETE /_sim/arrivals                  forget them
GET    /_sim/groups                    scaling groups
POST   /_sim/groups                    add one
GET    /_sim/activities                refresh activities
POST   /_sim/activities                add one
POST   /_sim/activities/{id}/status    {"Status": "RUNNING"}
POST   /_sim/activities/{id}/scale-in  {"ScaleIn": true}
POST   /_sim/activities/{id}/finish    end the batch that runs
GET    /_sim/faults                    faults in force
POST   /_sim/faults                    add one: {"Kind": "throttle", "Count": 20}
DELETE /_sim/faults                    remove all, or one: ?name=
GET    /_sim/credentials               accepted SecretIds
POST   /_sim/credentials               replace all: [{"SecretId": "AKID…", "SecretKey": "…"}]
`

// controlHandler serves what a rehearsal needs while it runs.
func (s *Simulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
			result, err := do(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			writeJSON(w, append(mustJSON(result), '\n'))
		})
	}
	mux.HandleFunc("GET "+controlPrefix, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ControlUsage)
	})
	handle("GET /_sim/arrivals", s.controlArrivals)
	handle("DELETE /_sim/arrivals", func(*http.Request) (any, error) { s.ForgetArrivals(); return done, nil })
	handle("GET /_sim/groups", func(*http.Request) (any, error) { return plain(s.Groups()), nil })
	handle("POST /_sim/groups", posted(s.AddGroup))
	handle("GET /_sim/activities", func(*http.Request) (any, error) { return controlActivities(s.Activities()), nil })
	handle("POST /_sim/activities", posted(s.AddActivity))
	handle("POST /_sim/activities/{id}/status", s.controlStatus)
	handle("POST /_sim/activities/{id}/scale-in", s.controlScaleIn)
	handle("POST /_sim/activities/{id}/finish", func(r *http.Request) (any, error) { return done, s.FinishBatch(r.PathValue("id")) })
	handle("GET /_sim/faults", func(*http.Request) (any, error) { return plain(s.Faults()), nil })
	handle("POST /_sim/faults", s.controlAddFault)
	handle("DELETE /_sim/faults", s.controlRemoveFault)
	handle("GET /_sim/credentials", func(*http.Request) (any, error) { return s.secretIDs(), nil })
	handle("POST /_sim/credentials", posted(func(cs []Credential) error { return s.SetCredentials(cs...) }))
	return mux
}

// done is the answer where there is nothing to say.
var done = struct{}{}

// posted makes an endpoint of a function that takes the decoded body.
func posted[T any](do func(T) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var in T
		if err := decodeYAML(r.Body, &in); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		return done, do(in)
	}
}

func (s *Simulator) controlArrivals(r *http.Request) (any, error) {
	list := s.Arrivals()
	if action := r.URL.Query().Get("action"); action != "" {
		list = slices.DeleteFunc(list, func(a Arrival) bool { return a.Action != action })
	}
	return list, nil
}

func (s *Simulator) controlStatus(r *http.Request) (any, error) {
	type body struct {
		Status Status `yaml:"Status"`
	}
	return posted(func(b body) error { return s.SetStatus(r.PathValue("id"), b.Status) })(r)
}

func (s *Simulator) controlScaleIn(r *http.Request) (any, error) {
	type body struct {
		ScaleIn bool `yaml:"ScaleIn"`
	}
	return posted(func(b body) error { return s.SetScaleIn(r.PathValue("id"), b.ScaleIn) })(r)
}

func (s *Simulator) controlAddFault(r *http.Request) (any, error) {
	var name string
	_, err := posted(func(f Fault) (err error) { name, err = s.AddFault(f); return err })(r)
	return map[string]string{"Name": name}, err
}

func (s *Simulator) controlRemoveFault(r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	if name == "" {
		s.ClearFaults()
		return done, nil
	}
	if !s.RemoveFault(name) {
		return nil, fmt.Errorf("there is no fault %q in force", name)
	}
	return done, nil
}

// secretIDs are the accepted SecretIds; keys are never shown.
func (s *Simulator) secretIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.credentials))
}

// controlActivities adds to what a scenario says of an activity how it went.
func controlActivities(list []Activity) any {
	type item struct {
		*activityItem

		Region  string
		Actual  Status
		ScaleIn bool
		Stops   int
		Resumes int
	}
	out := []item{}
	for _, a := range list {
		shown := (&activity{Activity: a}).item(a.Created)
		shown.Status = a.Shown
		out = append(out, item{&shown, a.Region, a.Status, a.ScaleIn, a.Stops, a.Resumes})
	}
	return out
}

// plain turns a value of the scenario into what encodes to JSON as the scenario
// spells it, durations included.
func plain(v any) json.RawMessage {
	text, err := yaml.Marshal(v)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		panic("simulator: " + err.Error())
	}
	return mustJSON(tree)
}
