package asapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestClassify(t *testing.T) {
	byClass := map[stop.Class][]string{
		stop.ClassThrottled: {
			"RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded",
			"RequestLimitExceeded.GlobalRegionUinLimitExceeded", "RequestLimitExceeded.IPLimitExceeded",
			"RequestLimitExceeded.NeverSeen",
		},
		stop.ClassConflict: {"ResourceUnavailable.RefreshActivityStatusConflictWithOperation"},
		stop.ClassNotFound: {
			"ResourceNotFound", "ResourceNotFound.AutoScalingGroupIdNotFound", "ResourceNotFound.AutoScalingGroupNotFound",
			"ResourceNotFound.RefreshActivityNotFound", "ResourceNotFound.NeverSeen",
		},
		stop.ClassCredential: {
			"AuthFailure", "AuthFailure.SignatureExpire", "AuthFailure.SignatureFailure", "AuthFailure.SecretIdNotFound",
			"AuthFailure.InvalidSecretId", "AuthFailure.TokenFailure", "AuthFailure.InvalidAuthorization",
			"AuthFailure.MFAFailure", "AuthFailure.UnauthorizedOperation", "AuthFailure.NeverSeen",
			"UnauthorizedOperation", "UnauthorizedOperation.AutoScalingRoleUnauthorized", "UnauthorizedOperation.NeverSeen",
			"ClientError.CredentialError", "IpInBlacklist", "IpNotInWhitelist",
		},
		stop.ClassCaller: {
			"InvalidParameter", "InvalidParameter.InScenario", "InvalidParameterValue", "InvalidParameterValue.Filter",
			"InvalidParameterValue.NoResourcePermission", "InvalidParameterConflict", "MissingParameter",
			"MissingParameter.InScenario", "UnknownParameter", "UnsupportedRegion", "UnsupportedOperation",
			"UnsupportedProtocol", "InvalidAction", "InvalidRequest", "NoSuchVersion", "NoSuchProduct", "ActionOffline",
			"RequestSizeLimitExceeded", "ResponseSizeLimitExceeded", "LimitExceeded", "LimitExceeded.QuotaNotEnough",
			"ResourceInsufficient", "AccountQualificationRestrictions", "DryRunOperation", "InvalidImageId.NotFound",
			"InvalidLaunchConfiguration", "InvalidLaunchConfigurationId",
			"ClientError.BuildRequestError", "ClientError.InvalidParameter",
		},
		stop.ClassTransient: {
			"InternalError", "InternalError.CallCvmError", "InternalError.NeverSeen", "ServiceUnavailable", "ServiceUnavailable.X",
			"ClientError.NetworkError", "ClientError.ParseJsonError", "ClientError.HttpStatusCodeError", "ClientError.IOError",
			// The answer was not what the SDK can read, so the fate of the call is unknown.
			"ClientError.TypeError", "ClientError.CircuitBreakerError", "ClientError", "ClientError.NeverSeen",
			// Related to a code that means something, and not that code.
			"ResourceUnavailable", "ResourceUnavailable.AutoScalingGroupInActivity", "ResourceInUse.ActivityInProgress",
			"RequestLimitExceededX", "requestlimitexceeded", " AuthFailure", "ResourceUnavailable.RefreshActivityStatusConflictWithOperation.X",
			// Nobody has seen these.
			"FailedOperation", "CallCvmError", "InvalidPermission", "NeverSeen", "NeverSeen.AuthFailure", "", ".", ".AuthFailure",
		},
	}
	for _, want := range stop.Classes() {
		if want != stop.ClassOK && len(byClass[want]) == 0 {
			t.Errorf("no code of class %s is tried", want)
		}
		for _, code := range byClass[want] {
			if got := classify(code); got != want {
				t.Errorf("classify(%q) is %s, want %s", code, got, want)
			}
		}
	}
}

// TestClassifySDKCodes reads the SDK's own list, so that a code that an upgrade
// adds is classified on purpose.
func TestClassifySDKCodes(t *testing.T) {
	families := map[string]stop.Class{
		"AccountQualificationRestrictions": stop.ClassCaller,
		"CallCvmError":                     stop.ClassTransient,
		"FailedOperation":                  stop.ClassTransient,
		"InternalError":                    stop.ClassTransient,
		"InvalidImageId":                   stop.ClassCaller,
		"InvalidLaunchConfiguration":       stop.ClassCaller,
		"InvalidLaunchConfigurationId":     stop.ClassCaller,
		"InvalidParameter":                 stop.ClassCaller,
		"InvalidParameterConflict":         stop.ClassCaller,
		"InvalidParameterValue":            stop.ClassCaller,
		"InvalidPermission":                stop.ClassTransient,
		"LimitExceeded":                    stop.ClassCaller,
		"MissingParameter":                 stop.ClassCaller,
		"ResourceInUse":                    stop.ClassTransient,
		"ResourceInsufficient":             stop.ClassCaller,
		"ResourceNotFound":                 stop.ClassNotFound,
		"ResourceUnavailable":              stop.ClassTransient,
		"UnauthorizedOperation":            stop.ClassCredential,
		"UnsupportedOperation":             stop.ClassCaller,
	}
	seen := make(map[string]bool)
	codes := sdkCodes(t)
	if len(codes) < 178 {
		t.Errorf("%d codes found in the SDK, want 178 at least", len(codes))
	}
	for _, code := range codes {
		family, _, _ := strings.Cut(code, ".")
		want, known := families[family]
		if !known {
			t.Errorf("code %s is of a family that nobody has judged", code)
			continue
		}
		seen[family] = true
		if code == stop.CodeConflict {
			want = stop.ClassConflict
		}
		if got := classify(code); got != want {
			t.Errorf("classify(%q) is %s, want %s", code, got, want)
		}
	}
	for family := range families {
		if !seen[family] {
			t.Errorf("the SDK has no code of family %s any more", family)
		}
	}
}

// sdkCodes are the values of the constants in the SDK's errors.go.
func sdkCodes(t *testing.T) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419")
	dir, err := list.Output()
	if err != nil {
		t.Skipf("cannot find the SDK's source: %v", err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, code)
		}
		return true
	})
	return codes
}
