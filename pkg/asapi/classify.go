package asapi

import (
	"strings"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// classes is the only table of codes. It is asked for the exact code first,
// then for the part before the first dot; what is in neither way known is
// transient: a code nobody has seen must not end a request at once.
// Sources: contract section 4, the API's common errors
// (https://www.tencentcloud.com/document/api/1252/68119) and the SDK's list.
var classes = map[string]stop.Class{
	"RequestLimitExceeded": stop.ClassThrottled,

	stop.CodeConflict: stop.ClassConflict,

	"ResourceNotFound": stop.ClassNotFound,

	"AuthFailure":                 stop.ClassCredential,
	"UnauthorizedOperation":       stop.ClassCredential,
	"ClientError.CredentialError": stop.ClassCredential,
	// The account's list of addresses refuses this one: like a missing
	// permission it is cured from outside, for all requests at once.
	"IpInBlacklist":    stop.ClassCredential,
	"IpNotInWhitelist": stop.ClassCredential,

	"InvalidParameter":         stop.ClassCaller,
	"InvalidParameterValue":    stop.ClassCaller,
	"InvalidParameterConflict": stop.ClassCaller,
	"MissingParameter":         stop.ClassCaller,
	"UnknownParameter":         stop.ClassCaller,
	"UnsupportedRegion":        stop.ClassCaller,
	"UnsupportedOperation":     stop.ClassCaller,
	"UnsupportedProtocol":      stop.ClassCaller,
	"InvalidAction":            stop.ClassCaller,
	"InvalidRequest":           stop.ClassCaller,
	"NoSuchVersion":            stop.ClassCaller,
	"NoSuchProduct":            stop.ClassCaller,
	"ActionOffline":            stop.ClassCaller,
	"RequestSizeLimitExceeded": stop.ClassCaller,
	// The same question has the same answer.
	"ResponseSizeLimitExceeded":        stop.ClassCaller,
	"LimitExceeded":                    stop.ClassCaller,
	"ResourceInsufficient":             stop.ClassCaller,
	"AccountQualificationRestrictions": stop.ClassCaller,
	"DryRunOperation":                  stop.ClassCaller,
	"InvalidImageId":                   stop.ClassCaller,
	"InvalidLaunchConfiguration":       stop.ClassCaller,
	"InvalidLaunchConfigurationId":     stop.ClassCaller,
	// The SDK could not build the request.
	"ClientError.BuildRequestError": stop.ClassCaller,
	"ClientError.InvalidParameter":  stop.ClassCaller,

	"InternalError":                   stop.ClassTransient,
	"ServiceUnavailable":              stop.ClassTransient,
	"ClientError.NetworkError":        stop.ClassTransient,
	"ClientError.ParseJsonError":      stop.ClassTransient,
	"ClientError.HttpStatusCodeError": stop.ClassTransient,
	"ClientError.IOError":             stop.ClassTransient,
}

// classify says what a code means. The empty code is success only to those
// who know that there was an answer; here it is transient.
func classify(code string) stop.Class {
	if c, ok := classes[code]; ok {
		return c
	}
	family, _, _ := strings.Cut(code, ".")
	if c, ok := classes[family]; ok {
		return c
	}
	return stop.ClassTransient
}
