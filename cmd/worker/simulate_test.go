package main

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestSimulator(t *testing.T) {
	s, err := startSimulator(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// An unsigned call is refused in the API's own way: with HTTP 200.
	resp, err := http.Post(s.endpoint, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"Error"`) {
		t.Errorf("unsigned call: got %d %s", resp.StatusCode, body)
	}
	if s.secretID == "" || s.secretKey == "" {
		t.Error("no credentials")
	}
	http.DefaultClient.CloseIdleConnections()
	s.close()
	if _, err := http.Get(s.endpoint); err == nil {
		t.Error("still served after close")
	}
}
