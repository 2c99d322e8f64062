package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
)

// simulation is the simulated API beside the worker. The worker reaches it as
// it reaches the real one, over HTTP and with signed calls; the endpoint and
// the credentials are all that tells the two apart.
type simulation struct {
	endpoint, secretID, secretKey string

	sim  *simulator.Simulator
	http *http.Server
	done chan struct{}
}

// startSimulator serves the sample scenario on a free port of loopback.
func startSimulator(log *slog.Logger) (*simulation, error) {
	sim, err := simulator.New(simulator.Sample())
	if err != nil {
		return nil, fmt.Errorf("start the simulated API: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated API: %w", err)
	}
	s := &simulation{
		endpoint:  "http://" + l.Addr().String(),
		secretID:  simulator.SampleSecretID,
		secretKey: simulator.SampleSecretKey,
		sim:       sim,
		http: &http.Server{
			Handler:           sim,
			ReadHeaderTimeout: 5 * time.Second,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("simulated API stopped", "error", err)
		}
	}()
	log.Warn("the API is simulated: nothing in the cloud is touched", "endpoint", s.endpoint)
	return s, nil
}

// close ends the simulated API and returns when its port is free.
func (s *simulation) close() {
	s.sim.Close()
	_ = s.http.Close()
	<-s.done
}
