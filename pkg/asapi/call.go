package asapi

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// errDeadline is why a call's context ends when its time is up.
var errDeadline = errors.New("no answer in time")

// call makes one attempt and turns whatever comes of it into an answer.
func (c *Client) call(ctx context.Context, action, account, region string, do func(context.Context, *as.Client) (requestID *string, err error)) (a stop.Answer) {
	defer func() {
		a.Message = bound(a.Message)
		c.metrics.requests.WithLabelValues(action, string(a.Class)).Inc()
	}()
	sdk, holder, err := c.sdk(account, region)
	if err != nil {
		return stop.Answer{Class: stop.ClassCaller, Message: err.Error(), Unsent: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.conf.Timeout, errDeadline)
	defer cancel()
	if err := holder.ready(ctx); err != nil {
		return unsigned(ctx, err)
	}
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	began := time.Now()
	a = attempt(httptrace.WithClientTrace(ctx, trace), sdk, do)
	c.metrics.duration.WithLabelValues(action).Observe(time.Since(began).Seconds())
	a.Unsent = !sent.Load()
	if a.Class == stop.ClassCredential {
		holder.invalidate()
	}
	return a
}

// attempt calls the SDK. An answer of the literal null makes it dereference
// nil; that is a bad answer like any other.
func attempt(ctx context.Context, sdk *as.Client, do func(context.Context, *as.Client) (*string, error)) (a stop.Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = stop.Answer{Class: stop.ClassTransient, Message: fmt.Sprintf("the answer makes no sense to the SDK: %v", p)}
		}
	}()
	requestID, err := do(ctx, sdk)
	switch {
	case err != nil:
		return refusal(ctx, err)
	case requestID == nil:
		return stop.Answer{Class: stop.ClassTransient, Message: "the answer is empty"}
	default:
		return stop.Answer{Class: stop.ClassOK, RequestID: *requestID}
	}
}

// refusal makes an answer of an error. Unless the API has spoken, the context
// is looked at first: when it has ended, the SDK may call the same thing a
// network error, a broken answer, or something else, depending on where it was.
func refusal(ctx context.Context, err error) stop.Answer {
	sdkErr, ok := errors.AsType[*sdkerrors.TencentCloudSDKError](err)
	spoken := ok && !strings.HasPrefix(sdkErr.Code, "ClientError")
	if ctx.Err() != nil && !spoken {
		return stop.Answer{Class: stop.ClassTransient, Message: fmt.Sprintf("%v: %v", context.Cause(ctx), err)}
	}
	if !ok {
		return stop.Answer{Class: stop.ClassTransient, Message: err.Error()}
	}
	a := stop.Answer{Class: classify(sdkErr.Code), Code: sdkErr.Code, Message: sdkErr.Message, RequestID: sdkErr.RequestId}
	if cause := errors.Unwrap(sdkErr); cause != nil {
		a.Message += ": " + cause.Error()
	}
	if sdkErr.Code == "AuthFailure.SignatureExpire" {
		a.Message += " (the clock of this machine is more than five minutes off)"
	}
	return a
}

// unsigned is the answer to a call for which there were no credentials. Where
// they are just slow to come the call may be tried again.
func unsigned(ctx context.Context, err error) stop.Answer {
	a := stop.Answer{Class: stop.ClassCredential, Code: "ClientError.CredentialError", Message: err.Error(), Unsent: true}
	if ctx.Err() != nil {
		a.Class = stop.ClassTransient
	}
	return a
}

// maxMessage bounds what is kept of a message: the SDK quotes the whole body
// of an answer it cannot read, and messages end up in results and logs.
const maxMessage = 1024

// bound cuts a message to maxMessage bytes of valid UTF-8.
func bound(message string) string {
	if len(message) <= maxMessage {
		return strings.ToValidUTF8(message, "?")
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
}
