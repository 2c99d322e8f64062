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
		a.Code, a.RequestID, a.Message = bound(a.Code, maxWord), bound(a.RequestID, maxWord), bound(a.Message, maxMessage)
		c.metrics.requests.WithLabelValues(action, string(a.Class)).Inc()
	}()
	sdk, holder, err := c.sdk(account, region)
	if err != nil {
		return stop.Answer{Class: stop.ClassCaller, Message: err.Error(), Unsent: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.conf.Timeout, errDeadline)
	defer cancel()
	if err := holder.present(); err != nil {
		return unsigned(ctx, err)
	}
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	began := time.Now()
	a = attempt(httptrace.WithClientTrace(ctx, trace), sdk, do)
	c.metrics.duration.WithLabelValues(action).Observe(time.Since(began).Seconds())
	a.Message, a.Unsent = holder.redact(a.Message), !sent.Load()
	if a.Class == stop.ClassCredential {
		holder.invalidate()
	}
	return a
}

// Ready waits, as long as a call may take, until there are credentials of the
// account to sign calls with, and answers why there are none; nil: there are.
// It comes before the permit for a call, which must be used at once.
func (c *Client) Ready(ctx context.Context, account string) *stop.Answer {
	holder, ok := c.accounts[account]
	if !ok {
		return &stop.Answer{Class: stop.ClassCaller, Message: fmt.Sprintf("account %.40q is not served here", account), Unsent: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.conf.Timeout, errDeadline)
	defer cancel()
	err := holder.ready(ctx)
	if err == nil {
		return nil
	}
	a := unsigned(ctx, err)
	a.Message = bound(a.Message, maxMessage)
	return &a
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
	if a.Code+a.Message == "" {
		a.Message = "the API refuses and does not say why"
	}
	if sdkErr.Code == "AuthFailure.SignatureExpire" {
		a.Message += " (the clock of this machine is more than five minutes off)"
	}
	return a
}

// unsigned is the answer to a call for which there were no credentials. A source
// that does not answer in the call's time is as little the request's fault as
// one that fails; a caller that stops waiting says nothing about the source.
func unsigned(ctx context.Context, err error) stop.Answer {
	a := stop.Answer{Class: stop.ClassCredential, Code: "ClientError.CredentialError", Message: err.Error(), Unsent: true}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errDeadline) {
		a.Class = stop.ClassTransient
	}
	return a
}

// What is kept of an answer ends up in results and logs, and a result larger
// than the broker takes could never be stored.
const (
	// maxMessage: the SDK quotes the whole body of an answer it cannot read.
	maxMessage = 1024
	// maxWord is for codes, ids and statuses; the longest code of the SDK has 66 bytes.
	maxWord = 128
)

// bound cuts a text to that many bytes of valid UTF-8.
func bound(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
