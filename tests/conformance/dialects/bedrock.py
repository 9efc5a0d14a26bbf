"""Converse and ConverseStream: recordings in neutral words, and requests in one spelling."""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.bedrock.conversation import DOCUMENTS, IMAGES, VIDEOS
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.embedding import EmbedDialect
from tests.conformance.exchange import Exchange

Block = dict[str, Any]

NAME = "bedrock"
KEY = "AKIAIOSFODNN7EXAMPLE:replayed-secret"
PLAIN = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
MEDIA = {
    "image": (common_pb2.MODALITY_IMAGE, IMAGES),
    "document": (common_pb2.MODALITY_DOCUMENT, DOCUMENTS),
    "video": (common_pb2.MODALITY_VIDEO, VIDEOS),
}
TTLS = {"5m": 300, "1h": 3600}
FINISH = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "guardrail_intervened": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "content_filtered": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "malformed_tool_use": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
}
REASONS = {
    400: Reason.PROVIDER_REJECTED_REQUEST,
    403: Reason.PROVIDER_AUTH_FAILED,
    404: Reason.MODEL_NOT_FOUND,
    408: Reason.PROVIDER_TIMEOUT,
    424: Reason.PROVIDER_UNAVAILABLE,
    429: Reason.PROVIDER_RATE_LIMITED,
    500: Reason.PROVIDER_UNAVAILABLE,
    503: Reason.PROVIDER_UNAVAILABLE,
}
CODES = {
    "ServiceQuotaExceededException": Reason.PROVIDER_QUOTA_EXHAUSTED,
    "ModelNotReadyException": Reason.PROVIDER_UNAVAILABLE,
    "throttlingException": Reason.PROVIDER_RATE_LIMITED,
    "modelStreamErrorException": Reason.PROVIDER_UNAVAILABLE,
    "validationException": Reason.PROVIDER_REJECTED_REQUEST,
}
WORDS = {
    "model identifier is invalid": Reason.MODEL_NOT_FOUND,
    "Too many requests": Reason.PROVIDER_RATE_LIMITED,
    "Input is too long": Reason.CONTEXT_OVERFLOW,
}

ALLOWED = (
    Allowed(r"messages\[\d+\]\.content\[\d+\]\.toolResult\.status", "success is not said", "success", ABSENT),
    Allowed(r"messages\[\d+\]\.content\[\d+\]\.video\.format", "a media type for its format", "video/mp4", "mp4"),
    Allowed(r"toolConfig\.tools\[\d+\]\.toolSpec\.strict", "false is not said", False, ABSENT),
    Allowed(r"toolConfig\.tools\[\d+\]\.toolSpec\.description", "an empty description is not said", "", ABSENT),
)


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    options = {"region": "us-east-1", **exchange.options, "stream": exchange.streamed}
    return AdapterSettings(name=NAME, adapter=NAME, base_url=url, api_key=KEY, options=options)


# Their request in our words.


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    asked = dict(exchange.asked or PLAIN)
    parts = exchange.path.split("/")
    request = chat_pb2.ChatRequest(model=unquote(parts[2]) if len(parts) > 2 else "amazon.nova-micro-v1:0")
    request.system.extend(_parts(asked.pop("system", [])))
    for message in asked.pop("messages"):
        _message(request, message)
    _sampling(asked, request)
    _tools(asked, request)
    _format(asked, request)
    if tier := asked.pop("serviceTier", None):
        request.generation.service_tier = tier["type"]
    if asked:
        request.provider_options_json[NAME] = json.dumps(asked)
    return request


def _message(request: chat_pb2.ChatRequest, message: Mapping[str, Any]) -> None:
    role = content_pb2.ROLE_ASSISTANT if message["role"] == "assistant" else content_pb2.ROLE_USER
    results = [block for block in message["content"] if "toolResult" in block and role == content_pb2.ROLE_USER]
    if results:
        request.messages.add(role=content_pb2.ROLE_TOOL, parts=_parts(results))
    rest = _parts([block for block in message["content"] if block not in results])
    if rest or not results:
        request.messages.add(role=role, parts=rest)


def _parts(blocks: list[Block]) -> list[content_pb2.Part]:
    parts: list[content_pb2.Part] = []
    for block in blocks:
        if "cachePoint" in block and parts:
            point = parts[-1].cache_breakpoint
            point.SetInParent()
            if ttl := block["cachePoint"].get("ttl"):
                point.ttl.seconds = TTLS[ttl]
            continue
        parts.append(_part(block))
    return parts


def _part(block: Block) -> content_pb2.Part:
    kind = next(iter(block))
    told = block[kind]
    part = content_pb2.Part()
    if kind == "text":
        part.text = told
    elif kind in MEDIA and _plain(kind, told):
        part.media.CopyFrom(_media(kind, told))
    elif kind == "toolUse":
        part.tool_call.CopyFrom(
            content_pb2.ToolCall(id=told["toolUseId"], name=told["name"], arguments_json=json.dumps(told["input"]))
        )
        if told.get("type") == "server_tool_use":
            part.tool_call.executor = content_pb2.TOOL_EXECUTOR_PROVIDER
            _state(part, "server_tool_use", b"server_tool_use")
    elif kind == "toolResult" and "type" not in told:
        part.tool_result.CopyFrom(_result(told))
    elif kind == "reasoningContent" and "reasoningText" in told:
        part.reasoning.text = told["reasoningText"]["text"]
        _state(part, "signature", told["reasoningText"]["signature"].encode())
    elif kind == "reasoningContent":
        part.reasoning.redacted = True
        _state(part, "redacted_content", told["redactedContent"].encode())
    elif kind == "citationsContent":
        part.text = "".join(piece["text"] for piece in told["content"])
        for citation in told["citations"]:
            part.citations.add(provider_json=json.dumps(citation))
        _state(part, "citations_content", b"citations_content")
    else:
        part.opaque.CopyFrom(content_pb2.OpaqueBlock(provider=NAME, type=kind, json=json.dumps(block)))
    return part


def _plain(kind: str, told: Block) -> bool:
    """Has it nothing that the contract has no word for?"""
    known = {"format", "source", "name", "context"} if kind == "document" else {"format", "source"}
    return set(told) <= known and next(iter(told["source"])) in ("bytes", "s3Location")


def _media(kind: str, told: Block) -> content_pb2.Media:
    modality, formats = MEDIA[kind]
    mime = next((mime for mime, name in formats.items() if name == told["format"]), told["format"])
    media = content_pb2.Media(modality=modality, mime_type=mime)
    media.filename, media.description = told.get("name", ""), told.get("context", "")
    if "bytes" in told["source"]:
        media.data = base64.b64decode(told["source"]["bytes"])
    else:
        media.uri = told["source"]["s3Location"]["uri"]
    return media


def _result(told: Block) -> content_pb2.ToolResult:
    result = content_pb2.ToolResult(tool_call_id=told["toolUseId"], is_error=told.get("status") == "error")
    content = told["content"]
    if len(content) == 1 and "json" in content[0]:
        result.structured_json = json.dumps(content[0]["json"])
    else:
        result.content.extend(_parts(content))
    return result


def _state(part: content_pb2.Part, kind: str, data: bytes) -> None:
    part.provider_state.CopyFrom(content_pb2.ProviderState(provider=NAME, kind=kind, data=data))


def _sampling(asked: Block, request: chat_pb2.ChatRequest) -> None:
    told = asked.pop("inferenceConfig", {})
    for theirs, name in (("maxTokens", "max_output_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        if theirs in told:
            setattr(request.generation, name, told[theirs])
    request.generation.stop_sequences.extend(told.get("stopSequences", []))
    extra = asked.get("additionalModelRequestFields", {})
    if extra == {"inferenceConfig": {"topK": 10}}:
        request.generation.top_k = 10
        del asked["additionalModelRequestFields"]
    elif extra.get("thinking", {}).get("type") == "enabled" and set(extra) == {"thinking"}:
        request.reasoning.max_tokens = extra["thinking"]["budget_tokens"]
        del asked["additionalModelRequestFields"]


def _tools(asked: Block, request: chat_pb2.ChatRequest) -> None:
    told = asked.pop("toolConfig", {})
    for tool in told.get("tools", []):
        spec = tool.get("toolSpec")
        if spec is None:
            request.tools.add(provider=chat_pb2.ProviderTool(name="own", config_json=json.dumps(tool)))
            continue
        function = chat_pb2.FunctionTool(name=spec["name"], description=spec.get("description", ""))
        function.input_schema_json = json.dumps(spec["inputSchema"]["json"])
        function.strict = spec.get("strict", False)
        request.tools.add(function=function)
    match told.get("toolChoice"):
        case {"any": _}:
            request.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
        case {"auto": _}:
            request.tool_choice.mode = chat_pb2.TOOL_MODE_AUTO
        case {"tool": named}:
            request.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
            request.tool_choice.allowed_tools.append(named["name"])
        case _:
            pass


def _format(asked: Block, request: chat_pb2.ChatRequest) -> None:
    if told := asked.pop("outputConfig", None):
        schema = told["textFormat"]["structure"]["jsonSchema"]
        wanted = request.response_format.json_schema
        wanted.schema_json, wanted.name = schema["schema"], schema.get("name", "")
        wanted.description = schema.get("description", "")


# What the answer is, in our words.


def expected(exchange: Exchange) -> Expected:
    told = exchange.expected
    if error := told.get("error"):
        return Expected(text=told["text"], reasoning=told["reasoning_text"], reason=_reason(error), code=error["code"])
    if told["finish_reason"] is None:
        return Expected(text=told["text"], reasoning=told["reasoning_text"], reason=Reason.STREAM_BROKEN)
    return Expected(
        text=_text(exchange),
        reasoning=told["reasoning_text"],
        calls=[ExpectedCall(c["id"], c["name"], c["arguments"], c["arguments_raw"]) for c in told["tool_calls"]],
        finish=FINISH[told["finish_reason"]],
        finish_word=told["finish_reason"],
        usage=_usage(told),
    )


def _text(exchange: Exchange) -> str:
    """Cited text is text: the facts have it apart, and do not say where it stands."""
    if not exchange.expected.get("text_in_citations"):
        return str(exchange.expected["text"])
    blocks = json.loads(exchange.body)["output"]["message"]["content"]
    texts = ([block] if "text" in block else block.get("citationsContent", {}).get("content", []) for block in blocks)
    return "".join(piece["text"] for pieces in texts for piece in pieces)


def _usage(told: Mapping[str, Any]) -> dict[str, int | None]:
    read, written = told["cached_tokens"], told["cache_write_tokens"]
    spent = told["input_tokens"]
    return {
        "input_tokens": None if spent is None else spent + (read or 0) + (written or 0),
        "output_tokens": told["output_tokens"],
        "cache_read_input_tokens": read,
        "cache_write_input_tokens": written,
        "total_tokens": told["total_tokens"],
    }


def _reason(error: Mapping[str, Any]) -> Reason:
    if error["code"] in CODES:
        return CODES[error["code"]]
    for words, reason in WORDS.items():
        if words in error["message"]:
            return reason
    return REASONS[error["status"]]


# One spelling.


def normal(body: Any) -> Any:
    """Turns joined, empty settings left out."""
    if not isinstance(body, dict):
        return body
    same = {name: value for name, value in body.items() if value not in ({}, [], None)}
    turns: list[Block] = []
    for message in same.get("messages", []):
        if not turns or turns[-1]["role"] != message["role"]:
            turns.append({"role": message["role"], "content": []})
        turns[-1]["content"] += message["content"]
    same["messages"] = turns
    return same


def events(body: bytes) -> list[bytes]:
    """The frames."""
    frames = []
    while body:
        (size,) = struct.unpack_from(">I", body)
        frames.append(body[:size])
        body = body[size:]
    return frames


CONVERSE = ChatDialect(
    name=NAME,
    protocols=frozenset({"bedrock.converse", "bedrock.converse_stream"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=ALLOWED,
    normal=normal,
    events=events,
    garbage=bytes(32),
    failure=lambda status, message: json.dumps({"message": message}).encode(),
    content_types={True: "application/vnd.amazon.eventstream", False: "application/json"},
)


# InvokeModel: the adapter speaks it for vectors alone.


def embedded(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    asked = dict(exchange.asked or {"inputText": "Hello"})
    request = embedding_pb2.EmbedRequest(model=unquote(exchange.path.split("/")[2]))
    for text in asked.pop("texts", None) or [asked.pop("inputText")]:
        request.inputs.add(text=text)
    if dimensions := asked.pop("dimensions", None) or asked.pop("output_dimension", None):
        request.dimensions = dimensions
    if asked:
        request.provider_options_json[NAME] = json.dumps(asked)
    return request


def unspoken(exchange: Exchange) -> str:
    if exchange.expected["kind"] == "embeddings" and exchange.path.startswith("/model/"):
        return ""
    return "each vendor's own format of chat; the adapter asks the same models by Converse, which is one for all"


INVOKE = EmbedDialect(
    name=NAME,
    protocols=frozenset({"bedrock.invoke", "bedrock.invoke_stream"}),
    settings=settings,
    ours=embedded,
    reasons=REASONS,
    not_applicable=unspoken,
)

DIALECTS = [CONVERSE, INVOKE]
