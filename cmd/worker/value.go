package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// value is a pflag.Value for a field of Config.
type value[T any] struct {
	at    *T
	parse func(string) (T, error)
	kind  string
}

// Set parses s; the error says what is wanted, not what was given.
func (v value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.at = parsed
	}
	return err
}

func (v value[T]) String() string {
	if v.at == nil {
		return ""
	}
	return fmt.Sprint(*v.at)
}

// Type is part of pflag.Value.
func (v value[T]) Type() string { return v.kind }

func text(p *string) value[string] {
	return value[string]{p, func(s string) (string, error) { return s, nil }, "text"}
}

func whole(p *int) value[int] {
	return value[int]{p, func(s string) (int, error) { return wanted(s, strconv.Atoi, "a whole number") }, "whole number"}
}

func number(p *float64) value[float64] {
	parse := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	return value[float64]{p, func(s string) (float64, error) { return wanted(s, parse, "a number") }, "number"}
}

func yesNo(p *bool) value[bool] {
	return value[bool]{p, func(s string) (bool, error) { return wanted(s, strconv.ParseBool, "true or false") }, "switch"}
}

func list(p *[]string) value[[]string] {
	return value[[]string]{p, func(s string) ([]string, error) {
		items := strings.Split(s, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		return items, nil
	}, "list"}
}

func wanted[T any](s string, parse func(string) (T, error), want string) (T, error) {
	v, err := parse(strings.TrimSpace(s))
	if err != nil {
		return v, errors.New("must be " + want)
	}
	return v, nil
}
