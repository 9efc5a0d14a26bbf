package maestro

import (
	"errors"
	"io"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	maestrov1 "maestro.example/go/maestro/v1"
)

func TestTheFoldJoinsTextReasoningToolCallsAndUsage(t *testing.T) {
	answer := folded(t, tell(
		started(),
		begin(0, &maestrov1.Part{Kind: &maestrov1.Part_Reasoning{Reasoning: &maestrov1.Reasoning{}}}),
		&maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_ReasoningDelta{ReasoningDelta: "It asks for "}},
		&maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_ReasoningDelta{ReasoningDelta: "weather."}},
		finish(0, &maestrov1.Part{ProviderState: &maestrov1.ProviderState{Kind: "signature", Data: []byte{1}}}),
		begin(1, textPart("")),
		text(1, "Let me "),
		begin(2, &maestrov1.Part{Kind: &maestrov1.Part_ToolCall{ToolCall: &maestrov1.ToolCall{Id: "c1", Name: "weather"}}}),
		&maestrov1.ChatEvent{PartIndex: 2, Event: &maestrov1.ChatEvent_ArgumentsDelta{ArgumentsDelta: `{"city":`}},
		text(1, "look: ☀"),
		&maestrov1.ChatEvent{PartIndex: 2, Event: &maestrov1.ChatEvent_ArgumentsDelta{ArgumentsDelta: `"Rome"}`}},
		finish(1, &maestrov1.Part{Kind: &maestrov1.Part_Text{}, Citations: []*maestrov1.Citation{{Title: "almanac"}}}),
		completed(maestrov1.FinishReason_FINISH_REASON_TOOL_CALLS),
	))
	if len(answer.Messages) != 1 || answer.Messages[0].Role != maestrov1.Role_ROLE_ASSISTANT {
		t.Fatalf("one assistant message was said, not %v", answer.Messages)
	}
	parts := answer.Messages[0].Parts
	if parts[0].GetReasoning().GetText() != "It asks for weather." || parts[0].ProviderState.GetKind() != "signature" {
		t.Errorf("reasoning: %v", parts[0])
	}
	if Text(answer) != "Let me look: ☀" || parts[1].Citations[0].Title != "almanac" {
		t.Errorf("text: %v", parts[1])
	}
	calls := ToolCalls(answer)
	if len(calls) != 1 || calls[0].Name != "weather" || calls[0].ArgumentsJson != `{"city":"Rome"}` {
		t.Errorf("tool calls: %v", calls)
	}
	if answer.State != maestrov1.ChatResponse_STATE_AWAITING_TOOLS || answer.Usage.GetOutputTokens() != 7 {
		t.Errorf("the end: %v, %v", answer.State, answer.Usage)
	}
}

func TestAnArmNewerThanThisClientIsSkippedAndItsNumberCounts(t *testing.T) {
	event := &maestrov1.ChatEvent{}
	unknown := protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "from the future")
	if err := proto.Unmarshal(unknown, event); err != nil {
		t.Fatal(err)
	}
	answer := folded(t, tell(
		started(), begin(0, textPart("")), text(0, "a"), event, text(0, "b"),
		completed(maestrov1.FinishReason(999)),
	))
	if Text(answer) != "ab" || answer.LastSequence != 6 {
		t.Errorf("%q, last sequence %d", Text(answer), answer.LastSequence)
	}
	if answer.FinishReason != maestrov1.FinishReason_FINISH_REASON_OTHER {
		t.Errorf("an end newer than this client is OTHER, not %v", answer.FinishReason)
	}
}

func TestMergedFragmentsCountAsOften(t *testing.T) {
	joined := text(0, "abc")
	joined.Merged = 2
	answer := folded(t, tell(
		started(), begin(0, textPart("")), joined, completed(maestrov1.FinishReason_FINISH_REASON_STOP),
	))
	if Text(answer) != "abc" || answer.LastSequence != 6 {
		t.Errorf("%q, last sequence %d", Text(answer), answer.LastSequence)
	}
}

func TestAnotherTargetTakesOver(t *testing.T) {
	answer := folded(t, tell(
		started(), begin(0, textPart("")), text(0, "forget me"),
		&maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_AttemptChanged{
			AttemptChanged: &maestrov1.AttemptChanged{Discard: true, Model: "second"},
		}},
		begin(0, textPart("")), text(0, "keep me"), completed(maestrov1.FinishReason_FINISH_REASON_STOP),
	))
	if Text(answer) != "keep me" || answer.Model != "second" {
		t.Errorf("%q by %s", Text(answer), answer.Model)
	}
}

func TestAStreamWithoutAnEndIsAnErrorAndKeepsWhatCame(t *testing.T) {
	answer, err := Fold(tell(started(), begin(0, textPart("")), text(0, "half")))
	expectBroken(t, err)
	if Text(answer) != "half" || answer.State != maestrov1.ChatResponse_STATE_RUNNING {
		t.Errorf("%q, %v", Text(answer), answer.State)
	}
}

func TestAHoleInTheNumbersIsAnError(t *testing.T) {
	stream := tell(started(), begin(0, textPart("")), text(0, "a"), text(0, "b"))
	stream.events = append(stream.events[:2], stream.events[3])
	_, err := Fold(stream)
	expectBroken(t, err)
}

func TestAnInterruptedStreamGivesItsStatusAndItsBill(t *testing.T) {
	answer, err := Fold(tell(
		started(), begin(0, textPart("")), text(0, "half"),
		&maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_Interrupted{Interrupted: &maestrov1.ChatInterrupted{
			Error: &status.Status{Code: int32(codes.Internal), Message: "a fault"},
			Usage: &maestrov1.Usage{OutputTokens: 2},
		}}},
	))
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != codes.Internal || failed.Message != "a fault" {
		t.Errorf("%v", err)
	}
	if answer.State != maestrov1.ChatResponse_STATE_FAILED || answer.Usage.GetOutputTokens() != 2 {
		t.Errorf("%v", answer)
	}
}

// told is a stream that says what it was given, numbered as the gateway numbers.
type told struct{ events []*maestrov1.ChatEvent }

func tell(events ...*maestrov1.ChatEvent) *told {
	sequence := int32(0)
	for _, event := range events {
		sequence += 1 + event.Merged
		event.Sequence = sequence
	}
	return &told{events}
}

func (t *told) Recv() (*maestrov1.ChatEvent, error) {
	if len(t.events) == 0 {
		return nil, io.EOF
	}
	next := t.events[0]
	t.events = t.events[1:]
	return next, nil
}

func folded(t *testing.T, stream Receiver) *maestrov1.ChatResponse {
	t.Helper()
	answer, err := Fold(stream)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func expectBroken(t *testing.T, err error) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != codes.Unavailable ||
		!failed.Because(maestrov1.ErrorReason_ERROR_REASON_STREAM_BROKEN) || failed.Retryable() {
		t.Errorf("a broken stream is UNAVAILABLE, STREAM_BROKEN, and never sent again by itself; got %v", err)
	}
}

func started() *maestrov1.ChatEvent {
	return &maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_Started{Started: &maestrov1.ChatStarted{Chat: "chats/1"}}}
}

func textPart(text string) *maestrov1.Part {
	return &maestrov1.Part{Kind: &maestrov1.Part_Text{Text: text}}
}

func begin(index int32, part *maestrov1.Part) *maestrov1.ChatEvent {
	return &maestrov1.ChatEvent{PartIndex: index, Event: &maestrov1.ChatEvent_PartStarted{
		PartStarted: &maestrov1.PartStarted{Role: maestrov1.Role_ROLE_ASSISTANT, Part: part},
	}}
}

func text(index int32, delta string) *maestrov1.ChatEvent {
	return &maestrov1.ChatEvent{PartIndex: index, Event: &maestrov1.ChatEvent_TextDelta{TextDelta: delta}}
}

func finish(index int32, remainder *maestrov1.Part) *maestrov1.ChatEvent {
	return &maestrov1.ChatEvent{PartIndex: index, Event: &maestrov1.ChatEvent_PartCompleted{
		PartCompleted: &maestrov1.PartCompleted{Remainder: remainder},
	}}
}

func completed(reason maestrov1.FinishReason) *maestrov1.ChatEvent {
	return &maestrov1.ChatEvent{Event: &maestrov1.ChatEvent_Completed{Completed: &maestrov1.ChatCompleted{
		FinishReason: reason, Usage: &maestrov1.Usage{OutputTokens: 7},
	}}}
}
