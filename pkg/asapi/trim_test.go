package asapi

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBatchesAreLeftOut(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"nothing", `{}`, `{}`},
		{"none", `{"Response":{"RefreshActivitySet":[]}}`, `{"Response":{"RefreshActivitySet":[]}}`},
		{"one", `{"A":1,"RefreshBatchSet":[{"X":[1,"]"]}],"B":2}`, `{"A":1,"RefreshBatchSet":[],"B":2}`},
		{"blanks", "{\"RefreshBatchSet\" :\n [ {} ] , \"B\":2}", "{\"RefreshBatchSet\" :\n [] , \"B\":2}"},
		{"several", `[{"RefreshBatchSet":[1]},{"RefreshBatchSet":[{"RefreshBatchSet":[2]}]}]`, `[{"RefreshBatchSet":[]},{"RefreshBatchSet":[]}]`},
		{"quotes", `{"RefreshBatchSet":["\"]\\",{"a":"}"}],"B":"x"}`, `{"RefreshBatchSet":[],"B":"x"}`},
		{"null", `{"RefreshBatchSet":null,"B":2}`, `{"RefreshBatchSet":null,"B":2}`},
		{"in a text", `{"M":"\"RefreshBatchSet\":[1,2]","B":[3]}`, `{"M":"\"RefreshBatchSet\":[1,2]","B":[3]}`},
		{"as a text", `{"M":"RefreshBatchSet","B":[3]}`, `{"M":"RefreshBatchSet","B":[3]}`},
		{"broken off", `{"RefreshBatchSet":[{"a":1},`, `{"RefreshBatchSet":[{"a":1},`},
		{"no JSON", `<html>"RefreshBatchSet"</html>`, `<html>"RefreshBatchSet"</html>`},
	} {
		if got := string(withoutBatches([]byte(c.body))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAnAnswerThatBreaksOffStaysBroken(t *testing.T) {
	broken := errors.New("broken")
	body := io.MultiReader(strings.NewReader(`{"RefreshBatchSet":[1],"A":`), iotest.ErrReader(broken))
	got, err := io.ReadAll(&trimmed{ReadCloser: io.NopCloser(body)})
	if !errors.Is(err, broken) || string(got) != `{"RefreshBatchSet":[],"A":` {
		t.Errorf("%q, %v", got, err)
	}
}

// Whatever is JSON stays JSON, and differs in the batches alone.
func FuzzWithoutBatches(f *testing.F) {
	for _, s := range []string{
		`{"RefreshBatchSet":[{"X":[1,"]"]}],"B":2}`, `{"M":"\"RefreshBatchSet\":[1]","RefreshBatchSet":[[]]}`, `{"\\":1,"RefreshBatchSet":["\\"]}`, `["RefreshBatchSet",[1]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var before, after any
		got := withoutBatches(body)
		if json.Unmarshal(body, &before) != nil {
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, got, err)
		}
		if strip(before); !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q", body, got)
		}
	})
}

// strip empties the lists of batches in what JSON was decoded to.
func strip(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			strip(e)
		}
	case map[string]any:
		for k, e := range v {
			if _, list := e.([]any); k == "RefreshBatchSet" && list {
				v[k] = []any{}
				continue
			}
			strip(e)
		}
	}
}
