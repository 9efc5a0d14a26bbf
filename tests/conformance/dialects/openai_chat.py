"""Chat Completions, of OpenAI and of every vendor that speaks it."""

import json
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.wire.body import read_data_url
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.exchange import Exchange

NAME = "openai_chat"

# In what the vendors of the recordings differ: the options of their rows.
VENDORS: Mapping[str, Mapping[str, Any]] = {
    "avian": {"reasoning_field": "reasoning_content"},
    "cerebras": {"reasoning_field": "reasoning"},
    "crusoe": {"reasoning_field": "reasoning"},
    "deepseek": {"reasoning_field": "reasoning_content", "reasoning": "thinking"},
    "gpustack": {"reasoning_field": "reasoning_content", "reasoning": "enable_thinking"},
    "groq": {"reasoning_field": "reasoning"},
    "llamacpp": {"reasoning_field": "reasoning_content"},
    "mistral": {
        "fields": {"max_completion_tokens": "max_tokens", "seed": "random_seed"},
        "reasoning_field": "thinking_parts",
        "documents": "document_url",
        "tool_required": "any",
        "empty_content": "",
    },
    "ollama_cloud": {"reasoning_field": "reasoning"},
    "ollama_openai": {"reasoning_field": "reasoning"},
    "openrouter": {
        "reasoning_field": "reasoning",
        "reasoning": "object",
        "cache_control": True,
        "documents": "file_url",
        "video": True,
    },
    "snowflake": {"reasoning_field": "reasoning", "reasoning": "object"},
    "vercel_gateway": {"reasoning_field": "reasoning", "reasoning": "object", "cache_control": True},
    "writer": {},
    "xai": {"reasoning_field": "reasoning_content"},
    "zai": {"reasoning_field": "reasoning_content", "reasoning": "thinking"},
}

EFFORTS = {
    "none": chat_pb2.REASONING_EFFORT_NONE,
    "minimal": chat_pb2.REASONING_EFFORT_MINIMAL,
    "low": chat_pb2.REASONING_EFFORT_LOW,
    "medium": chat_pb2.REASONING_EFFORT_MEDIUM,
    "high": chat_pb2.REASONING_EFFORT_HIGH,
    "xhigh": chat_pb2.REASONING_EFFORT_MAX,
}
ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "developer": content_pb2.ROLE_DEVELOPER,
    "user": content_pb2.ROLE_USER,
}
MODALITIES = {"text": common_pb2.MODALITY_TEXT, "audio": common_pb2.MODALITY_AUDIO}
FINISH = {
    "stop": chat_pb2.FINISH_REASON_STOP,
    "eos": chat_pb2.FINISH_REASON_STOP,
    "": chat_pb2.FINISH_REASON_STOP,
    "length": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "tool_calls": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "function_call": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "content_filter": chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
# What a failure is, by what makes it plain: the first that fits.
REASONS: tuple[tuple[str, Any, Reason], ...] = (
    ("code", "content_filter", Reason.PROMPT_BLOCKED),
    ("code", "invalid_api_key", Reason.PROVIDER_AUTH_FAILED),
    ("message", "Incorrect API key", Reason.PROVIDER_AUTH_FAILED),
    ("code", "insufficient_quota", Reason.PROVIDER_QUOTA_EXHAUSTED),
    ("code", "model_not_found", Reason.MODEL_NOT_FOUND),
    ("code", "DeploymentNotFound", Reason.MODEL_NOT_FOUND),
    ("code", "context_length_exceeded", Reason.CONTEXT_OVERFLOW),
    ("message", "maximum context length", Reason.CONTEXT_OVERFLOW),
    ("message", "Token limit reached", Reason.CONTEXT_OVERFLOW),
    ("status", 401, Reason.PROVIDER_AUTH_FAILED),
    ("status", 403, Reason.PROVIDER_AUTH_FAILED),
    ("status", 429, Reason.PROVIDER_RATE_LIMITED),
    ("status", 402, Reason.PROVIDER_QUOTA_EXHAUSTED),
    ("status", 408, Reason.PROVIDER_TIMEOUT),
    ("status", 413, Reason.CONTEXT_OVERFLOW),
    ("status", 504, Reason.PROVIDER_TIMEOUT),
    ("code", "server_error", Reason.PROVIDER_UNAVAILABLE),
)

ALLOWED = (
    Allowed("stream_options.*", "usage is always asked for", theirs=ABSENT),
    Allowed(r"stream_options\.include_usage", "usage is always asked for", theirs=False),
    Allowed(r"\w+", "null is not said", theirs=None, ours=ABSENT),
    Allowed(r"tools", "an empty list is not said", theirs=[], ours=ABSENT),
    Allowed(r"logprobs", "false is not said", theirs=False, ours=ABSENT),
    Allowed(r"tools\[\d+\]\.function\.strict", "false is not said", theirs=False, ours=ABSENT),
    Allowed(r"tools\[\d+\]\.function\.description", "an empty description is not said", theirs="", ours=ABSENT),
    Allowed(r"response_format\.json_schema\.strict", "false is not said", theirs=False, ours=ABSENT),
    Allowed(r"response_format\.json_schema\.name", "OpenAI wants a name", theirs=ABSENT),
    Allowed(r"response_format\.json_schema\.description", "an empty one is not said", theirs="", ours=ABSENT),
    Allowed(r"messages\[\d+\]\.reasoning(_content)?", "empty reasoning is not said", theirs="", ours=ABSENT),
    Allowed(r"messages\[\d+\]\.tool_calls\[\d+\]\.id", "the contract's calls have ids", theirs=ABSENT, ours=""),
    Allowed(r"messages\[\d+\]\.tool_call_id", "the contract's results have ids", theirs=ABSENT, ours=""),
)


def row(exchange: Exchange) -> Mapping[str, Any]:
    """The vendor's row; of a vendor that is not known, what can be read off the request."""
    if exchange.vendor in VENDORS or exchange.request is None:
        return VENDORS.get(exchange.vendor, {})
    fields = {name for message in exchange.asked.get("messages", ()) for name in message}
    field = next((name for name in ("reasoning_content", "reasoning") if name in fields), "")
    return {"reasoning_field": field, "cache_control": True, "documents": "file_url", "video": True}


# Their request in our words.


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    """What a caller would have asked for this request to be sent."""
    asked = dict(exchange.asked)
    if not asked:
        asked = {"model": exchange.expected.get("model") or "m", "messages": [{"role": "user", "content": "hi"}]}
    request = chat_pb2.ChatRequest(model=asked.pop("model"))
    vendor = row(exchange)
    for message in asked.pop("messages"):
        request.messages.append(_message(message))
    for tool in asked.pop("tools", None) or ():
        request.tools.append(_tool(tool))
    _sampling(asked, request)
    _choice(asked, request)
    _format(asked, request)
    _reasoning(asked, request, vendor)
    if search := asked.pop("web_search_options", None):
        request.tools.add(provider=chat_pb2.ProviderTool(name="web_search", config_json=json.dumps(search)))
    if audio := asked.pop("audio", None):
        request.audio.CopyFrom(chat_pb2.AudioConfig(**audio))
        request.output_modalities.extend(MODALITIES[name] for name in asked.pop("modalities"))
    for name in ("stream", "stream_options"):
        asked.pop(name, None)
    rest = {name: value for name, value in asked.items() if value is not None}
    if rest:  # what the contract has no word for is said raw
        request.provider_options_json[NAME] = json.dumps(rest)
    return request


def _message(told: Mapping[str, Any]) -> content_pb2.Message:
    role = told["role"]
    if role in ("tool", "function"):
        return _result(told)
    message = content_pb2.Message(name=told.get("name") or "", role=ROLES.get(role, content_pb2.ROLE_ASSISTANT))
    thoughts = told.get("reasoning_details")
    text = told.get("reasoning_content") or told.get("reasoning")
    if text or thoughts:
        part = message.parts.add()
        part.reasoning.text = text or ""
        if thoughts:
            _state(part, "reasoning_details", json.dumps(thoughts).encode())
    message.parts.extend(_parts(told.get("content")))
    if told.get("cache_control") and message.parts:
        message.parts[-1].cache_breakpoint.SetInParent()
    if told.get("refusal"):
        message.parts.add(refusal=told["refusal"])
    message.parts.extend(_called(call) for call in told.get("tool_calls") or ())
    if told.get("audio"):
        part = message.parts.add()
        part.media.modality = common_pb2.MODALITY_AUDIO
        _state(part, "audio_id", told["audio"]["id"].encode())
    if told.get("function_call"):
        part = _called({"function": told["function_call"]})
        _state(part, "function_call", b"function_call")
        message.parts.append(part)
    return message


def _result(told: Mapping[str, Any]) -> content_pb2.Message:
    message = content_pb2.Message(role=content_pb2.ROLE_TOOL)
    part = message.parts.add()
    part.tool_result.tool_call_id = told.get("tool_call_id") or ""
    part.tool_result.name = told.get("name") or ""
    part.tool_result.content.extend(_parts(told.get("content")))
    if told["role"] == "function":
        _state(part, "function_call", b"function_call")
    return message


def _called(call: Mapping[str, Any]) -> content_pb2.Part:
    function = call.get("function") or call["custom"]
    part = content_pb2.Part()
    part.tool_call.id = call.get("id") or ""
    part.tool_call.name = function["name"]
    part.tool_call.arguments_json = function["arguments"] if "arguments" in function else function["input"]
    if "function" not in call:
        _state(part, "custom_tool_call", b"custom")
    if "extra_content" in call:
        _state(part, "extra_content", json.dumps(call["extra_content"]).encode())
    if "cache_control" in call:
        part.cache_breakpoint.SetInParent()
    return part


def _state(part: content_pb2.Part, kind: str, data: bytes) -> None:
    part.provider_state.CopyFrom(content_pb2.ProviderState(provider=NAME, kind=kind, data=data))


def _parts(content: Any) -> list[content_pb2.Part]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [content_pb2.Part(text=content)]
    return [_part(part) for part in content]


def _part(told: Mapping[str, Any]) -> content_pb2.Part:
    kind = told.get("type")
    part = content_pb2.Part()
    match kind:
        case "text" if set(told) <= {"type", "text", "cache_control"}:
            part.text = told["text"]
        case "image_url":
            image = told["image_url"] if isinstance(told["image_url"], dict) else {"url": told["image_url"]}
            _source(part.media, image["url"], common_pb2.MODALITY_IMAGE)
            part.media.detail = image.get("detail") or ""
        case "input_audio" if isinstance(told["input_audio"], dict) and "format" in told["input_audio"]:
            audio = told["input_audio"]
            mime = {"mp3": "audio/mpeg"}.get(audio["format"], f"audio/{audio['format']}")
            _source(part.media, f"data:{mime};base64,{audio['data']}", common_pb2.MODALITY_AUDIO)
        case "file" if "file_data" in told["file"]:
            _source(part.media, told["file"]["file_data"], common_pb2.MODALITY_DOCUMENT)
            part.media.filename = told["file"].get("filename") or ""
        case "document_url":
            _source(part.media, told["document_url"], common_pb2.MODALITY_DOCUMENT)
        case "video_url":
            _source(part.media, told["video_url"]["url"], common_pb2.MODALITY_VIDEO)
        case "thinking" if isinstance(told.get("thinking"), list):
            part.reasoning.text = "".join(piece["text"] for piece in told["thinking"])
        case _:
            part.opaque.CopyFrom(content_pb2.OpaqueBlock(provider=NAME, type=str(kind), json=json.dumps(told)))
    if "cache_control" in told and part.WhichOneof("kind") != "opaque":
        part.cache_breakpoint.SetInParent()
        if ttl := told["cache_control"].get("ttl"):
            part.cache_breakpoint.ttl.seconds = {"5m": 300, "1h": 3600}[ttl]
    return part


def _source(media: content_pb2.Media, url: str, modality: common_pb2.Modality.ValueType) -> None:
    media.modality = modality
    read = read_data_url(url)
    if read is None:
        media.uri = url
    else:
        media.mime_type, media.data = read


def _tool(told: Mapping[str, Any]) -> chat_pb2.ToolSpec:
    known = {"name", "description", "parameters", "strict"}
    plain = set(told) <= {"type", "function"} and set(told.get("function") or ()) <= known
    if told.get("type", "function") != "function" or not plain:
        config = json.dumps({"type": "function", **told})
        return chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name=told.get("type") or "tool", config_json=config))
    function = told["function"]
    tool = chat_pb2.FunctionTool(
        name=function["name"],
        description=function.get("description") or "",
        input_schema_json=json.dumps(function["parameters"]) if "parameters" in function else "",
        strict=bool(function.get("strict")),
    )
    return chat_pb2.ToolSpec(function=tool)


def _sampling(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    plain = {
        "temperature": "temperature",
        "top_p": "top_p",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
        "seed": "seed",
        "random_seed": "seed",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "service_tier": "service_tier",
        "top_logprobs": "top_logprobs",
    }
    for theirs, name in plain.items():
        if (value := asked.pop(theirs, None)) is not None:
            setattr(request.generation, name, value)
    if stop := asked.pop("stop", None):
        request.generation.stop_sequences.extend([stop] if isinstance(stop, str) else stop)
    for token, bias in (asked.pop("logit_bias", None) or {}).items():
        request.generation.logit_bias[int(token)] = bias
    if asked.pop("logprobs", None):
        request.include.append(chat_pb2.CHAT_INCLUDE_LOGPROBS)
    request.cache.prompt_cache_key = asked.pop("prompt_cache_key", None) or ""
    request.end_user = asked.pop("user", None) or ""


def _choice(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    choice = asked.get("tool_choice") if request.tools else None
    if isinstance(choice, dict) and "name" not in (choice.get("function") or ()):
        return  # said raw
    if request.tools:
        asked.pop("tool_choice", None)
    if choice in ("required", "any"):
        request.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
    elif choice in ("auto", "none"):
        request.tool_choice.mode = chat_pb2.ToolMode.Value(f"TOOL_MODE_{choice.upper()}")
    elif choice:
        request.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
        request.tool_choice.allowed_tools.append(choice["function"]["name"])
    if request.tools and asked.get("parallel_tool_calls") is False:
        request.tool_choice.disable_parallel = not asked.pop("parallel_tool_calls")


def _format(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    wanted = asked.pop("response_format", None) or {}
    match wanted.get("type"):
        case "json_schema":
            schema = wanted["json_schema"]
            if "schema" not in schema or set(schema) - {"name", "schema", "strict", "description"}:
                asked["response_format"] = wanted  # said raw
                return
            request.response_format.json_schema.CopyFrom(
                chat_pb2.JsonSchemaFormat(
                    name=schema.get("name") or "",
                    schema_json=json.dumps(schema["schema"]),
                    strict=bool(schema.get("strict")),
                    description=schema.get("description") or "",
                )
            )
        case "json_object":
            request.response_format.json_object.SetInParent()
        case "text":
            request.response_format.text.SetInParent()
        case _:
            pass


def _reasoning(asked: dict[str, Any], request: chat_pb2.ChatRequest, vendor: Mapping[str, Any]) -> None:
    """Effort where the vendor steers by effort; all else is said raw."""
    style = vendor.get("reasoning", "effort")
    if style == "effort" and asked.get("reasoning_effort") in EFFORTS:
        request.reasoning.effort = EFFORTS[asked.pop("reasoning_effort")]
    if style == "object" and list(asked.get("reasoning") or {}) == ["effort"]:
        request.reasoning.effort = EFFORTS[asked.pop("reasoning")["effort"]]


# What the answer is, in our words.


def expected(exchange: Exchange) -> Expected:
    """The facts of the corpus, counted as we count."""
    told = {**exchange.expected}
    # The old `function_call` with neither name nor arguments, which some send for none, is no call.
    told["tool_calls"] = [call for call in told["tool_calls"] if call["name"] or call["arguments_raw"]]
    error = told.get("error")
    if error:
        code = error.get("code") if error.get("code") is not None else error.get("type")
        return Expected(
            text=told["text"],
            reasoning=told["reasoning_text"],
            reason=_reason(error),
            code=None if code is None else str(code),
        )
    if exchange.streamed and told["finish_reason"] is None:
        return Expected(text=told["text"], reasoning=told["reasoning_text"], reason=Reason.STREAM_BROKEN)
    return Expected(
        text=told["text"],
        reasoning=told["reasoning_text"],
        refusal=told["refusal"] or "",
        calls=[_call(call) for call in told["tool_calls"]],
        finish=_finish(told),
        finish_word=told["finish_reason"],
        usage=_usage(told),
        model=told["model"] or None,
        response_id=told["response_id"] or None,
    )


def _finish(told: Mapping[str, Any]) -> chat_pb2.FinishReason.ValueType | None:
    finish = FINISH.get(told["finish_reason"])
    if finish == chat_pb2.FINISH_REASON_STOP and told["tool_calls"]:
        return chat_pb2.FINISH_REASON_TOOL_CALLS  # some call both a stop
    if finish == chat_pb2.FINISH_REASON_STOP and told["refusal"]:
        return chat_pb2.FINISH_REASON_REFUSAL
    return finish


def _call(told: Mapping[str, Any]) -> ExpectedCall:
    return ExpectedCall(told["id"], told["name"], told["arguments"], told["arguments_raw"])


def _usage(told: Mapping[str, Any]) -> dict[str, int | None]:
    """Output as the total has it: some vendors count reasoning beside it."""
    spent, output, total = told["input_tokens"], told["output_tokens"], told["total_tokens"]
    reasoning = told["reasoning_tokens"]
    if None not in (spent, output, total) and total > spent + output:
        output, reasoning = total - spent, max(reasoning or 0, total - spent - output)
    return {
        "input_tokens": spent,
        "output_tokens": output,
        "cache_read_input_tokens": told["cached_tokens"],
        "cache_write_input_tokens": told["cache_write_tokens"],
        "reasoning_output_tokens": reasoning,
    }


def _reason(error: Mapping[str, Any]) -> Reason:
    facts = dict(error)
    if facts["status"] == 200 and str(facts.get("code")).isdigit():
        facts["status"] = facts["code"]
    for name, value, reason in REASONS:
        told = facts.get(name)
        if told == value or (name == "message" and value in str(told)):
            return reason
    status = int(facts["status"])
    if status == 404 and "model" in str(facts.get("message")).lower():
        return Reason.MODEL_NOT_FOUND
    return Reason.PROVIDER_UNAVAILABLE if status >= 500 else Reason.PROVIDER_REJECTED_REQUEST


# Shapes that say the same.


def normal(body: Any) -> Any:
    """A body as it is compared."""
    if not isinstance(body, dict):
        return body
    same = {name: value for name, value in body.items() if (name, value) != ("stream", False)}
    if "max_tokens" in same:  # OpenAI's older name
        same["max_completion_tokens"] = same.pop("max_tokens")
    if isinstance(same.get("stop"), str):
        same["stop"] = [same["stop"]]
    if same.get("tools"):
        same["tools"] = [{"type": "function", **tool} for tool in same["tools"]]
    if isinstance(same.get("tool_choice"), dict):
        same["tool_choice"] = {"type": "function", **same["tool_choice"]}
    same["messages"] = [_normal_message(message) for message in body.get("messages", ())]
    return same


def recorded(exchange: Exchange) -> Any:
    """What was recorded, as it is compared: some clients say reasoning in two fields, the vendor reads one."""
    body = normal(exchange.asked)
    field = row(exchange).get("reasoning_field", "")
    for message in body.get("messages", ()):
        if "reasoning" in message and message["reasoning"] == message.get("reasoning_content"):
            del message["reasoning" if field == "reasoning_content" else "reasoning_content"]
    return body


def _normal_message(message: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: value for name, value in message.items() if value is not None}
    content = same.get("content")
    if mark := same.pop("cache_control", None):  # on the message, which is on its last part
        content = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
        content[-1] = {**content[-1], "cache_control": mark}
    if isinstance(content, list):
        content = [_normal_part(part) for part in content]
        if len(content) == 1 and set(content[0]) == {"type", "text"}:
            content = content[0]["text"]
        same["content"] = content
    if content in ("", None, []):
        same.pop("content", None)  # nothing is nothing
    calls = same.get("tool_calls")
    if calls:
        same["tool_calls"] = [{name: value for name, value in call.items() if name != "index"} for call in calls]
    elif calls is not None:
        del same["tool_calls"]
    for name in ("prefix",):
        if same.get(name) is False:
            del same[name]
    return same


def _normal_part(part: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: value for name, value in part.items() if value is not None}
    if isinstance(same.get("thinking"), list):  # one thought in pieces is one thought
        text = "".join(piece["text"] for piece in same["thinking"])
        same["thinking"] = [{"type": "text", "text": text}]
    return same


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    """The adapter with the vendor's row, for the address of the recording."""
    path = exchange.path or "/v1/chat/completions"
    base = path.removesuffix("/chat/completions")
    options = {**row(exchange), **exchange.options, "stream": exchange.streamed}
    if base == path:  # the vendor's is another
        base, _, name = path.rpartition("/")
        options["path"] = f"/{name}"
    return AdapterSettings(name=NAME, adapter=NAME, base_url=url + base, api_key="sk-replay", options=options)


def not_applicable(exchange: Exchange) -> str:
    """Why an exchange says nothing about this adapter."""
    if exchange.expected["kind"] == "malformed":
        return "not readable as the protocol"
    return ""


DIALECT = ChatDialect(
    name=NAME,
    protocols=frozenset({"openai.chat"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=ALLOWED,
    normal=normal,
    recorded=recorded,
    not_applicable=not_applicable,
)
