"""Messages: recordings in neutral words, and requests in one spelling, so that two of one meaning are the same."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import duration_pb2

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import Expected, ExpectedCall
from tests.conformance.dialect import ChatDialect
from tests.conformance.exchange import Exchange

Block = dict[str, Any]

EFFORTS = {
    "low": chat_pb2.REASONING_EFFORT_LOW,
    "medium": chat_pb2.REASONING_EFFORT_MEDIUM,
    "high": chat_pb2.REASONING_EFFORT_HIGH,
    "max": chat_pb2.REASONING_EFFORT_MAX,
}
ADAPTIVE = ({"type": "adaptive"}, {"type": "adaptive", "display": "summarized"})
MODES = {
    "auto": chat_pb2.TOOL_MODE_AUTO,
    "any": chat_pb2.TOOL_MODE_REQUIRED,
    "tool": chat_pb2.TOOL_MODE_REQUIRED,
    "none": chat_pb2.TOOL_MODE_NONE,
}
TTLS = {"5m": 300, "1h": 3600}
FINISH = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "pause_turn": chat_pb2.FINISH_REASON_PAUSED,
    "refusal": chat_pb2.FINISH_REASON_REFUSAL,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
}
REASONS = {
    "invalid_request_error": Reason.PROVIDER_REJECTED_REQUEST,
    "request_too_large": Reason.PROVIDER_REJECTED_REQUEST,
    "authentication_error": Reason.PROVIDER_AUTH_FAILED,
    "permission_error": Reason.PROVIDER_AUTH_FAILED,
    "billing_error": Reason.PROVIDER_QUOTA_EXHAUSTED,
    "not_found_error": Reason.MODEL_NOT_FOUND,
    "rate_limit_error": Reason.PROVIDER_RATE_LIMITED,
    "timeout_error": Reason.PROVIDER_TIMEOUT,
    "api_error": Reason.PROVIDER_UNAVAILABLE,
    "overloaded_error": Reason.PROVIDER_UNAVAILABLE,
}
WORDS = (
    (re.compile("prompt is too long|exceed context limit"), Reason.CONTEXT_OVERFLOW),
    (re.compile("content filtering policy"), Reason.PROMPT_BLOCKED),
    (re.compile("credit balance"), Reason.PROVIDER_QUOTA_EXHAUSTED),
)
VERTEX = re.compile(r"/v1/projects/([^/]+)/locations/([^/]+)/publishers/anthropic/models/([^/:]+):\w+")
PLAIN = {"messages": [{"role": "user", "content": "Hello"}], "model": "claude-sonnet-4-5", "max_tokens": 1024}

FUNCTION = {
    "name",
    "description",
    "input_schema",
    "strict",
}  # what a declared function may say; a tool of more is theirs
CALLS = ("server_tool_use", "mcp_tool_use")


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    options = {"stream": exchange.streamed, **exchange.options}
    if on_vertex := VERTEX.fullmatch(exchange.path):
        options["vertex"] = {"project": on_vertex[1], "region": on_vertex[2]}
        url += "/v1"
    return AdapterSettings(name="anthropic", adapter="anthropic", base_url=url, api_key="sk-ant-0", options=options)


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    request = neutral(exchange.asked or PLAIN, "anthropic")
    if on_vertex := VERTEX.fullmatch(exchange.path):
        request.model = on_vertex[3]
    return request


def expected(exchange: Exchange) -> Expected:
    """What an independent reader found, in our classes: tokens of the cache are input too."""
    told = exchange.expected
    if error := told.get("error"):
        reason = REASONS.get(error["type"] or "", Reason.PROVIDER_REJECTED_REQUEST)
        if reason is Reason.PROVIDER_REJECTED_REQUEST:
            reason = next((said for words, said in WORDS if words.search(error["message"] or "")), reason)
        return Expected(told["text"], told["reasoning_text"], reason=reason, code=error["type"])
    cached, written = told["cached_tokens"] or 0, told["cache_write_tokens"] or 0
    known = told["input_tokens"] is not None
    finish = FINISH.get(told["finish_reason"], chat_pb2.FINISH_REASON_OTHER)
    if finish == chat_pb2.FINISH_REASON_STOP and told["tool_calls"]:
        finish = chat_pb2.FINISH_REASON_TOOL_CALLS  # whatever it is called there, the caller has to answer them
    return Expected(
        text=told["text"],
        reasoning=told["reasoning_text"],
        calls=[ExpectedCall(call["id"], call["name"], call["arguments"]) for call in told["tool_calls"]],
        finish=finish,
        finish_word=told["finish_reason"],
        usage={
            "input_tokens": told["input_tokens"] + cached + written if known else None,
            "output_tokens": told["output_tokens"],
            "cache_read_input_tokens": cached,
            "cache_write_input_tokens": written,
            "reasoning_output_tokens": told["reasoning_tokens"],
            "source": common_pb2.USAGE_SOURCE_PROVIDER if known else None,
        },
        model=told["model"],
        response_id=told["response_id"],
    )


def neutral(body: Mapping[str, Any], provider: str) -> chat_pb2.ChatRequest:
    """The request that somebody would make of Maestro to have this one sent; what has no field goes as an option."""
    rest = dict(body)
    for name in ("model", "messages", "stream", "anthropic_version"):
        rest.pop(name, None)
    request = chat_pb2.ChatRequest(model=body.get("model", ""))
    request.system.extend(_parts(rest.pop("system", []), provider))
    for message in body["messages"]:
        request.messages.extend(_messages(message, provider))
    request.tools.extend(_tool(tool) for tool in rest.pop("tools", []))
    if choice := rest.pop("tool_choice", None):
        request.tool_choice.mode = MODES[choice["type"]]
        request.tool_choice.allowed_tools.extend([choice["name"]] if "name" in choice else [])
        request.tool_choice.disable_parallel = choice.get("disable_parallel_tool_use", False)
    generation = request.generation
    if "max_tokens" in rest:
        generation.max_output_tokens = rest.pop("max_tokens")
    if "temperature" in rest:
        generation.temperature = rest.pop("temperature")
    if "top_p" in rest:
        generation.top_p = rest.pop("top_p")
    if "top_k" in rest:
        generation.top_k = rest.pop("top_k")
    generation.stop_sequences.extend(rest.pop("stop_sequences", []))
    request.end_user = (rest.pop("metadata", None) or {}).get("user_id", "")
    _reasoning(request, rest)
    _format(request, rest)
    if rest:
        request.provider_options_json[provider] = json.dumps(rest)
    return request


def _reasoning(request: chat_pb2.ChatRequest, rest: Block) -> None:
    thinking, output = rest.get("thinking", {}), dict(rest.get("output_config", {}))
    if set(thinking) == {"type", "budget_tokens"}:
        request.reasoning.max_tokens = thinking["budget_tokens"]
        del rest["thinking"]
    elif thinking in ADAPTIVE and output.get("effort") in EFFORTS:
        request.reasoning.effort = EFFORTS[output.pop("effort")]
        request.reasoning.summary = "display" in thinking
        del rest["thinking"]
    if "output_config" in rest:
        rest["output_config"] = output


def _format(request: chat_pb2.ChatRequest, rest: Block) -> None:
    output = rest.get("output_config", {})
    made = output.pop("format", None) or rest.pop("output_format", None)
    if made:
        request.response_format.json_schema.schema_json = json.dumps(made["schema"])
    if not output:
        rest.pop("output_config", None)


def _tool(tool: Block) -> chat_pb2.ToolSpec:
    if set(tool) <= FUNCTION:
        function = chat_pb2.FunctionTool(
            name=tool["name"],
            description=tool.get("description", ""),
            input_schema_json=json.dumps(tool["input_schema"]),
            strict=bool(tool.get("strict")),
        )
        return chat_pb2.ToolSpec(function=function)
    config = json.dumps({"type": "custom"} | tool)
    return chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name=tool["name"], config_json=config))


def _messages(message: Block, provider: str) -> Iterator[content_pb2.Message]:
    role, content = message["role"], message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role == "user":
        results = [block for block in blocks if block["type"] == "tool_result"]
        blocks = [block for block in blocks if block["type"] != "tool_result"]
        if results:
            yield content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=_parts(results, provider))
    if blocks:
        roles = {
            "user": content_pb2.ROLE_USER,
            "assistant": content_pb2.ROLE_ASSISTANT,
            "system": content_pb2.ROLE_SYSTEM,
        }
        yield content_pb2.Message(role=roles[role], parts=_parts(blocks, provider))


def _parts(content: str | list[Block], provider: str) -> list[content_pb2.Part]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_part(block, provider) for block in blocks]


def _part(block: Block, provider: str) -> content_pb2.Part:
    part = _bare(block, provider)
    if part is None:
        opaque = content_pb2.OpaqueBlock(provider=provider, type=block["type"], json=json.dumps(block))
        return content_pb2.Part(opaque=opaque)
    for citation in block.get("citations") or () if block["type"] == "text" else ():
        part.citations.add(provider_json=json.dumps(citation))
    if cache := block.get("cache_control"):
        part.cache_breakpoint.SetInParent()
        if "ttl" in cache:
            part.cache_breakpoint.ttl.CopyFrom(duration_pb2.Duration(seconds=TTLS[cache["ttl"]]))
    return part


def _bare(block: Block, provider: str) -> content_pb2.Part | None:
    match block["type"]:
        case "text":
            return content_pb2.Part(text=block["text"])
        case "thinking":
            state = content_pb2.ProviderState(provider=provider, kind="signature", data=block["signature"].encode())
            return content_pb2.Part(reasoning=content_pb2.Reasoning(text=block["thinking"]), provider_state=state)
        case "redacted_thinking":
            state = content_pb2.ProviderState(provider=provider, kind="redacted_thinking", data=block["data"].encode())
            return content_pb2.Part(reasoning=content_pb2.Reasoning(redacted=True), provider_state=state)
        case "tool_use" | "server_tool_use" | "mcp_tool_use" as kind:
            return _call(kind, block, provider)
        case "tool_result":
            result = content_pb2.ToolResult(
                tool_call_id=block["tool_use_id"],
                content=_parts(block.get("content", []), provider),
                is_error=bool(block.get("is_error")),
            )
            return content_pb2.Part(tool_result=result)
        case "image" | "document" if block["source"]["type"] in ("base64", "url", "text"):
            return content_pb2.Part(media=_media(block))
        case _:
            return None


def _call(kind: str, block: Block, provider: str) -> content_pb2.Part:
    call = content_pb2.ToolCall(id=block["id"], name=block["name"], arguments_json=json.dumps(block["input"]))
    part = content_pb2.Part(tool_call=call)
    extra = {
        name: value for name, value in block.items() if name not in ("type", "id", "name", "input", "cache_control")
    }
    if kind in CALLS or extra:
        part.provider_state.CopyFrom(
            content_pb2.ProviderState(provider=provider, kind=kind, data=json.dumps(extra).encode())
        )
    if kind in CALLS:
        part.tool_call.executor = content_pb2.TOOL_EXECUTOR_PROVIDER
    return part


def _media(block: Block) -> content_pb2.Media:
    source = block["source"]
    media = content_pb2.Media(mime_type=source.get("media_type", ""), filename=block.get("title") or "")
    if block["type"] == "image":
        media.modality = common_pb2.MODALITY_IMAGE
    else:
        media.modality = common_pb2.MODALITY_DOCUMENT
    if source["type"] == "url":
        media.uri = source["url"]
    else:
        media.data = source["data"].encode() if source["type"] == "text" else base64.b64decode(source["data"])
    return media


def spelt(body: Mapping[str, Any]) -> dict[str, Any]:
    """One spelling for all that the API takes in several: texts as blocks, turns joined, defaults left out."""
    same = {name: value for name, value in body.items() if name not in ("stream", "anthropic_version")}
    if "output_format" in same:
        same["output_config"] = {**same.get("output_config", {}), "format": same.pop("output_format")}
    if "system" in same:
        same["system"] = _content(same["system"])
    turns: list[dict[str, Any]] = []
    for message in same["messages"]:
        if not turns or turns[-1]["role"] != message["role"]:
            turns.append({"role": message["role"], "content": []})
        turns[-1]["content"] += _content(message["content"])
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    same["messages"] = turns
    same["tools"] = [_without({"type": "custom", "description": ""}, tool) for tool in same.get("tools", [])]
    choice = _without({"disable_parallel_tool_use": False}, same.get("tool_choice") or {"type": "auto"})
    same["tool_choice"] = choice if choice != {"type": "auto"} and same["tools"] else None
    return {name: value for name, value in same.items() if value not in (None, [], {})}


def _content(content: str | list[Block]) -> list[Block]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_block(block) for block in blocks if block["type"] != "text" or block["text"].strip()]


def _block(block: Block) -> Block:
    same = _without({"is_error": False}, {name: value for name, value in block.items() if value not in (None, [])})
    if same["type"] == "tool_result" and "content" in same:
        same["content"] = _content(same["content"])
    return same


def _without(defaults: Block, block: Block) -> Block:
    return {name: value for name, value in block.items() if name not in defaults or value != defaults[name]}


DIALECT = ChatDialect(
    name="anthropic",
    protocols=frozenset({"anthropic.messages"}),
    settings=settings,
    ours=ours,
    expected=expected,
    normal=spelt,
)
