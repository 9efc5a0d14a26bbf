package maestro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	maestrov1 "maestro.example/go/maestro/v1"
)

// Error is a failed call: gRPC's code and sentence, and what the gateway added. Find it with errors.As. Where the gateway's
// code was never reached there is a Code and a Message alone.
type Error struct {
	Code    codes.Code
	Message string
	// Reason is the full name of a maestrov1.ErrorReason, kept as sent where this client does not know it yet.
	Reason string
	// Metadata holds what varies in the message, by documented lowerCamelCase keys.
	Metadata map[string]string
	// Violations are the fields that break a rule, each with the rule's name.
	Violations []*errdetails.BadRequest_FieldViolation
	// Preconditions must hold first, and do not.
	Preconditions []*errdetails.PreconditionFailure_Violation
	// RetryDelay is how long to wait before trying again; zero when the gateway did not say.
	RetryDelay time.Duration
	// RequestID is what an operator looks up.
	RequestID string
	// Context is what the gateway knows about the failure; nil when it said nothing.
	Context *maestrov1.ErrorContext

	status *status.Status
}

func (e *Error) Error() string {
	said := fmt.Sprintf("%s: %s", e.Code, e.Message)
	if e.Reason != "" {
		said = fmt.Sprintf("%s (%s): %s", e.Code, e.Reason, e.Message)
	}
	for _, violation := range e.Violations {
		said += fmt.Sprintf("; %s: %s", violation.GetField(), violation.GetDescription())
	}
	if e.RequestID != "" {
		said += fmt.Sprintf(" (request %s)", e.RequestID)
	}
	return said
}

// Because tells whether the gateway gave this reason.
func (e *Error) Because(reason maestrov1.ErrorReason) bool { return e.Reason == reason.String() }

// Retryable is true when the same call may be sent again as it is.
func (e *Error) Retryable() bool {
	if e.Context != nil {
		return e.Context.GetRetryable()
	}
	return e.Code == codes.Unavailable && !e.Because(maestrov1.ErrorReason_ERROR_REASON_STREAM_BROKEN)
}

// GRPCStatus lets status.Code, status.FromError and other people's interceptors read the error as before.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is keeps errors.Is true for context.Canceled and context.DeadlineExceeded when a call ended so.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && e.Code == codes.Canceled ||
		target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded
}

// newError reads the details of a failed status; kinds of detail that it does not know are left in GRPCStatus.
func newError(failed *status.Status) *Error {
	e := &Error{Code: failed.Code(), Message: failed.Message(), status: failed}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			e.Violations = detail.GetFieldViolations()
		case *errdetails.PreconditionFailure:
			e.Preconditions = detail.GetViolations()
		case *errdetails.RetryInfo:
			e.RetryDelay = detail.GetRetryDelay().AsDuration()
		case *errdetails.RequestInfo:
			e.RequestID = detail.GetRequestId()
		case *maestrov1.ErrorContext:
			e.Context = detail
		}
	}
	return e
}

// broken is for a stream that stopped before it had said why, or lost something on the way.
func broken(format string, arguments ...any) *Error {
	e := newError(status.Newf(codes.Unavailable, format, arguments...))
	e.Reason = maestrov1.ErrorReason_ERROR_REASON_STREAM_BROKEN.String()
	return e
}

// typed turns a stub's error into an *Error. A bare status has no details; its request id may still be in the trailer.
func typed(err error, trailer metadata.MD) error {
	var already *Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &already) {
		return err
	}
	e := newError(status.Convert(err))
	if ids := trailer.Get("x-request-id"); e.RequestID == "" && len(ids) > 0 {
		e.RequestID = ids[0]
	}
	return e
}

func typedUnary(
	ctx context.Context, method string, request, answer any, channel *grpc.ClientConn, call grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	var trailer metadata.MD
	return typed(call(ctx, method, request, answer, channel, append(slices.Clip(options), grpc.Trailer(&trailer))...), trailer)
}

func typedStream(
	ctx context.Context, desc *grpc.StreamDesc, channel *grpc.ClientConn, method string, open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, channel, method, options...)
	if err != nil {
		return nil, typed(err, nil)
	}
	return typedClientStream{stream}, nil
}

type typedClientStream struct{ grpc.ClientStream }

func (s typedClientStream) SendMsg(message any) error {
	return typed(s.ClientStream.SendMsg(message), nil)
}

func (s typedClientStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		return nil // the trailer is there only after an end
	}
	return typed(err, s.Trailer())
}
