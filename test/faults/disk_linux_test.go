package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-a7c21902/andon/test/harness"
)

// disk is a file system of its own, whose power can be cut.
type disk struct {
	t     testing.TB
	image string
	// dir is where it is mounted.
	dir string
}

// newDisk skips the test where no file system can be mounted.
func newDisk(t testing.TB, megabytes int64) *disk {
	t.Helper()
	suite(t)
	at := harness.DiskDir(t)
	d := &disk{t: t, image: filepath.Join(at, "image"), dir: filepath.Join(at, "mounted")}
	if os.Getuid() != 0 {
		t.Skip("only root can mount a file system to cut the power of")
	}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, megabytes<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("no ext4 can be made here: %v %s", err, out)
	}
	if out, err := d.mount(); err != nil {
		t.Skipf("no file system can be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", d.dir).Run() }) // may be unmounted
	return d
}

func (d *disk) mount() ([]byte, error) {
	return exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput()
}

// again mounts the disk anew, as a machine does that starts.
func (d *disk) again() {
	d.t.Helper()
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("umount: %v %s", err, out)
	}
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount: %v %s", err, out)
	}
}

// cut ends all writing at once: what has not been synced is lost, the journal
// too.
func (d *disk) cut() {
	d.t.Helper()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN and its flag
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 { //nolint:gosec // an ioctl takes an address
		d.t.Skipf("the power of a disk cannot be cut here: %v", errno)
	}
}

// fill leaves no room. The function makes room again.
func (d *disk) fill() (free func()) {
	d.t.Helper()
	path := filepath.Join(d.dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync() // there is no room
	return func() {
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

// standStill freezes a process and waits until none of its threads runs, as none
// does without power. A thread may be inside a system call (D). An fsync that a cut
// finds there can return without an error though nothing is on the disk: whoever
// went on would confirm what a machine without power cannot confirm.
func standStill(t testing.TB, p *harness.Process) {
	t.Helper()
	p.Freeze()
	harness.Eventually(t, 10*time.Second, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("no threads: %w", err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil {
				return err
			}
			_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
			if !strings.HasPrefix(rest, "T") && !strings.HasPrefix(rest, "D") {
				return fmt.Errorf("%s still runs: %.1s", thread, rest)
			}
		}
		return nil
	})
}

func TestB2ThePowerIsCut(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 300)
	w := begin(t, "B2 power cut", conf{workers: 1, embedded: true, store: filepath.Join(d.dir, "store")})
	w.ask(0)
	for range sized(3, 60) {
		w.pause(300*time.Millisecond, 1200*time.Millisecond)
		w.crew[0].alive()
		standStill(t, w.crew[0].Process)
		d.cut()
		w.crew[0].Kill()
		w.row.workerKills++
		w.row.brokerKills++
		d.again()
		w.crew[0].start()
		w.crew[0].ready()
		w.injected()
	}
	w.finish(2 * time.Minute)
}

// Confirmed before it is on the disk is lost with the power: what the test above
// finds nothing of is there to be found.
func TestControlABrokerThatDoesNotSyncLoses(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 300)
	row := newRow("control: power cut with the broker's usual sync_interval")
	row.control = true
	t.Cleanup(func() { row.end(t) })
	b := harness.StartBroker(t, harness.BrokerConfig{Nodes: 1, Dir: d.dir, Sync: "2m"})
	b.Prepare()
	for row.requests < sized(200, 1000) {
		harness.Eventually(t, 10*time.Second, func() error {
			_, err := b.JS.Publish(t.Context(), "as.refresh.stop", newRequest(row.requests, runs).payload())
			return err
		})
		row.requests++
	}
	d.cut()
	row.injected++
	b.Nodes[0].Kill()
	d.again()
	b.Start(b.Nodes[0])
	b.Nodes[0].Answers(t)
	left := 0
	harness.Eventually(t, 20*time.Second, func() error {
		if _, err := b.JS.AccountInfo(t.Context()); err != nil {
			return err
		}
		s, err := b.JS.Stream(t.Context(), "AS_REFRESH_STOP")
		if err == nil {
			left = int(s.CachedInfo().State.Msgs)
		}
		return nil
	})
	if row.lost = row.requests - left; row.lost == 0 {
		t.Error("nothing was lost: the cut cuts nothing")
	}
}

// Readiness says so, and after a restart with room all that was confirmed is
// there, but for what an fsync called stored that was under way when the disk
// died: that the kernel may do.
func TestD1TheDiskFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		fail    func(*disk) (repair func())
		forgets bool
	}{
		{"full", (*disk).fill, false},
		{"gives errors", func(d *disk) func() { d.cut(); return func() {} }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t, 300)
			w := begin(t, "D1 disk "+row.name, conf{workers: 1, embedded: true, store: filepath.Join(d.dir, "store"), forgets: row.forgets})
			w.ask(0)
			for range sized(1, 5) {
				w.pause(time.Second, 2*time.Second)
				repair := row.fail(d)
				w.unready("[-]broker failed")
				w.pause(time.Second, 2*time.Second)
				m := w.crew[0]
				m.alive()
				m.Signal(syscall.SIGTERM)
				if _, err := m.Exit(20 * time.Second); err != nil {
					t.Error(err)
				}
				repair()
				d.again()
				m.start()
				m.ready()
				w.injected()
			}
			if lost := w.insist(2 * time.Minute); lost > 0 {
				w.row.note = fmt.Sprintf("%d confirmed requests were not on the disk, and were asked again", lost)
			}
			w.finish(time.Minute)
		})
	}
}

// unready waits until the first worker says what is wrong with it.
func (w *world) unready(why string) {
	w.t.Helper()
	harness.Eventually(w.t, 20*time.Second, func() error {
		_, body, err := w.crew[0].get("/readyz?verbose")
		if err == nil && !strings.Contains(body, why) {
			err = fmt.Errorf("does not say %q: %s", why, body)
		}
		return err
	})
}
