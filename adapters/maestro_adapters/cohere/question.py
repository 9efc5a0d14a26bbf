"""Our question in Cohere's words: ChatRequest -> the body of a request to /v2/chat."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.cohere.answer import PLAN, THINKING
from maestro_adapters.wire.body import data_url, invalid, merge_options, parse, short
from maestro_spi.answer import Answer

ADAPTER = "cohere"  # options may stand under this name too, whatever the provider is called

ROLES: Mapping[content_pb2.Role.ValueType, str] = {
    content_pb2.ROLE_SYSTEM: "system",
    content_pb2.ROLE_DEVELOPER: "system",
    content_pb2.ROLE_ASSISTANT: "assistant",
}
SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "max_output_tokens": "max_tokens",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
PARAMETERS = frozenset(
    {*(f"generation.{name}" for name in SAMPLING), "generation.stop_sequences"}
    | {"reasoning.effort", "reasoning.max_tokens"}
)

Placed = tuple[content_pb2.Part, str]  # a part, and its path in the request


def question(
    request: chat_pb2.ChatRequest, provider: str, answer: Answer, *, stream: bool, usual: Mapping[str, Any]
) -> dict[str, Any]:
    """The body. What it has to leave out, the answer warns of. `usual` stands below it."""
    body: dict[str, Any] = json.loads(json.dumps(usual))
    conversation = _Conversation(provider, answer)
    body |= {"model": request.model, "messages": conversation.messages(request), "stream": stream}
    if conversation.documents:
        body["documents"] = conversation.documents
    _tools(request, answer, body)
    _sample(request, body)
    _format(request.response_format, body)
    return merge_options(body, request, (ADAPTER, provider))


class _Conversation:
    """Messages one by one. Text documents leave them: the API takes them beside, and cites them by their names."""

    def __init__(self, provider: str, answer: Answer) -> None:
        self._provider = provider
        self._answer = answer
        self.documents: list[dict[str, Any]] = []

    def messages(self, request: chat_pb2.ChatRequest) -> list[dict[str, Any]]:
        """All of them, the request's own instructions first."""
        messages: list[dict[str, Any]] = []
        if request.system:
            messages.append({"role": "system", "content": self._content(_placed(request.system, "system"))})
        for number, message in enumerate(request.messages):
            field = f"messages[{number}]"
            if message.name:
                self._answer.warning("PARAMETER_DROPPED", "speakers have no names there", f"{field}.name")
            if message.role == content_pb2.ROLE_TOOL:
                messages += self._results(message, field)
            elif message.role == content_pb2.ROLE_ASSISTANT:
                messages.append(self._assistant(message, f"{field}.parts"))
            else:
                content = self._content(_placed(message.parts, f"{field}.parts"))
                messages.append({"role": ROLES.get(message.role, "user"), "content": content})
        return messages

    def _content(self, parts: Iterable[Placed]) -> str | list[dict[str, Any]]:
        """A text, where it is one; else a list of blocks."""
        blocks = [block for part, field in parts if (block := self._block(part, field)) is not None]
        if not blocks or (len(blocks) == 1 and blocks[0]["type"] == "text"):
            return str(blocks[0]["text"]) if blocks else ""
        return blocks

    def _block(self, part: content_pb2.Part, field: str) -> dict[str, Any] | None:
        self._look_at_state(part, field)
        match part.WhichOneof("kind"):
            case "text":
                return {"type": "text", "text": part.text}
            case "refusal":
                return {"type": "text", "text": part.refusal}
            case "compaction":
                return {"type": "text", "text": part.compaction.summary}
            case "media":
                return self._media(part.media, f"{field}.media")
            case "reasoning":
                return self._thought(part, field)
            case "opaque":
                return self._opaque(part.opaque, f"{field}.opaque")
            case _:
                return None

    def _media(self, media: content_pb2.Media, field: str) -> dict[str, Any] | None:
        mime = media.mime_type.lower()
        if media.modality == common_pb2.MODALITY_IMAGE or (not media.modality and mime.startswith("image/")):
            image = {"url": data_url(media)}
            if media.detail:
                image["detail"] = media.detail
            return {"type": "image_url", "image_url": image}
        if media.WhichOneof("source") != "data" or not (mime.startswith("text/") or mime == "application/json"):
            raise invalid(field, "images are taken, and documents of text, as bytes")
        try:
            data = {"text": media.data.decode()}
        except UnicodeDecodeError:
            raise invalid(f"{field}.data", "a text document is UTF-8") from None
        if media.description:
            data["title"] = media.description
        self.documents.append({"id": media.filename or f"doc-{len(self.documents)}", "data": data})
        return None

    def _thought(self, part: content_pb2.Part, field: str) -> dict[str, Any] | None:
        if self._own(part, THINKING):
            return {"type": "thinking", "thinking": part.reasoning.text}
        if not part.HasField("provider_state") and part.reasoning.text:
            message = "only its own reasoning can go back to the provider"
            self._answer.warning("REASONING_DROPPED", message, field)
        return None

    def _opaque(self, opaque: content_pb2.OpaqueBlock, field: str) -> dict[str, Any] | None:
        if opaque.provider != self._provider:
            self._dropped(opaque.provider, field)
            return None
        block = parse(opaque.json, f"{field}.json")
        if not isinstance(block, dict) or "type" not in block:
            raise invalid(f"{field}.json", "an object with a type is needed")
        return block

    def _assistant(self, message: content_pb2.Message, field: str) -> dict[str, Any]:
        told: dict[str, Any] = {"role": "assistant"}
        said: list[Placed] = []
        for part, where in _placed(message.parts, field):
            if part.HasField("tool_call"):
                self._look_at_state(part, where)
                self._call(part.tool_call, told)
            elif part.HasField("reasoning") and self._own(part, PLAN):
                told["tool_plan"] = told.get("tool_plan", "") + part.reasoning.text
            else:
                said.append((part, where))
        content = self._content(said)
        if content or "tool_calls" not in told:
            told["content"] = content
        return told

    def _call(self, call: content_pb2.ToolCall, told: dict[str, Any]) -> None:
        if call.executor != content_pb2.TOOL_EXECUTOR_PROVIDER:
            function = {"name": call.name, "arguments": call.arguments_json or "{}"}
            told.setdefault("tool_calls", []).append({"id": call.id, "type": "function", "function": function})

    def _results(self, message: content_pb2.Message, field: str) -> list[dict[str, Any]]:
        """A message for each result; what is an object there is a document, so that it can be cited."""
        told: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            if not part.HasField("tool_result"):
                continue
            result = part.tool_result
            where = f"{field}.parts[{index}].tool_result"
            content = self._content(_placed(result.content, f"{where}.content"))
            if not content and result.structured_json:
                data = parse(result.structured_json, f"{where}.structured_json")
                document = {"data": data if isinstance(data, dict) else {"output": result.structured_json}}
                content = [{"type": "document", "document": document}]
            told.append({"role": "tool", "tool_call_id": result.tool_call_id, "content": content})
        return told

    def _own(self, part: content_pb2.Part, kind: str) -> bool:
        return part.provider_state.provider == self._provider and part.provider_state.kind == kind

    def _look_at_state(self, part: content_pb2.Part, field: str) -> None:
        owner = part.provider_state.provider
        if owner and owner != self._provider:
            self._dropped(owner, f"{field}.provider_state")

    def _dropped(self, owner: str, field: str) -> None:
        message = f"it belongs to {owner}, and {self._provider} is asked; the request goes without it"
        self._answer.warning("PROVIDER_STATE_DROPPED", message, field)


def _placed(parts: Iterable[content_pb2.Part], field: str) -> list[Placed]:
    return [(part, f"{field}[{index}]") for index, part in enumerate(parts)]


def _tools(request: chat_pb2.ChatRequest, answer: Answer, body: dict[str, Any]) -> None:
    tools: list[dict[str, Any]] = []
    choice = request.tool_choice
    for number, tool in enumerate(request.tools):
        if tool.HasField("provider"):
            config = parse(tool.provider.config_json or "{}", f"tools[{number}].provider.config_json")
            if isinstance(config, dict) and "type" in config:
                tools.append(config)  # written in the provider's own words
            else:
                message = f"there is no tool {tool.provider.name!r}; the request goes without it"
                answer.warning("TOOL_DROPPED", message, f"tools[{number}].provider")
        elif tool.HasField("function") and tool.function.name in (choice.allowed_tools or (tool.function.name,)):
            tools.append({"type": "function", "function": _function(tool.function, number)})
    if not tools:
        return
    body["tools"] = tools
    if any(tool.function.strict for tool in request.tools):
        body["strict_tools"] = True
    if choice.mode == chat_pb2.TOOL_MODE_REQUIRED:
        body["tool_choice"] = "REQUIRED"
    elif choice.mode == chat_pb2.TOOL_MODE_NONE:
        body["tool_choice"] = "NONE"


def _function(tool: chat_pb2.FunctionTool, number: int) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": {"type": "object", "properties": {}}}
    if tool.description:
        function["description"] = tool.description
    if tool.input_schema_json:
        field = f"tools[{number}].function.input_schema_json"
        function["parameters"] = parse(tool.input_schema_json, field)
    return function


def _sample(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    generation, reasoning = request.generation, request.reasoning
    for said, value in generation.ListFields():
        if said.name in SAMPLING:
            body[SAMPLING[said.name]] = short(value) if isinstance(value, float) else value
    if generation.stop_sequences:
        body["stop_sequences"] = list(generation.stop_sequences)
    if chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include or generation.HasField("top_logprobs"):
        body["logprobs"] = True
    if reasoning.effort == chat_pb2.REASONING_EFFORT_NONE:
        body["thinking"] = {"type": "disabled"}
    elif reasoning.effort or reasoning.HasField("max_tokens"):
        body["thinking"] = {"type": "enabled"}
        if reasoning.HasField("max_tokens"):
            body["thinking"]["token_budget"] = reasoning.max_tokens


def _format(wanted: chat_pb2.ResponseFormat, body: dict[str, Any]) -> None:
    match wanted.WhichOneof("format"):
        case "json_schema":
            schema = parse(wanted.json_schema.schema_json, "response_format.json_schema.schema_json")
            body["response_format"] = {"type": "json_object", "schema": schema}
        case "json_object":
            body["response_format"] = {"type": "json_object"}
        case "text":
            body["response_format"] = {"type": "text"}
        case _:
            pass
