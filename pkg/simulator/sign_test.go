package simulator

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	vectorBody = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	keyA       = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
	idA        = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	vectorTime = 1551113065 // 2019-02-25 in UTC, the 26th in China
)

// The first three are published by Tencent Cloud; the last one is not, two
// independent implementations agree on it.
func TestSignatureVectors(t *testing.T) {
	for _, v := range []struct {
		name, id, key, service, host, contentType, signed, action, body string
		payload, canonical, signature                                   string
	}{
		{
			name: "A, older documentation", id: idA, key: keyA,
			service: "cvm", host: "cvm.tencentcloudapi.com", contentType: "application/json; charset=utf-8",
			signed: "content-type;host", action: "DescribeInstances", body: vectorBody,
			payload:   "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
			canonical: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
			signature: "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
		},
		{
			name: "B, masked documentation", id: "AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******", key: "Gu5t9xGARNpq86cd98joQYCN3*******",
			service: "cvm", host: "cvm.tencentcloudapi.com", contentType: "application/json; charset=utf-8",
			signed: "content-type;host", action: "DescribeInstances", body: vectorBody,
			payload:   "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
			canonical: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
			signature: "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
		},
		{
			name: "C, current documentation, action signed", id: "AKID" + strings.Repeat("*", 32), key: strings.Repeat("*", 32),
			service: "cvm", host: "cvm.tencentcloudapi.com", contentType: "application/json; charset=utf-8",
			signed: "content-type;host;x-tc-action", action: "DescribeInstances", body: vectorBody,
			payload:   "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064",
			canonical: "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
			signature: "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
		},
		{
			name: "own, a Stop", id: idA, key: keyA,
			service: "as", host: "as.tencentcloudapi.com", contentType: "application/json",
			signed: "content-type;host", action: "StopInstanceRefresh",
			body:      `{"AutoScalingGroupId":"asg-h7tgd87d","RefreshActivityId":"asr-juhf6ytr"}`,
			payload:   "94060ed313d466208799c6d1fabcbe0c64a3d4544957b4d8e245f13b0b392445",
			canonical: "7dcd743d111a617d59969e914aa76ec4cb32004691487993614ba551ffab31b9",
			signature: "756cb2b6268e9a94f9b396d3f1c4d2c4dc95cbba8a7a889ea0f7b9ea243a265f",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			header := fmt.Sprintf("TC3-HMAC-SHA256 Credential=%s/2019-02-25/%s/tc3_request, SignedHeaders=%s, Signature=%s", v.id, v.service, v.signed, v.signature)
			a, ok := parseAuthorization(header)
			if !ok {
				t.Fatalf("cannot parse %s", header)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+v.host+"/", http.NoBody)
			r.Header.Set("Content-Type", v.contentType)
			r.Header.Set("X-TC-Action", v.action)
			r.Header.Set("X-TC-Timestamp", strconv.Itoa(vectorTime))

			if got := hash([]byte(v.body)); got != v.payload {
				t.Errorf("payload hash %s, want %s", got, v.payload)
			}
			if got := a.canonicalHash(r, []byte(v.body)); got != v.canonical {
				t.Errorf("canonical request hash %s, want %s", got, v.canonical)
			}
			if got := a.sign(v.key, strconv.Itoa(vectorTime), v.canonical); got != v.signature {
				t.Errorf("signature %s, want %s", got, v.signature)
			}
			// Only one of the four is for the service that is imitated.
			err := a.checkSignature(r, []byte(v.body), time.Unix(vectorTime, 0), v.key)
			if (err == nil) != (v.service == "as") {
				t.Errorf("checkSignature: %v", err)
			}
		})
	}
}

// The published intermediate keys of vector C.
func TestSigningKeyVector(t *testing.T) {
	key := strings.Repeat("*", 32)
	date := mac([]byte("TC3"+key), "2019-02-25")
	for _, tt := range []struct{ name, got, want string }{
		{"date", hex.EncodeToString(date), "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0"},
		{"service", hex.EncodeToString(mac(date, "cvm")), "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f"},
		{"signing", hex.EncodeToString(signingKey(key, "2019-02-25", "cvm")), "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s key %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	good := "TC3-HMAC-SHA256 Credential=AKID1/2019-02-25/as/tc3_request, SignedHeaders=content-type;host, Signature=" + strings.Repeat("0f", 32)
	f.Add(good)
	f.Add(strings.ReplaceAll(good, ", ", ","))
	f.Add("TC3-HMAC-SHA256 Credential=, SignedHeaders=, Signature=")
	f.Add("TC3-HMAC-SHA256 ,,,===")
	// A header name that looks like the credential, in front of it.
	f.Add("TC3-HMAC-SHA256 SignedHeaders=content-type;host;xCredential=AKID2/, Credential=AKID1/2019-02-25/as/tc3_request, Signature=" + strings.Repeat("0f", 32))
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		a, ok := parseAuthorization(header)
		if !ok {
			return
		}
		if a.secretID == "" || len(a.signature) != 64 || !strings.Contains(header, a.secretID) {
			t.Errorf("%q parsed to %+v", header, a)
		}
		if got := secretIDIn(header); got != a.secretID {
			t.Errorf("record has SecretId %q, the check %q", got, a.secretID)
		}
		again := fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s", algorithm, a.secretID, a.scope(), strings.Join(a.signedHeaders, ";"), a.signature)
		if b, ok := parseAuthorization(again); !ok || b.signature != a.signature || b.scope() != a.scope() {
			t.Errorf("%q does not survive being written again as %q", header, again)
		}
	})
}
