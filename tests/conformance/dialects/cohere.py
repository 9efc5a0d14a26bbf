"""Cohere's second API: recordings of chat and embed in neutral words, and requests in one spelling."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.wire.body import read_data_url
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed, Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.embedding import EmbedDialect, texts
from tests.conformance.exchange import Exchange

NAME = "cohere"
FINISH = {
    "COMPLETE": chat_pb2.FINISH_REASON_STOP,
    "STOP_SEQUENCE": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "TOOL_CALL": chat_pb2.FINISH_REASON_TOOL_CALLS,
}
ROLES = {
    "system": content_pb2.ROLE_SYSTEM,
    "user": content_pb2.ROLE_USER,
    "assistant": content_pb2.ROLE_ASSISTANT,
    "tool": content_pb2.ROLE_TOOL,
}
MODES = {"REQUIRED": chat_pb2.TOOL_MODE_REQUIRED, "NONE": chat_pb2.TOOL_MODE_NONE}
SAMPLING = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "max_tokens": "max_output_tokens",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
PURPOSES = {
    "search_query": embedding_pb2.EMBEDDING_PURPOSE_QUERY,
    "search_document": embedding_pb2.EMBEDDING_PURPOSE_DOCUMENT,
    "classification": embedding_pb2.EMBEDDING_PURPOSE_CLASSIFICATION,
    "clustering": embedding_pb2.EMBEDDING_PURPOSE_CLUSTERING,
}
REASONS = {
    200: Reason.PROVIDER_UNAVAILABLE,
    400: Reason.PROVIDER_REJECTED_REQUEST,
    401: Reason.PROVIDER_AUTH_FAILED,
    402: Reason.PROVIDER_QUOTA_EXHAUSTED,
    403: Reason.PROVIDER_AUTH_FAILED,
    404: Reason.MODEL_NOT_FOUND,
    422: Reason.PROVIDER_REJECTED_REQUEST,
    429: Reason.PROVIDER_RATE_LIMITED,
    498: Reason.PROMPT_BLOCKED,
    500: Reason.PROVIDER_UNAVAILABLE,
    503: Reason.PROVIDER_UNAVAILABLE,
}


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    options = {**exchange.options, "stream": exchange.streamed}
    return AdapterSettings(name=NAME, adapter=NAME, base_url=url, api_key="key-of-cohere", options=options)


# Their request in our words.


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    asked = dict(exchange.asked or {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "hi"}]})
    request = chat_pb2.ChatRequest(model=asked.pop("model"))
    for message in asked.pop("messages"):
        request.messages.append(_message(message))
    for document in asked.pop("documents", None) or ():
        media = request.messages[-1].parts.add().media
        media.modality, media.mime_type = common_pb2.MODALITY_DOCUMENT, "text/plain"
        media.filename, media.description = document["id"], document["data"].get("title", "")
        media.data = document["data"]["text"].encode()
    _tools(asked, request)
    _sampling(asked, request)
    _format(asked, request)
    asked.pop("stream", None)
    if asked:
        request.provider_options_json[NAME] = json.dumps(asked)
    return request


def _message(told: Mapping[str, Any]) -> content_pb2.Message:
    message = content_pb2.Message(role=ROLES[told["role"]])
    if message.role == content_pb2.ROLE_TOOL:
        result = message.parts.add().tool_result
        result.tool_call_id = told["tool_call_id"]
        content = told["content"]
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "document":
            result.structured_json = json.dumps(content[0]["document"]["data"])
        else:
            result.content.extend(_parts(content))
        return message
    if plan := told.get("tool_plan"):
        part = message.parts.add()
        part.reasoning.text = plan
        _state(part, "tool_plan")
    message.parts.extend(_parts(told.get("content")))
    for call in told.get("tool_calls") or ():
        part = message.parts.add()
        part.tool_call.id, part.tool_call.name = call["id"], call["function"]["name"]
        part.tool_call.arguments_json = call["function"]["arguments"]
    return message


def _parts(content: Any) -> list[content_pb2.Part]:
    if not content:
        return []
    return [content_pb2.Part(text=content)] if isinstance(content, str) else [_part(block) for block in content]


def _part(block: Mapping[str, Any]) -> content_pb2.Part:
    part = content_pb2.Part()
    match block["type"]:
        case "text":
            part.text = block["text"]
        case "thinking":
            part.reasoning.text = block["thinking"]
            _state(part, "thinking")
        case "image_url":
            image = block["image_url"]
            part.media.modality, part.media.detail = common_pb2.MODALITY_IMAGE, image.get("detail", "")
            if read := read_data_url(image["url"]):
                part.media.mime_type, part.media.data = read
            else:
                part.media.uri = image["url"]
        case kind:
            part.opaque.CopyFrom(content_pb2.OpaqueBlock(provider=NAME, type=kind, json=json.dumps(block)))
    return part


def _state(part: content_pb2.Part, kind: str) -> None:
    part.provider_state.CopyFrom(content_pb2.ProviderState(provider=NAME, kind=kind, data=kind.encode()))


def _tools(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    strict = asked.pop("strict_tools", False)
    for tool in asked.pop("tools", None) or ():
        told = tool["function"]
        function = chat_pb2.FunctionTool(name=told["name"], description=told.get("description") or "", strict=strict)
        function.input_schema_json = json.dumps(told["parameters"])
        request.tools.add(function=function)
    if request.tools and (choice := asked.pop("tool_choice", None)):
        request.tool_choice.mode = MODES[choice]


def _sampling(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    for theirs, name in SAMPLING.items():
        if theirs in asked:
            setattr(request.generation, name, asked.pop(theirs))
    request.generation.stop_sequences.extend(asked.pop("stop_sequences", None) or [])
    if asked.pop("logprobs", None):
        request.include.append(chat_pb2.CHAT_INCLUDE_LOGPROBS)
    if thinking := asked.pop("thinking", None):
        if thinking["type"] == "disabled":
            request.reasoning.effort = chat_pb2.REASONING_EFFORT_NONE
        elif "token_budget" in thinking:
            request.reasoning.max_tokens = thinking["token_budget"]
        else:
            request.reasoning.effort = chat_pb2.REASONING_EFFORT_MEDIUM


def _format(asked: dict[str, Any], request: chat_pb2.ChatRequest) -> None:
    wanted = asked.pop("response_format", None) or {}
    schema = wanted.get("schema") or wanted.get("json_schema")
    if schema:
        request.response_format.json_schema.schema_json = json.dumps(schema)
    elif wanted.get("type") == "json_object":
        request.response_format.json_object.SetInParent()
    elif wanted:
        request.response_format.text.SetInParent()


# What the answer is, in our words.


def expected(exchange: Exchange) -> Expected:
    told = exchange.expected
    said: dict[str, Any] = {
        "text": told["text"],
        "reasoning": told.get("tool_plan", "") + told["reasoning_text"],  # the facts have the plan apart
    }
    if error := told.get("error"):
        return Expected(**said, reason=REASONS[error["status"]], code=error["code"])
    if told["finish_reason"] is None and exchange.streamed:
        return Expected(**said, reason=Reason.STREAM_BROKEN)
    return Expected(
        **said,
        calls=[ExpectedCall(c["id"], c["name"], c["arguments"], c["arguments_raw"]) for c in told["tool_calls"]],
        finish=FINISH.get(told["finish_reason"]),
        finish_word=told["finish_reason"],
        usage={
            "input_tokens": told["input_tokens"],
            "output_tokens": told["output_tokens"],
            "cache_read_input_tokens": told["cached_tokens"],
        },
        response_id=told["response_id"],
    )


def normal(body: Any) -> Any:
    """One spelling: what is null is not said, one text is a text, the schema has its older name."""
    if not isinstance(body, dict):
        return body
    same = {name: value for name, value in body.items() if value is not None}
    if "json_schema" in same.get("response_format", {}):
        wanted = dict(same["response_format"])
        same["response_format"] = {**wanted, "schema": wanted.pop("json_schema")}
    same["messages"] = [_normal_message(message) for message in body.get("messages", ())]
    return same


def _normal_message(message: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: value for name, value in message.items() if value not in (None, "")}
    content = same.get("content")
    if isinstance(content, list) and len(content) == 1 and set(content[0]) == {"type", "text"}:
        same["content"] = content[0]["text"]
    return same


CHAT = ChatDialect(
    name=NAME,
    protocols=frozenset({"cohere.chat_v2"}),
    settings=settings,
    ours=ours,
    expected=expected,
    allowed=(Allowed(r"tools\[\d+\]\.function\.description", "an empty description is not said", "", ABSENT),),
    normal=normal,
    garbage=b'event: content-delta\ndata: {"type":"content-delta","ind\n\n',
    failure=lambda status, message: json.dumps({"id": "e-1", "message": message}).encode(),
)


# Vectors.


class CohereEmbed(EmbedDialect):
    """The first API's embed has the same request and the same answer; its recordings count for the second's."""

    async def play(self, exchange: Exchange) -> list[str]:
        return await super().play(replace(exchange, path=exchange.path.replace("/v1/", "/v2/")))


def embedded(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    asked = dict(exchange.asked)
    count = (exchange.expected.get("embedding") or {}).get("count", 1)
    request = texts(*asked.pop("texts", [""] * count), model=asked.pop("model", "embed-v4.0"))
    request.purpose = PURPOSES[asked.pop("input_type", "search_document")]
    request.truncate = (asked.pop("truncate", None) or "NONE") == "END"
    if dimensions := asked.pop("output_dimension", None):
        request.dimensions = dimensions
    if asked:
        request.provider_options_json[NAME] = json.dumps(asked)
    return request


EMBED = CohereEmbed(
    name=NAME,
    protocols=frozenset({"cohere.embed"}),
    settings=settings,
    ours=embedded,
    reasons=REASONS,
    allowed=(
        Allowed(r"truncate", "a long input is an error unless the caller says otherwise", None, "NONE"),
        Allowed(r"truncate", "a long input is an error unless the caller says otherwise", ABSENT, "NONE"),
    ),
)

DIALECTS = [CHAT, EMBED]
