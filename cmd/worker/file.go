package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-a7c21902/andon/cmd/internal/webhooks"
	"github.com/seed-a7c21902/andon/pkg/handler"
)

// Keys of the file that are no flags.
const (
	keyAccounts = "accounts"
	keyPolicy   = "policy"
	keyRules    = keyPolicy + ".rules"
)

// readFile applies the file's settings and returns every fault in it, each
// with its line.
func (c *Config) readFile(groups []group, apply func(setting, string, origin)) []error {
	root, err := openYAML(c.File)
	if err != nil {
		return []error{fault(c.fileLabel(), c.File, err.Error())}
	}
	if root == nil {
		return nil
	}
	known := make(map[string]setting)
	for _, g := range groups {
		for _, s := range g.settings {
			known[s.name] = s
		}
	}
	delete(known, "config")
	var faults []error
	seen := make(map[string]int)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, val := root.Content[i], root.Content[i+1]
		where := c.place(key)
		s, ok := known[key.Value]
		switch {
		case seen[key.Value] > 0:
			faults = append(faults, fmt.Errorf("%s: %q stands in line %d already", where, key.Value, seen[key.Value]))
		case key.Value == keyAccounts:
			faults = append(faults, c.readAccounts(val)...)
		case key.Value == keyPolicy:
			faults = append(faults, c.nonEmpty(c.readPolicy)(keyPolicy, val)...)
		case key.Value == webhooks.Key: // read by that package
		case !ok:
			faults = append(faults, fmt.Errorf("%s: %q is not a setting%s", where, key.Value, hint(key.Value, known)))
		default:
			raw, err := scalar(s, val)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %s %w", where, key.Value, err))
				break
			}
			apply(s, raw, origin{by: byFile, where: where})
		}
		seen[key.Value] = key.Line
	}
	return faults
}

func (c *Config) fileLabel() string {
	if c.by("config") == byDefault {
		return "--config"
	}
	return c.label("config")
}

// openYAML reads a file of one document, a mapping; nil when it is empty.
func openYAML(path string) (*yaml.Node, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("is not YAML: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document; want one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New(`is not a list of "name: value" lines`)
	}
	return root, nil
}

// scalar is the text of a value; lists may be written as YAML lists.
func scalar(s setting, val *yaml.Node) (string, error) {
	if val.Kind == yaml.SequenceNode && s.value.Type() == "list" {
		all, err := items(val)
		return strings.Join(all, ","), err
	}
	if val.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("must be a plain value, a %s", s.value.Type())
	}
	if val.Tag == "!!null" {
		return "", errors.New("has no value; give one, or leave the line out")
	}
	return val.Value, nil
}

func items(list *yaml.Node) ([]string, error) {
	all := make([]string, 0, len(list.Content))
	for _, item := range list.Content {
		if item.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("must be a list of plain values, see line %d", item.Line)
		}
		all = append(all, item.Value)
	}
	return all, nil
}

// reader reads what stands under a name such as accounts.games, and returns
// every fault in it.
type reader func(name string, val *yaml.Node) []error

func (c *Config) readAccounts(val *yaml.Node) []error {
	c.Accounts = make(map[string]Account)
	return c.lines(keyAccounts, val, "from the name of an account to its credentials", func(account string, val *yaml.Node) []error {
		var a Account
		faults := c.fields(account, val, map[string]any{
			"credentials-file": &a.CredentialsFile, "profile": &a.Profile,
			"tccli-profile": &a.TccliProfile, "cvm-role": &a.CVMRole, "tke-oidc": &a.TKEOIDC,
		})
		c.Accounts[strings.TrimPrefix(account, keyAccounts+".")] = a
		return faults
	})
}

func (c *Config) readPolicy(name string, val *yaml.Node) []error {
	return c.fields(name, val, map[string]any{"max-groups": &c.Policy.MaxGroups, "rules": c.nonEmpty(c.readRules)})
}

func (c *Config) readRules(name string, val *yaml.Node) []error {
	c.Policy.Rules = make(map[string]handler.Rule)
	return c.lines(name, val, "from the name of a team to its rule", c.nonEmpty(func(team string, val *yaml.Node) []error {
		var r handler.Rule
		faults := c.fields(team, val, map[string]any{
			"accounts": &r.Accounts, "regions": &r.Regions, "groups": &r.Groups, "max-targets": &r.MaxTargets,
		})
		c.Policy.Rules[strings.TrimPrefix(team, name+".")] = r
		return faults
	}))
}

// nonEmpty has something read only if it holds anything: whether an empty one
// means all or nothing, nobody should have to guess.
func (c *Config) nonEmpty(read reader) reader {
	return func(name string, val *yaml.Node) []error {
		if val.Tag == "!!null" || val.Kind == yaml.MappingNode && len(val.Content) == 0 {
			return []error{fmt.Errorf("%s: %s is empty and limits nothing; leave it out, or say what it limits", c.place(val), name)}
		}
		return read(name, val)
	}
}

// fields reads a mapping whose keys are known: each value into the place that
// stands there, or by the reader.
func (c *Config) fields(name string, val *yaml.Node, known map[string]any) []error {
	keys := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
	return c.lines(name, val, "with some of "+keys, func(field string, val *yaml.Node) []error {
		var err error
		switch into := known[strings.TrimPrefix(field, name+".")].(type) {
		case nil:
			err = fmt.Errorf("is not a setting; known are %s", keys)
		case reader:
			return into(field, val)
		case *int:
			*into, err = limit(val)
		case *[]string:
			*into, err = allowed(val)
		default:
			if err = val.Decode(into); err != nil {
				err = fmt.Errorf("cannot be read: %w", err)
			}
		}
		if err != nil {
			return []error{fmt.Errorf("%s: %s %w", c.from[field].where, field, err)}
		}
		return nil
	})
}

// lines reads a mapping line by line, so that a fault in one does not hide
// those in another.
func (c *Config) lines(name string, val *yaml.Node, what string, read reader) (faults []error) {
	if val.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s: %s must be a mapping %s", c.place(val), name, what)}
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(val.Content); i += 2 {
		key := val.Content[i]
		line := name + "." + key.Value
		if seen[line] {
			faults = append(faults, fmt.Errorf("%s: %s stands twice", c.place(key), line))
			continue
		}
		seen[line] = true
		c.from[line] = origin{by: byFile, where: c.place(key)}
		faults = append(faults, read(line, val.Content[i+1])...)
	}
	return faults
}

func (c *Config) place(n *yaml.Node) string { return fmt.Sprintf("%s:%d", c.File, n.Line) }

// limit is a number that limits something.
func limit(val *yaml.Node) (int, error) {
	n, err := strconv.Atoi(val.Value)
	if err != nil || n < 1 || val.Kind != yaml.ScalarNode {
		return 0, errors.New("must be a whole number, at least 1; for no limit leave it out")
	}
	return n, nil
}

// allowed is a list of what is allowed.
func allowed(val *yaml.Node) ([]string, error) {
	if val.Kind != yaml.SequenceNode || len(val.Content) == 0 {
		return nil, errors.New("must be a list such as [a, b], and not empty; to allow all leave it out")
	}
	return items(val)
}

// hint names the setting that was probably meant, or where to find them all.
func hint(key string, known map[string]setting) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	for name, s := range known {
		if plain(name) == plain(key) || s.env == key {
			return fmt.Sprintf("; did you mean %q?", name)
		}
	}
	return "; worker --help lists them"
}
