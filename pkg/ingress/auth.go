package ingress

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Auth says who may post as a source. Without any way everybody may, which is for
// loopback and for networks that somebody else guards. Of several ways that are set
// each is enough; of several secrets of a way, so that one can be replaced while the
// old one is still in use, each is valid.
type Auth struct {
	// BearerFiles hold tokens of "Authorization: Bearer".
	BearerFiles []string
	// User and PasswordFiles are those of basic authentication.
	User          string
	PasswordFiles []string
	// HMACFiles hold the secrets of Grafana's and PagerDuty's signatures.
	HMACFiles []string
}

// Open reports whether everybody may post.
func (a Auth) Open() bool {
	return len(a.BearerFiles)+len(a.PasswordFiles)+len(a.HMACFiles) == 0
}

// verifier checks requests of a source. Secrets are kept as their sums, so that
// comparing takes the same time whatever their length, and nothing can show them.
type verifier struct {
	source  Source
	open    bool
	bearers [][sha256.Size]byte
	user    [sha256.Size]byte
	basics  [][sha256.Size]byte
	hmacs   [][]byte
	now     func() time.Time
}

// shortest is how long a secret must be, in bytes: shorter ones can be tried.
const shortest = 16

func newVerifier(source Source, a Auth) (*verifier, error) {
	v := &verifier{source: source, open: a.Open(), user: sha256.Sum256([]byte(a.User)), now: time.Now}
	var faults []error
	load := func(files []string, keep func([]byte)) {
		for _, file := range files {
			secret, err := secretOf(file)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			keep(secret)
		}
	}
	load(a.BearerFiles, func(s []byte) { v.bearers = append(v.bearers, sha256.Sum256(s)) })
	load(a.PasswordFiles, func(s []byte) { v.basics = append(v.basics, sha256.Sum256(s)) })
	load(a.HMACFiles, func(s []byte) { v.hmacs = append(v.hmacs, s) })
	if (a.User == "") != (len(a.PasswordFiles) == 0) {
		faults = append(faults, errors.New("a user and password-files belong together"))
	}
	if len(a.HMACFiles) > 0 && source != SourceGrafana && source != SourcePagerDuty {
		faults = append(faults, fmt.Errorf("hmac-files are for grafana and pagerduty, which sign; %s does not", source))
	}
	return v, errors.Join(faults...)
}

func secretOf(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the secret cannot be read: %w", err)
	}
	secret := bytes.TrimSpace(text)
	if len(secret) < shortest {
		return nil, fmt.Errorf("the secret in %s has %d bytes; at least %d are wanted", file, len(secret), shortest)
	}
	return secret, nil
}

// Refusals of authentication.
var (
	errNoCredentials  = errors.New("credentials are required")
	errBadCredentials = errors.New("the credentials or the signature are not valid")
)

// header checks what can be checked before the body is read. signed says that the
// body must be checked too.
func (v *verifier) header(r *http.Request) (signed bool, err error) {
	if v.open {
		return false, nil
	}
	given := false
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") && len(v.bearers) > 0 {
		given = true
		if among(v.bearers, token) {
			return false, nil
		}
	}
	if user, password, ok := r.BasicAuth(); ok && len(v.basics) > 0 {
		given = true
		sum := sha256.Sum256([]byte(user))
		// Both are compared whatever the first says.
		known, right := subtle.ConstantTimeCompare(sum[:], v.user[:]), among(v.basics, password)
		if known == 1 && right {
			return false, nil
		}
	}
	if len(v.hmacs) > 0 && r.Header.Get(signatureHeader(v.source)) != "" {
		return true, nil
	}
	if given {
		return false, errBadCredentials
	}
	return false, errNoCredentials
}

func among(sums [][sha256.Size]byte, given string) bool {
	sum, found := sha256.Sum256([]byte(given)), 0
	for _, s := range sums {
		found |= subtle.ConstantTimeCompare(sum[:], s[:])
	}
	return found == 1
}

// The headers of signatures, and of the time that Grafana may sign with the body.
const (
	grafanaSignature   = "X-Grafana-Alerting-Signature"
	grafanaTimestamp   = "X-Grafana-Alerting-Timestamp"
	pagerDutySignature = "X-PagerDuty-Signature"
)

func signatureHeader(s Source) string {
	if s == SourcePagerDuty {
		return pagerDutySignature
	}
	return grafanaSignature
}

// replayable is how old a signed time may be, or how far ahead.
const replayable = 5 * time.Minute

// body checks the signature of a body, by the documentation of its sender. One that
// is replayed later is refused where the sender signs the time; elsewhere it asks
// for what has been done already, and leads to nothing.
func (v *verifier) body(r *http.Request, body []byte) error {
	signed := body
	if stamp := r.Header.Get(grafanaTimestamp); v.source == SourceGrafana && stamp != "" {
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || v.now().Sub(time.Unix(seconds, 0)).Abs() > replayable {
			return errBadCredentials
		}
		signed = append([]byte(stamp+":"), body...)
	}
	for given := range strings.SplitSeq(r.Header.Get(signatureHeader(v.source)), ",") {
		given = strings.TrimSpace(given)
		if v.source == SourcePagerDuty {
			var ok bool
			if given, ok = strings.CutPrefix(given, "v1="); !ok {
				continue
			}
		}
		sum, err := hex.DecodeString(given)
		if err != nil {
			continue
		}
		for _, secret := range v.hmacs {
			mac := hmac.New(sha256.New, secret)
			mac.Write(signed)
			if hmac.Equal(sum, mac.Sum(nil)) {
				return nil
			}
		}
	}
	return errBadCredentials
}
