package maestro

import (
	"errors"
	"io"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	maestrov1 "maestro.example/go/maestro/v1"
)

// Receiver is all that Fold needs of a stream; StreamChat's is one.
type Receiver interface {
	Recv() (*maestrov1.ChatEvent, error)
}

// Fold reads a stream to its end and gives what CompleteChat would have given. With an error comes what had been said
// before it, which was paid for. As with any gRPC stream, cancel its context when you are done with it.
func Fold(stream Receiver) (*maestrov1.ChatResponse, error) {
	var answer Answer
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer.Response()
		}
		if err == nil {
			err = answer.Add(event)
		}
		if err != nil {
			response, _ := answer.Response()
			return response, err
		}
	}
}

// Answer folds events while one reads them. The zero value is ready. What is newer than this client is skipped, but its
// number counts.
type Answer struct {
	folded    maestrov1.ChatResponse
	pieces    map[int32]*piece
	approvals []*maestrov1.ApprovalRequested
	ended     bool
}

// Add takes the next event. It refuses one that does not follow the last: something between them is missing.
func (a *Answer) Add(event *maestrov1.ChatEvent) error {
	if due := a.folded.LastSequence + 1 + event.GetMerged(); event.GetSequence() != due {
		return broken("event %d came where %d was due: part of the answer is lost", event.GetSequence(), due)
	}
	if a.ended {
		return broken("event %d came after the end", event.GetSequence())
	}
	a.folded.LastSequence = event.GetSequence()
	switch arm := event.GetEvent().(type) {
	case *maestrov1.ChatEvent_Started:
		a.start(arm.Started)
	case *maestrov1.ChatEvent_PartStarted:
		a.open(event.GetPartIndex(), arm.PartStarted)
	case *maestrov1.ChatEvent_ToolCallUpdate:
		a.update(arm.ToolCallUpdate)
	case *maestrov1.ChatEvent_ApprovalRequested:
		a.approvals = append(a.approvals, arm.ApprovalRequested)
	case *maestrov1.ChatEvent_Usage:
		a.folded.Usage = arm.Usage
	case *maestrov1.ChatEvent_Warning:
		a.folded.Warnings = append(a.folded.Warnings, arm.Warning)
	case *maestrov1.ChatEvent_AttemptChanged:
		a.change(arm.AttemptChanged)
	case *maestrov1.ChatEvent_Completed:
		a.complete(arm.Completed)
	case *maestrov1.ChatEvent_Interrupted:
		a.interrupt(arm.Interrupted)
	default:
		if piece := a.pieces[event.GetPartIndex()]; piece != nil {
			piece.add(event)
		}
	}
	return nil
}

// Response is the answer so far, in a message of its own, and an error unless it has ended well.
func (a *Answer) Response() (*maestrov1.ChatResponse, error) {
	response := proto.CloneOf(&a.folded)
	for _, asked := range a.approvals {
		response.Approvals = append(response.Approvals, asked.GetApproval())
	}
	messages := map[int32]*maestrov1.Message{}
	for _, index := range slices.Sorted(maps.Keys(a.pieces)) {
		piece := a.pieces[index]
		message := messages[piece.message]
		if message == nil {
			message = &maestrov1.Message{Role: piece.role}
			messages[piece.message] = message
		}
		message.Parts = append(message.Parts, piece.settle())
		if len(piece.tokens) > 0 {
			response.Logprobs = append(response.Logprobs, &maestrov1.PartLogprobs{PartIndex: index, Tokens: piece.tokens})
		}
	}
	for _, number := range slices.Sorted(maps.Keys(messages)) {
		response.Messages = append(response.Messages, messages[number])
	}
	switch {
	case response.GetError() != nil:
		return response, newError(status.FromProto(response.GetError()))
	case !a.ended:
		return response, broken("the stream was cut after event %d", response.GetLastSequence())
	}
	return response, nil
}

func (a *Answer) start(started *maestrov1.ChatStarted) {
	a.folded.Chat = started.GetChat()
	a.folded.Provider = started.GetProvider()
	a.folded.Model = started.GetModel()
	a.folded.CreateTime = started.GetCreateTime()
	a.folded.State = maestrov1.ChatResponse_STATE_RUNNING
}

func (a *Answer) open(index int32, started *maestrov1.PartStarted) {
	if a.pieces == nil {
		a.pieces = map[int32]*piece{}
	}
	a.pieces[index] = newPiece(started)
}

func (a *Answer) update(news *maestrov1.ToolCallUpdate) {
	if news.GetState() == maestrov1.ToolCallState_TOOL_CALL_STATE_UNSPECIFIED {
		return
	}
	for _, piece := range a.pieces {
		if call := piece.part.GetToolCall(); call != nil && call.GetId() == news.GetToolCallId() {
			call.State = news.GetState()
		}
	}
	if news.GetState() != maestrov1.ToolCallState_TOOL_CALL_STATE_AWAITING_APPROVAL {
		a.settleApprovals(news.GetToolCallId())
	}
}

func (a *Answer) settleApprovals(call string) {
	a.approvals = slices.DeleteFunc(a.approvals, func(asked *maestrov1.ApprovalRequested) bool {
		return asked.GetToolCallId() == call
	})
}

// change forgets what one target said and another will say again.
func (a *Answer) change(changed *maestrov1.AttemptChanged) {
	if changed.GetProvider() != "" {
		a.folded.Provider = changed.GetProvider()
	}
	if changed.GetModel() != "" {
		a.folded.Model = changed.GetModel()
	}
	if changed.GetFailed() != nil {
		a.folded.Attempts = append(a.folded.Attempts, changed.GetFailed())
	}
	if !changed.GetDiscard() {
		return
	}
	maps.DeleteFunc(a.pieces, func(index int32, piece *piece) bool {
		if index < changed.GetDiscardFromPart() {
			return false
		}
		if call := piece.part.GetToolCall().GetId(); call != "" {
			a.settleApprovals(call)
		}
		return true
	})
}

func (a *Answer) complete(end *maestrov1.ChatCompleted) {
	a.ended = true
	a.folded.FinishReason = end.GetFinishReason()
	if _, known := maestrov1.FinishReason_name[int32(end.GetFinishReason())]; !known {
		a.folded.FinishReason = maestrov1.FinishReason_FINISH_REASON_OTHER
	}
	a.folded.ProviderFinishReason = end.GetProviderFinishReason()
	a.folded.StopSequence = end.GetStopSequence()
	a.folded.Timing = end.GetTiming()
	a.folded.ProviderMetadata = end.GetProviderMetadata()
	a.folded.State = end.GetState()
	if end.GetState() == maestrov1.ChatResponse_STATE_UNSPECIFIED {
		a.folded.State = stateAfter(end.GetFinishReason())
	}
	a.bill(end.GetUsage(), end.GetAttempts())
}

func stateAfter(finish maestrov1.FinishReason) maestrov1.ChatResponse_State {
	switch finish {
	case maestrov1.FinishReason_FINISH_REASON_TOOL_CALLS:
		return maestrov1.ChatResponse_STATE_AWAITING_TOOLS
	case maestrov1.FinishReason_FINISH_REASON_AWAITING_APPROVAL:
		return maestrov1.ChatResponse_STATE_AWAITING_APPROVAL
	}
	return maestrov1.ChatResponse_STATE_SUCCEEDED
}

func (a *Answer) interrupt(end *maestrov1.ChatInterrupted) {
	a.ended = true
	a.folded.Error = end.GetError()
	a.folded.FinishReason = maestrov1.FinishReason_FINISH_REASON_ERROR
	a.folded.State = maestrov1.ChatResponse_STATE_FAILED
	if codes.Code(end.GetError().GetCode()) == codes.Canceled {
		a.folded.FinishReason = maestrov1.FinishReason_FINISH_REASON_CANCELLED
		a.folded.State = maestrov1.ChatResponse_STATE_CANCELLED
	}
	a.bill(end.GetUsage(), end.GetAttempts())
}

// bill takes the totals of the end event; it has the whole trail, of which AttemptChanged told a part on the way.
func (a *Answer) bill(usage *maestrov1.Usage, attempts []*maestrov1.Attempt) {
	if usage != nil {
		a.folded.Usage = usage
	}
	if len(attempts) > 0 {
		a.folded.Attempts = attempts
	}
}
