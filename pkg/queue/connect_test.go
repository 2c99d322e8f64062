package queue

import "testing"

func TestNoPasswordIsShown(t *testing.T) {
	for given, want := range map[string]string{
		"nats://127.0.0.1:4222":                "nats://127.0.0.1:4222",
		"127.0.0.1:4222,example.com":           "127.0.0.1:4222,example.com",
		"nats://u:secret@a:1, nats://t@b:2":    "nats://hidden@a:1,nats://hidden@b:2",
		"u:secret@host:4222":                   "hidden@host:4222",
		"secret@host":                          "hidden@host",
		"nats://u:se,cret@host":                "(not a URL)",
		"tls://u:sec%ret@host,nats://other:12": "(not a URL)",
	} {
		if got := redacted(given); got != want {
			t.Errorf("%s is shown as %s, want %s", given, got, want)
		}
	}
}
