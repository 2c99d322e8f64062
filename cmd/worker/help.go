package main

import (
	"fmt"
	"io"
	"strings"
)

const helpHead = `worker pauses instance refreshes of Tencent Cloud's Auto Scaling. It takes
requests from NATS JetStream, calls StopInstanceRefresh within the API's quota,
and stores exactly one result for each request.

Usage: worker [flags]

Try it without an account:

  worker --simulate
  nats sub 'as.refresh.result.>' &
  nats pub as.refresh.stop '{"Region":"ap-guangzhou","AutoScalingGroupId":"asg-shopweb1"}'

A flag wins over its environment variable, that over the file of --config, and
that over the default.
`

const helpTail = `
Credentials never come by flag. Those of the account "default" are the first of
  TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, with TENCENTCLOUD_TOKEN
    or TENCENTCLOUD_SECURITY_TOKEN where they are temporary
  TENCENTCLOUD_CREDENTIALS_FILE, else ~/.tencentcloud/credentials
  the profile of tccli
  the identity of a TKE pod (OIDC)
  the role of the CVM instance
Further accounts stand in the file, each with exactly one way:

  accounts:
    payments: {credentials-file: /run/secrets/payments, profile: default}
    games:    {tccli-profile: games}
    edge:     {cvm-role: andon}
    cluster:  {tke-oidc: true}

So does the policy, which says what requests may do, by the team in their subject:

  policy:
    max-groups: 200
    rules:
      "*":    {regions: [ap-guangzhou], max-targets: 100}
      team-a: {accounts: [default], groups: ["team-a-*"]}

OTEL_EXPORTER_OTLP_ENDPOINT names a collector that takes traces (OTLP over HTTP).

Exit codes: 0 stopped on request, 1 failed, 2 usage or configuration.
`

// help writes what --help shows. It is the same on every machine.
func help(w io.Writer) {
	var b strings.Builder
	b.WriteString(helpHead)
	nowhere := Default(func(string) string { return "" })
	for _, g := range settings(&nowhere) {
		fmt.Fprintf(&b, "\n%s\n", g.title)
		for _, s := range g.settings {
			s.describe(&b)
		}
	}
	entry(&b, "--help", "this text")
	entry(&b, "--version", "version, commit and Go release")
	b.WriteString(helpTail)
	_, _ = io.WriteString(w, b.String())
}

func (s setting) describe(b *strings.Builder) {
	def := s.shown
	if def == "" {
		def = s.value.String()
	}
	entry(b, strings.TrimSpace("--"+s.name+" "+s.arg), s.help, fmt.Sprintf("[%s] default: %s", s.env, def))
}

// entry writes one flag and beside it the texts, each wrapped and on a line of
// its own.
func entry(b *strings.Builder, flag string, texts ...string) {
	const left, width = 32, 100
	line := fmt.Sprintf("  %-*s", left-2, flag)
	room := left
	flush := func() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		line, room = strings.Repeat(" ", left), left
	}
	for _, text := range texts {
		for word := range strings.FieldsSeq(text) {
			n := len([]rune(word)) + 1
			if room+n > width {
				flush()
			}
			line += word + " "
			room += n
		}
		flush()
	}
}
