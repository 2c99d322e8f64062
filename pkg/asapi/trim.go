package asapi

import (
	"bytes"
	"io"
)

// trimmed reads an answer of DescribeRefreshActivities without the batches of
// each activity, which list every instance and make nine tenths of it. Nobody
// here reads them, and the SDK takes a body apart several times over: that was a
// third of what planning ten thousand groups cost. What does not look as it
// should is left as it is, and an error of the reading follows what was read.
type trimmed struct {
	io.ReadCloser

	from io.Reader // nil until the first read
}

func (t *trimmed) Read(p []byte) (int, error) {
	if t.from == nil {
		body, err := io.ReadAll(t.ReadCloser)
		t.from = bytes.NewReader(withoutBatches(body))
		if err != nil {
			t.from = io.MultiReader(t.from, failing{err})
		}
	}
	return t.from.Read(p) //nolint:wrapcheck // of what was read
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

var batchesKey = []byte(`"RefreshBatchSet"`)

// withoutBatches empties every list of batches. A quoted name that no backslash
// comes before and that a list follows is a name of the object, wherever it
// stands, for inside of a text quotes have a backslash.
func withoutBatches(body []byte) []byte {
	var out []byte
	rest := body
	for {
		i := bytes.Index(rest, batchesKey)
		if i < 0 {
			break
		}
		end := i + len(batchesKey)
		at := end + len(rest[end:]) - len(bytes.TrimLeft(rest[end:], " \t\r\n:"))
		size := 0
		if i == 0 || rest[i-1] != '\\' {
			size = listSize(rest[at:])
		}
		if size > 0 {
			out = append(append(out, rest[:at]...), "[]"...)
		} else {
			out = append(out, rest[:at]...)
		}
		rest = rest[at+size:]
	}
	if out == nil {
		return body
	}
	return append(out, rest...)
}

// listSize is how long the JSON list is with which the text begins; 0 if there
// is none, or none that ends.
func listSize(text []byte) int {
	if len(text) == 0 || text[0] != '[' {
		return 0
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
