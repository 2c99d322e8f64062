package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/cmd/internal/logs"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{name: "help", args: []string{"-h"}, stdout: "Usage: worker [flags]"},
		{name: "version", args: []string{"--version"}, stdout: "worker "},
		{name: "unknown flag", args: []string{"--bogus"}, code: exitUsage, stderr: "unknown flag: --bogus; see worker --help"},
		{name: "two faults", args: []string{"--rate=0", "--log-level=x"}, code: exitUsage, stderr: "  --log-level \"x\": must be one of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, home(nil), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout: got %q, want %q", &stdout, tt.stdout)
			}
			if !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr: got %q, want %q", &stderr, tt.stderr)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	c := Default(home(nil))
	var b bytes.Buffer
	log, err := logs.New(&b, c.LogLevel, c.LogFormat)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hidden")
	log.Info("shown", "n", 1)
	var line struct{ Msg string }
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line.Msg != "shown" {
		t.Errorf("away from a terminal: got %q, want one line of JSON", &b)
	}

	b.Reset()
	c.LogFormat, c.LogLevel = "text", "debug"
	if log, err = logs.New(&b, c.LogLevel, c.LogFormat); err != nil {
		t.Fatal(err)
	}
	log.Debug("shown")
	if !strings.Contains(b.String(), "level=DEBUG msg=shown") {
		t.Errorf("text: got %q", &b)
	}
}
