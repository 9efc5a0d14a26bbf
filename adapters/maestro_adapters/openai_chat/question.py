"""Our question in their words: ChatRequest -> the body of a Chat Completions request."""

import json
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.openai_chat.conversation import Conversation
from maestro_adapters.openai_chat.quirks import Quirks
from maestro_adapters.wire.body import merge, merge_options, parse, short
from maestro_spi.answer import Answer

EFFORT: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_NONE: "none",
    chat_pb2.REASONING_EFFORT_MINIMAL: "minimal",
    chat_pb2.REASONING_EFFORT_LOW: "low",
    chat_pb2.REASONING_EFFORT_MEDIUM: "medium",
    chat_pb2.REASONING_EFFORT_HIGH: "high",
}
MODALITIES: Mapping[common_pb2.Modality.ValueType, str] = {
    common_pb2.MODALITY_TEXT: "text",
    common_pb2.MODALITY_AUDIO: "audio",
    common_pb2.MODALITY_IMAGE: "image",
}
# Our names of what is sent as it is, and theirs.
SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "max_completion_tokens",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "verbosity": "verbosity",
    "service_tier": "service_tier",
}
# What the models of a vendor may honour, and the body's field that a vendor may not have.
PARAMETERS: Mapping[str, str] = {
    "generation.temperature": "temperature",
    "generation.top_p": "top_p",
    "generation.top_k": "top_k",
    "generation.max_output_tokens": "max_completion_tokens",
    "generation.stop_sequences": "stop",
    "generation.seed": "seed",
    "generation.presence_penalty": "presence_penalty",
    "generation.frequency_penalty": "frequency_penalty",
    "generation.top_logprobs": "top_logprobs",
    "generation.logit_bias": "logit_bias",
    "generation.verbosity": "verbosity",
    "generation.service_tier": "service_tier",
    "reasoning.effort": "reasoning_effort",
    "reasoning.max_tokens": "reasoning.max_tokens",
    "tool_choice.disable_parallel": "parallel_tool_calls",
    "cache.prompt_cache_key": "prompt_cache_key",
    "audio": "audio",
    "end_user": "user",
}
ABSENT = frozenset({"top_k", "reasoning.max_tokens"})  # in OpenAI's own API; a vendor's row names its field


def parameters(quirks: Quirks) -> frozenset[str]:
    """The request fields that this vendor honours, by path."""
    absent = {name for name in ABSENT if not quirks.fields.get(name)}
    absent |= {name for name, theirs in quirks.fields.items() if theirs is None}
    if quirks.reasoning in ("object", "thinking"):
        absent.discard("reasoning.max_tokens")
    if quirks.reasoning == "none":
        absent.add("reasoning_effort")
    return frozenset(path for path, field in PARAMETERS.items() if field not in absent)


def question(
    request: chat_pb2.ChatRequest, quirks: Quirks, provider: str, answer: Answer, *, adapter: str = "openai_chat"
) -> dict[str, Any]:
    """The body. What it has to leave out, the answer warns of."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": Conversation(quirks, provider, answer).messages(request),
    }
    if quirks.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    _tools(request, quirks, answer, body)
    _format(request.response_format, quirks, body)
    _sampling(request, body)
    _reasoning(request.reasoning, quirks, body)
    if request.end_user:
        body["user"] = request.end_user
    if request.cache.prompt_cache_key:
        body["prompt_cache_key"] = request.cache.prompt_cache_key
    _outputs(request, body)
    body = _renamed(body, quirks)
    whole = json.loads(json.dumps(quirks.body))
    merge(whole, body)
    return merge_options(whole, request, (adapter, provider))


def _renamed(body: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    fields = {**{name: None for name in ABSENT}, **quirks.fields}
    return {theirs: value for name, value in body.items() if (theirs := fields.get(name, name)) is not None}


def _sampling(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    generation = request.generation
    for said, value in generation.ListFields():
        if said.name in SAMPLING:
            body[SAMPLING[said.name]] = short(value) if isinstance(value, float) else value
    if generation.stop_sequences:
        body["stop"] = list(generation.stop_sequences)
    if generation.logit_bias:
        body["logit_bias"] = {str(token): short(bias) for token, bias in sorted(generation.logit_bias.items())}
    if generation.HasField("top_logprobs") or chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include:
        body["logprobs"] = True
        if generation.top_logprobs:
            body["top_logprobs"] = generation.top_logprobs


def _reasoning(config: chat_pb2.ReasoningConfig, quirks: Quirks, body: dict[str, Any]) -> None:
    effort = EFFORT.get(config.effort) or (quirks.max_effort if config.effort else "")
    tokens = config.max_tokens if config.HasField("max_tokens") else 0
    if not effort and not tokens:
        return
    match quirks.reasoning:
        case "effort":
            if effort:
                body["reasoning_effort"] = effort
            if tokens:
                body["reasoning.max_tokens"] = tokens
        case "object":
            body["reasoning"] = {"max_tokens": tokens} if tokens else {"effort": effort}
        case "thinking":
            body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
            if tokens:
                body["thinking"]["budget_tokens"] = tokens
        case "enable_thinking":
            body["enable_thinking"] = effort != "none"
            if tokens:
                body["thinking_budget"] = tokens
        case _:
            pass


def _format(response_format: chat_pb2.ResponseFormat, quirks: Quirks, body: dict[str, Any]) -> None:
    match response_format.WhichOneof("format"):
        case "json_object":
            body["response_format"] = {"type": "json_object"}
        case "json_schema":
            wanted = response_format.json_schema
            schema = {
                "name": wanted.name or "answer",
                "schema": parse(wanted.schema_json, "response_format.json_schema.schema_json"),
            }
            if wanted.description:
                schema["description"] = wanted.description
            if wanted.strict and quirks.strict:
                schema["strict"] = True
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        case "text":
            body["response_format"] = {"type": "text"}
        case _:
            pass


def _outputs(request: chat_pb2.ChatRequest, body: dict[str, Any]) -> None:
    if request.output_modalities:
        wanted = {MODALITIES.get(modality, "") for modality in request.output_modalities} - {"", "text"}
        if wanted:
            body["modalities"] = ["text", *sorted(wanted)]
    if request.HasField("audio"):
        body["audio"] = {"voice": request.audio.voice or "alloy", "format": request.audio.format or "wav"}


def _tools(request: chat_pb2.ChatRequest, quirks: Quirks, answer: Answer, body: dict[str, Any]) -> None:
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        match tool.WhichOneof("kind"):
            case "function":
                tools.append({"type": "function", "function": _function(tool.function, index, quirks)})
            case "provider":
                _provider_tool(tool.provider, index, quirks, answer, tools, body)
            case _:
                pass  # the gateway's own; it has turned them into functions
    choice = request.tool_choice
    if choice.allowed_tools and not quirks.allowed_tools and len(choice.allowed_tools) > 1:
        tools = [tool for tool in tools if _name(tool) in choice.allowed_tools]
    if tools:
        body["tools"] = tools
        if request.HasField("tool_choice"):
            _choice(choice, quirks, body)


def _function(tool: chat_pb2.FunctionTool, index: int, quirks: Quirks) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.input_schema_json:
        function["parameters"] = parse(tool.input_schema_json, f"tools[{index}].function.input_schema_json")
    if tool.strict and quirks.strict:
        function["strict"] = True
    return function


def _provider_tool(
    tool: chat_pb2.ProviderTool,
    index: int,
    quirks: Quirks,
    answer: Answer,
    tools: list[dict[str, Any]],
    body: dict[str, Any],
) -> None:
    config = parse(tool.config_json, f"tools[{index}].provider.config_json") if tool.config_json else {}
    if isinstance(config, dict) and "type" in config:
        tools.append(config)  # written in the provider's own words
    elif tool.name == "web_search" and quirks.web_search == "web_search_options":
        body["web_search_options"] = config
    else:
        message = f"this provider runs no tool {tool.name!r}; the request goes without it"
        answer.warning("TOOL_DROPPED", message, f"tools[{index}].provider")


def _choice(choice: chat_pb2.ToolChoice, quirks: Quirks, body: dict[str, Any]) -> None:
    required = choice.mode == chat_pb2.TOOL_MODE_REQUIRED
    mode = quirks.tool_required if required else "auto"
    names = list(choice.allowed_tools)
    if choice.mode == chat_pb2.TOOL_MODE_NONE:
        body["tool_choice"] = "none"
    elif required and len(names) == 1 and quirks.named_tool:
        body["tool_choice"] = {"type": "function", "function": {"name": names[0]}}
    elif names and quirks.allowed_tools:
        allowed = [{"type": "function", "function": {"name": name}} for name in names]
        body["tool_choice"] = {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required" if required else "auto", "tools": allowed},
        }
    elif required or choice.mode == chat_pb2.TOOL_MODE_AUTO:
        body["tool_choice"] = mode
    if choice.disable_parallel:
        body["parallel_tool_calls"] = False


def _name(tool: Mapping[str, Any]) -> str:
    return str((tool.get("function") or {}).get("name", ""))
