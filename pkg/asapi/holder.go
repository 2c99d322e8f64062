package asapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Credential is what a call is signed with.
type Credential struct {
	SecretID  string
	SecretKey Secret
	// Token belongs to temporary credentials; empty for others.
	Token Secret
	// Expires is when temporary credentials end; zero for others.
	Expires time.Time
}

const (
	// refreshBefore is how long before their end temporary credentials are
	// replaced.
	refreshBefore = 5 * time.Minute
	// refreshTimeout bounds one look at the source.
	refreshTimeout = 15 * time.Second
)

// holder keeps the credentials of one account and gets new ones when they are
// about to end, were refused, or may have changed. Calls wait for that no
// longer than their own deadline, and only when there is nothing to go on with.
//
// It is the SDK's CredentialIface.
type holder struct {
	name    string
	account Account
	log     *slog.Logger
	ctx     context.Context //nolint:containedctx // the life of refreshes, ended by close
	cancel  context.CancelFunc
	group   sync.WaitGroup

	mu      sync.Mutex
	now     Credential
	fetched time.Time // zero: never, or refused since
	err     error     // of the last refresh
	running chan struct{}
}

func newHolder(name string, a Account, log *slog.Logger) *holder {
	ctx, cancel := context.WithCancel(context.Background())
	return &holder{name: name, account: a, log: log, ctx: ctx, cancel: cancel}
}

// ready returns when there are credentials to sign with.
func (h *holder) ready(ctx context.Context) error {
	h.mu.Lock()
	if h.fresh() {
		h.mu.Unlock()
		return nil
	}
	running := h.refresh()
	usable := h.usable()
	h.mu.Unlock()
	if usable {
		return nil
	}
	select {
	case <-running:
	case <-ctx.Done():
		return fmt.Errorf("waiting for credentials from %s: %w", h.account.Name, context.Cause(ctx))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now.SecretID == "" {
		return h.err
	}
	return nil
}

// fresh: no reason to look at the source again. Held by mu.
func (h *holder) fresh() bool {
	if h.fetched.IsZero() || !h.now.Expires.IsZero() && time.Until(h.now.Expires) < refreshBefore {
		return false
	}
	return h.account.Recheck <= 0 || time.Since(h.fetched) < h.account.Recheck
}

// usable: good enough to sign with while newer ones are on their way. Held by mu.
func (h *holder) usable() bool {
	return !h.fetched.IsZero() && (h.now.Expires.IsZero() || time.Now().Before(h.now.Expires))
}

// refresh looks at the source, once at a time. Held by mu.
func (h *holder) refresh() (running chan struct{}) {
	if h.running != nil {
		return h.running
	}
	done := make(chan struct{})
	h.running = done
	h.group.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeoutCause(h.ctx, refreshTimeout, errors.New("the source of the credentials does not answer"))
		defer cancel()
		got, err := h.account.Fetch(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running = nil
		h.keep(got, err)
	})
	return done
}

// keep takes over what the source said. Held by mu.
func (h *holder) keep(got Credential, err error) {
	if err != nil {
		if h.err == nil {
			h.log.Warn("cannot get credentials, going on with the old ones", "account", h.name, "source", h.account.Name, "error", err)
		}
		h.err = err
		return
	}
	if h.now.SecretID != "" && h.now.SecretID != got.SecretID {
		h.log.Info("credentials changed", "account", h.name, "source", h.account.Name)
	}
	h.now, h.fetched, h.err = got, time.Now(), nil
}

// invalidate has the source looked at before the next call: the API refused
// what there is.
func (h *holder) invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.account.static {
		h.fetched = time.Time{}
	}
}

func (h *holder) close() {
	h.cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); h.group.Wait() }()
	select {
	case <-ended:
	case <-time.After(time.Second):
		h.log.Warn("a refresh of credentials does not end", "account", h.name, "source", h.account.Name)
	}
}

// GetCredential returns the three parts as one, as signing needs them.
func (h *holder) GetCredential() (id, key, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now.SecretID, string(h.now.SecretKey), string(h.now.Token)
}

// GetSecretId, GetSecretKey and GetToken belong to the SDK's interface.
func (h *holder) GetSecretId() string { id, _, _ := h.GetCredential(); return id }

// GetSecretKey is the second part of GetCredential.
func (h *holder) GetSecretKey() string { _, key, _ := h.GetCredential(); return key }

// GetToken is the third part of GetCredential.
func (h *holder) GetToken() string { _, _, token := h.GetCredential(); return token }
