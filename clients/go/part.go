package maestro

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	maestrov1 "maestro.example/go/maestro/v1"
)

// piece is a part and what has come of it; its text is built apart, so that its cost grows with its length alone.
type piece struct {
	message int32
	role    maestrov1.Role
	part    *maestrov1.Part
	text    strings.Builder
	media   []byte
	tokens  []*maestrov1.TokenLogprob
}

func newPiece(started *maestrov1.PartStarted) *piece {
	begun := &piece{message: started.GetMessageIndex(), role: started.GetRole(), part: &maestrov1.Part{}}
	proto.Merge(begun.part, started.GetPart())
	part := begun.part // of these four, at most one says anything
	begun.text.WriteString(part.GetText() + part.GetRefusal())
	begun.text.WriteString(part.GetReasoning().GetText() + part.GetToolCall().GetArgumentsJson())
	begun.media = part.GetMedia().GetData()
	return begun
}

func (p *piece) add(event *maestrov1.ChatEvent) {
	switch arm := event.GetEvent().(type) {
	case *maestrov1.ChatEvent_TextDelta:
		p.text.WriteString(arm.TextDelta)
	case *maestrov1.ChatEvent_ReasoningDelta:
		p.text.WriteString(arm.ReasoningDelta)
	case *maestrov1.ChatEvent_ArgumentsDelta:
		p.text.WriteString(arm.ArgumentsDelta)
	case *maestrov1.ChatEvent_RefusalDelta:
		p.text.WriteString(arm.RefusalDelta)
	case *maestrov1.ChatEvent_MediaDelta:
		p.media = append(p.media, arm.MediaDelta...)
	case *maestrov1.ChatEvent_Citation:
		p.part.Citations = append(p.part.Citations, arm.Citation)
	case *maestrov1.ChatEvent_Logprobs:
		p.tokens = append(p.tokens, arm.Logprobs.GetTokens()...)
	case *maestrov1.ChatEvent_PartCompleted:
		proto.Merge(p.part, arm.PartCompleted.GetRemainder())
	}
}

// settle is the part as it is now. Where the text of a kind newer than this client belongs is not known here.
func (p *piece) settle() *maestrov1.Part {
	part := proto.CloneOf(p.part)
	switch kind := part.GetKind().(type) {
	case *maestrov1.Part_Text:
		kind.Text = p.text.String()
	case *maestrov1.Part_Refusal:
		kind.Refusal = p.text.String()
	case *maestrov1.Part_Reasoning:
		kind.Reasoning.Text = p.text.String()
	case *maestrov1.Part_ToolCall:
		kind.ToolCall.ArgumentsJson = p.text.String()
	case *maestrov1.Part_Media:
		if len(p.media) > 0 {
			kind.Media.Source = &maestrov1.Media_Data{Data: slices.Clone(p.media)}
		}
	}
	return part
}

// User is what a user says, as a message.
func User(text string) *maestrov1.Message {
	return &maestrov1.Message{
		Role:  maestrov1.Role_ROLE_USER,
		Parts: []*maestrov1.Part{{Kind: &maestrov1.Part_Text{Text: text}}},
	}
}

// Text is what the model said in the last message of an answer.
func Text(response *maestrov1.ChatResponse) string {
	var text strings.Builder
	for _, part := range lastParts(response) {
		text.WriteString(part.GetText())
	}
	return text.String()
}

// ToolCalls are those that the caller is to run before the model can go on.
func ToolCalls(response *maestrov1.ChatResponse) []*maestrov1.ToolCall {
	var calls []*maestrov1.ToolCall
	for _, part := range lastParts(response) {
		call := part.GetToolCall()
		switch call.GetExecutor() {
		case maestrov1.ToolExecutor_TOOL_EXECUTOR_UNSPECIFIED, maestrov1.ToolExecutor_TOOL_EXECUTOR_CLIENT:
			if call != nil {
				calls = append(calls, call)
			}
		}
	}
	return calls
}

func lastParts(response *maestrov1.ChatResponse) []*maestrov1.Part {
	messages := response.GetMessages()
	if len(messages) == 0 {
		return nil
	}
	return messages[len(messages)-1].GetParts()
}
