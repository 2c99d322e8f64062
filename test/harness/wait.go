package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Eventually tries f until it has no error, and fails the test with the last
// one after the time.
func Eventually(t testing.TB, within time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		Pause(t, 20*time.Millisecond)
	}
}

// Pause lets time pass, where the time is what the test is about.
func Pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}

// ports are handed out in turn, each once, from a range of this process: below
// those that systems give to connections by themselves, so that an address is
// free now and after a restart, and none is given to two at the same time.
var ports atomic.Int64

const (
	firstPort = 20_000
	portRange = 1_000
	allRanges = 12
)

// FreeAddr is a free address to listen on, now and after a restart.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var last error
	for range portRange {
		port := firstPort + os.Getpid()%allRanges*portRange + int(ports.Add(1))%portRange
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		l.Close()
		return addr
	}
	t.Fatal(last)
	return ""
}

// Answers says what is wrong with the answer to a GET of the URL, nil if it is 200.
func Answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, said)
	}
	return nil
}

// MemoryDir is a directory that outlives any process and no machine, where the
// system has such a thing: what is written there is written at once.
func MemoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "andon-test-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// DiskDir is a directory on the disk of the project: the embedded broker
// refuses others, for what it has confirmed must outlive the machine.
func DiskDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", ".test-store-") //nolint:usetesting // t.TempDir may be on a tmpfs
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
