"""Ollama's own API: recordings of /api/chat and /api/embed in neutral words, and requests in one spelling."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.embedding import EmbedDialect, texts
from tests.conformance.exchange import Exchange

NAME = "ollama"
FINISH = {
    "stop": chat_pb2.FINISH_REASON_STOP,
    "load": chat_pb2.FINISH_REASON_STOP,
    "length": chat_pb2.FINISH_REASON_MAX_TOKENS,
}
ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "user": content_pb2.ROLE_USER,
    "assistant": content_pb2.ROLE_ASSISTANT,
    "tool": content_pb2.ROLE_TOOL,
}
EFFORTS = {
    False: chat_pb2.REASONING_EFFORT_NONE,
    True: chat_pb2.REASONING_EFFORT_MEDIUM,
    "low": chat_pb2.REASONING_EFFORT_LOW,
    "medium": chat_pb2.REASONING_EFFORT_MEDIUM,
    "high": chat_pb2.REASONING_EFFORT_HIGH,
}
SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "num_predict": "max_output_tokens",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
REASONS = {
    400: Reason.PROVIDER_REJECTED_REQUEST,
    401: Reason.PROVIDER_AUTH_FAILED,
    404: Reason.MODEL_NOT_FOUND,
    429: Reason.PROVIDER_RATE_LIMITED,
    500: Reason.PROVIDER_UNAVAILABLE,
    503: Reason.PROVIDER_UNAVAILABLE,
    200: Reason.PROVIDER_UNAVAILABLE,
}

ALLOWED = (
    Allowed(r"messages\[\d+\]\.tool_calls\[\d+\]\.id", "newer servers know calls by id", ABSENT),
    Allowed(r"messages\[\d+\]\.(tool_call_id|tool_name)", "newer servers know results by their call", ABSENT),
    Allowed(r"truncate", "a long input is an error unless the caller says otherwise", ABSENT, False),
    Allowed(r"input", "one text is a list of one"),
)


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    options = {**exchange.options, "stream": exchange.streamed}
    return AdapterSettings(name=NAME, adapter=NAME, base_url=url, api_key="key-of-ollama", options=options)


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    asked = dict(exchange.asked)
    if not asked:
        asked = {"model": exchange.expected.get("model") or "m", "messages": [{"role": "user", "content": "hi"}]}
    request = chat_pb2.ChatRequest(model=asked.pop("model"))
    for message in asked.pop("messages"):
        request.messages.append(_message(message))
    for tool in asked.pop("tools", None) or ():
        request.tools.append(_tool(tool["function"]))
    _options(asked, request)
    wanted = asked.pop("format", None)
    if wanted == "json":
        request.response_format.json_object.SetInParent()
    elif wanted:
        request.response_format.json_schema.schema_json = json.dumps(wanted)
    if "think" in asked:
        request.reasoning.effort = EFFORTS[asked.pop("think")]
    if asked.pop("logprobs", None):
        request.include.append(chat_pb2.CHAT_INCLUDE_LOGPROBS)
    if top := asked.pop("top_logprobs", None):
        request.generation.top_logprobs = top
    asked.pop("stream", None)
    _rest(asked, request)
    return request


def _rest(asked: Mapping[str, Any], request: Any) -> None:
    """What the contract has no word for is said raw."""
    rest = {name: value for name, value in asked.items() if value is not None}
    if rest:
        request.provider_options_json[NAME] = json.dumps(rest)


def _message(told: Mapping[str, Any]) -> content_pb2.Message:
    message = content_pb2.Message(role=ROLES[told["role"]])
    if message.role == content_pb2.ROLE_TOOL:
        result = message.parts.add().tool_result
        result.tool_call_id, result.name = told.get("tool_call_id", ""), told.get("tool_name", "")
        result.content.add(text=told["content"])
        return message
    if told.get("thinking"):
        message.parts.add().reasoning.text = told["thinking"]
    if told.get("content"):
        message.parts.add(text=told["content"])
    for image in told.get("images") or ():
        media = content_pb2.Media(modality=common_pb2.MODALITY_IMAGE, data=base64.b64decode(image))
        message.parts.add(media=media)
    for call in told.get("tool_calls") or ():
        part = message.parts.add().tool_call
        part.id, part.name = call.get("id", ""), call["function"]["name"]
        part.arguments_json = json.dumps(call["function"]["arguments"])
    return message


def _tool(told: Mapping[str, Any]) -> chat_pb2.ToolSpec:
    function = chat_pb2.FunctionTool(name=told["name"], description=told.get("description") or "")
    function.input_schema_json = json.dumps(told["parameters"])
    return chat_pb2.ToolSpec(function=function)


def _options(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    options = dict(asked.pop("options", None) or {})
    for theirs, name in SAMPLING.items():
        if theirs in options:
            setattr(request.generation, name, options.pop(theirs))
    if stop := options.pop("stop", None):
        request.generation.stop_sequences.extend(stop)
    if options:
        asked["options"] = options


def expected(exchange: Exchange) -> Expected:
    told = exchange.expected
    said = {"text": told["text"], "reasoning": told["reasoning_text"]}
    if error := told.get("error"):
        words = error.get("message") or ""
        reason = Reason.MODEL_NOT_FOUND if "try pulling it" in words else REASONS[error["status"]]
        return Expected(**said, reason=reason)
    if told["finish_reason"] is None and exchange.streamed:
        return Expected(**said, reason=Reason.STREAM_BROKEN)
    calls = [ExpectedCall(call["id"], call["name"], call["arguments"]) for call in told["tool_calls"]]
    finish = FINISH.get(told["finish_reason"])
    return Expected(
        **said,
        calls=calls,
        finish=chat_pb2.FINISH_REASON_TOOL_CALLS if calls and finish == chat_pb2.FINISH_REASON_STOP else finish,
        finish_word=told["finish_reason"],
        usage={"input_tokens": told["input_tokens"], "output_tokens": told["output_tokens"]},
        model=told["model"],
    )


def normal(body: Any) -> Any:
    """What is empty is not said, and streaming is the usual way."""
    if not isinstance(body, dict):
        return body
    same = {name: value for name, value in body.items() if value not in (None, "", [], {})}
    same["stream"] = body.get("stream", True)
    same.pop("stream" if "input" in body else "", None)
    for message in same.get("messages", []):
        if not message.get("content"):
            message["content"] = ""
    return same


CHAT = ChatDialect(
    name=NAME,
    protocols=frozenset({"ollama.chat"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=ALLOWED,
    normal=normal,
    events=lambda body: [line + b"\n" for line in body.split(b"\n") if line],
    garbage=b'{"model":"m","mess\n',
    failure=lambda status, message: json.dumps({"error": message}).encode(),
    content_types={True: "application/x-ndjson", False: "application/json"},
)


def embedded(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    asked = dict(exchange.asked)
    said = asked.pop("input", [""] * (exchange.expected.get("embedding") or {}).get("count", 1))
    request = texts(*([said] if isinstance(said, str) else said), model=asked.pop("model", "m"))
    if dimensions := asked.pop("dimensions", None):
        request.dimensions = dimensions
    request.truncate = asked.pop("truncate", False)
    _rest(asked, request)
    return request


EMBED = EmbedDialect(
    name=NAME,
    protocols=frozenset({"ollama.embed"}),
    settings=settings,
    ours=embedded,
    reasons=REASONS,
    allowed=ALLOWED,
    normal=normal,
    not_applicable=lambda exchange: (
        "/api/embeddings, one prompt and one vector, has been superseded by /api/embed"
        if exchange.path.endswith("/api/embeddings")
        else ""
    ),
)


def unspoken(exchange: Exchange) -> str:
    return "/api/generate takes a prompt without roles; the adapter speaks /api/chat"


GENERATE = ChatDialect(
    name=NAME,
    protocols=frozenset({"ollama.generate"}),
    settings=settings,
    ours=ours,
    expected=expected,
    not_applicable=unspoken,
)

DIALECTS = [CHAT, EMBED, GENERATE]
