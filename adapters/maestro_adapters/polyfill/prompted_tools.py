"""Tool calls where the model has none: described in words, read from what it says."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import json_repair

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.polyfill.heard import Heard, add, finish, listen
from maestro_spi.answer import Answer
from maestro_spi.chat import ChatAdapter

TRIES = 2
CALLS = "tool_calls"


class PromptedTools:
    """An adapter around an adapter that is told in words which tools there are, and how to ask for them.

    What does not begin like a call is passed on as it comes.
    """

    def __init__(self, adapter: ChatAdapter, provider: str) -> None:
        self._adapter = adapter
        self._provider = provider

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        offered = _offered(request)
        asked = _in_words(request, offered)
        answer = Answer(self._provider, request)
        spent = common_pb2.Usage()
        required = request.tool_choice.mode == chat_pb2.TOOL_MODE_REQUIRED
        for number in range(TRIES):
            heard = Heard()
            told = _Told(answer, heard)
            tell = told.nothing if required else told.what_is_no_call
            async with aclosing(listen(self._adapter.chat(asked), answer, heard, tell)) as events:
                async for event in events:
                    yield event
            add(spent, heard.end.usage)
            calls = _calls(told.rest, [tool.name for tool in offered])
            if calls or not (required and heard.whole) or number + 1 == TRIES:
                break
            asked = _again(asked, heard.text)
        _say(answer, told.rest, calls, request)
        if required and not calls and heard.whole:
            heard.end.finish_reason = chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL
        for event in finish(answer, heard, spent):
            yield event


@dataclass(slots=True)
class _Told:
    """How much of the text has been passed on as text: what begins like a call is held back to the end."""

    answer: Answer
    heard: Heard
    fragments: int = 0

    @property
    def rest(self) -> str:
        return "".join(self.heard.fragments[self.fragments :])

    def nothing(self) -> None:
        """All of it may still be a call."""

    def what_is_no_call(self) -> None:
        start = "" if self.fragments else self.rest.lstrip()[:1]
        if self.fragments or (start and start not in "{`["):
            self.answer.text(self.rest)
            self.fragments = len(self.heard.fragments)


def _say(answer: Answer, rest: str, calls: Sequence[tuple[str, str]], request: chat_pb2.ChatRequest) -> None:
    if not calls:
        answer.text(rest)
        return
    for number, (name, arguments) in enumerate(calls[:1] if request.tool_choice.disable_parallel else calls):
        answer.tool_call(number, name=name, arguments=arguments)
        answer.close(number)


def _offered(request: chat_pb2.ChatRequest) -> list[chat_pb2.FunctionTool]:
    choice = request.tool_choice
    if choice.mode == chat_pb2.TOOL_MODE_NONE:
        return []
    return [
        tool.function
        for tool in request.tools
        if tool.HasField("function") and (not choice.allowed_tools or tool.function.name in choice.allowed_tools)
    ]


def _in_words(request: chat_pb2.ChatRequest, offered: Sequence[chat_pb2.FunctionTool]) -> chat_pb2.ChatRequest:
    asked = chat_pb2.ChatRequest()
    asked.CopyFrom(request)
    for field in ("tools", "tool_choice"):
        asked.ClearField(field)
    for message in asked.messages:
        _retell(message)
    if offered:
        asked.system.add(text=_instructions(offered, request.tool_choice))
    return asked


def _instructions(offered: Sequence[chat_pb2.FunctionTool], choice: chat_pb2.ToolChoice) -> str:
    tools = "\n".join(
        f"- {tool.name}: {tool.description or 'no description'}; arguments obey {tool.input_schema_json or '{}'}"
        for tool in offered
    )
    must = "You must use a tool now." if choice.mode == chat_pb2.TOOL_MODE_REQUIRED else "Use one only if it helps."
    many = "Ask for one tool at a time." if choice.disable_parallel else "You may ask for several at once."
    return (
        f"You can use these tools:\n{tools}\n{must} {many} To use tools, answer with this JSON and nothing else:\n"
        f'{{"{CALLS}": [{{"name": "<tool>", "arguments": {{…}}}}]}}\nTheir results come in the next message.'
    )


def _retell(message: content_pb2.Message) -> None:
    """Calls and results of earlier turns, as text."""
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
    results = [part.tool_result for part in message.parts if part.HasField("tool_result")]
    if not calls and not results:
        return
    kept = [part for part in message.parts if not part.HasField("tool_call") and not part.HasField("tool_result")]
    texts = [_call_text(calls)] if calls else []
    texts += [_result_text(result) for result in results]
    del message.parts[:]
    message.parts.extend([*kept, *(content_pb2.Part(text=text) for text in texts)])
    if results:
        message.role = content_pb2.ROLE_USER


def _call_text(calls: Sequence[content_pb2.ToolCall]) -> str:
    asked = [f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments_json or "{}"}}}' for call in calls]
    return f'{{"{CALLS}": [{", ".join(asked)}]}}'


def _result_text(result: content_pb2.ToolResult) -> str:
    said = "".join(part.text for part in result.content) or result.structured_json
    return f"{'Error of' if result.is_error else 'Result of'} {result.name or result.tool_call_id}: {said}"


def _calls(text: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """The calls that a text makes: name and arguments as JSON text; none where it is no call of a tool offered."""
    start = text.find("{")
    if start < 0 or f'"{CALLS}"' not in text:
        return []
    value = json_repair.loads(text[start : text.rfind("}") + 1])
    asked = value.get(CALLS) if isinstance(value, dict) else None
    if not isinstance(asked, list):
        return []
    return [
        (call["name"], json.dumps(call.get("arguments") or {}, ensure_ascii=False))
        for call in asked
        if isinstance(call, dict) and call.get("name") in names
    ]


def _again(asked: chat_pb2.ChatRequest, said: str) -> chat_pb2.ChatRequest:
    again = chat_pb2.ChatRequest()
    again.CopyFrom(asked)
    if said:
        again.messages.add(role=content_pb2.ROLE_ASSISTANT).parts.add(text=said)
    again.messages.add(role=content_pb2.ROLE_USER).parts.add(
        text="You must use a tool: answer with the JSON that asks for it, and nothing else."
    )
    return again
