// Package webhooks starts an ingress for the programs that have one, with the settings in
// a configuration file. It knows how these are spelt, and nothing of what they mean.
package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/pkg/ingress"
)

// Key is where the settings stand in the file.
const Key = "ingress"

type file struct {
	Ingress settings `yaml:"ingress"`
	// Others are the worker's.
	Others map[string]any `yaml:",inline"`
}

type settings struct {
	Team    string                  `yaml:"team"`
	Rate    float64                 `yaml:"rate"`
	Sources map[ingress.Source]auth `yaml:"sources"`
	Rules   []rule                  `yaml:"rules"`
}

type auth struct {
	BearerFiles   []string `yaml:"bearer-files"`
	User          string   `yaml:"user"`
	PasswordFiles []string `yaml:"password-files"`
	HMACFiles     []string `yaml:"hmac-files"`
}

type rule struct {
	Source   ingress.Source    `yaml:"source"`
	Match    map[string]string `yaml:"match"`
	Account  string            `yaml:"account"`
	Region   string            `yaml:"region"`
	Group    string            `yaml:"group"`
	Activity string            `yaml:"activity"`
	Urgent   bool              `yaml:"urgent"`
	Reason   string            `yaml:"reason"`
}

// Load adds the settings in a file to those of an ingress. A file without them, and no
// file, leave it as it is. The error names file and line.
func Load(path string, c *ingress.Config) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: cannot be read: %w", path, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	var f file
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: has more than one document; andon reads one", path)
	}
	c.Team, c.Rate = f.Ingress.Team, f.Ingress.Rate
	if f.Ingress.Sources != nil {
		c.Auth = make(map[ingress.Source]ingress.Auth, len(f.Ingress.Sources))
	}
	for source, a := range f.Ingress.Sources {
		c.Auth[source] = ingress.Auth(a)
	}
	for _, r := range f.Ingress.Rules {
		c.Rules = append(c.Rules, ingress.Rule(r))
	}
	return nil
}

// Guarded refuses to listen where others than this machine can post while nothing says
// who may.
func Guarded(listen string, c ingress.Config) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--ingress-listen %q: want host:port, such as 127.0.0.1:8081", listen)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	for source, a := range c.Auth {
		if a.Open() {
			return fmt.Errorf("--ingress-listen %q: can be reached from elsewhere, and %s.sources.%s takes from everybody; say by which secrets", listen, Key, source)
		}
	}
	if c.Auth != nil {
		return nil
	}
	return fmt.Errorf("--ingress-listen %q: can be reached from elsewhere, and everybody could pause groups; say in the file, under %s.sources, who may post", listen, Key)
}
