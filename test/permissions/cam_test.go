package permissions

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// policy is a document of CAM, as far as it is used here.
type policy struct {
	Version   string      `json:"version"`
	Statement []statement `json:"statement"`
}

type statement struct {
	Effect   string   `json:"effect"`
	Action   []string `json:"action"`
	Resource []string `json:"resource"`
}

func readPolicy(t *testing.T, file string) (p policy) {
	t.Helper()
	f, err := os.Open("../../deploy/cam/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// granted is what a policy allows.
func granted(t *testing.T, file string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, s := range readPolicy(t, file).Statement {
		for _, action := range s.Action {
			if all[action] {
				t.Errorf("%s grants %s twice", file, action)
			}
			all[action] = true
		}
	}
	return all
}

// called is what the code can ask the API for: the requests of the SDK that it makes.
// Only pkg/asapi may import the SDK, golangci-lint sees to that.
func called(t *testing.T) map[string]bool {
	t.Helper()
	const from = "../../pkg/asapi"
	files, err := filepath.Glob(from + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if found := newRequest.FindStringSubmatch(s.Sel.Name); found != nil {
					all["as:"+found[1]] = true
				}
			}
			return true
		})
	}
	return all
}

// newRequest is how the SDK spells what makes a request; one of any other service, or of
// any action, would be found by it too.
var newRequest = regexp.MustCompile(`^New([A-Z]\w+)Request$`)

func TestThePolicyGrantsWhatTheCodeCallsAndNothingElse(t *testing.T) {
	t.Parallel()
	want := called(t)
	for _, file := range []string{"policy.json", "policy-groups.json"} {
		if got := granted(t, file); !maps.Equal(got, want) {
			t.Errorf("%s grants %v, and the code calls %v", file, got, want)
		}
	}
}

func TestThePoliciesAreAsNarrowAsTheAPICanCheck(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/cam/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	group := regexp.MustCompile(`^qcs::as:(\*|[a-z]{2}-[a-z]+(-\d)?):uin/(\*|\d+):auto-scaling-group/(\*|asg-[0-9a-z]{8})$`)
	for _, file := range files {
		p := readPolicy(t, filepath.Base(file))
		if p.Version != "2.0" {
			t.Errorf("%s has version %q", file, p.Version)
		}
		for _, s := range p.Statement {
			if s.Effect != "allow" || len(s.Resource) == 0 {
				t.Errorf("%s: %+v", file, s)
			}
			for _, action := range s.Action {
				for _, resource := range s.Resource {
					// A Describe is checked by the action alone: for one that is narrowed to a
					// resource, CAM refuses all.
					if looks := strings.HasPrefix(action, "as:Describe"); looks != (resource == "*") || !looks && !group.MatchString(resource) {
						t.Errorf("%s: %s of %s", file, action, resource)
					}
				}
			}
		}
	}
}
