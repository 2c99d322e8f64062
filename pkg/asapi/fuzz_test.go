package asapi

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// foreign is an answer as it comes over the wire.
type foreign struct {
	status      int
	contentType string
	encoding    string
	body        []byte
}

// RoundTrip tells that the call was sent, as the network's transport does.
func (f *foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	return &http.Response{
		StatusCode: f.status, Status: http.StatusText(f.status), Request: r, ContentLength: -1,
		Header: http.Header{"Content-Type": {f.contentType}, "Content-Encoding": {f.encoding}},
		Body:   io.NopCloser(bytes.NewReader(f.body)),
	}, nil
}

func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		accepted, "", "null", "{}", "[]", "<html>", accepted + accepted, accepted[:20],
		`{"Response":{"RequestId":null}}`, `{"Response":{"Error":{"Code":"","Message":"no"},"RequestId":"r"}}`,
		`{"Response":{"Error":{"Code":"RequestLimitExceeded.IPLimitExceeded","Message":"no"},"RequestId":"r"}}`,
		`{"code":4000,"codeDesc":"InvalidParameter","message":"no"}`, `{"code":4000}`,
		`{"Response":{"TotalCount":1,"RefreshActivitySet":[{"CreatedTime":"2026-11-23T04:05:06+24:00"}],"RequestId":"r"}}`,
		`{"Response":{"TotalCount":2,"RefreshActivitySet":[null,{"AutoScalingGroupId":"asg-a","RefreshActivityId":"asr-a","ActivityType":"NORMAL","Status":"RUNNING","CreatedTime":"2026-11-23T04:05:06Z"}],"RequestId":"r"}}`,
	} {
		f.Add(200, "application/json", "", []byte(body))
	}
	f.Add(502, "text/html", "", []byte("<html>502 Bad Gateway</html>"))
	f.Add(503, "application/json", "", []byte(`{"Response":{"Error":{"Code":"ResourceNotFound","Message":"no"},"RequestId":"r"}}`))
	f.Add(307, "application/json", "", []byte(accepted))
	f.Add(200, "text/event-stream", "", []byte("data: "+accepted+"\n\n"))
	f.Add(200, "application/json", "gzip", gzipped(accepted))

	c := newClient(f, "https://as.example")
	sdk, _, err := c.sdk(web.Account, web.Region)
	if err != nil {
		f.Fatal(err)
	}
	api := new(foreign)
	sdk.WithHttpTransport(guard{next: api})
	f.Fuzz(func(t *testing.T, status int, contentType, encoding string, body []byte) {
		*api = foreign{status: status, contentType: contentType, encoding: encoding, body: body}
		checkAnswer(t, api, c.Stop(t.Context(), web))
		page, a := c.Activities(t.Context(), stop.Scope{Account: web.Account, Region: web.Region})
		checkAnswer(t, api, a)
		checkPage(t, page, a, body)
	})
}

func checkAnswer(t *testing.T, api *foreign, a stop.Answer) {
	t.Helper()
	if !slices.Contains(stop.Classes(), a.Class) {
		t.Errorf("the class %q is none", a.Class)
	}
	if a.OK() && !accepts(api) {
		t.Errorf("taken for a yes: %+v", a)
	}
	// Only of a call that never left may it be said that it did nothing.
	if a.Unsent {
		t.Errorf("%+v of a call that was sent", a)
	}
	if !a.OK() && a.Code+a.Message == "" {
		t.Error("a refusal that says nothing")
	}
	for text, most := range map[string]int{a.Code: maxWord, a.RequestID: maxWord, a.Message: maxMessage} {
		if len(text) > most || !utf8.ValidString(text) {
			t.Errorf("%q cannot stand in a result", text)
		}
	}
}

// accepts reads an answer as the documentation has it: the API says yes by a
// RequestId without an Error.
func accepts(f *foreign) bool {
	var said struct {
		Response *struct {
			Error     struct{ Code string }
			RequestID *string
		}
		Code int
	}
	return f.status == http.StatusOK && f.encoding == "" && json.Unmarshal(f.body, &said) == nil && said.Code == 0 &&
		said.Response != nil && said.Response.RequestID != nil && said.Response.Error.Code == ""
}

// checkPage checks that nothing was made up, and that a task can hold it.
func checkPage(t *testing.T, p stop.Page, a stop.Answer, body []byte) {
	t.Helper()
	if !a.OK() && (p.Total != 0 || p.Activities != nil) {
		t.Errorf("found %+v in an answer that is no yes: %+v", p, a)
	}
	if p.Total < 0 {
		t.Errorf("%d activities in all", p.Total)
	}
	if len(p.Activities) > bytes.Count(body, []byte("{")) {
		t.Errorf("%d activities in %q", len(p.Activities), body)
	}
	said := map[string]bool{"": true}
	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		token, err := dec.Token()
		if err != nil {
			break
		}
		if text, ok := token.(string); ok {
			said[bound(text, maxWord)] = true
		}
	}
	for _, got := range p.Activities {
		for _, word := range []string{got.AutoScalingGroupID, got.RefreshActivityID, got.ActivityType, string(got.Status)} {
			if !said[word] {
				t.Errorf("%q was not said in %q", word, body)
			}
		}
	}
	if _, err := json.Marshal(p); err != nil {
		t.Errorf("the page cannot be stored: %v", err)
	}
}

func FuzzCredentialsFile(f *testing.F) {
	f.Add("[default]\nsecret_id=AKIDx\nsecret_key="+string(canaryKey), "")
	f.Add("\ufeff [ shop ] \r\n; x\r\nsecret_id = a=b \r\nsecret_key=#\r\n[default]\r\n", "shop")
	f.Add("secret_id=x\n[a]\nsecret_id=y\n[b]\n[a]\nsecret_key=z\ntoken==", "a")
	f.Add("["+string(canaryKey)+"]\nsecret_id="+string(canaryToken), "default")
	f.Add("[]\n[[x]]\nsecret_id", "[x]")
	path := filepath.Join(f.TempDir(), "credentials")
	f.Fuzz(func(t *testing.T, text, section string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := File(path, section).Fetch(t.Context())
		checkCredential(t, got, err, !sings(section))
		for part, value := range map[string]string{"id": got.SecretID, "key": string(got.SecretKey), "token": string(got.Token)} {
			if !strings.Contains(text, value) || value != strings.TrimSpace(value) {
				t.Errorf("the %s is %q, of %q", part, value, text)
			}
		}
		checkSections(t, text, section)
	})
}

// checkSections: whatever stands in other sections, the keys are those of this
// one.
func checkSections(t *testing.T, text, section string) {
	t.Helper()
	const other = "[somebody else's]\nsecret_id=theirs\nsecret_key=theirs\ntoken=theirs\n"
	if section == "somebody else's" || len(text) > 32<<10 {
		return // the latter: a line may be as long as it can be
	}
	alone, err := readSection(strings.NewReader(text), section)
	for how, among := range map[string]string{
		"after another section": other + text, "before another section": text + "\n" + other,
		"with other ends of lines": strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		got, errAgain := readSection(strings.NewReader(among), section)
		if diff := cmp.Diff(alone, got); diff != "" || (errAgain == nil) != (err == nil) {
			t.Errorf("%s: %v, alone: %v, -alone +got:\n%s", how, errAgain, err, diff)
		}
	}
}

// checkCredential checks that there is a whole key pair or an error that tells
// no secret. Of an answer that names a secret on purpose, quiet is false.
func checkCredential(t *testing.T, c Credential, err error, quiet bool) {
	t.Helper()
	if err == nil && (c.SecretID == "" || c.SecretKey == "") {
		t.Errorf("half a key pair: id %q, key %q", c.SecretID, string(c.SecretKey))
	}
	if err != nil && quiet && sings(err.Error()) {
		t.Errorf("the error tells a secret: %v", err)
	}
}

func FuzzTCCLI(f *testing.F) {
	f.Add([]byte(`{"secretId":"AKIDx","secretKey":"` + string(canaryKey) + `","token":"` + string(canaryToken) + `"}`))
	f.Add([]byte(`{"secretId":"AKIDx","secretKey":"` + string(canaryKey)))
	f.Add([]byte(`{"secretId":5,"secretKey":"` + string(canaryKey) + `"}`))
	f.Add([]byte(`{"secretKey":"` + string(canaryKey) + `"}`))
	f.Add([]byte("null"))
	path := filepath.Join(f.TempDir(), "profile")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := TCCLI(path).Fetch(t.Context())
		checkCredential(t, got, err, true)
	})
}

// FuzzRole: what the metadata service says is a key pair, or no reason to tell
// what it said.
func FuzzRole(f *testing.F) {
	const good = `{"TmpSecretId":"AKIDr","TmpSecretKey":"` + string(canaryKey) + `","Token":"` + string(canaryToken) + `","ExpiredTime":1800000000,"Code":"Success"}`
	f.Add(200, "andon\n", []byte(good))
	f.Add(200, "../\r\n%zz", []byte(good[:90]))
	f.Add(200, "", []byte(`{"TmpSecretId":5,"TmpSecretKey":"`+string(canaryKey)+`"}`))
	f.Add(200, "x", []byte(`{"TmpSecretId":"AKIDr","TmpSecretKey":"`+string(canaryKey)+`","ExpiredTime":-1,"Code":"InternalError"}`))
	f.Add(500, "x", []byte(canaryKey))
	f.Add(200, "x", []byte("null"))
	var status int
	var role string
	var data []byte
	meta := serve(f, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			io.WriteString(w, role)
			return
		}
		w.WriteHeader(status)
		w.Write(data)
	})
	f.Fuzz(func(t *testing.T, code int, name string, body []byte) {
		if code < 200 || code > 599 {
			t.Skip("no final answer of HTTP")
		}
		status, role, data = code, name, body
		got, err := cvmRole(meta.URL+"/", "").Fetch(t.Context())
		var keys struct{ Code string }
		_ = json.Unmarshal(body, &keys)
		checkCredential(t, got, err, !sings(name+keys.Code))
		if err == nil && (status != http.StatusOK || keys.Code != "" && keys.Code != "Success") {
			t.Errorf("HTTP %d with %q gives %+v", status, body, got)
		}
		if err == nil && !got.Expires.IsZero() && got.Expires.Unix() <= 0 {
			t.Errorf("%q ends %v", body, got.Expires)
		}
	})
}

// FuzzOIDC: what STS says comes through the SDK, which quotes what it cannot
// read, and goes on with nothing where there is nothing.
func FuzzOIDC(f *testing.F) {
	const good = `{"Response":{"Credentials":{"Token":"` + string(canaryToken) + `","TmpSecretId":"AKIDo","TmpSecretKey":"` + string(canaryKey) + `"},"ExpiredTime":1800000000,"RequestId":"r"}}`
	f.Add(200, []byte(good))
	f.Add(200, []byte(good[:100]))
	f.Add(502, []byte(good))
	f.Add(200, []byte(strings.Replace(good, "1800000000", `"`+string(canaryKey)+`"`, 1)))
	f.Add(200, []byte(`{"Response":{"Error":{"Code":"InvalidParameter.WebIdentityTokenError","Message":"no"},"RequestId":"r"}}`))
	f.Add(200, []byte("null"))
	token := filepath.Join(f.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		f.Fatal(err)
	}
	for name, value := range map[string]string{
		"TKE_REGION": "ap-guangzhou", "TKE_PROVIDER_ID": "p", "TKE_WEB_IDENTITY_TOKEN_FILE": token, "TKE_ROLE_ARN": "qcs::cam::uin/1:roleName/x",
	} {
		f.Setenv(name, value)
	}
	sts := new(foreign)
	common.DefaultHttpClient = &http.Client{Transport: sts}
	f.Cleanup(func() { common.DefaultHttpClient = nil })
	h := newHolder("default", OIDC(), slog.New(slog.DiscardHandler))
	f.Cleanup(h.close)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status >= 300 && status < 400 {
			t.Skip("the SDK follows, and nobody is there")
		}
		*sts = foreign{status: status, contentType: "application/json", body: body}
		got, err := h.fetch(t.Context())
		// A refusal in the API's own words may say anything.
		checkCredential(t, got, err, !bytes.Contains(bytes.ToLower(body), []byte("code")))
		var said struct {
			Response struct{ Error struct{ Code string } }
		}
		if err == nil && (status != http.StatusOK || json.Unmarshal(body, &said) != nil || said.Response.Error.Code != "") {
			t.Errorf("HTTP %d with %q gives %+v", status, body, got)
		}
		if err == nil && time.Until(got.Expires) > 2*time.Hour {
			t.Errorf("%q ends %v", body, got.Expires)
		}
	})
}

// FuzzEndpoint: with "{region}" a word of the request stands in the name of
// the host that signed calls go to.
func FuzzEndpoint(f *testing.F) {
	f.Add("https://as.intl.tencentcloudapi.com", "ap-guangzhou")
	f.Add("https://as.{region}.tencentcloudapi.com/", "ap-guangzhou")
	f.Add("http://{region}.localhost:8089", "evil-example/x?")
	f.Add("https://user:pass@as.example", "ap-tokyo")
	f.Add("https://[::1]:{region}", "ap-tokyo")
	f.Add("HTTPS://AS.EXAMPLE%41", "ap-tokyo")
	f.Fuzz(func(t *testing.T, raw, region string) {
		e, err := newEndpoint(raw, []string{"ap-guangzhou", region})
		if err != nil {
			return
		}
		host, err := e.in(region)
		if err != nil {
			t.Errorf("%q is served and then is not: %v", region, err)
			return
		}
		want := strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(raw, placeholder, region), "/"))
		if got := e.scheme + "://" + host; got != want {
			t.Errorf("%q leads to %q in %s", raw, got, region)
		}
		u, err := url.Parse(e.scheme + "://" + host)
		if err != nil || u.Host != host || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
			t.Errorf("%q in %s is %+v, %v", raw, region, u, err)
		}
	})
}
