package simulator

import "fmt"

// The error codes this package answers with. The API's own words.
const (
	codeMissingParameter     = "MissingParameter"
	codeUnknownParameter     = "UnknownParameter"
	codeInvalidParameter     = "InvalidParameter"
	codeInvalidValue         = "InvalidParameterValue"
	codeParameterConflict    = "InvalidParameter.Conflict"
	codeGroupsConflict       = "InvalidParameterConflict"
	codeInvalidFilter        = "InvalidParameterValue.InvalidFilter"
	codeInvalidGroupID       = "InvalidParameterValue.InvalidAutoScalingGroupId"
	codeInvalidLaunchID      = "InvalidParameterValue.InvalidLaunchConfigurationId"
	codeListTooLong          = "InvalidParameterValue.LimitExceeded"
	codeFilterValuesTooLong  = "LimitExceeded.FilterValuesTooLong"
	codeBatchNumberTooLarge  = "InvalidParameterValue.BatchNumberTooLarge"
	codeMaxSurgeTooLarge     = "InvalidParameterValue.MaxSurgeTooLarge"
	codeInvalidAuthorization = "AuthFailure.InvalidAuthorization"
	codeInvalidSecretID      = "AuthFailure.InvalidSecretId"
	codeSecretIDNotFound     = "AuthFailure.SecretIdNotFound"
	codeSignatureExpire      = "AuthFailure.SignatureExpire"
	codeSignatureFailure     = "AuthFailure.SignatureFailure"
	codeTokenFailure         = "AuthFailure.TokenFailure"
	codeInvalidAction        = "InvalidAction"
	codeNoSuchVersion        = "NoSuchVersion"
	codeNoSuchProduct        = "NoSuchProduct"
	codeUnsupportedRegion    = "UnsupportedRegion"
	codeUnsupportedProtocol  = "UnsupportedProtocol"
	codeRequestTooLarge      = "RequestSizeLimitExceeded"
	codeRequestLimit         = "RequestLimitExceeded"
	codeGroupNotFound        = "ResourceNotFound.AutoScalingGroupIdNotFound"
	codeActivityNotFound     = "ResourceNotFound.RefreshActivityNotFound"
	codeStatusConflict       = "ResourceUnavailable.RefreshActivityStatusConflictWithOperation"
	codeGroupInRefresh       = "ResourceUnavailable.AutoScalingGroupInRefreshActivity"
	codeNoInstanceRefresh    = "ResourceUnavailable.NoInstanceCanRefresh"
	codeNoInstanceRollback   = "ResourceUnavailable.NoInstanceCanRollback"
	codeCanNotRollback       = "ResourceUnavailable.RefreshActivityCanNotRollback"
	codeCanNotRollbackAgain  = "ResourceUnavailable.RollbackTypeActivityCanNotRollbackAgain"
)

// apiError is the Error of an answer.
type apiError struct {
	Code    string `json:"Code"`
	Message string `json:"Message"`
}

func fail(code, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func missing(parameter string) *apiError {
	return fail(codeMissingParameter, "The request is missing a required parameter `%s`.", parameter)
}

func statusConflict(a *activity, operation string) *apiError {
	phase := ""
	if a.ScaleIn {
		phase = " and scales in"
	}
	return fail(codeStatusConflict, "Refresh activity `%s` is `%s`%s, which conflicts with the operation `%s`.", a.ID, a.Status, phase, operation)
}
