package asapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
)

// place is where Default looks: an environment, a home and a metadata service.
type place struct {
	env   map[string]string
	files map[string]string // below home
	role  string            // of the CVM; empty: this is none
}

func (p place) find(t *testing.T, log *slog.Logger) (Account, error) {
	t.Helper()
	home := t.TempDir()
	for name, text := range p.files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	meta := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.role == "":
			http.NotFound(w, r)
		case r.URL.Path == "/":
			fmt.Fprintln(w, p.role)
		default:
			fmt.Fprintf(w, `{"TmpSecretId":"AKIDrole","TmpSecretKey":"k","Token":"t","ExpiredTime":1800000000,"Code":"Success"}`)
		}
	}))
	t.Cleanup(meta.Close)
	getenv := func(name string) string {
		if value, ok := p.env[name]; ok {
			return strings.ReplaceAll(value, "$HOME", home)
		}
		if name == "HOME" {
			return home
		}
		return ""
	}
	return find(t.Context(), getenv, log, meta.URL+"/")
}

const (
	credentialsFile = ".tencentcloud/credentials"
	tccliFile       = ".tccli/default.credential"
	goodFile        = "[default]\nsecret_id = AKIDfile\nsecret_key = k\n"
	goodTCCLI       = `{"secretId":"AKIDtccli","secretKey":"k","token":"t"}`
)

// TestDefault: each line has everything that comes later in the chain, so that
// what is found is found for its place.
func TestDefault(t *testing.T) {
	all := map[string]string{credentialsFile: goodFile, tccliFile: goodTCCLI, "named": "[default]\nsecret_id=AKIDnamed\nsecret_key=k", ".tccli/shop.credential": `{"secretId":"AKIDshop","secretKey":"k"}`}
	without := func(names ...string) map[string]string {
		left := make(map[string]string)
		for name, text := range all {
			left[name] = text
		}
		for _, name := range names {
			delete(left, name)
		}
		return left
	}
	with := func(name, text string) map[string]string {
		files := without()
		files[name] = text
		return files
	}
	oidc := map[string]string{"TKE_ROLE_ARN": "qcs::cam::uin/1:roleName/x", "TKE_PROVIDER_ID": "p", "TKE_WEB_IDENTITY_TOKEN_FILE": "f", "TKE_REGION": "ap-tokyo"}
	tests := []struct {
		name  string
		place place
		want  Credential
		says  string // of an error
	}{
		{
			name: "environment", want: Credential{SecretID: "AKIDenv", SecretKey: "k"},
			place: place{env: map[string]string{"TENCENTCLOUD_SECRET_ID": "AKIDenv", "TENCENTCLOUD_SECRET_KEY": "k", "TENCENTCLOUD_CREDENTIALS_FILE": "$HOME/named", "TKE_ROLE_ARN": "x"}, files: all, role: "r"},
		},
		{
			name: "environment with a token", want: Credential{SecretID: "AKIDenv", SecretKey: "k", Token: "one"},
			place: place{env: map[string]string{"TENCENTCLOUD_SECRET_ID": "AKIDenv", "TENCENTCLOUD_SECRET_KEY": "k", "TENCENTCLOUD_TOKEN": "one", "TENCENTCLOUD_SECURITY_TOKEN": "two"}},
		},
		{
			name: "environment with the other token", want: Credential{SecretID: "AKIDenv", SecretKey: "k", Token: "two"},
			place: place{env: map[string]string{"TENCENTCLOUD_SECRET_ID": "AKIDenv", "TENCENTCLOUD_SECRET_KEY": "k", "TENCENTCLOUD_SECURITY_TOKEN": "two"}},
		},
		{name: "environment without the key", says: "the environment has no TENCENTCLOUD_SECRET_KEY", place: place{env: map[string]string{"TENCENTCLOUD_SECRET_ID": "x"}, files: all, role: "r"}},
		{name: "environment without the id", says: "the environment has no TENCENTCLOUD_SECRET_ID", place: place{env: map[string]string{"TENCENTCLOUD_SECRET_KEY": "x"}, files: all, role: "r"}},
		{name: "file that the environment names", want: Credential{SecretID: "AKIDnamed", SecretKey: "k"}, place: place{env: map[string]string{"TENCENTCLOUD_CREDENTIALS_FILE": "$HOME/named"}, files: all, role: "r"}},
		{name: "file that the environment names and nobody has", says: "nobody", place: place{env: map[string]string{"TENCENTCLOUD_CREDENTIALS_FILE": "$HOME/nobody"}, files: all, role: "r"}},
		{name: "file", want: Credential{SecretID: "AKIDfile", SecretKey: "k"}, place: place{env: oidc, files: all, role: "r"}},
		{name: "file without the key", says: "credentials has no secret_key", place: place{files: with(credentialsFile, "[default]\nsecret_id=x"), role: "r"}},
		{name: "file without the id", says: "credentials has no secret_id", place: place{files: with(credentialsFile, "[default]\nsecret_key=x"), role: "r"}},
		{name: "file without the section", says: "no section [default]", place: place{files: with(credentialsFile, "[shop]\nsecret_id=x\nsecret_key=y"), role: "r"}},
		{name: "file that is empty", says: "no section [default]", place: place{files: with(credentialsFile, ""), role: "r"}},
		{name: "file that is a directory", says: "credentials", place: place{files: map[string]string{credentialsFile + "/x": ""}, role: "r"}},
		{name: "tccli", want: Credential{SecretID: "AKIDtccli", SecretKey: "k", Token: "t"}, place: place{env: oidc, files: without(credentialsFile), role: "r"}},
		{name: "tccli profile", want: Credential{SecretID: "AKIDshop", SecretKey: "k"}, place: place{env: map[string]string{"TCCLI_PROFILE": "shop"}, files: without(credentialsFile), role: "r"}},
		{name: "tccli without the key", says: "has no secretKey", place: place{files: map[string]string{tccliFile: `{"secretId":"x"}`}, role: "r"}},
		{name: "tccli without the id", says: "has no secretId", place: place{files: map[string]string{tccliFile: `{"secretKey":"x"}`}, role: "r"}},
		{name: "tccli that is no JSON", says: "is not JSON", place: place{files: map[string]string{tccliFile: "secretId=x"}, role: "r"}},
		{name: "home that is no directory", want: Credential{SecretID: "AKIDrole", SecretKey: "k", Token: "t", Expires: time.Unix(1800000000, 0)}, place: place{env: map[string]string{"HOME": "/dev/null"}, role: "r"}},
		{name: "TKE without the rest", says: "has no TKE_PROVIDER_ID, TKE_WEB_IDENTITY_TOKEN_FILE, TKE_REGION", place: place{env: map[string]string{"TKE_ROLE_ARN": "x"}, role: "r"}},
		{name: "TKE without the role", says: "has no TKE_ROLE_ARN", place: place{env: map[string]string{"TKE_PROVIDER_ID": "p", "TKE_WEB_IDENTITY_TOKEN_FILE": "f", "TKE_REGION": "ap-tokyo"}, role: "r"}},
		{name: "TKE's region alone", want: Credential{SecretID: "AKIDrole", SecretKey: "k", Token: "t", Expires: time.Unix(1800000000, 0)}, place: place{env: map[string]string{"TKE_REGION": "ap-tokyo"}, role: "r"}},
		{name: "role", want: Credential{SecretID: "AKIDrole", SecretKey: "k", Token: "t", Expires: time.Unix(1800000000, 0)}, place: place{role: "r"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := tt.place.find(t, slog.New(slog.DiscardHandler))
			if tt.says != "" {
				if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want an error with %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("from %s, -want +got:\n%s", a.Name, diff)
			}
		})
	}
	t.Run("TKE before the role", func(t *testing.T) {
		a, err := place{env: oidc, role: "r"}.find(t, slog.New(slog.DiscardHandler))
		if err != nil || a.Name != "TKE OIDC" {
			t.Errorf("got %s, %v", a.Name, err)
		}
	})
}

func TestDefaultFindsNothing(t *testing.T) {
	_, err := place{}.find(t, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNone) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", filepath.FromSlash(credentialsFile), filepath.FromSlash(tccliFile), "TKE_ROLE_ARN", "CVM", "--simulate"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %s: %v", part, err)
		}
	}
}

// TestDefaultWithoutHome: the working directory is not a home, and whoever can
// write to it does not choose the account.
func TestDefaultWithoutHome(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{credentialsFile: goodFile, tccliFile: goodTCCLI} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := place{env: map[string]string{"HOME": ""}}.find(t, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNone) {
		t.Errorf("got %s, %v", a.Name, err)
	}
}

// TestDefaultAwayFromTheCloud: where nobody answers, not even with a refusal.
func TestDefaultAwayFromTheCloud(t *testing.T) {
	meta := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	home := t.TempDir()
	began := time.Now()
	_, err := find(t.Context(), func(name string) string {
		if name == "HOME" {
			return home
		}
		return ""
	}, slog.New(slog.DiscardHandler), meta.URL+"/")
	if took := time.Since(began); !errors.Is(err, ErrNone) || took > patience/2 {
		t.Errorf("after %s: %v", took, err)
	}
}

func TestReadSection(t *testing.T) {
	tests := []struct {
		name, text, section string
		want                map[string]string
	}{
		{"plain", "[default]\nsecret_id=a\nsecret_key=b", "default", map[string]string{"secret_id": "a", "secret_key": "b"}},
		{"byte order mark", "\ufeff[default]\nsecret_id=a", "default", map[string]string{"secret_id": "a"}},
		{"blanks", " [ default ] \r\n  secret_id =  a \r\n\r\n", "default", map[string]string{"secret_id": "a"}},
		{"comments", "# x\n; y\n[default]\n# secret_id=a\n;secret_key=b\n", "default", map[string]string{}},
		{"= in a value", "[default]\ntoken=a==", "default", map[string]string{"token": "a=="}},
		{"# in a value", "[default]\nsecret_key=a#b", "default", map[string]string{"secret_key": "a#b"}},
		{"other sections", "[a]\nk=1\n[default]\nk=2\n[b]\nk=3", "default", map[string]string{"k": "2"}},
		{"section twice", "[a]\nk=1\n[b]\nk=2\n[a]\nl=3", "a", map[string]string{"k": "1", "l": "3"}},
		{"before any section", "k=1\n[default]", "default", map[string]string{}},
		{"no such section", "[a]\nk=1", "default", nil},
		{"empty", "", "default", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readSection(strings.NewReader(tt.text), tt.section)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFileSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[default]\nsecret_id=a\nsecret_key=b\n[shop]\nsecret_id=c\nsecret_key=d\ntoken=e\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := File(path, "shop").Fetch(t.Context())
	if diff := cmp.Diff(Credential{SecretID: "c", SecretKey: "d", Token: "e"}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if _, err := File(path, "pay").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), path+": there is no section [pay]") {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	write := func(mode os.FileMode, text string) string {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name        string
		account     Account
		fails, warn bool
	}{
		{name: "private file", account: File(write(0o600, goodFile), "")},
		{name: "file for all to read", account: File(write(0o644, goodFile), ""), warn: runtime.GOOS != "windows"},
		{name: "tccli profile for the group to read", account: TCCLI(write(0o640, goodTCCLI))},
		{name: "missing file", account: File(filepath.Join(t.TempDir(), "x"), ""), fails: true},
		{name: "broken file", account: TCCLI(write(0o600, "x")), fails: true},
		{name: "fixed pair", account: simulated()},
		{name: "source that would need the network", account: Account{Fetch: func(context.Context) (Credential, error) { panic("asked") }}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			err := tt.account.Check(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
			if (err != nil) != tt.fails || strings.Contains(log.String(), "chmod 600") != tt.warn {
				t.Errorf("got %v, log:\n%s", err, &log)
			}
		})
	}
}

func TestCVMRole(t *testing.T) {
	const good = `{"TmpSecretId":"AKIDr","TmpSecretKey":"k","Token":"t","ExpiredTime":1800000000,"Expiration":"2027-01-15T08:00:00Z","Code":"Success"}`
	tests := []struct {
		name   string
		role   string
		answer http.HandlerFunc
		says   string
	}{
		{name: "named", role: "andon", answer: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/andon" {
				http.NotFound(w, r)
				return
			}
			w.Write([]byte(good))
		}},
		{name: "the machine's", answer: func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/":
				w.Write([]byte("andon\n"))
			case "/andon":
				w.Write([]byte(good))
			default:
				http.NotFound(w, r)
			}
		}},
		{name: "a name with a slash is one name", role: "../x", answer: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.EscapedPath() != "/..%2Fx" {
				http.NotFound(w, r)
				return
			}
			w.Write([]byte(good))
		}},
		{name: "no such role", role: "x", answer: http.NotFound, says: "404"},
		{name: "no role", answer: http.NotFound, says: "404"},
		{name: "no credentials", role: "x", answer: says(`{"Code":"InternalError"}`), says: "InternalError"},
		{name: "no id", role: "x", answer: says(`{"TmpSecretKey":"k","Code":"Success"}`), says: "no TmpSecretId"},
		{name: "no key", role: "x", answer: says(`{"TmpSecretId":"i","Code":"Success"}`), says: "no TmpSecretKey"},
		{name: "no JSON", role: "x", answer: says("<html>"), says: "no credentials"},
		{name: "a flood", role: "x", answer: says(good[:40] + strings.Repeat(" ", 1<<20)), says: "no credentials"},
		{name: "cut", role: "x", answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, says: "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cvmRole(serve(t, tt.answer).URL+"/", tt.role).Fetch(t.Context())
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want an error with %s", err, tt.says)
				}
				return
			}
			want := Credential{SecretID: "AKIDr", SecretKey: "k", Token: "t", Expires: time.Unix(1800000000, 0)}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
	if a := CVMRole("x"); a.Name != "CVM role" || a.path != "" || a.static {
		t.Errorf("got %+v", a)
	}
}

func TestOIDC(t *testing.T) {
	for _, name := range []string{"TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN"} {
		t.Setenv(name, "")
	}
	if _, err := OIDC().Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "TKE OIDC") {
		t.Errorf("without the variables: %v", err)
	}
	if _, err := OIDCFrom(os.Getenv); err == nil || !strings.Contains(err.Error(), "TKE_ROLE_ARN") {
		t.Errorf("without the variables it is found at the start: %v", err)
	}
	t.Setenv("TKE_REGION", "ap-guangzhou")
	t.Setenv("TKE_PROVIDER_ID", "p")
	t.Setenv("TKE_WEB_IDENTITY_TOKEN_FILE", filepath.Join(t.TempDir(), "missing"))
	t.Setenv("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/x")
	if _, err := OIDCFrom(os.Getenv); err != nil {
		t.Error(err)
	}
	if _, err := OIDC().Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "TKE OIDC") {
		t.Errorf("without the token's file: %v", err)
	}
}

// TestUnquoted: what STS says in reply to a role is a pair of keys.
func TestUnquoted(t *testing.T) {
	for code, quotes := range map[string]bool{
		"ClientError.ParseJsonError": false, "ClientError.HttpStatusCodeError": false,
		"ClientError.NetworkError": true, "InvalidParameter.WebIdentityTokenError": true,
	} {
		err := unquoted(fmt.Errorf("wrapped: %w", sdkerrors.NewTencentCloudSDKError(code, "the answer is "+string(canaryKey), "")))
		if got := sings(err.Error()); got != quotes || !strings.Contains(err.Error(), code) {
			t.Errorf("got %v", err)
		}
	}
	if plain := errors.New("env TKE_REGION not exist"); unquoted(plain) != plain { //nolint:errorlint // the same, not alike
		t.Errorf("got %v", unquoted(plain))
	}
}

func TestTCCLIPath(t *testing.T) {
	for profile, want := range map[string]string{"": "default.credential", "shop": "shop.credential"} {
		if got := TCCLIPath("home", profile); got != filepath.Join("home", ".tccli", want) {
			t.Errorf("profile %q is at %s", profile, got)
		}
	}
}
