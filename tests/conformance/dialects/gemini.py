"""Gemini's generateContent and its embedding calls, by the Gemini API and by Vertex."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from google.protobuf import duration_pb2

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.exchange import Exchange

Json = dict[str, Any]

FINISHES = {
    "STOP": chat_pb2.FINISH_REASON_STOP,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "PROHIBITED_CONTENT": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "BLOCKLIST": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "LANGUAGE": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "SPII": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "MODEL_ARMOR": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "RECITATION": chat_pb2.FINISH_REASON_RECITATION,
    "MALFORMED_FUNCTION_CALL": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
    "UNEXPECTED_TOOL_CALL": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
}
WORDS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}  # enums as numbers
STATUSES = {
    400: Reason.PROVIDER_REJECTED_REQUEST,
    401: Reason.PROVIDER_AUTH_FAILED,
    403: Reason.PROVIDER_AUTH_FAILED,
    404: Reason.MODEL_NOT_FOUND,
    408: Reason.PROVIDER_TIMEOUT,
    429: Reason.PROVIDER_RATE_LIMITED,
    499: Reason.PROVIDER_UNAVAILABLE,
    500: Reason.PROVIDER_UNAVAILABLE,
    503: Reason.PROVIDER_UNAVAILABLE,
    504: Reason.PROVIDER_TIMEOUT,
}
MODES = {
    "AUTO": chat_pb2.TOOL_MODE_AUTO,
    "VALIDATED": chat_pb2.TOOL_MODE_AUTO,
    "ANY": chat_pb2.TOOL_MODE_REQUIRED,
    "NONE": chat_pb2.TOOL_MODE_NONE,
}
MODALITIES = {
    "TEXT": common_pb2.MODALITY_TEXT,
    "IMAGE": common_pb2.MODALITY_IMAGE,
    "AUDIO": common_pb2.MODALITY_AUDIO,
}
TOOLS = {
    "googleSearch": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code_execution",
    "fileSearch": "file_search",
    "googleMaps": "google_maps",
    "computerUse": "computer_use",
}
SAMPLING = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_output_tokens",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
    "logprobs": "top_logprobs",
}
LEVELS = {
    "MINIMAL": chat_pb2.REASONING_EFFORT_MINIMAL,
    "LOW": chat_pb2.REASONING_EFFORT_LOW,
    "MEDIUM": chat_pb2.REASONING_EFFORT_MEDIUM,
    "HIGH": chat_pb2.REASONING_EFFORT_HIGH,
}
TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object"}  # of schemas, as numbers

# Under these keys stands what the caller or a tool wrote, or what goes back as it came.
VERBATIM = frozenset(
    {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "toolCall", "toolResponse"}
)
_PATH = re.compile(
    r"/(?P<version>v1\w*)/(?:projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/google/)?"
    r"models/(?P<model>[^:/]+):(?P<verb>\w+)"
)

ALLOWED = (Allowed(r"contents\[\d+\]\.role", "the recorder asked with a role that nobody has", theirs="invalid_role"),)


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    """The adapter, of the Gemini API or of Vertex, as the path has it."""
    place = where(exchange)
    options: Json = {"api_version": place["version"], "stream": exchange.streamed, **exchange.options}
    if "vertex" in exchange.vendor:
        options |= {"project": place["project"] or "p", "location": place["location"] or "global"}
    adapter = "vertex" if "vertex" in exchange.vendor else "gemini"
    return AdapterSettings(name=adapter, adapter=adapter, base_url=url, api_key="key-of-nobody", options=options)


def where(exchange: Exchange) -> Mapping[str, str]:
    """Version, model, and at Vertex project and location, as the path names them."""
    found = _PATH.match(unquote(exchange.path))
    return (
        found.groupdict()
        if found
        else {"version": "v1beta", "model": "gemini-2.5-flash", "project": "", "location": ""}
    )


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    """The request in neutral words; what they have no word for goes along as provider options."""
    provider = "vertex" if "vertex" in exchange.vendor else "gemini"
    request = chat_pb2.ChatRequest(model=where(exchange)["model"])
    if exchange.request is None:
        request.messages.add(role=content_pb2.ROLE_USER).parts.add(text="Hello")
        return request
    asked = normal(exchange.asked)
    rest = {key: value for key, value in asked.items() if key not in ("contents", "systemInstruction", "tools")}
    for part in asked.get("systemInstruction", {}).get("parts", ()):
        request.system.extend(_part(part, provider, {}))
    names: dict[str, str] = {}
    for content in asked["contents"]:
        _content(request, content, provider, names)
    _tools(request, asked.get("tools", ()))
    _choice(request, rest)
    _generation(request, rest)
    if cached := rest.pop("cachedContent", ""):
        request.cache.prompt_cache_key = cached
    if rest := _full(rest):
        request.provider_options_json[provider] = json.dumps(rest)
    return request


def _full(value: Json) -> Json:
    return {
        key: inner for key, each in value.items() if (inner := _full(each) if isinstance(each, dict) else each) != {}
    }


def _content(request: chat_pb2.ChatRequest, content: Json, provider: str, names: dict[str, str]) -> None:
    parts = [(part, _part(part, provider, names)) for part in content["parts"]]
    if content["role"] == "model":
        request.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=[each for _, told in parts for each in told])
        return
    results = [each for part, told in parts if "functionResponse" in part for each in told]
    others = [each for part, told in parts if "functionResponse" not in part for each in told]
    if results:
        request.messages.add(role=content_pb2.ROLE_TOOL, parts=results)
    if others:
        request.messages.add(role=content_pb2.ROLE_USER, parts=others)


def _part(part: Json, provider: str, names: dict[str, str]) -> Iterator[content_pb2.Part]:
    told = content_pb2.Part()
    if "functionCall" in part:
        call = part["functionCall"]
        id = call.get("id") or f"call_{len(names) + 1}"  # such ids are taken for ours, and not sent
        names[id] = call["name"]
        told.tool_call.id, told.tool_call.name = id, call["name"]
        told.tool_call.arguments_json = json.dumps(call.get("args", {}))
    elif "functionResponse" in part:
        _result(told.tool_result, part["functionResponse"], names)
    elif "executableCode" in part or "toolCall" in part:
        told.tool_call.executor = content_pb2.TOOL_EXECUTOR_PROVIDER
        told.tool_call.id = "run"
        told.provider_state.kind, told.provider_state.data = "part", json.dumps(part).encode()
    elif "codeExecutionResult" in part or "toolResponse" in part:
        told.opaque.provider, told.opaque.type, told.opaque.json = provider, next(iter(part)), json.dumps(part)
    elif "inlineData" in part or "fileData" in part:
        _media(told.media, part)
    elif part.get("thought"):
        told.reasoning.text, told.reasoning.summary = part.get("text", ""), True
    else:
        told.text = part["text"]
    if told.provider_state.kind:
        told.provider_state.provider = provider
    elif "thoughtSignature" in part and not told.HasField("opaque"):
        told.provider_state.provider, told.provider_state.kind = provider, "thought_signature"
        told.provider_state.data = part["thoughtSignature"].encode()
    yield told


def _result(told: content_pb2.ToolResult, answered: Json, names: dict[str, str]) -> None:
    open_calls = [id for id, name in names.items() if name == answered["name"]]
    told.tool_call_id = answered.get("id") or (open_calls[0] if open_calls else "call_0")
    if not answered.get("id"):
        names.pop(told.tool_call_id, None)
    told.name = answered["name"]
    told.structured_json = json.dumps(answered["response"])
    for each in answered.get("parts", ()):
        _media(told.content.add().media, each)


def _media(told: content_pb2.Media, part: Json) -> None:
    source = part.get("inlineData") or part["fileData"]
    told.mime_type = source.get("mimeType", "")
    if "inlineData" in part:
        told.data = base64.b64decode(source["data"])
    else:
        told.uri = source["fileUri"]
    for theirs, offset in (("startOffset", told.start_offset), ("endOffset", told.end_offset)):
        if theirs in part.get("videoMetadata", {}):
            duration = duration_pb2.Duration()
            duration.FromJsonString(part["videoMetadata"][theirs])
            offset.CopyFrom(duration)


def _tools(request: chat_pb2.ChatRequest, tools: list[Json]) -> None:
    for tool in tools:
        for name, config in tool.items():
            if name != "functionDeclarations":
                request.tools.add().provider.name = TOOLS[name]
                request.tools[-1].provider.config_json = json.dumps(config)
                continue
            for function in config:
                declared = request.tools.add().function
                declared.name, declared.description = function["name"], function.get("description", "")
                if "parametersJsonSchema" in function:
                    declared.input_schema_json = json.dumps(function["parametersJsonSchema"])
                if "responseJsonSchema" in function:
                    declared.output_schema_json = json.dumps(function["responseJsonSchema"])


def _choice(request: chat_pb2.ChatRequest, rest: Json) -> None:
    config = rest.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = config.pop("mode", None)
    if mode is not None:
        request.tool_choice.mode = MODES[mode]
        if mode == "VALIDATED":  # functions held to their schemas
            for tool in request.tools:
                if tool.HasField("function"):
                    tool.function.strict = True
        request.tool_choice.allowed_tools.extend(config.pop("allowedFunctionNames", ()))


def _generation(request: chat_pb2.ChatRequest, rest: Json) -> None:
    config = rest.get("generationConfig", {})
    for theirs, name in SAMPLING.items():
        if theirs in config:
            value = config.pop(theirs)
            whole = name in ("top_k", "max_output_tokens", "seed", "top_logprobs")
            setattr(request.generation, name, int(value) if whole else value)
    request.generation.stop_sequences.extend(config.pop("stopSequences", ()))
    request.output_modalities.extend(MODALITIES[each] for each in config.pop("responseModalities", ()))
    if config.pop("responseLogprobs", False):
        request.include.append(chat_pb2.CHAT_INCLUDE_LOGPROBS)
    if config.get("responseMimeType") == "application/json":
        del config["responseMimeType"]
        if "responseJsonSchema" in config:
            request.response_format.json_schema.schema_json = json.dumps(config.pop("responseJsonSchema"))
        else:
            request.response_format.json_object.SetInParent()
    thinking = config.get("thinkingConfig", {})
    if "thinkingBudget" in thinking:
        request.reasoning.max_tokens = thinking.pop("thinkingBudget")
    elif "thinkingLevel" in thinking:
        request.reasoning.effort = LEVELS[thinking.pop("thinkingLevel").upper()]
    if thinking.get("includeThoughts"):
        request.reasoning.summary = thinking.pop("includeThoughts")


def normal(body: Any) -> Any:
    """A body in one spelling, of the several that Google takes."""
    told: Json = _full(_camel(body))
    told["contents"] = _joined(told.get("contents", []))
    told.get("systemInstruction", {}).pop("role", None)
    functions: list[Json] = []
    others: list[Json] = []
    tools = told.pop("tools", None) or []
    for tool in tools if isinstance(tools, list) else [tools]:
        for name, config in tool.items():
            if name == "functionDeclarations":
                functions.extend(map(_declaration, config))
            else:
                others.append({name: config})
    if functions or others:
        told["tools"] = [*([{"functionDeclarations": functions}] if functions else []), *others]
    config = told.get("generationConfig", {})
    if "responseSchema" in config:
        config["responseJsonSchema"] = _schema(config.pop("responseSchema"))
    return told


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    told: Json = {}
    for key, inner in value.items():
        name = re.sub(r"_([a-z])", lambda match: match[1].upper(), key)
        if name == "data" and "mimeType" in {re.sub("_t", "T", each) for each in value}:
            told[name] = inner.replace("-", "+").replace("_", "/")
        else:
            told[name] = inner if name in VERBATIM else _camel(inner)
    return told


def _joined(contents: Any) -> list[Json]:
    """Contents of one role in a row made one."""
    joined: list[Json] = []
    for content in contents if isinstance(contents, list) else [contents]:
        role = "user" if content.get("role", "user") == "function" else content.get("role", "user")
        parts: list[Json] = []
        for part in content["parts"]:
            if list(part) == ["videoMetadata"]:
                parts[-1] |= part  # some put beside the video what belongs to it
            elif part != {"text": ""}:
                parts.append(part)
        if joined and joined[-1]["role"] == role:
            joined[-1]["parts"].extend(parts)
        elif parts:
            joined.append({"role": role, "parts": parts})
    return joined


def _declaration(function: Json) -> Json:
    told = {**function, "description": function.get("description") or ""}
    if "parameters" in told:
        told["parametersJsonSchema"] = _schema(told.pop("parameters"))
    return told


def _schema(schema: Any) -> Any:
    """A schema in Google's own words, in JSON Schema's."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _schema(value) for key, value in schema.items()}
    if isinstance(told.get("type"), int):
        told["type"] = TYPES[told["type"]]
    elif isinstance(told.get("type"), str):
        told["type"] = told["type"].lower()
    return told


def expected(exchange: Exchange) -> Expected:
    """What the recording says, in our words."""
    told = exchange.expected
    if told["kind"] == "error":
        return Expected(reason=_reason(told["error"]["status"], told["error"]["message"]))
    if told["kind"] == "malformed":
        return Expected(reason=Reason.PROVIDER_PROTOCOL_ERROR)
    said = Expected(text=told["text"], reasoning=told["reasoning_text"], calls=_calls(exchange))
    if told.get("error"):
        return Expected(said.text, said.reasoning, calls=said.calls, reason=STATUSES[told["error"]["code"]])
    word = WORDS.get(told["finish_reason"], told["finish_reason"])
    if word is None:
        blocked = not told["text"] and b"promptFeedback" in exchange.body
        reason = Reason.PROMPT_BLOCKED if blocked else Reason.STREAM_BROKEN
        return Expected(said.text, said.reasoning, calls=said.calls, reason=reason)
    finish = FINISHES.get(word, chat_pb2.FINISH_REASON_OTHER)
    if word == "STOP" and said.calls:
        finish = chat_pb2.FINISH_REASON_TOOL_CALLS
    return Expected(
        said.text,
        said.reasoning,
        calls=said.calls,
        finish=finish,
        finish_word=word,
        usage=_usage(exchange),
        model=told["model"],
        response_id=told["response_id"],
    )


def _reason(status: int, message: str) -> Reason:
    if "API key" in message:
        return Reason.PROVIDER_AUTH_FAILED
    if "token count" in message:
        return Reason.CONTEXT_OVERFLOW
    return STATUSES[status]


def _calls(exchange: Exchange) -> list[ExpectedCall]:
    in_pieces = "partial_args" in exchange.tags  # the recording does not put the pieces together
    return [
        ExpectedCall(call["id"], call["name"], None if in_pieces else call["arguments"])
        for call in exchange.expected["tool_calls"]
    ]


def _usage(exchange: Exchange) -> Mapping[str, int | None]:
    """Prompts of tools are input, and thoughts are output."""
    told = exchange.expected
    if told["input_tokens"] is None and told["total_tokens"] is None:
        return {}  # estimated
    of_tools = re.findall(rb'"toolUsePromptTokenCount":\s*(\d+)', exchange.body)
    thoughts = told["reasoning_tokens"] or 0
    return {
        "input_tokens": (told["input_tokens"] or 0) + int(of_tools[-1] if of_tools else 0),
        "output_tokens": (told["output_tokens"] or 0) + thoughts,
        "cache_read_input_tokens": told["cached_tokens"] or 0,
        "reasoning_output_tokens": thoughts,
    }


def events(body: bytes) -> list[bytes]:
    """The events of a stream."""
    return [event + b"\r\n\r\n" for event in body.split(b"\r\n\r\n") if event]


def failure(status: int, message: str) -> bytes:
    """The body of an error."""
    return json.dumps({"error": {"code": status, "message": message, "status": "WHATEVER"}}).encode()


GEMINI = ChatDialect(
    name="gemini",
    protocols=frozenset({"gemini.generate"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=ALLOWED,
    normal=normal,
    events=events,
    garbage=b'data: {"candidates":[{"con\r\n\r\n',
    failure=failure,
)
# Recordings of Vertex speak the same; exchanges of ours that only Vertex knows are kept apart.
DIALECTS = (GEMINI, replace(GEMINI, name="vertex", protocols=frozenset({"vertex.generate"})))
