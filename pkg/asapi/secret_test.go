package asapi

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// canaries must be found nowhere; in hex neither.
const (
	canaryKey   = Secret("CANARYkeyCANARYkeyCANARYkey")
	canaryToken = Secret("CANARYtokenCANARYtokenCANARY")
)

// sings reports whether the text holds a canary in some spelling.
func sings(text string) bool {
	for _, part := range []string{"CANARY", fmt.Sprintf("%x", "CANARY"), fmt.Sprintf("%X", "CANARY"), fmt.Sprintf("% x", "CANARY")} {
		if strings.Contains(text, part) {
			return true
		}
	}
	// As %v prints bytes.
	return strings.Contains(text, "67 65 78 65 82 89")
}

func TestSecretIsNeverPrinted(t *testing.T) {
	credential := Credential{SecretID: "AKIDvisible", SecretKey: canaryKey, Token: canaryToken, Expires: time.Now()}
	acc := Static("a", "AKIDvisible", canaryKey, canaryToken)
	conf := Config{Endpoint: "https://as.example", Accounts: map[string]Account{"default": acc}}
	client, err := New(conf, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := client.accounts["default"]
	if err := h.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	sdk, _, err := client.sdk("default", "ap-guangzhou")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"Secret": canaryKey, "*Secret": new(canaryKey), "[]Secret": []Secret{canaryKey}, "map": map[string]Secret{"k": canaryKey},
		"Credential": credential, "*Credential": &credential, "[]Credential": []Credential{credential},
		"error":   fmt.Errorf("with %v", credential),
		"Account": acc, "Config": conf, "*Config": &conf, "*holder": h, "*Client": client, "SDK client": sdk,
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%10.3s", "%-5v", "%t", "%e", "%c", "%U", "%!"} {
			if text := fmt.Sprintf(verb, v); sings(text) {
				t.Errorf("%s with %s: %s", name, verb, text)
			}
		}
		if text := fmt.Sprint(v) + fmt.Sprintln("x", v); sings(text) {
			t.Errorf("%s with Sprint: %s", name, text)
		}
		if text, err := json.Marshal(v); err == nil && sings(string(text)) {
			t.Errorf("%s as JSON: %s", name, text)
		}
		if text, err := xml.Marshal(v); err == nil && sings(string(text)) {
			t.Errorf("%s as XML: %s", name, text)
		}
		var out bytes.Buffer
		for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
			log.Info("canary", "value", v, slog.Group("in", "value", v))
			log.With("value", v).Info("canary")
		}
		if sings(out.String()) {
			t.Errorf("%s in a log: %s", name, out.String())
		}
	}
	text, err := json.Marshal(credential)
	if err != nil || !strings.Contains(string(text), "AKIDvisible") || strings.Count(string(text), hidden) != 2 {
		t.Errorf("a credential as JSON is %s, %v", text, err)
	}
}

// TestSecretsStayOutOfMessages plants canaries in every source and looks for
// them in all that comes out: answers, errors, logs, and what is printed by
// the SDK's own logger.
func TestSecretsStayOutOfMessages(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	meta := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/half":
			fmt.Fprintf(w, `{"TmpSecretId":"","TmpSecretKey":%q,"Token":%q,"Code":"Success"}`, string(canaryKey), string(canaryToken))
		case "/broken":
			fmt.Fprintf(w, `{"TmpSecretId":5,"TmpSecretKey":%q`, string(canaryKey))
		case "/failed":
			fmt.Fprintf(w, `{"TmpSecretKey":%q,"Code":"InternalError"}`, string(canaryKey))
		default:
			http.Error(w, string(canaryKey), http.StatusInternalServerError)
		}
	})
	key, token := string(canaryKey), string(canaryToken)
	sources := map[string]Account{
		"complete":                   Static("static", "AKIDx", canaryKey, canaryToken),
		"no id":                      Static("static", "", canaryKey, canaryToken),
		"file without id":            File(write("a", "[default]\nsecret_key="+key+"\ntoken="+token), ""),
		"file without section":       File(write("b", "[other]\nsecret_id=x\nsecret_key="+key), ""),
		"file without lines":         File(write("c", "secret_id = x secret_key = "+key), ""),
		"file with a long line":      File(write("d", "[default]\nsecret_id=x\nsecret_key="+strings.Repeat(key, 5000)), ""),
		"file with a canary section": File(write("e", "["+key+"]\n"), ""),
		"tccli without id":           TCCLI(write("f", `{"secretKey":"`+key+`","token":"`+token+`"}`)),
		"tccli truncated":            TCCLI(write("g", `{"secretId":"x","secretKey":"`+key)),
		"tccli of other types":       TCCLI(write("h", `{"secretId":5,"secretKey":"`+key+`"}`)),
		"role half":                  cvmRole(meta.URL+"/", "half"),
		"role broken":                cvmRole(meta.URL+"/", "broken"),
		"role failed":                cvmRole(meta.URL+"/", "failed"),
		"role refused":               cvmRole(meta.URL+"/", "refused"),
		"panic":                      {Name: "panic", Fetch: func(context.Context) (Credential, error) { panic(errors.New("sudden")) }},
	}
	for name, acc := range sources {
		t.Run(name, func(t *testing.T) {
			for _, fault := range []simulator.FaultKind{"", simulator.Throttle, simulator.RefuseCredentials, simulator.BadGateway, simulator.Cut, simulator.NullBody, simulator.TruncatedBody} {
				sim, server := newSimulator(t)
				if fault != "" {
					addFault(t, sim, simulator.Fault{Kind: fault})
				}
				var out bytes.Buffer
				log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
				c, err := New(Config{Endpoint: server.URL, Accounts: map[string]Account{"default": acc}, Timeout: patience}, nil, log)
				if err != nil {
					t.Fatal(err)
				}
				a := c.Stop(t.Context(), web)
				_, b := c.Activities(t.Context(), stop.Scope{Account: "default", Region: "ap-guangzhou"})
				if err := acc.Check(t.Context(), log); err != nil {
					log.Error("check", "error", err)
				}
				c.Close()
				if text := fmt.Sprintf("%+v %+v %s", a, b, out.String()); sings(text) {
					t.Errorf("fault %q: %s", fault, text)
				}
			}
		})
	}
}

// TestEchoedRequest: a proxy's error page may show the headers it was sent.
func TestEchoedRequest(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		r.Header.Write(w)
	})
	c := newClient(t, server.URL, account(Static("static", "AKIDx", canaryKey, canaryToken)))
	a := c.Stop(t.Context(), web)
	if !strings.Contains(a.Message, "X-Tc-Token: "+hidden) || sings(a.Message) {
		t.Errorf("got %+v", a)
	}
}
