package permissions

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

// tlsFiles is what a server and its clients are given.
type tlsFiles struct {
	ca             string
	server, client pair
	authority      *authority
}

// pair is the files of a certificate and its key.
type pair struct{ cert, key string }

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

const workerName = "worker.andon.example"

func newTLSFiles(t testing.TB) *tlsFiles {
	t.Helper()
	a := newAuthority(t)
	return &tlsFiles{ca: a.file, server: a.issue(t, "nats", 1, x509.ExtKeyUsageServerAuth), client: a.issue(t, workerName, 2, x509.ExtKeyUsageClientAuth), authority: a}
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newECDSA(t)
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	writePEM(t, file, "CERTIFICATE", der)
	return &authority{cert: of, key: key, file: file}
}

// issue makes a certificate for a name, and for this machine.
func (a *authority) issue(t testing.TB, name string, serial int64, uses ...x509.ExtKeyUsage) pair {
	t.Helper()
	key := newECDSA(t)
	of := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	writePEM(t, p.cert, "CERTIFICATE", der)
	writePEM(t, p.key, "PRIVATE KEY", secret)
	return p
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWithTLSBothSidesShowACertificate(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	b := start(t, shipped+"/tls.conf", files)
	stranger := newAuthority(t).issue(t, workerName, 3, x509.ExtKeyUsageClientAuth)
	ca, certificate := nats.RootCAs(files.ca), nats.ClientCert(files.client.cert, files.client.key)
	key := keyFrom(t, b.seeds[worker])
	for _, c := range []struct {
		who  string
		opts []nats.Option
		// Who is refused, by whom and why. A client may not hear why the server has
		// closed the connection.
		server, client string
	}{
		{"who has certificate and key", []nats.Option{ca, certificate, key}, "", ""},
		{"who has no certificate", []nats.Option{ca, key}, "client didn't provide a certificate", ""},
		{"who has one of another authority", []nats.Option{ca, nats.ClientCert(stranger.cert, stranger.key), key}, "signed by unknown authority", ""},
		{"who has that of the server", []nats.Option{ca, nats.ClientCert(files.server.cert, files.server.key), key}, "incompatible key usage", ""},
		{"who has a certificate and no key", []nats.Option{ca, certificate}, "", "Authorization Violation"},
		{"who does not know the server's authority", []nats.Option{certificate, key}, "", "signed by unknown authority"},
	} {
		nc, err := nats.Connect("tls://"+b.addr, append(c.opts, patience)...)
		if err == nil {
			err = nc.FlushTimeout(30 * time.Second)
			nc.Close()
		}
		if refused := c.server+c.client != ""; refused != (err != nil) || refused && !strings.Contains(err.Error(), c.client) {
			t.Errorf("%s: %v, want %q", c.who, err, c.client)
		}
		if _, err := b.Says(c.server, 30*time.Second); err != nil {
			t.Errorf("%s: %v", c.who, err)
		}
	}
	if said := inTheClear(t, b.addr); strings.Contains(said, "PONG") || !strings.Contains(said, `"tls_required":true`) {
		t.Errorf("in the clear the server says %s", said)
	}
}

// inTheClear is what a server says to somebody who speaks no TLS.
func inTheClear(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":false}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		said.Write(buf[:n])
		if err != nil || strings.Contains(said.String(), "PONG") {
			return said.String()
		}
	}
}

func TestTheProgramsWorkOverTLS(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/tls.conf", newTLSFiles(t))
	b.prepare()
	api := harness.StartAPI(t, simulator.Sample())
	b.ready(api, worker)
	b.andon(teamA, "stop", "asg-shopweb1", "--team", "team-a", "--id", "INC-1")
	if said := b.andon(observer, "watch", "INC-1", "-o", "jsonl"); !strings.Contains(said, `"Outcome":"paused"`) {
		t.Errorf("the result: %s", said)
	}
}

// A certificate that is replaced counts from the next reload.
func TestTheCertificateIsReplacedWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	b := start(t, shipped+"/tls.conf", files)
	fresh := files.authority.issue(t, "nats", 77, x509.ExtKeyUsageServerAuth)
	for from, to := range map[string]string{fresh.cert: files.server.cert, fresh.key: files.server.key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	b.reload(t)
	nc, err := nats.Connect("tls://"+b.addr, patience, nats.RootCAs(files.ca), nats.ClientCert(files.client.cert, files.client.key), keyFrom(t, b.seeds[worker]))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	state, err := nc.TLSConnectionState()
	if err != nil {
		t.Fatal(err)
	}
	if serial := state.PeerCertificates[0].SerialNumber.Int64(); serial != 77 || state.Version != tls.VersionTLS13 {
		t.Errorf("the certificate %d, by %s", serial, tls.VersionName(state.Version))
	}
}

// What tls.conf says of a server that alone has a certificate.
func TestTheServerAloneMayHaveACertificate(t *testing.T) {
	t.Parallel()
	files, dir := newTLSFiles(t), copied(t)
	edit(t, dir+"/tls.conf", func(text string) string {
		return strings.NewReplacer("  ca_file: $ANDON_NATS_CA\n", "", "  verify: true\n", "").Replace(text)
	})
	b := start(t, dir+"/tls.conf", files)
	nc, err := nats.Connect("tls://"+b.addr, patience, nats.RootCAs(files.ca), keyFrom(t, b.seeds[worker]))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// What tls.conf says of a certificate that is all that is asked for.
func TestACertificateMayTakeThePlaceOfTheKey(t *testing.T) {
	t.Parallel()
	files, dir := newTLSFiles(t), copied(t)
	edit(t, dir+"/tls.conf", func(text string) string { return strings.Replace(text, "  verify: true", "  verify_and_map: true", 1) })
	edit(t, dir+"/accounts.conf", func(text string) string {
		return strings.Replace(text, "nkey: $ANDON_NKEY_WORKER", `user: "`+workerName+`"`, 1)
	})
	b := start(t, dir+"/tls.conf", files)
	connect := func(p pair) (*nats.Conn, error) {
		return nats.Connect("tls://"+b.addr, patience, nats.RootCAs(files.ca), nats.ClientCert(p.cert, p.key), nats.CustomInboxPrefix("_INBOX_"+worker),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	}
	nc, err := connect(files.client)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, v := range []verb{
		{kind: tells, what: "as.refresh.progress.INC-1", may: []string{worker}},
		{kind: tells, what: "as.refresh.stop"},
	} {
		if err := nc.Publish(v.what, nil); err != nil {
			t.Fatal(err)
		}
		if err := refusal(nc); (err == nil) != (v.may != nil) {
			t.Errorf("%s: %v", v.what, err)
		}
	}
	if nc, err := connect(files.authority.issue(t, "somebody.else.example", 4, x509.ExtKeyUsageClientAuth)); err == nil {
		nc.Close()
		t.Error("a certificate of a name that is no user's is let in")
	}
}
