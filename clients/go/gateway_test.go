package maestro

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	maestrov1 "maestro.example/go/maestro/v1"
)

const stalling = `[{"text": "one "}, {"stall": true}]`

func TestAStreamFoldsToTheUnaryAnswer(t *testing.T) {
	client, ctx := connected(t)
	stream, err := client.Chat.StreamChat(ctx, hello())
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := Fold(stream)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := client.Chat.CompleteChat(ctx, hello())
	if err != nil {
		t.Fatal(err)
	}
	if Text(streamed) == "" || Text(streamed) != Text(whole) {
		t.Errorf("%q was streamed, %q was said whole", Text(streamed), Text(whole))
	}
	if streamed.FinishReason != maestrov1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("it ended with %v", streamed.FinishReason)
	}
	if streamed.Usage.GetInputTokens() <= 0 || streamed.Usage.GetOutputTokens() <= 0 {
		t.Errorf("it cost %v", streamed.Usage)
	}
}

func TestEveryKindOfPartFoldsToTheUnaryAnswer(t *testing.T) {
	client, ctx := connected(t)
	request := scripted(`[
		{"reasoning": {"text": ["It asks ", "for weather."], "signature": "c2ln"}},
		{"text": ["Let me ", "look ", "☀"]},
		{"citation": {"title": "almanac"}},
		{"warning": {"code": "NOTICE", "message": "hm"}},
		{"tool_calls": [{"id": "c1", "name": "a", "arguments": {"x": 1}}, {"id": "c2", "name": "b"}]},
		{"finish": {"reason": "TOOL_CALLS", "word": "tool_use"}}]`)
	stream, err := client.Chat.StreamChat(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := Fold(stream)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := client.Chat.CompleteChat(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range []*maestrov1.ChatResponse{streamed, whole} { // what two calls never share
		answer.Chat, answer.CreateTime, answer.Timing, answer.Attempts = "", nil, nil, nil
		answer.ProviderMetadata = nil
	}
	if !proto.Equal(streamed, whole) {
		t.Errorf("streamed: %v\nwhole: %v", streamed, whole)
	}
	if calls := ToolCalls(streamed); len(calls) != 2 || calls[0].ArgumentsJson == "" {
		t.Errorf("tool calls: %v", calls)
	}
}

func TestAFailureInMidStreamKeepsWhatCame(t *testing.T) {
	client, ctx := connected(t)
	stream, err := client.Chat.StreamChat(ctx, scripted(`[{"text": "half "}, {"cut": true}]`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Fold(stream)
	failed := expectCode(t, err, codes.Unavailable)
	if !failed.Because(maestrov1.ErrorReason_ERROR_REASON_STREAM_BROKEN) || failed.RequestID == "" {
		t.Errorf("%+v", failed)
	}
	if Text(answer) != "half " || answer.State != maestrov1.ChatResponse_STATE_FAILED {
		t.Errorf("%q, %v", Text(answer), answer.State)
	}
}

func TestCancellingEndsTheCallAndTheGatewayLives(t *testing.T) {
	client, ctx := connected(t)
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Chat.StreamChat(call, scripted(stalling))
	if err != nil {
		t.Fatal(err)
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if event.GetTextDelta() != "" {
			break
		}
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	expectCode(t, err, codes.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("errors.Is does not know %v", err)
	}
	if _, err := client.Capability.GetServerInfo(ctx, &maestrov1.GetServerInfoRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownModelIsATypedErrorUnaryAndStreamed(t *testing.T) {
	client, ctx := connected(t)
	request := hello()
	request.Model = "scripted/no-such-model"
	_, unary := client.Chat.CompleteChat(ctx, request)
	stream, err := client.Chat.StreamChat(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	_, streamed := Fold(stream)
	for _, err := range []error{unary, streamed} {
		failed := expectCode(t, err, codes.NotFound)
		if !failed.Because(maestrov1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND) {
			t.Errorf("the reason is %q", failed.Reason)
		}
		if failed.RequestID == "" || failed.Context == nil || failed.Retryable() {
			t.Errorf("request id, context and no hope are due, not %+v", failed)
		}
	}
}

func TestAFieldThatBreaksItsRuleIsNamed(t *testing.T) {
	client, ctx := connected(t)
	request := hello()
	request.Generation = &maestrov1.GenerationConfig{Temperature: proto.Float32(9)}
	_, err := client.Chat.CompleteChat(ctx, request)
	failed := expectCode(t, err, codes.InvalidArgument)
	if len(failed.Violations) != 1 || failed.Violations[0].GetField() != "generation.temperature" {
		t.Errorf("violations: %v", failed.Violations)
	}
}

func TestAWrongKeyIsTurnedAway(t *testing.T) {
	client, ctx := connected(t, WithKey("not-the-key"))
	_, err := client.Chat.CompleteChat(ctx, hello())
	failed := expectCode(t, err, codes.Unauthenticated)
	if !failed.Because(maestrov1.ErrorReason_ERROR_REASON_CREDENTIALS_INVALID) {
		t.Errorf("the reason is %q", failed.Reason)
	}
}

func TestADeadlineEndsTheCall(t *testing.T) {
	client, ctx := connected(t)
	call, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	stream, err := client.Chat.StreamChat(call, scripted(stalling))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Fold(stream)
	expectCode(t, err, codes.DeadlineExceeded)
	if Text(answer) != "one " {
		t.Errorf("%q had come", Text(answer))
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("errors.Is does not know %v", err)
	}
}

// connected is a client of the gateway that $MAESTRO_ADDRESS names, and five seconds to talk to it.
func connected(t *testing.T, options ...Option) (*Client, context.Context) {
	t.Helper()
	if os.Getenv("MAESTRO_ADDRESS") == "" {
		t.Skip("no gateway: set MAESTRO_ADDRESS and MAESTRO_KEY")
	}
	client, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return client, ctx
}

func hello() *maestrov1.ChatRequest {
	return &maestrov1.ChatRequest{Messages: []*maestrov1.Message{User("Say hello to the world")}}
}

func scripted(script string) *maestrov1.ChatRequest {
	request := hello()
	request.ProviderOptionsJson = map[string]string{"scripted": script}
	return request
}

func expectCode(t *testing.T, err error, code codes.Code) *Error {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no *Error", err)
	}
	if failed.Code != code {
		t.Fatalf("%v came where %v was due", err, code)
	}
	return failed
}
