package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The only algorithm there is, and how far a caller's clock may be off.
const (
	algorithm   = "TC3-HMAC-SHA256"
	scopeEnd    = "tc3_request"
	maxSkew     = 5 * time.Minute
	serviceName = "as"
)

// authorization is a parsed Authorization header.
type authorization struct {
	secretID      string
	date          string
	service       string
	signedHeaders []string
	signature     string
}

// parseAuthorization reads
//
//	TC3-HMAC-SHA256 Credential=ID/2019-02-25/as/tc3_request, SignedHeaders=content-type;host, Signature=hex
//
// and says whether it is one. Content-Type and Host have to be signed.
func parseAuthorization(header string) (authorization, bool) {
	var a authorization
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[key]; !ok || twice || value == "" {
			return a, false
		}
		fields[key] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(fields) != 3 || len(scope) != 4 || scope[0] == "" || scope[3] != scopeEnd {
		return a, false
	}
	if _, err := time.Parse(time.DateOnly, scope[1]); err != nil {
		return a, false
	}
	a = authorization{secretID: scope[0], date: scope[1], service: scope[2], signature: fields["Signature"]}
	a.signedHeaders = strings.Split(fields["SignedHeaders"], ";")
	signed := func(name string) bool { return slices.Contains(a.signedHeaders, name) }
	return a, slices.IsSorted(a.signedHeaders) && signed("content-type") && signed("host") && isSHA256(a.signature)
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// scope is the third part of what is signed.
func (a authorization) scope() string {
	return a.date + "/" + a.service + "/" + scopeEnd
}

// canonicalHash is the hash of the request as both sides have to see it. The
// host is taken as it came, with its port, and header values in lower case.
func (a authorization) canonicalHash(r *http.Request, body []byte) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n/\n\n")
	for _, name := range a.signedHeaders {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		b.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(value)) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + hash(body))
	return hash([]byte(b.String()))
}

// sign returns the signature that the owner of key would have made.
func (a authorization) sign(key, timestamp, canonicalHash string) string {
	toSign := strings.Join([]string{algorithm, timestamp, a.scope(), canonicalHash}, "\n")
	return hex.EncodeToString(mac(signingKey(key, a.date, a.service), toSign))
}

func signingKey(key, date, service string) []byte {
	return mac(mac(mac([]byte("TC3"+key), date), service), scopeEnd)
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checkTimestamp compares the caller's clock with ours.
func checkTimestamp(stamp string, now time.Time) (time.Time, *apiError) {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return time.Time{}, fail(codeInvalidParameter, "`X-TC-Timestamp` is not a Unix time in seconds.")
	}
	at := time.Unix(seconds, 0)
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return at, fail(codeSignatureExpire, "The provided credentials are expired: `X-TC-Timestamp` is more than five minutes off the server's time.")
	}
	return at, nil
}

// checkSignature proves that the caller has the key. A scope with another date
// or service fails as a wrong signature does.
func (a authorization) checkSignature(r *http.Request, body []byte, at time.Time, key string) *apiError {
	want := a.sign(key, r.Header.Get("X-TC-Timestamp"), a.canonicalHash(r, body))
	sameScope := a.service == serviceName && a.date == at.UTC().Format(time.DateOnly)
	if !sameScope || !hmac.Equal([]byte(want), []byte(a.signature)) {
		return fail(codeSignatureFailure, "The provided credentials could not be validated. Please check your signature is correct.")
	}
	return nil
}
