package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// ErrLocked is in the chain of the error of [Start] when another broker, in this or
// another process, uses the store directory.
var ErrLocked = errors.New("already in use")

// lockName is the file that is locked. It stays when the lock is gone: removing it
// would let two processes hold a lock on two files of the same name.
const lockName = "andon.lock"

// lock is the exclusive right to a store directory. The kernel takes it back when
// the process ends.
type lock struct{ file *os.File }

func lockDir(dir string) (*lock, error) {
	path := filepath.Join(dir, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the store directory %s must be writable: %w", dir, err)
	}
	taken, err := flock(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock the store directory %s: %w", dir, err)
	}
	if !taken {
		holder := pid(file)
		_ = file.Close()
		return nil, fmt.Errorf("the store directory %s is %w by another andon worker%s: stop that one, "+
			"give this one a --store-dir of its own, or let both share one broker with --nats-url", dir, ErrLocked, holder)
	}
	// The pid only helps whoever is refused, so failing to note it refuses nobody.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return &lock{file: file}, nil
}

func (l *lock) release() {
	_ = l.file.Close()
}

// pid names the holder for an error text, or is empty when the file does not tell.
func pid(file *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(file, 20))
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", n)
}
