package asapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// source is an account whose answers the test gives.
type source struct {
	mu      sync.Mutex
	looks   int
	now     int // at once
	most    int
	answer  func(ctx context.Context, look int) (Credential, error)
	recheck time.Duration
}

func (s *source) account() Account {
	return Account{Name: "source", Recheck: s.recheck, Fetch: func(ctx context.Context) (Credential, error) {
		s.mu.Lock()
		s.looks++
		s.now++
		s.most = max(s.most, s.now)
		look := s.looks
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.now--
			s.mu.Unlock()
		}()
		return s.answer(ctx, look)
	}}
}

func (s *source) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// key is the n-th pair of a source; it lives for that long, 0 is for ever.
func key(n int, life time.Duration) Credential {
	c := Credential{SecretID: "AKID" + strings.Repeat("x", n), SecretKey: "key"}
	if life > 0 {
		c.Expires = time.Now().Add(life)
	}
	return c
}

func bubble(t *testing.T, s *source, test func(t *testing.T, h *holder, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHolder("default", s.account(), slog.New(slog.NewTextHandler(&log, nil)))
		defer h.close()
		test(t, h, &log)
	})
}

// signsWith asks for credentials and tells which there are.
func signsWith(t *testing.T, h *holder, want Credential) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := h.ready(ctx); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if err := h.present(); err != nil {
		t.Errorf("ready, and a call cannot be signed: %v", err)
	}
	if got := h.GetSecretId(); got != want.SecretID {
		t.Errorf("signs with %q, want %q", got, want.SecretID)
	}
}

func TestHolderLooksWhen(t *testing.T) {
	tests := []struct {
		name    string
		recheck time.Duration
		life    time.Duration
		after   time.Duration
		looks   int
	}{
		{name: "first call", looks: 1},
		{name: "for ever, an age later", after: 1000 * time.Hour, looks: 1},
		{name: "recheck not due", recheck: time.Minute, after: 59 * time.Second, looks: 1},
		{name: "recheck due", recheck: time.Minute, after: time.Minute, looks: 2},
		{name: "end is far", life: time.Hour, after: 54 * time.Minute, looks: 1},
		{name: "end is near", life: time.Hour, after: 56 * time.Minute, looks: 2},
		{name: "over", life: time.Hour, after: 2 * time.Hour, looks: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &source{recheck: tt.recheck}
			s.answer = func(_ context.Context, look int) (Credential, error) { return key(look, tt.life), nil }
			bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
				signsWith(t, h, key(1, 0))
				pass(tt.after)
				if err := h.ready(t.Context()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if s.looks != tt.looks {
					t.Errorf("%d looks, want %d", s.looks, tt.looks)
				}
				signsWith(t, h, key(tt.looks, 0))
			})
		})
	}
}

// TestHolderGoesOnMeanwhile: with something to sign with nobody waits.
func TestHolderGoesOnMeanwhile(t *testing.T) {
	s := &source{}
	s.answer = func(ctx context.Context, look int) (Credential, error) {
		if look > 1 {
			pass(10 * time.Second)
		}
		return key(look, time.Hour), nil
	}
	bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
		signsWith(t, h, key(1, 0))
		pass(56 * time.Minute)
		began := time.Now()
		for range 100 {
			signsWith(t, h, key(1, 0))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("calls waited %s", took)
		}
		pass(10 * time.Second)
		synctest.Wait()
		signsWith(t, h, key(2, 0))
		if s.looks != 2 {
			t.Errorf("%d looks, want 2", s.looks)
		}
	})
}

func TestHolderLooksOnceAtATime(t *testing.T) {
	s := &source{}
	s.answer = func(context.Context, int) (Credential, error) {
		pass(500 * time.Millisecond)
		return key(1, 0), nil
	}
	bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() { signsWith(t, h, key(1, 0)) })
		}
		group.Wait()
		if s.looks != 1 || s.most != 1 {
			t.Errorf("%d looks, %d at once, want one", s.looks, s.most)
		}
	})
}

func TestHolderKeepsTheOldAndSaysSoOnce(t *testing.T) {
	broken := true
	s := &source{recheck: time.Minute}
	s.answer = func(_ context.Context, look int) (Credential, error) {
		if look > 1 && broken {
			return Credential{}, errors.New("the source is broken")
		}
		return key(look, 0), nil
	}
	bubble(t, s, func(t *testing.T, h *holder, log *bytes.Buffer) {
		signsWith(t, h, key(1, 0))
		for range 10 {
			pass(time.Minute)
			signsWith(t, h, key(1, 0))
			synctest.Wait()
		}
		if got := strings.Count(log.String(), "cannot get credentials"); got != 1 || !strings.Contains(log.String(), "the source is broken") || !strings.Contains(log.String(), "have_old=true") {
			t.Errorf("said %d times, want once:\n%s", got, log)
		}
		broken = false
		pass(time.Minute)
		h.ready(t.Context())
		synctest.Wait()
		signsWith(t, h, key(s.looks, 0))
		if !strings.Contains(log.String(), "credentials changed") {
			t.Errorf("the change is not told:\n%s", log)
		}
		broken = true
		pass(time.Minute)
		h.ready(t.Context())
		synctest.Wait()
		if got := strings.Count(log.String(), "cannot get credentials"); got != 2 {
			t.Errorf("broken again is said %d times in all, want 2:\n%s", got, log)
		}
	})
}

// TestHolderLeavesASickSourceAlone: calls come by the dozen, looks do not.
func TestHolderLeavesASickSourceAlone(t *testing.T) {
	sources := map[string]func(look int) (Credential, error){
		"fails":                   func(int) (Credential, error) { return Credential{}, errors.New("broken") },
		"gives what ends shortly": func(look int) (Credential, error) { return key(look, 4*time.Minute), nil },
	}
	for name, answer := range sources {
		t.Run(name, func(t *testing.T) {
			s := &source{}
			s.answer = func(_ context.Context, look int) (Credential, error) {
				if look == 1 {
					return key(1, 10*time.Minute), nil
				}
				return answer(look)
			}
			bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
				h.ready(t.Context())
				pass(6 * time.Minute)
				for range 60 * 20 {
					if err := h.ready(t.Context()); err != nil {
						t.Fatal(err)
					}
					pass(50 * time.Millisecond)
				}
				if most := 1 + int(time.Minute/refreshPause) + 1; s.looks > most || s.looks < 10 {
					t.Errorf("%d looks for 1200 calls in a minute, want 10 to %d", s.looks, most)
				}
			})
		})
	}
}

func TestHolderExpiredAndFailing(t *testing.T) {
	s := &source{}
	s.answer = func(_ context.Context, look int) (Credential, error) {
		if look > 1 {
			return Credential{}, errors.New("broken")
		}
		return key(1, time.Hour), nil
	}
	bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
		signsWith(t, h, key(1, 0))
		pass(2 * time.Hour)
		// The API judges them: this machine's clock may be what is wrong.
		signsWith(t, h, key(1, 0))
	})
}

func TestHolderWithNothing(t *testing.T) {
	tests := []struct {
		name   string
		answer func(context.Context, int) (Credential, error)
		says   string
	}{
		{"an error", func(context.Context, int) (Credential, error) { return Credential{}, errors.New("broken") }, "broken"},
		{"a panic", func(context.Context, int) (Credential, error) { panic("sudden") }, "source panics: sudden"},
		{"no id", func(context.Context, int) (Credential, error) { return Credential{SecretKey: "k"}, nil }, "has no SecretId"},
		{"no key", func(context.Context, int) (Credential, error) { return Credential{SecretID: "i"}, nil }, "has no SecretKey"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &source{answer: tt.answer}
			bubble(t, s, func(t *testing.T, h *holder, log *bytes.Buffer) {
				for range 3 {
					if err := h.ready(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("got %v, want %s", err, tt.says)
					}
				}
				if s.looks != 3 {
					t.Errorf("%d looks, want one for each call", s.looks)
				}
				if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "have_old=false") {
					t.Errorf("said:\n%s", log)
				}
				if id, k, token := h.GetCredential(); id+k+token != "" || h.GetSecretKey()+h.GetToken() != "" {
					t.Error("there is something to sign with")
				}
			})
		})
	}
}

// TestHolderHangingSource: it listens to its context, or it does not.
func TestHolderHangingSource(t *testing.T) {
	t.Run("that listens", func(t *testing.T) {
		s := &source{answer: func(ctx context.Context, _ int) (Credential, error) {
			<-ctx.Done()
			return Credential{}, context.Cause(ctx)
		}}
		bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
			blocksNobody(t, h)
			if s.looked() != 1 {
				t.Errorf("%d looks", s.looked())
			}
			// With more patience the source's own end comes first.
			began := time.Now()
			if err := h.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > refreshTimeout {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("that does not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			free := make(chan struct{})
			s := &source{answer: func(context.Context, int) (Credential, error) {
				<-free
				return key(1, 0), nil
			}}
			var log bytes.Buffer
			h := newHolder("default", s.account(), slog.New(slog.NewTextHandler(&log, nil)))
			blocksNobody(t, h)
			began := time.Now()
			h.close()
			if took := time.Since(began); took > time.Second {
				t.Errorf("close took %s", took)
			}
			if !strings.Contains(log.String(), "does not end") {
				t.Errorf("close says:\n%s", &log)
			}
			close(free)
			synctest.Wait() // synctest fails the test for a goroutine that stays
		})
	})
}

func blocksNobody(t *testing.T, h *holder) {
	t.Helper()
	for range 3 {
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errDeadline)
		err := h.ready(ctx)
		cancel()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("a call with 2 s waited %s", took)
		}
		if !errors.Is(err, errDeadline) || !strings.Contains(err.Error(), "credentials from source") {
			t.Errorf("got %v", err)
		}
	}
}

func TestInvalidate(t *testing.T) {
	t.Run("has the source looked at", func(t *testing.T) {
		s := &source{answer: func(_ context.Context, look int) (Credential, error) { return key(look, 0), nil }}
		bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
			signsWith(t, h, key(1, 0))
			h.invalidate()
			signsWith(t, h, key(2, 0))
			signsWith(t, h, key(2, 0))
		})
	})
	t.Run("with a source that fails goes on with the old", func(t *testing.T) {
		s := &source{answer: func(_ context.Context, look int) (Credential, error) {
			if look > 1 {
				return Credential{}, errors.New("broken")
			}
			return key(1, 0), nil
		}}
		bubble(t, s, func(t *testing.T, h *holder, _ *bytes.Buffer) {
			signsWith(t, h, key(1, 0))
			h.invalidate()
			signsWith(t, h, key(1, 0))
		})
	})
	t.Run("changes nothing of a fixed pair", func(t *testing.T) {
		h := newHolder("default", Static("static", "AKIDx", "key", ""), slog.New(slog.DiscardHandler))
		defer h.close()
		signsWith(t, h, key(1, 0))
		h.invalidate()
		if !h.fresh() {
			t.Error("it is looked at again")
		}
	})
}

// TestCloseOfManyIsBounded: sources that hang do so at the same time.
func TestCloseOfManyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		accounts := make(map[string]Account)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			accounts[name] = Account{Name: name, Fetch: func(context.Context) (Credential, error) {
				<-free
				return key(1, 0), nil
			}}
		}
		c, err := New(Config{Endpoint: "http://as.example", Accounts: accounts, Timeout: 2 * time.Second}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for name := range accounts {
			began := time.Now()
			a := c.Ready(t.Context(), name)
			if a == nil || a.Class != stop.ClassCredential || !a.Unsent || a.Code != "ClientError.CredentialError" || time.Since(began) != 2*time.Second {
				t.Errorf("after %s: %+v, want credential: no request ends because a source hangs", time.Since(began), a)
			}
			// Who stops waiting says nothing about the source.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			a = c.Ready(ctx, name)
			cancel()
			if a == nil || a.Class != stop.ClassTransient || !a.Unsent {
				t.Errorf("with less patience: %+v, want transient", a)
			}
		}
		began := time.Now()
		c.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Close took %s", took)
		}
		close(free)
		synctest.Wait()
	})
}

// TestRotation: a refusal has the file read at once, and the next call has the
// new pair.
func TestRotation(t *testing.T) {
	sim, server := newSimulator(t)
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(id, key string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("[default]\nsecret_id = "+id+"\nsecret_key = "+key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(simulator.SampleSecretID, simulator.SampleSecretKey)
	c := newClient(t, server.URL, account(File(path, "")))
	scope := stop.Scope{Account: "default", Region: "ap-guangzhou"}
	describe := func(want stop.Class) {
		t.Helper()
		if a := c.Ready(t.Context(), "default"); a != nil {
			t.Errorf("no credentials: %+v", a)
		}
		if _, a := c.Activities(t.Context(), scope); a.Class != want {
			t.Errorf("got %+v, want class %s", a, want)
		}
	}
	describe(stop.ClassOK)
	if err := sim.SetCredentials(simulator.Credential{SecretID: "AKIDnew", SecretKey: "newkey"}); err != nil {
		t.Fatal(err)
	}
	describe(stop.ClassCredential)
	describe(stop.ClassCredential) // the file has nothing new yet
	write("AKIDnew", "newkey")
	describe(stop.ClassOK)
	arrivals := sim.Arrivals()
	if got := arrivals[len(arrivals)-1].SecretID; got != "AKIDnew" {
		t.Errorf("signed by %s", got)
	}
}

// TestNoCredentialsSendsNothing: and the answer tells why.
func TestNoCredentialsSendsNothing(t *testing.T) {
	sim, server := newSimulator(t)
	path := filepath.Join(t.TempDir(), "missing")
	c := newClient(t, server.URL, account(File(path, "")))
	for what, a := range map[string]*stop.Answer{"ready": c.Ready(t.Context(), "default"), "call": new(c.Stop(t.Context(), web))} {
		if a == nil || a.Class != stop.ClassCredential || !a.Unsent || a.Code != "ClientError.CredentialError" {
			t.Errorf("%s: got %+v", what, a)
		}
	}
	if a := c.Ready(t.Context(), "default"); !strings.Contains(a.Message, path) {
		t.Errorf("it does not say which file: %+v", a)
	}
	if n := len(sim.Arrivals()); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
}

// TestACallDoesNotWaitForCredentials: it has a permit in hand, and calls that
// waited for the same credentials would all be made at once.
func TestACallDoesNotWaitForCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := Account{Name: "slow", Fetch: func(ctx context.Context) (Credential, error) {
			select {
			case <-time.After(2 * time.Second):
				return key(1, 0), nil
			case <-ctx.Done():
				return Credential{}, ctx.Err()
			}
		}}
		c := newClient(t, "http://127.0.0.1:1", account(source))
		began := time.Now()
		for range 2 {
			if a := c.Stop(t.Context(), web); a.Class != stop.ClassCredential || !a.Unsent || time.Since(began) != 0 {
				t.Errorf("after %v: %+v, want credential at once", time.Since(began), a)
			}
		}
		if a := c.Ready(t.Context(), "default"); a != nil || time.Since(began) != 2*time.Second {
			t.Errorf("ready after %v: %+v", time.Since(began), a)
		}
		c.accounts["default"].invalidate()
		if a := c.Stop(t.Context(), web); a.Class != stop.ClassCredential || !a.Unsent {
			t.Errorf("signed with what was refused: %+v", a)
		}
		if a := c.Ready(t.Context(), "other"); a == nil || a.Class != stop.ClassCaller {
			t.Errorf("an account that is not served: %+v", a)
		}
	})
}

// TestFileIsReread: a change that nothing refuses is noticed all the same.
func TestFileIsReread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[default]\nsecret_id=AKIDx\nsecret_key=key")
	synctest.Test(t, func(t *testing.T) {
		h := newHolder("default", File(path, ""), slog.New(slog.DiscardHandler))
		defer h.close()
		signsWith(t, h, key(1, 0))
		write("[default]\nsecret_id=AKIDxx\nsecret_key=key")
		pass(recheckFiles - time.Second)
		signsWith(t, h, key(1, 0))
		pass(time.Second)
		h.ready(t.Context())
		h.group.Wait()
		signsWith(t, h, key(2, 0))
		// Half a file, as an editor leaves it for a moment.
		write("[default]\nsecret_id=AKIDxxx\n")
		pass(recheckFiles)
		h.ready(t.Context())
		h.group.Wait()
		signsWith(t, h, key(2, 0))
	})
}

// pass moves the clock of a bubble.
func pass(d time.Duration) { <-time.After(d) }
