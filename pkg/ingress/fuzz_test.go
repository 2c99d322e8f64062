package ingress

import (
	"net/http"
	"testing"
)

// FuzzPost posts anything anywhere: it is never a crash, and what is stored a worker
// can read.
func FuzzPost(f *testing.F) {
	for file, path := range samples {
		f.Add(path, sample(f, file))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		known := false
		for _, p := range samples {
			known = known || p == path
		}
		if !known {
			path = "/webhook/alertmanager"
		}
		i, s := newTest(t)
		w := post(i, path, body, "Content-Type", "application/json")
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("answered %d", w.Code)
		}
		s.requests(t)
	})
}
