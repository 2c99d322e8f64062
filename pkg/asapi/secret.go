package asapi

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that no way of printing shows.
type Secret string

const hidden = "***"

// String hides the secret from fmt's %s and %v.
func (Secret) String() string { return hidden }

// GoString hides it from %#v.
func (Secret) GoString() string { return hidden }

// Format hides it from every other verb, %x and %q among them.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides it from encoders, encoding/json among them.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides it from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
