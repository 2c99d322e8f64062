package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

const (
	// defaultMaxStore holds some ten thousand of the largest requests and is small
	// enough for an ordinary disk.
	defaultMaxStore = 10 << 30
	// minFree is the free space below which a start is refused: the server would
	// accept requests that it cannot store.
	minFree = 64 << 20
)

// prepareDir makes dir a directory that only its owner can enter and that survives
// a restart.
//
// An existing one with a wider mode is tightened when it is empty or a broker's
// already. Otherwise it is refused, because it may be a home or /tmp, where a mode of
// 0700 would hurt others.
func prepareDir(dir string, allowTemporary bool, log *slog.Logger) error {
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("create the store directory: %w", err)
	}
	if kind := temporary(dir); kind != "" && !allowTemporary {
		return fmt.Errorf("the store directory %s lies on %s, where confirmed requests can be lost: "+
			"choose a directory on a local disk with --store-dir", dir, kind)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("inspect the store directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the store directory %s is not a directory", dir)
	}
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	refuse := func(why string) error {
		return fmt.Errorf("the store directory %s has mode %#o and %s: "+
			"name a sub-directory of it with --store-dir (it is created with mode 0700), or set the mode to 0700 yourself",
			dir, mode, why)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the store directory: %w", err)
	}
	ours := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == lockName })
	if len(entries) > 0 && !ours {
		return refuse("holds other files")
	}
	if err := os.Chmod(dir, 0o700); errors.Is(err, fs.ErrPermission) {
		return refuse("belongs to another user")
	} else if err != nil {
		return fmt.Errorf("tighten the store directory: %w", err)
	}
	log.Warn("store directory was open to other users, mode set to 0700", "dir", dir, "mode", fmt.Sprintf("%#o", mode))
	return nil
}

// makeDir creates dir and its parents, each with mode 0700, and has every new name
// on the disk before it returns: a message is not safe in a directory that is not.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Sync()
}

// storeLimit is how many bytes the streams in dir may take: want, or the default,
// or less where the disk is too small for it.
func storeLimit(dir string, want int64, log *slog.Logger) (int64, error) {
	if want == 0 {
		want = defaultMaxStore
	}
	free, err := freeSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("ask for the free space of the store directory %s: %w", dir, err)
	}
	if free < minFree {
		return 0, fmt.Errorf("the disk of the store directory %s has %d MiB free and the embedded broker needs %d: "+
			"make room, or choose another disk with --store-dir", dir, free>>20, int64(minFree)>>20)
	}
	used, err := usedSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("measure the store directory: %w", err)
	}
	limit := boundStore(want, used, free)
	if limit < want {
		log.Warn("store limit lowered to fit the disk", "dir", dir, "wanted", want, "limit", limit, "free", free, "used", used)
	}
	return limit, nil
}

// boundStore keeps a fifth of the free space for everybody else. What the store
// holds already is no longer free and counts for it.
func boundStore(want, used, free int64) int64 {
	return min(want, used+free/5*4)
}

func usedSpace(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	return total, err
}
