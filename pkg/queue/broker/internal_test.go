package broker

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Losing SyncAlways would lose confirmed requests to a power cut, and no other test
// can notice.
func TestTheServerRunsWithTheDurableSettings(t *testing.T) {
	b, err := Start(t.Context(), Config{StoreDir: filepath.Join(t.TempDir(), "store"), MaxStore: 1 << 20, AllowTemporary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	got := b.server.JetStreamConfig()
	if !got.SyncAlways {
		t.Error("SyncAlways is off")
	}
	if got, want := got.MaxStore, int64(1<<20); got != want {
		t.Errorf("MaxStore is %d, want %d", got, want)
	}
	if got, want := got.MaxMemory, int64(maxMemory); got != want {
		t.Errorf("MaxMemory is %d, want %d", got, want)
	}
	v, err := b.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !v.JetStream.Config.SyncAlways {
		t.Error("Varz says SyncAlways is off")
	}
	if got, want := v.Name, "andon"; got != want {
		t.Errorf("the server's name is %q, want %q", got, want)
	}
	if got, want := v.MaxPayload, defaultMaxPayload; got != want {
		t.Errorf("MaxPayload is %d, want %d", got, want)
	}
	if !b.server.ReadyForConnections(time.Second) {
		t.Error("not ready after Start")
	}
}

func TestBoundStore(t *testing.T) {
	const gib = int64(1 << 30)
	for _, row := range []struct {
		rule             string
		want, used, free int64
		limit            int64
	}{
		{"a large disk gives what was asked", 10 * gib, 0, 100 * gib, 10 * gib},
		{"a small disk gives four fifths of what is free", 10 * gib, 0, 5 * gib, 4 * gib},
		{"what is stored already counts for the store", 10 * gib, 3 * gib, 5 * gib, 7 * gib},
		{"a full store on a large disk stays as it is", 10 * gib, 10 * gib, 5 * gib, 10 * gib},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := boundStore(row.want, row.used, row.free); got != row.limit {
				t.Errorf("got %d, want %d", got, row.limit)
			}
		})
	}
}

func TestStoreLimitDefault(t *testing.T) {
	dir := t.TempDir()
	got, err := storeLimit(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got <= 0 || got > defaultMaxStore {
		t.Errorf("the default limit is %d", got)
	}
}

func TestTemporaryFileSystem(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "andon") //nolint:usetesting // on tmpfs, wherever TMPDIR points
	if err != nil {
		t.Skip("no /dev/shm here:", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if temporary(dir) == "" {
		t.Skip("/dev/shm is no tmpfs here")
	}
	if _, err := Start(t.Context(), Config{StoreDir: dir}); err == nil {
		t.Error("the broker started on tmpfs")
	}
	b, err := Start(t.Context(), Config{StoreDir: dir, AllowTemporary: true})
	if err != nil {
		t.Fatal(err)
	}
	b.Shutdown()
}
