package main

import "fmt"

// origin says where the value of a setting comes from.
type origin struct {
	by by
	// where is the variable's name, or the place in the file.
	where string
}

// by orders the sources: a greater one wins.
type by int

const (
	byDefault by = iota
	byFile
	byEnv
	byFlag
)

func (c Config) by(name string) by { return c.from[name].by }

// label names a setting in a fault, with the place where it was set.
func (c Config) label(name string) string {
	if o := c.from[name]; o.where != "" {
		return fmt.Sprintf("--%s (%s)", name, o.where)
	}
	return "--" + name
}

// fault is one thing to correct: what, its value, what is allowed and what to
// do.
func fault(label, value, problem string) error {
	if value == "" {
		return fmt.Errorf("%s: %s", label, problem)
	}
	return fmt.Errorf("%s %q: %s", label, value, problem)
}
