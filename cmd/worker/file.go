package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keyAccounts is the one key of the file that is no flag.
const keyAccounts = "accounts"

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
		where := fmt.Sprintf("%s:%d", c.File, key.Line)
		s, ok := known[key.Value]
		switch {
		case seen[key.Value] > 0:
			faults = append(faults, fmt.Errorf("%s: %q stands in line %d already", where, key.Value, seen[key.Value]))
		case key.Value == keyAccounts:
			faults = append(faults, c.readAccounts(val)...)
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
		items := make([]string, 0, len(val.Content))
		for _, item := range val.Content {
			if item.Kind != yaml.ScalarNode {
				return "", fmt.Errorf("must be a list of plain values, see line %d", item.Line)
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	}
	if val.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("must be a plain value, a %s", s.value.Type())
	}
	if val.Tag == "!!null" {
		return "", errors.New("has no value; give one, or leave the line out")
	}
	return val.Value, nil
}

// readAccounts reads the accounts one by one, so that a fault in one does not
// hide those in another.
func (c *Config) readAccounts(val *yaml.Node) []error {
	if val.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s:%d: %s must be a mapping from the name of an account to its credentials", c.File, val.Line, keyAccounts)}
	}
	c.Accounts = make(map[string]Account)
	var faults []error
	for i := 0; i+1 < len(val.Content); i += 2 {
		key, fields := val.Content[i], val.Content[i+1]
		name := keyAccounts + "." + key.Value
		if _, twice := c.Accounts[key.Value]; twice {
			faults = append(faults, fmt.Errorf("%s:%d: %s stands twice", c.File, key.Line, name))
			continue
		}
		a, wrong := c.readAccount(name, fields)
		c.Accounts[key.Value] = a
		c.from[name] = origin{by: byFile, where: fmt.Sprintf("%s:%d", c.File, key.Line)}
		faults = append(faults, wrong...)
	}
	return faults
}

func (c *Config) readAccount(name string, fields *yaml.Node) (Account, []error) {
	var a Account
	where := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", c.File, n.Line) }
	if fields.Kind != yaml.MappingNode {
		return a, []error{fmt.Errorf("%s: %s must be a mapping with one of %s", where(fields), name, accountWays)}
	}
	var faults []error
	for i := 0; i+1 < len(fields.Content); i += 2 {
		key := fields.Content[i]
		if !slices.Contains(accountKeys, key.Value) {
			faults = append(faults, fmt.Errorf("%s: %s.%s is not a setting; known are %s", where(key), name, key.Value, strings.Join(accountKeys, ", ")))
		}
	}
	if err := fields.Decode(&a); err != nil {
		faults = append(faults, fmt.Errorf("%s: %s: %w", where(fields), name, err))
	}
	return a, faults
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
