package asapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	// refreshPause is how long the source is left alone after a look, as long as
	// there is something to sign with: a source that fails, or that keeps giving
	// credentials near their end, is not asked with every call.
	refreshPause = 5 * time.Second
)

// holder keeps the credentials of one account and gets new ones when they are
// about to end, were refused, or may have changed. Whoever is about to ask for
// a permit to call waits for that, and only when there is nothing to go on
// with; the call itself does not wait.
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
	id      string    // of the credentials there are; empty: none yet
	expires time.Time // of these; zero: never
	// now is something that fmt cannot look into: of unexported fields it prints
	// all, and calls no method that would hide something.
	now     func() Credential
	fetched time.Time // zero: never, or refused since
	looked  time.Time // when the last look ended; zero: none since a refusal
	err     error     // of the last refresh
	running chan struct{}
}

func newHolder(name string, a Account, log *slog.Logger) *holder {
	ctx, cancel := context.WithCancel(context.Background())
	h := &holder{name: name, account: a, log: log, ctx: ctx, cancel: cancel}
	if a.static {
		h.keep(h.fetch(ctx)) // takes no time
	}
	return h
}

// ready returns when there are credentials to sign with.
func (h *holder) ready(ctx context.Context) error {
	h.mu.Lock()
	if h.fresh() {
		h.mu.Unlock()
		return nil
	}
	usable := h.usable()
	if usable && time.Since(h.looked) < refreshPause {
		h.mu.Unlock()
		return nil
	}
	running := h.refresh()
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
	if h.id == "" {
		return h.err
	}
	return nil
}

// errNone is why a call cannot be signed at this moment.
var errNone = errors.New("no credentials at hand")

// present says why a call cannot be signed with what there is, without waiting
// for anything better. Of credentials that were refused the source must have
// been asked again: if it has none that are newer, these may still be right.
func (h *holder) present() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.usable() || h.id != "" && !h.looked.IsZero():
		return nil
	case h.err != nil:
		return h.err
	default:
		return fmt.Errorf("%w from %s", errNone, h.account.Name)
	}
}

// fresh: no reason to look at the source again. Held by mu.
func (h *holder) fresh() bool {
	if h.fetched.IsZero() || !h.expires.IsZero() && time.Until(h.expires) < refreshBefore {
		return false
	}
	return h.account.Recheck <= 0 || time.Since(h.fetched) < h.account.Recheck
}

// usable: good enough to sign with while newer ones are on their way. Held by mu.
func (h *holder) usable() bool {
	return !h.fetched.IsZero() && (h.expires.IsZero() || time.Now().Before(h.expires))
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
		got, err := h.fetch(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running, h.looked = nil, time.Now()
		h.keep(got, err)
	})
	return done
}

// fetch asks the source. A panic of it, such as one of the SDK's providers, is
// one more way in which it fails, and must not end the process.
func (h *holder) fetch(ctx context.Context) (got Credential, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panics: %v", h.account.Name, p)
		}
	}()
	got, err = h.account.Fetch(ctx)
	if err != nil {
		return Credential{}, err
	}
	return complete(got, h.account.Name, "SecretId", "SecretKey")
}

// keep takes over what the source said. Held by mu.
func (h *holder) keep(got Credential, err error) {
	if err != nil {
		if h.err == nil {
			h.log.Warn("cannot get credentials", "account", h.name, "source", h.account.Name, "error", err, "have_old", h.id != "")
		}
		h.err = err
		return
	}
	if h.id != "" && h.id != got.SecretID {
		h.log.Info("credentials changed", "account", h.name, "source", h.account.Name)
	}
	h.id, h.expires, h.now = got.SecretID, got.Expires, func() Credential { return got }
	h.fetched, h.err = time.Now(), nil
}

// invalidate has the source looked at before the next call: the API refused
// what there is.
func (h *holder) invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.account.static {
		h.fetched, h.looked = time.Time{}, time.Time{}
	}
}

// close ends refreshes and waits for that, a second at most.
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

// minRedacted keeps a made-up short key from blanking out half a message; real
// keys have 32 bytes, and tokens more.
const minRedacted = 12

// redact takes the credentials out of a text: an endpoint that is not the API,
// such as a proxy, may show the request in its answer, token included.
func (h *holder) redact(text string) string {
	_, key, token := h.GetCredential()
	for _, secret := range []string{key, token} {
		if len(secret) >= minRedacted {
			text = strings.ReplaceAll(text, secret, hidden)
		}
	}
	return text
}

// GetCredential returns the three parts as one, as signing needs them.
func (h *holder) GetCredential() (id, key, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now == nil {
		return "", "", ""
	}
	c := h.now()
	return c.SecretID, string(c.SecretKey), string(c.Token)
}

// GetSecretId, GetSecretKey and GetToken belong to the SDK's interface.
func (h *holder) GetSecretId() string { id, _, _ := h.GetCredential(); return id }

// GetSecretKey is the second part of GetCredential.
func (h *holder) GetSecretKey() string { _, key, _ := h.GetCredential(); return key }

// GetToken is the third part of GetCredential.
func (h *holder) GetToken() string { _, _, token := h.GetCredential(); return token }
