"""The Responses API: recordings of OpenAI's and of those that speak it."""

import json
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_responses.items import CALLS, ITEM, TOOL_TYPES
from maestro_adapters.wire.body import read_data_url
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.exchange import Exchange

NAME = "openai"  # of the provider

ROLES = {
    "user": content_pb2.ROLE_USER,
    "system": content_pb2.ROLE_SYSTEM,
    "developer": content_pb2.ROLE_DEVELOPER,
    "assistant": content_pb2.ROLE_ASSISTANT,
}
EFFORTS = {
    "none": chat_pb2.REASONING_EFFORT_NONE,
    "minimal": chat_pb2.REASONING_EFFORT_MINIMAL,
    "low": chat_pb2.REASONING_EFFORT_LOW,
    "medium": chat_pb2.REASONING_EFFORT_MEDIUM,
    "high": chat_pb2.REASONING_EFFORT_HIGH,
    "xhigh": chat_pb2.REASONING_EFFORT_MAX,
}
MODES = {
    "auto": chat_pb2.TOOL_MODE_AUTO,
    "none": chat_pb2.TOOL_MODE_NONE,
    "required": chat_pb2.TOOL_MODE_REQUIRED,
}
NEUTRAL = {theirs: ours for ours, theirs in TOOL_TYPES.items()}
INCLUDED = {
    "message.output_text.logprobs": chat_pb2.CHAT_INCLUDE_LOGPROBS,
    "code_interpreter_call.outputs": chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT,
    "file_search_call.results": chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT,
    "web_search_call.action.sources": chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT,
}

# Of errors.
CODES = {
    "context_length_exceeded": Reason.CONTEXT_OVERFLOW,
    "model_not_found": Reason.MODEL_NOT_FOUND,
    "insufficient_quota": Reason.PROVIDER_QUOTA_EXHAUSTED,
    "rate_limit_exceeded": Reason.PROVIDER_RATE_LIMITED,
    "content_filter": Reason.PROMPT_BLOCKED,
    "invalid_prompt": Reason.PROMPT_BLOCKED,
    "server_error": Reason.PROVIDER_UNAVAILABLE,
}
STATUSES = {
    400: Reason.PROVIDER_REJECTED_REQUEST,
    401: Reason.PROVIDER_AUTH_FAILED,
    402: Reason.PROVIDER_QUOTA_EXHAUSTED,
    403: Reason.PROVIDER_AUTH_FAILED,
    404: Reason.MODEL_NOT_FOUND,
    408: Reason.PROVIDER_TIMEOUT,
    413: Reason.CONTEXT_OVERFLOW,
    422: Reason.PROVIDER_REJECTED_REQUEST,
    429: Reason.PROVIDER_RATE_LIMITED,
}


# Theirs -> ours.


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    """The recorded request in our words; what the contract has no words for goes by the provider's options."""
    theirs = exchange.asked
    if not theirs:
        request = chat_pb2.ChatRequest(model="model")
        request.messages.add(role=content_pb2.ROLE_USER).parts.add(text="Hello")
        return request
    rest = dict(theirs)
    request = chat_pb2.ChatRequest(model=rest.pop("model", ""), end_user=rest.pop("safety_identifier", None) or "")
    rest.pop("stream", None)
    if (instructions := rest.pop("instructions", None)) is not None:
        request.system.add(text=instructions)
    _messages(rest.pop("input", None) or [], request)
    _tools(rest.pop("tools", None) or [], rest.pop("tool_choice", None), request)
    if rest.pop("parallel_tool_calls", True) is False:
        request.tool_choice.disable_parallel = True
    _sampling(rest, request)
    _text(rest.pop("text", None) or {}, request)
    _reasoning(rest, request)
    if rest.get("store") is False:
        del rest["store"]
    if rest:
        request.provider_options_json[NAME] = json.dumps(rest)
    return request


def _messages(written: Any, request: chat_pb2.ChatRequest) -> None:
    items = [{"role": "user", "content": written}] if isinstance(written, str) else written
    for item in items:
        kind = item.get("type") or "message"
        if kind == "message":
            _message(item, request.messages.add(role=ROLES[item["role"]]))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            result = request.messages.add(role=content_pb2.ROLE_TOOL).parts.add().tool_result
            result.tool_call_id = item["call_id"]
            _content(item["output"], result.content)
        else:
            _said(kind, item, request.messages.add(role=content_pb2.ROLE_ASSISTANT))


def _message(item: Mapping[str, Any], message: content_pb2.Message) -> None:
    _content(item.get("content"), message.parts)
    if message.role == content_pb2.ROLE_ASSISTANT and item.get("id"):
        for part in message.parts:
            _keep(part, item, "content")


def _content(written: Any, parts: Any) -> None:
    for piece in [{"type": "input_text", "text": written}] if isinstance(written, str) else written or []:
        part = parts.add()
        match piece["type"]:
            case "input_text" | "output_text":
                part.text = piece["text"]
            case "refusal":
                part.refusal = piece["refusal"]
            case "input_image" if "image_url" in piece:
                part.media.modality = common_pb2.MODALITY_IMAGE
                part.media.detail = piece.get("detail") or ""
                _media(piece["image_url"], part.media)
            case "input_file" if not piece.get("file_id"):
                part.media.modality = common_pb2.MODALITY_DOCUMENT
                part.media.filename = piece.get("filename") or ""
                _media(piece.get("file_data") or piece["file_url"], part.media)
            case other:
                part.opaque.CopyFrom(content_pb2.OpaqueBlock(provider=NAME, type=other, json=json.dumps(piece)))
        for annotation in piece.get("annotations") or []:
            part.citations.add(provider_json=json.dumps(annotation))
        if marked := piece.get("prompt_cache_breakpoint"):
            part.cache_breakpoint.SetInParent()
            if marked.get("ttl"):
                part.cache_breakpoint.ttl.seconds = {"30m": 1800, "12h": 43200}[marked["ttl"]]


def _media(url: str, media: content_pb2.Media) -> None:
    inline = read_data_url(url)
    if inline is None:
        media.uri = url
    else:
        media.mime_type, media.data = inline


def _said(kind: str, item: Mapping[str, Any], message: content_pb2.Message) -> None:
    """What the model said, as our answer would have it."""
    if kind == "reasoning":
        for summary, pieces in ((True, item.get("summary")), (False, item.get("content"))):
            for piece in pieces or []:
                message.parts.add().reasoning.CopyFrom(content_pb2.Reasoning(text=piece["text"], summary=summary))
        if not message.parts:
            message.parts.add().reasoning.redacted = True
        _keep(message.parts[-1], item, "summary", "content")
    elif kind in CALLS:
        call = CALLS[kind]
        part = message.parts.add()
        part.tool_call.id = item.get(call.id) or ""
        part.tool_call.name = item.get("name") or call.tool
        part.tool_call.executor = call.executor
        if call.carried and call.arguments[0] in call.carried:
            part.tool_call.arguments_json = item[call.arguments[0]]
        if set(item) - {"type", *call.carried}:
            _keep(part, item, *call.carried)
    else:
        message.parts.add(opaque=content_pb2.OpaqueBlock(provider=NAME, type=kind, json=json.dumps(item)))


def _keep(part: content_pb2.Part, item: Mapping[str, Any], *carried: str) -> None:
    part.provider_state.provider, part.provider_state.kind = NAME, ITEM
    part.provider_state.data = json.dumps({key: item[key] for key in item if key not in carried}).encode()


def _tools(tools: list[dict[str, Any]], choice: Any, request: chat_pb2.ChatRequest) -> None:
    for tool in tools:
        config = {key: value for key, value in tool.items() if key != "type"}
        if tool["type"] == "function" and set(config) <= {"name", "description", "parameters", "strict"}:
            function = request.tools.add().function
            function.name = tool["name"]
            function.description = tool.get("description") or ""
            function.input_schema_json = json.dumps(tool.get("parameters") or {"type": "object", "properties": {}})
            function.strict = bool(tool.get("strict"))
        else:  # what the contract has no words for goes in the provider's own
            name = NEUTRAL.get(tool["type"], tool["type"])
            request.tools.add().provider.CopyFrom(chat_pb2.ProviderTool(name=name, config_json=json.dumps(config)))
    if isinstance(choice, str):
        request.tool_choice.mode = MODES[choice]
    elif choice:
        request.tool_choice.mode = MODES[choice.get("mode", "required")]
        chosen = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
        request.tool_choice.allowed_tools.extend(
            tool.get("name") or NEUTRAL.get(tool["type"], tool["type"]) for tool in chosen
        )


def _sampling(rest: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    for field in ("temperature", "top_p", "max_output_tokens", "top_logprobs", "service_tier"):
        value = rest.pop(field, None)
        if value is not None:
            setattr(request.generation, field, value)
    if (key := rest.pop("prompt_cache_key", None)) is not None:
        request.cache.prompt_cache_key = key


def _text(told: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    request.generation.verbosity = told.get("verbosity") or ""
    match told.get("format") or {}:
        case {"type": "json_schema", "name": name, "schema": schema, **rest}:
            request.response_format.json_schema.CopyFrom(
                chat_pb2.JsonSchemaFormat(
                    name=name,
                    schema_json=json.dumps(schema),
                    strict=bool(rest.get("strict")),
                    description=rest.get("description") or "",
                )
            )
        case {"type": "json_object"}:
            request.response_format.json_object.SetInParent()
        case {"type": "text"}:
            request.response_format.text.SetInParent()


def _reasoning(rest: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    told = dict(rest.pop("reasoning", None) or {})
    if told.get("effort") in EFFORTS:
        request.reasoning.effort = EFFORTS[told.pop("effort")]
    if told.get("summary") == "auto":
        request.reasoning.summary = True
        del told["summary"]
    if told := {key: value for key, value in told.items() if value is not None}:
        rest["reasoning"] = told
    include = rest.pop("include", None)
    if include and set(include) <= {*INCLUDED, "reasoning.encrypted_content"}:
        request.reasoning.return_encrypted = "reasoning.encrypted_content" in include
        request.include.extend(sorted({INCLUDED[name] for name in include if name in INCLUDED}))
    elif include:
        rest["include"] = include


# What is expected.


def expected(exchange: Exchange) -> Expected:
    """The recording's facts, in our words."""
    told = exchange.expected
    if error := told.get("error"):
        code = error.get("code")
        reason = CODES.get(code) or STATUSES.get(error.get("status") or exchange.status, Reason.PROVIDER_UNAVAILABLE)
        if "api key" in (error.get("message") or "").lower():
            reason = Reason.PROVIDER_AUTH_FAILED
        return Expected(text=told.get("text") or "", reason=reason, code=code or error.get("type"))
    if exchange.streamed and told["finish_reason"] is None:
        return Expected(text=told["text"], reasoning=told["reasoning_text"], reason=Reason.STREAM_BROKEN)
    calls = [_call(call) for call in told.get("tool_calls") or ()]
    calls += [
        ExpectedCall(None, CALLS[name].tool)
        for name in told.get("server_tool_calls") or ()
        if _client_runs(name, exchange)
    ]
    return Expected(
        text=_whole_text(exchange) if "final_differs" in exchange.tags else told.get("text") or "",
        reasoning=told.get("reasoning_text") or "",
        refusal=told.get("refusal") or "",
        calls=calls,
        finish=_finish(told, calls),
        finish_word=told.get("finish_reason"),
        usage={
            "input_tokens": told.get("input_tokens"),
            "output_tokens": told.get("output_tokens"),
            "cache_read_input_tokens": told.get("cached_tokens"),
            "cache_write_input_tokens": told.get("cache_write_tokens"),
            "reasoning_output_tokens": told.get("reasoning_tokens"),
            "total_tokens": told.get("total_tokens"),
        },
        model=told.get("model"),
        response_id=told.get("response_id"),
    )


def _call(call: Mapping[str, Any]) -> ExpectedCall:
    raw = call.get("arguments_raw")
    return ExpectedCall(call.get("id"), call.get("name"), call.get("arguments"), raw=raw)


def _client_runs(name: str, exchange: Exchange) -> bool:
    """Shells, patches and screens are the caller's, unless the shell is in a container of the provider's."""
    call = CALLS.get(name)
    hosted = name == "shell_call" and b"container_reference" in exchange.body
    return call is not None and call.tool != "" and call.executor == content_pb2.TOOL_EXECUTOR_CLIENT and not hosted


def _whole_text(exchange: Exchange) -> str:
    """The text of a recording whose publisher has taken pieces out: where the whole goes on from them, it counts."""
    said: dict[tuple[int, int], str] = {}
    for line in exchange.body.decode().splitlines():
        event = json.loads(line[5:]) if line.startswith("data:") else {}
        key = (event.get("output_index", 0), event.get("content_index", 0))
        if event.get("type") == "response.output_text.delta":
            said[key] = said.get(key, "") + event["delta"]
        elif event.get("type") == "response.output_text.done" and event["text"].startswith(said.get(key, "")):
            said[key] = event["text"]
    return "".join(said.values())


def _finish(told: Mapping[str, Any], calls: list[ExpectedCall]) -> chat_pb2.FinishReason.ValueType | None:
    match told.get("finish_reason"):
        case "completed" | "complete":
            if told.get("refusal"):
                return chat_pb2.FINISH_REASON_REFUSAL
            return chat_pb2.FINISH_REASON_TOOL_CALLS if calls else chat_pb2.FINISH_REASON_STOP
        case "max_output_tokens":
            return chat_pb2.FINISH_REASON_MAX_TOKENS
        case "content_filter":
            return chat_pb2.FINISH_REASON_CONTENT_FILTER
        case _:
            return chat_pb2.FINISH_REASON_OTHER


# What is compared.


def normal(body: Any) -> Any:
    """A body with one shape for what says the same."""
    body = _without_nulls(body)
    if isinstance(body.get("input"), str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    items = [_normal_item(item) for item in body.get("input", ())]
    body["input"] = [item for item in items if item != {"role": "assistant", "content": ""}]  # it says nothing
    for tool in body.get("tools", ()):
        if tool.get("description") == "":
            del tool["description"]
    for field in ("tools", "include"):
        if body.get(field) == []:
            del body[field]
    return body


def _normal_item(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("type") == "message":
        item = {key: value for key, value in item.items() if key != "type"}
    for field in ("content", "output"):
        pieces = item.get(field)
        if isinstance(pieces, list) and all(_plain(piece) for piece in pieces):
            item = {**item, field: "".join(piece["text"] for piece in pieces)} if len(pieces) == 1 else item
    return item


def _plain(piece: Mapping[str, Any]) -> bool:
    said = {key for key, value in piece.items() if value != []}
    return said == {"type", "text"} and piece["type"] in ("input_text", "output_text")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


ALLOWED = (
    Allowed("store", "we never leave an answer with the provider unasked", theirs=ABSENT, ours=False),
    Allowed(r"tools\[\d+\]\.strict", "left out, the provider decides; we say it", theirs=ABSENT, ours=False),
    Allowed(r"text\.format\.strict", "left out, the provider decides; we say it", theirs=ABSENT, ours=False),
    Allowed("stream", "false is the default", theirs=False, ours=ABSENT),
)


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    """The adapter, asking as the recording was asked."""
    written = json.dumps(exchange.asked)
    options = {
        "stream": exchange.streamed,
        "cache_breakpoints": "prompt_cache_breakpoint" in written,
        **exchange.options,
    }
    path = exchange.path.rpartition("/responses")[0] if exchange.path else "/v1"
    return AdapterSettings(
        name=NAME, adapter="openai_responses", base_url=url + path, api_key="sk-test", options=options
    )


DIALECT = ChatDialect(
    name="openai_responses",
    protocols=frozenset({"openai.responses"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=ALLOWED,
    normal=normal,
)
