package asapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
)

// Account is where the credentials of one account come from.
type Account struct {
	// Name of the source, for messages.
	Name string
	// Fetch looks at the source. It may take long, and be slow to notice the
	// end of its context; it is never called twice at once.
	Fetch func(ctx context.Context) (Credential, error)
	// Recheck is after how long a source that may change is looked at again;
	// 0 is never. A refusal of the API has it looked at in any case.
	Recheck time.Duration

	static bool
	path   string // of the file, where it is one
}

// recheckFiles is how long a changed file may go unnoticed.
const recheckFiles = time.Minute

// Static is a fixed key pair, with a token if it is temporary.
func Static(name, secretID string, secretKey, token Secret) Account {
	return Account{Name: name, static: true, Fetch: func(context.Context) (Credential, error) {
		return Credential{SecretID: secretID, SecretKey: secretKey, Token: token}, nil
	}}
}

// File is a section of an INI file with secret_id and secret_key, as
// ~/.tencentcloud/credentials; the empty section is "default".
func File(path, section string) Account {
	if section == "" {
		section = "default"
	}
	return Account{Name: "file " + path, path: path, Recheck: recheckFiles, Fetch: func(context.Context) (Credential, error) {
		f, err := os.Open(path)
		if err != nil {
			return Credential{}, fmt.Errorf("credentials file: %w", err)
		}
		defer f.Close()
		keys, err := readSection(f, section)
		if err != nil {
			return Credential{}, fmt.Errorf("credentials file %s: %w", path, err)
		}
		c := Credential{SecretID: keys["secret_id"], SecretKey: Secret(keys["secret_key"]), Token: Secret(keys["token"])}
		return complete(c, fmt.Sprintf("section [%s] of %s", section, path), "secret_id", "secret_key")
	}}
}

// readSection reads the keys of one section of an INI file.
func readSection(r io.Reader, section string) (map[string]string, error) {
	keys, at, found := make(map[string]string), "", false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff")) // as some editors begin a file
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			at = strings.TrimSpace(line[1 : len(line)-1])
			found = found || at == section
		case at == section:
			key, value, _ := strings.Cut(line, "=")
			keys[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("there is no section [%s]", section)
	}
	return keys, nil
}

// TCCLI is a credential file of the tccli command line.
func TCCLI(path string) Account {
	return Account{Name: "tccli profile " + path, path: path, Recheck: recheckFiles, Fetch: func(context.Context) (Credential, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return Credential{}, fmt.Errorf("tccli profile: %w", err)
		}
		var keys struct{ SecretID, SecretKey, Token string }
		if err := json.Unmarshal(data, &keys); err != nil {
			return Credential{}, fmt.Errorf("tccli profile %s is not JSON", path) // the error would quote the file
		}
		return complete(Credential{SecretID: keys.SecretID, SecretKey: Secret(keys.SecretKey), Token: Secret(keys.Token)}, path, "secretId", "secretKey")
	}}
}

// TCCLIPath is where tccli keeps the profile; the empty one is "default".
func TCCLIPath(home, profile string) string {
	if profile == "" {
		profile = "default"
	}
	return filepath.Join(home, ".tccli", profile+".credential")
}

// OIDC is the identity that TKE gives to a pod, by its TKE_* variables. The
// SDK does the exchange; it cannot be interrupted, but nobody waits for it.
func OIDC() Account {
	return Account{Name: "TKE OIDC", Fetch: func(context.Context) (Credential, error) {
		p, err := common.DefaultTkeOIDCRoleArnProvider()
		if err != nil {
			return Credential{}, fmt.Errorf("TKE OIDC: %w", err)
		}
		got, err := p.GetCredential()
		if err != nil {
			return Credential{}, fmt.Errorf("TKE OIDC: %w", unquoted(err))
		}
		id, key, token := got.GetCredential()
		// The SDK asks for two hours and does not tell the end.
		const life = 100 * time.Minute
		c := Credential{SecretID: id, SecretKey: Secret(key), Token: Secret(token), Expires: time.Now().Add(life)}
		return complete(c, "TKE OIDC", "TmpSecretId", "TmpSecretKey")
	}}
}

// OIDCFrom is OIDC for an environment that has what it needs. The error names what is
// missing.
func OIDCFrom(getenv func(string) string) (Account, error) {
	configured, err := tke(getenv)
	if !configured {
		err = fmt.Errorf("TKE OIDC: the environment has no %s; TKE's pod-identity-webhook gives them to pods of a ServiceAccount with a role", strings.Join(tkeNames, ", "))
	}
	return OIDC(), err
}

// tkeNames are the variables that OIDC needs, all of them. The region alone is
// no sign that it is meant.
var tkeNames = []string{"TKE_ROLE_ARN", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_REGION"}

// tke reports whether OIDC is configured; half of it is an error.
func tke(getenv func(string) string) (configured bool, err error) {
	var missing []string
	for _, name := range tkeNames {
		switch {
		case getenv(name) == "":
			missing = append(missing, name)
		case name != "TKE_REGION":
			configured = true
		}
	}
	if configured && len(missing) > 0 {
		return true, fmt.Errorf("TKE OIDC: the environment has no %s", strings.Join(missing, ", "))
	}
	return configured, nil
}

// unquoted drops what the SDK quotes of an answer that it could not read: one
// that breaks off holds keys.
func unquoted(err error) error {
	sdkErr, ok := errors.AsType[*sdkerrors.TencentCloudSDKError](err)
	if ok && (sdkErr.Code == "ClientError.ParseJsonError" || sdkErr.Code == "ClientError.HttpStatusCodeError") {
		return fmt.Errorf("STS answers something that cannot be read (%s)", sdkErr.Code)
	}
	return err
}

// metadata is the CVM's metadata service.
const metadata = "http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/"

// CVMRole is the role of the CVM this runs on; the empty role is the one that
// the machine has.
func CVMRole(role string) Account { return cvmRole(metadata, role) }

func cvmRole(base, role string) Account {
	return Account{Name: "CVM role", Fetch: func(ctx context.Context) (Credential, error) {
		name := role
		if name == "" {
			found, err := get(ctx, base)
			if err != nil {
				return Credential{}, fmt.Errorf("CVM role: %w", err)
			}
			name = strings.TrimSpace(string(found))
		}
		data, err := get(ctx, base+url.PathEscape(name))
		if err != nil {
			return Credential{}, fmt.Errorf("CVM role %s: %w", name, err)
		}
		var keys struct {
			TmpSecretID, TmpSecretKey, Token, Code string
			ExpiredTime                            int64
		}
		if err := json.Unmarshal(data, &keys); err != nil || keys.Code != "" && keys.Code != "Success" {
			return Credential{}, fmt.Errorf("CVM role %s: the metadata service has no credentials (%s)", name, keys.Code)
		}
		c := Credential{SecretID: keys.TmpSecretID, SecretKey: Secret(keys.TmpSecretKey), Token: Secret(keys.Token)}
		if keys.ExpiredTime > 0 {
			c.Expires = time.Unix(keys.ExpiredTime, 0)
		}
		return complete(c, "CVM role "+name, "TmpSecretId", "TmpSecretKey")
	}}
}

func get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	// No proxy: the metadata service is on the machine's own network.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, resp.Status)
	}
	return data, nil
}

func complete(c Credential, where, idName, keyName string) (Credential, error) {
	switch {
	case c.SecretID == "":
		return c, fmt.Errorf("%s has no %s", where, idName)
	case c.SecretKey == "":
		return c, fmt.Errorf("%s has no %s", where, keyName)
	}
	return c, nil
}

// ErrNone says that no place has credentials.
var ErrNone = errors.New("no credentials")

// Default is the account for which nothing was configured: the first of the
// places in which Tencent's own tools look that has something. A place that is
// there but incomplete is an error: going on would use somebody else's keys.
func Default(ctx context.Context, getenv func(string) string, log *slog.Logger) (Account, error) {
	return find(ctx, getenv, log, metadata)
}

func find(ctx context.Context, getenv func(string) string, log *slog.Logger, metadata string) (Account, error) {
	id, key := getenv("TENCENTCLOUD_SECRET_ID"), Secret(getenv("TENCENTCLOUD_SECRET_KEY"))
	if id != "" || key != "" {
		token := getenv("TENCENTCLOUD_TOKEN")
		if token == "" {
			token = getenv("TENCENTCLOUD_SECURITY_TOKEN")
		}
		_, err := complete(Credential{SecretID: id, SecretKey: key}, "the environment", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY")
		return Static("environment", id, key, Secret(token)), err
	}
	home := getenv("HOME")
	file, named := getenv("TENCENTCLOUD_CREDENTIALS_FILE"), true
	if file == "" {
		file, named = filepath.Join(home, ".tencentcloud", "credentials"), false
	}
	tccli := TCCLIPath(home, getenv("TCCLI_PROFILE"))
	oidc, oidcErr := tke(getenv)
	switch {
	case named || home != "" && exists(file):
		a := File(file, "")
		return a, a.Check(ctx, log)
	case home != "" && exists(tccli):
		a := TCCLI(tccli)
		return a, a.Check(ctx, log)
	case oidc:
		return OIDC(), oidcErr
	}
	// Away from the cloud the metadata service does not answer at all.
	probe, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	role := cvmRole(metadata, "")
	if _, err := role.Fetch(probe); err == nil {
		return role, nil
	}
	return Account{}, fmt.Errorf("%w: looked at TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, %s, %s, TKE_ROLE_ARN, and the role of this CVM; "+
		"set one of them, or try --simulate, which needs none", ErrNone, file, tccli)
}

// Check looks at a source that is a file, so that a broken one is found at the
// start, and warns of one that everybody on the machine can read (a group is what
// Kubernetes gives mounted secrets to). Other sources may need time,
// or the network, and are looked at with the first call.
func (a Account) Check(ctx context.Context, log *slog.Logger) error {
	if a.path == "" {
		return nil
	}
	if _, err := a.Fetch(ctx); err != nil {
		return err
	}
	if info, err := os.Stat(a.path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		log.Warn("credentials file can be read by everybody; chmod 600 it", "file", a.path, "mode", info.Mode().Perm().String())
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	// Not a directory: a home such as /dev/null, which users have that own nothing.
	return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
}
