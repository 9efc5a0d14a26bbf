"""Our question in Ollama's words: ChatRequest -> the body of a request to /api/chat."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.wire.body import base64_of, invalid, merge, merge_options, parse, read_data_url, short
from maestro_spi.answer import Answer

ADAPTER = "ollama"  # options may stand under this name too, whatever the provider is called

ROLES: Mapping[content_pb2.Role.ValueType, str] = {
    content_pb2.ROLE_SYSTEM: "system",
    content_pb2.ROLE_DEVELOPER: "system",
    content_pb2.ROLE_ASSISTANT: "assistant",
}
SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "num_predict",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
# How hard to think, for the models that are told; the others think or do not.
LEVELS: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_MINIMAL: "low",
    chat_pb2.REASONING_EFFORT_LOW: "low",
    chat_pb2.REASONING_EFFORT_MEDIUM: "medium",
    chat_pb2.REASONING_EFFORT_HIGH: "high",
    chat_pb2.REASONING_EFFORT_MAX: "high",
}
LEVELLED = "gpt-oss"

PARAMETERS = frozenset(
    {*(f"generation.{name}" for name in SAMPLING), "generation.stop_sequences", "generation.top_logprobs"}
    | {"reasoning.effort"}
)


def question(
    request: chat_pb2.ChatRequest, provider: str, answer: Answer, *, stream: bool, usual: Mapping[str, Any]
) -> dict[str, Any]:
    """The body. What it has to leave out, the answer warns of. `usual` stands below it."""
    body: dict[str, Any] = json.loads(json.dumps(usual))
    conversation = _Conversation(provider, answer)
    body |= {"model": request.model, "messages": conversation.messages(request), "stream": stream}
    if tools := _tools(request, answer):
        body["tools"] = tools
    _sample(request, body)
    _think(request, body)
    _format(request.response_format, body)
    return merge_options(body, request, (ADAPTER, provider))


class _Conversation:
    """Messages one by one: a text each, images beside it. State of another provider is left out, with a warning."""

    def __init__(self, provider: str, answer: Answer) -> None:
        self._provider = provider
        self._answer = answer

    def messages(self, request: chat_pb2.ChatRequest) -> list[dict[str, Any]]:
        """All of them, the request's own instructions first."""
        messages: list[dict[str, Any]] = []
        if request.system:
            messages.append(self._said("system", request.system, "system"))
        for number, message in enumerate(request.messages):
            field = f"messages[{number}]"
            if message.name:
                self._warn("PARAMETER_DROPPED", "speakers have no names there", f"{field}.name")
            if message.role == content_pb2.ROLE_TOOL:
                messages += self._results(message, field)
            else:
                messages.append(self._said(ROLES.get(message.role, "user"), message.parts, f"{field}.parts"))
        return messages

    def _said(self, role: str, parts: Iterable[content_pb2.Part], field: str) -> dict[str, Any]:
        told: dict[str, Any] = {"role": role, "content": ""}
        texts: list[str] = []
        for index, part in enumerate(parts):
            where = f"{field}[{index}]"
            if part.HasField("provider_state") and part.provider_state.provider != self._provider:
                self._dropped(part.provider_state.provider, f"{where}.provider_state")
            self._part(part, told, texts, where)
        told["content"] = "\n".join(texts)
        return told

    def _part(self, part: content_pb2.Part, told: dict[str, Any], texts: list[str], field: str) -> None:
        match part.WhichOneof("kind"):
            case "text":
                texts.append(part.text)
            case "refusal":
                texts.append(part.refusal)
            case "compaction":
                texts.append(part.compaction.summary)
            case "reasoning":
                if part.reasoning.text:
                    told["thinking"] = told.get("thinking", "") + part.reasoning.text
            case "media":
                told.setdefault("images", []).append(_image(part.media, f"{field}.media"))
            case "tool_call":
                if part.tool_call.executor != content_pb2.TOOL_EXECUTOR_PROVIDER:
                    told.setdefault("tool_calls", []).append(self._call(part.tool_call, f"{field}.tool_call"))
            case "opaque":
                self._dropped(part.opaque.provider, f"{field}.opaque")
            case _:
                pass

    def _call(self, call: content_pb2.ToolCall, field: str) -> dict[str, Any]:
        try:
            arguments = json.loads(call.arguments_json.strip() or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            self._warn("ARGUMENTS_WRAPPED", "they are no JSON object, and are sent inside one", field)
            arguments = {"INVALID_JSON": call.arguments_json}
        return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}

    def _results(self, message: content_pb2.Message, field: str) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            if part.HasField("tool_result"):
                result = part.tool_result
                said = self._said("tool", result.content, f"{field}.parts[{index}].tool_result.content")
                said["content"] = said["content"] or result.structured_json
                said["tool_call_id"] = result.tool_call_id
                if result.name:
                    said["tool_name"] = result.name
                told.append(said)
        return told

    def _dropped(self, owner: str, field: str) -> None:
        message = f"it belongs to {owner}, and {self._provider} is asked; the request goes without it"
        self._warn("PROVIDER_STATE_DROPPED", message, field)

    def _warn(self, code: str, message: str, field: str) -> None:
        self._answer.warning(code, message, field)


def _image(media: content_pb2.Media, field: str) -> str:
    mime = media.mime_type.lower()
    inline = read_data_url(media.uri)
    if media.uri and inline is None:
        raise invalid(f"{field}.uri", "the bytes of the image are needed, not its address")
    mime = mime or (inline[0].lower() if inline else "")
    if media.modality not in (common_pb2.MODALITY_UNSPECIFIED, common_pb2.MODALITY_IMAGE) or not (
        media.modality or mime.startswith("image/")
    ):
        raise invalid(field, "images are taken, and no other media")
    return base64.b64encode(inline[1]).decode() if inline else base64_of(media)


def _tools(request: chat_pb2.ChatRequest, answer: Answer) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    choice = request.tool_choice
    for number, tool in enumerate(request.tools):
        if tool.HasField("provider"):
            message = "no tools are run there; the request goes without it"
            answer.warning("TOOL_DROPPED", message, f"tools[{number}].provider")
        elif tool.HasField("function") and tool.function.name in (choice.allowed_tools or (tool.function.name,)):
            tools.append({"type": "function", "function": _function(tool.function, number)})
    if tools and choice.mode == chat_pb2.TOOL_MODE_REQUIRED:
        answer.warning("PARAMETER_DROPPED", "the model cannot be made to use a tool", "tool_choice.mode")
    return [] if choice.mode == chat_pb2.TOOL_MODE_NONE else tools


def _function(tool: chat_pb2.FunctionTool, number: int) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": {"type": "object", "properties": {}}}
    if tool.description:
        function["description"] = tool.description
    if tool.input_schema_json:
        field = f"tools[{number}].function.input_schema_json"
        function["parameters"] = parse(tool.input_schema_json, field)
    return function


def _sample(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    generation = request.generation
    options: dict[str, Any] = {
        SAMPLING[said.name]: short(value) if isinstance(value, float) else value
        for said, value in generation.ListFields()
        if said.name in SAMPLING
    }
    if generation.stop_sequences:
        options["stop"] = list(generation.stop_sequences)
    if options:
        merge(body.setdefault("options", {}), options)
    if chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include or generation.HasField("top_logprobs"):
        body["logprobs"] = True
        if generation.top_logprobs:
            body["top_logprobs"] = generation.top_logprobs


def _think(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    effort = request.reasoning.effort
    if effort == chat_pb2.REASONING_EFFORT_NONE:
        body["think"] = False
    elif effort:
        body["think"] = LEVELS[effort] if LEVELLED in request.model else True


def _format(wanted: chat_pb2.ResponseFormat, body: dict[str, Any]) -> None:
    match wanted.WhichOneof("format"):
        case "json_schema":
            body["format"] = parse(wanted.json_schema.schema_json, "response_format.json_schema.schema_json")
        case "json_object":
            body["format"] = "json"
        case _:
            pass
