package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
)

// decodeBody reads the parameters of an action into a struct of pointers. The
// API knows its parameters by exact name, encoding/json by any case, so the
// names are compared first.
func decodeBody(body []byte, into any) *apiError {
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&tree); err != nil || tree == nil {
		return fail(codeInvalidParameter, "The request body is not a JSON object.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(codeInvalidParameter, "The request body goes on after its JSON object.")
	}
	if name := unknownField(tree, reflect.TypeOf(into).Elem()); name != "" {
		return fail(codeUnknownParameter, "The parameter `%s` is not recognized.", name)
	}
	var wrong *json.UnmarshalTypeError
	switch err := json.Unmarshal(body, into); {
	case errors.As(err, &wrong):
		return fail(codeInvalidParameter, "The parameter `%s` is a %s, expected %s.", wrong.Field, wrong.Value, wrong.Type)
	case err != nil:
		return fail(codeInvalidParameter, "The request body cannot be read.")
	}
	return nil
}

// unknownField returns the path of a field of v that t does not have, or "".
func unknownField(v any, t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return ""
		}
		return unknownIn(v, t)
	case []any:
		if t.Kind() != reflect.Slice {
			return ""
		}
		for _, item := range v {
			if name := unknownField(item, t.Elem()); name != "" {
				return name
			}
		}
	}
	return ""
}

func unknownIn(object map[string]any, t reflect.Type) string {
	for name, value := range object {
		f, ok := t.FieldByName(name)
		if !ok {
			return name
		}
		if inner := unknownField(value, f.Type); inner != "" {
			return name + "." + inner
		}
	}
	return ""
}

// named is what an arrival's record and a fault's match need of a body, read as
// well as it can be: a record is kept of unreadable calls too.
type named struct {
	groupID     string
	activityIDs []string
}

func namesIn(body []byte) named {
	var n named
	var tree map[string]any
	if json.Unmarshal(body, &tree) != nil {
		return n
	}
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			n.activityIDs = append(n.activityIDs, s)
		}
	}
	n.groupID, _ = tree["AutoScalingGroupId"].(string)
	add(tree["RefreshActivityId"])
	add(tree["OriginRefreshActivityId"])
	if ids, ok := tree["RefreshActivityIds"].([]any); ok {
		for _, id := range ids {
			add(id)
		}
	}
	return n
}

// value returns what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// secretIDIn finds the caller in a header that may be malformed otherwise.
func secretIDIn(header string) string {
	if a, ok := parseAuthorization(header); ok {
		return a.secretID
	}
	_, rest, _ := strings.Cut(header, "Credential=")
	id, _, ok := strings.Cut(rest, "/")
	if !ok {
		return ""
	}
	return id
}
