"""Our question in their words: ChatRequest -> the body of a Responses request."""

import json
import re
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2
from maestro_adapters.openai_responses.conversation import Conversation
from maestro_adapters.openai_responses.items import TOOL_TYPES
from maestro_adapters.openai_responses.quirks import Quirks
from maestro_adapters.wire.body import invalid, merge, merge_options, parse, short
from maestro_spi.answer import Answer

EFFORT: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_NONE: "none",
    chat_pb2.REASONING_EFFORT_MINIMAL: "minimal",
    chat_pb2.REASONING_EFFORT_LOW: "low",
    chat_pb2.REASONING_EFFORT_MEDIUM: "medium",
    chat_pb2.REASONING_EFFORT_HIGH: "high",
}
# What a model of this API may honour, and the body's field that a vendor may not have.
PARAMETERS: Mapping[str, str] = {
    "generation.temperature": "temperature",
    "generation.top_p": "top_p",
    "generation.max_output_tokens": "max_output_tokens",
    "generation.top_logprobs": "top_logprobs",
    "generation.verbosity": "text",
    "generation.service_tier": "service_tier",
    "reasoning.effort": "reasoning",
    "reasoning.summary": "reasoning",
    "reasoning.return_encrypted": "include",
    "tool_choice.disable_parallel": "parallel_tool_calls",
    "cache.prompt_cache_key": "prompt_cache_key",
    "end_user": "safety_identifier",
}
# What the provider tells of the tools that it runs, when asked.
TOOL_OUTPUTS: Mapping[str, str] = {
    "code_interpreter": "code_interpreter_call.outputs",
    "file_search": "file_search_call.results",
    "web_search": "web_search_call.action.sources",
}

_STRANGE_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class Names:
    """Names of functions in the letters that the API takes; `ours` leads back."""

    def __init__(self) -> None:
        self.ours: dict[str, str] = {}  # theirs -> ours, where they differ

    def spell(self, name: str) -> str:
        """The name there; another name that reads the same gets a number."""
        plain = theirs = _STRANGE_IN_NAME.sub("_", name)
        number = 2
        while self.ours.get(theirs, name) != name:
            theirs, number = f"{plain}_{number}", number + 1
        self.ours[theirs] = name
        return theirs


def parameters(quirks: Quirks) -> frozenset[str]:
    """The request fields that this vendor honours, by path."""
    return frozenset(path for path, field in PARAMETERS.items() if quirks.fields.get(field, field) is not None)


def question(
    request: chat_pb2.ChatRequest, quirks: Quirks, provider: str, answer: Answer, names: Names, *, adapter: str
) -> dict[str, Any]:
    """The body. What it has to leave out, the answer warns of."""
    body: dict[str, Any] = {"model": request.model, "input": [], "store": False}
    if request.system:
        body["instructions"] = "\n\n".join(part.text for part in request.system if part.text)
    if quirks.stream:
        body["stream"] = True
    _tools(request, quirks, names, body)
    _text(request, body)
    _sampling(request, body)
    _reasoning(request.reasoning, quirks, body)
    _include(request, body)
    if request.end_user:
        body["safety_identifier"] = request.end_user
    if request.cache.prompt_cache_key:
        body["prompt_cache_key"] = request.cache.prompt_cache_key
    renamed = {theirs: body[name] for name in body if (theirs := quirks.fields.get(name, name)) is not None}
    whole = json.loads(json.dumps(quirks.body))
    merge(whole, renamed)
    whole = merge_options(whole, request, (adapter, provider))
    conversation = Conversation(quirks, provider, answer, names.spell, stored=bool(whole.get("store", True)))
    written = conversation.items(request)
    added = whole["input"] if isinstance(whole.get("input"), list) else []  # the caller's own items come last
    whole["input"] = [*written, *added]
    return whole


def _sampling(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    generation = request.generation
    for field in ("temperature", "top_p"):
        if generation.HasField(field):
            body[field] = short(getattr(generation, field))
    if generation.HasField("max_output_tokens"):
        body["max_output_tokens"] = generation.max_output_tokens
    if generation.top_logprobs:
        body["top_logprobs"] = generation.top_logprobs
    if generation.service_tier:
        body["service_tier"] = generation.service_tier


def _reasoning(config: chat_pb2.ReasoningConfig, quirks: Quirks, body: dict[str, Any]) -> None:
    reasoning = {}
    if config.effort:
        reasoning["effort"] = EFFORT.get(config.effort, quirks.max_effort)
    if config.summary:
        reasoning["summary"] = "auto"
    if reasoning:
        body["reasoning"] = reasoning


def _include(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    wanted = []
    if request.reasoning.return_encrypted:
        wanted.append("reasoning.encrypted_content")
    if request.generation.HasField("top_logprobs") or chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include:
        wanted.append("message.output_text.logprobs")
    if chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in request.include:
        types = [tool["type"] for tool in body.get("tools", ())]
        wanted += [output for kind, output in TOOL_OUTPUTS.items() if kind in types]
    if wanted:
        body["include"] = wanted


def _text(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    told: dict[str, Any] = {}
    match request.response_format.WhichOneof("format"):
        case "json_object":
            told["format"] = {"type": "json_object"}
        case "json_schema":
            wanted = request.response_format.json_schema
            told["format"] = {
                "type": "json_schema",
                "name": wanted.name or "answer",
                "schema": parse(wanted.schema_json, "response_format.json_schema.schema_json"),
                "strict": wanted.strict,
            }
            if wanted.description:
                told["format"]["description"] = wanted.description
        case "text":
            told["format"] = {"type": "text"}
        case _:
            pass
    if request.generation.verbosity:
        told["verbosity"] = request.generation.verbosity
    if told:
        body["text"] = told


def _tools(request: chat_pb2.ChatRequest, quirks: Quirks, names: Names, body: dict[str, Any]) -> None:
    tools: list[dict[str, Any]] = []
    chosen: dict[str, dict[str, Any]] = {}  # our name -> how a choice names the tool
    for index, tool in enumerate(request.tools):
        match tool.WhichOneof("kind"):
            case "function":
                written = _function(tool.function, names, index)
                chosen[tool.function.name] = {"type": "function", "name": written["name"]}
            case "provider":
                written = _provider_tool(tool.provider, quirks, index)
                named: dict[str, Any] = {
                    key: written[key] for key in ("type", "name", "server_label") if key in written
                }
                chosen[tool.provider.name] = named
                if isinstance(written.get("name"), str):
                    chosen[written["name"]] = named
            case _:
                continue  # the gateway's own; it has turned them into functions
        tools.append(written)
    if tools:
        body["tools"] = tools
    if request.HasField("tool_choice"):
        _choice(request.tool_choice, chosen, names, body)


def _function(tool: chat_pb2.FunctionTool, names: Names, index: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}}
    if tool.input_schema_json:
        schema = parse(tool.input_schema_json, f"tools[{index}].function.input_schema_json")
    function = {"type": "function", "name": names.spell(tool.name), "parameters": schema, "strict": tool.strict}
    if tool.description:
        function["description"] = tool.description
    return function


def _provider_tool(tool: chat_pb2.ProviderTool, quirks: Quirks, index: int) -> dict[str, Any]:
    """A tool that is the provider's: our names have their types there, any other name is its own type."""
    field = f"tools[{index}].provider.config_json"
    config = parse(tool.config_json, field) if tool.config_json else {}
    if not isinstance(config, dict):
        raise invalid(field, "an object is needed")
    kind = quirks.tools.get(tool.name) or TOOL_TYPES.get(tool.name, tool.name)
    written = {"type": kind, **config}
    if written["type"] == "code_interpreter":
        written.setdefault("container", {"type": "auto"})
    return written


def _choice(
    choice: chat_pb2.ToolChoice, chosen: Mapping[str, dict[str, Any]], names: Names, body: dict[str, Any]
) -> None:
    required = choice.mode == chat_pb2.TOOL_MODE_REQUIRED
    allowed = [chosen.get(name) or {"type": "function", "name": names.spell(name)} for name in choice.allowed_tools]
    if choice.mode == chat_pb2.TOOL_MODE_NONE:
        body["tool_choice"] = "none"
    elif required and len(allowed) == 1:
        body["tool_choice"] = allowed[0]
    elif allowed:
        body["tool_choice"] = {
            "type": "allowed_tools",
            "mode": "required" if required else "auto",
            "tools": allowed,
        }
    elif required or choice.mode == chat_pb2.TOOL_MODE_AUTO:
        body["tool_choice"] = "required" if required else "auto"
    if choice.disable_parallel:
        body["parallel_tool_calls"] = False
