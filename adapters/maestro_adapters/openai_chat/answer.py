"""Their answer in our words: the chunks of Chat Completions -> Answer."""

import base64
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_chat import said
from maestro_adapters.openai_chat.quirks import Quirks
from maestro_adapters.openai_chat.reasoning import Reasoning
from maestro_adapters.openai_chat.think import ThinkTags
from maestro_adapters.wire.body import read_data_url
from maestro_spi.answer import Answer

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "stop": chat_pb2.FINISH_REASON_STOP,
    "eos": chat_pb2.FINISH_REASON_STOP,
    "eos_token": chat_pb2.FINISH_REASON_STOP,
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "complete": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "length": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "model_length": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
    "tool_calls": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "tool_call": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "function_call": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "content_filter": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "sensitive": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "safety": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "recitation": chat_pb2.FINISH_REASON_RECITATION,
    "refusal": chat_pb2.FINISH_REASON_REFUSAL,
    "abort": chat_pb2.FINISH_REASON_CANCELLED,
    "cancelled": chat_pb2.FINISH_REASON_CANCELLED,
}
# These words end a stream that has failed.
FAILED = frozenset({"error", "network_error", "insufficient_system_resource"})
MODALITIES = {
    "audio_tokens": common_pb2.MODALITY_AUDIO,
    "image_tokens": common_pb2.MODALITY_IMAGE,
    "video_tokens": common_pb2.MODALITY_VIDEO,
}
AUDIO = "audio"
SIGNED = "message_extra_content"  # state that stands beside the content, not on a call
EMPTY = said.Delta()


class Reader:
    """Feeds one call's Answer with what the provider says, chunk by chunk or whole."""

    def __init__(self, answer: Answer, request: chat_pb2.ChatRequest, quirks: Quirks) -> None:
        self._answer = answer
        self._request = request
        self._reasoning = Reasoning(answer)
        self._think = ThinkTags() if quirks.think_tags else None
        include = request.include
        self._logprobs = chat_pb2.CHAT_INCLUDE_LOGPROBS in include or request.generation.HasField("top_logprobs")
        self._tool_output = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in include
        self._calls: dict[int | None, str] = {}  # index -> the id that holds it now
        self._call: Hashable = None
        self._renewed = 0
        self._ran: set[Hashable] = set()
        self._audio_rest = ""
        self._sources: dict[str, content_pb2.Citation] = {}
        self._begun = False
        self._tier: str | None = None
        self._fingerprint: str | None = None
        self._refused = False
        self._others = False
        self.finished = False
        self.failure = ""  # the finish word of a stream that has failed

    def chunk(self, chunk: said.Chunk) -> None:
        """One event of the stream."""
        self._about(chunk)
        for choice in chunk.choices or ():
            if choice.index:
                self._other()
            else:
                self._choice(choice, choice.delta or choice.message or EMPTY)
        if chunk.usage is not None or chunk.x_groq is not None:
            self._count(chunk)

    def whole(self, chunk: said.Chunk) -> None:
        """The whole answer. It is all there, whatever its finish word, or none."""
        self._about(chunk)
        for choice in chunk.choices or ():
            if choice.index:
                self._other()
            else:
                self._choice(choice, choice.message or choice.delta or EMPTY)
        self._count(chunk)
        if not self.finished:
            self._finish(chat_pb2.FINISH_REASON_STOP, "", "")

    def end(self) -> None:
        """Nothing more comes: what was waited for is said."""
        if self._think is not None:
            self._thought(self._think.close())
        self._reasoning.close()
        for citation in self._sources.values():
            if self._answer.spoken:
                self._answer.citation(citation)

    def _count(self, chunk: said.Chunk) -> None:
        if chunk.usage is not None:
            self._answer.usage(usage_of(chunk.usage))
        elif chunk.x_groq is not None and chunk.x_groq.usage is not None:
            self._answer.usage(usage_of(chunk.x_groq.usage))

    def _about(self, chunk: said.Chunk) -> None:
        """What it says about itself, once. The first id holds: some gateways change it on the way."""
        if not self._begun and (chunk.model or chunk.choices):
            self._begun = True
            self._answer.start(chunk.model or "", chunk.id or "")
        if chunk.service_tier != self._tier or chunk.system_fingerprint != self._fingerprint:
            self._tier, self._fingerprint = chunk.service_tier, chunk.system_fingerprint
            self._answer.metadata(service_tier=self._tier or "", system_fingerprint=self._fingerprint or "")
        if chunk.citations or chunk.search_results:
            self._cite(chunk.citations or (), chunk.search_results or ())

    def _choice(self, choice: said.Choice, delta: said.Delta) -> None:
        answer = self._answer
        reasoning = delta.reasoning_content or delta.reasoning or delta.thinking
        if reasoning or delta.reasoning_details:
            self._reasoning.say(reasoning, delta.reasoning_details)
        if delta.executed_tools:
            self._executed(delta.executed_tools)
        if delta.content:
            self._content(delta)
        if delta.refusal:
            self._refused = True
            answer.refusal(delta.refusal)
        if delta.tool_calls:
            self._tool_calls(delta.tool_calls)
        self._rare(choice, delta)
        if choice.finish_reason is not None and choice.finish_reason != "":
            self._ended(choice)

    def _rare(self, choice: said.Choice, delta: said.Delta) -> None:
        """What most chunks do not have."""
        if delta.function_call is not None and (delta.function_call.name or _text(delta.function_call.arguments)):
            self._call_function(delta.function_call)
        if delta.audio is not None and (delta.audio.data or delta.audio.transcript or delta.audio.id):
            self._audio(delta.audio)
        if delta.extra_content is not None and "thought_signature" in str(delta.extra_content):
            self._answer.state(SIGNED, msgspec.json.encode(delta.extra_content))
        for image in delta.images or ():
            self._image(image)
        for annotation in delta.annotations or ():
            self._answer.citation(citation_of(annotation))
        if delta.citations:
            self._cite(delta.citations, ())
        if choice.logprobs is not None and self._logprobs:
            self._answer.logprobs(_tokens(choice.logprobs.content or choice.logprobs.refusal or ()))
        if choice.content_filter_results:
            self._filtered(choice.content_filter_results)

    def _content(self, delta: said.Delta) -> None:
        content = delta.content
        if isinstance(content, str):
            if self._think is not None:
                self._thought(self._think.feed(content))
            elif delta.extra_content is None:
                self._text(content)
            else:
                self._google(content, delta.extra_content)
        elif isinstance(content, list):
            for part in content:
                self._part(part)
        elif content:
            self._opaque("content", content)

    def _text(self, text: str) -> None:
        if self._reasoning.live:
            self._reasoning.close()
        self._answer.text(text)

    def _thought(self, pieces: Sequence[tuple[bool, str]]) -> None:
        for thought, piece in pieces:
            if thought:
                self._reasoning.say(piece, None)
            else:
                self._text(piece)

    def _google(self, content: str, extra: Mapping[str, Any]) -> None:
        """Gemini marks thoughts, and signs, beside the content; what is signed is no thought."""
        google = extra.get("google")
        marks = google if isinstance(google, dict) else {}
        if marks.get("thought") and not marks.get("thought_signature"):
            self._reasoning.say(content.removeprefix("<thought>").removesuffix("</thought>"), None)
        else:
            self._text(content.removeprefix("</thought>"))

    def _part(self, part: Any) -> None:
        """A content part of those who send lists."""
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            self._text(str(part.get("text") or ""))
        elif kind in ("thinking", "reasoning"):
            self._reasoning.block(part)
        elif kind == "image_url":
            self._image(part)
        elif isinstance(part, str):
            self._text(part)
        elif part:
            self._opaque(str(kind or "content"), part)

    def _opaque(self, kind: str, block: Any) -> None:
        self._reasoning.close()
        self._answer.opaque(kind, msgspec.json.encode(block).decode())

    def _tool_calls(self, calls: Sequence[said.ToolCall]) -> None:
        self._reasoning.close()
        for call in calls:
            function = call.function or call.custom
            key = self._key(call, function)
            self._call = key
            self._answer.tool_call(
                key,
                id=call.id,
                name=function.name if function else None,
                arguments=(function.input or _text(function.arguments)) if function else None,
            )
            if call.function is None and call.custom is not None:
                self._answer.state("custom_tool_call", b"custom", key=key)
            if bytes(call.extra_content) != b"null":
                self._answer.state("extra_content", bytes(call.extra_content), key=key)

    def _key(self, call: said.ToolCall, function: said.Function | None) -> Hashable:
        """Which call a piece belongs to. The index says it, unless the server leaves it out or gives it twice."""
        if call.index is None and not call.id:
            if self._call is not None and (function is None or not function.name):
                return self._call  # more of the one before
            self._renewed += 1
            return ("new", self._renewed)
        if call.index is None:
            return ("id", call.id)
        holder = self._calls.get(call.index)
        if call.id and holder and call.id != holder and function is not None and function.name:
            self._renewed += 1  # the same index, another call
        if call.id and (holder is None or (function is not None and function.name)):
            self._calls[call.index] = call.id
        return (call.index, self._renewed)

    def _call_function(self, function: said.Function) -> None:
        self._reasoning.close()
        arguments = _text(function.arguments)
        self._answer.tool_call("function_call", name=function.name, arguments=arguments)
        self._answer.state("function_call", b"function_call", key="function_call")

    def _executed(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Tools that the provider ran by itself; it may tell of one again when it is done."""
        self._reasoning.close()
        for tool in tools:
            key = ("executed", tool.get("index"))
            name = str(tool.get("type") or tool.get("name") or "")
            if key not in self._ran:
                self._ran.add(key)
                executor = content_pb2.TOOL_EXECUTOR_PROVIDER
                arguments = str(tool.get("arguments") or "")
                self._answer.tool_call(key, name=name, arguments=arguments, executor=executor)
                self._answer.close(key)
            output = str(tool.get("output") or "")
            if output:
                shown = output if self._tool_output else ""
                self._answer.tool_update(key, content_pb2.TOOL_CALL_STATE_SUCCEEDED, output=shown)

    def _audio(self, audio: said.Audio) -> None:
        encoded = self._audio_rest + (audio.data or "")
        cut = len(encoded) - len(encoded) % 4
        self._audio_rest = encoded[cut:]
        kind = self._request.audio.format or "wav"
        self._answer.media(
            base64.b64decode(encoded[:cut]),
            modality=common_pb2.MODALITY_AUDIO,
            mime_type="audio/pcm" if kind == "pcm16" else f"audio/{kind}",
            transcript=audio.transcript or "",
            key=AUDIO,
        )
        if audio.id:
            self._answer.state("audio_id", audio.id, key=AUDIO)

    def _image(self, image: Any) -> None:
        said_url = image.get("image_url") if isinstance(image, dict) else None
        url = said_url.get("url") if isinstance(said_url, dict) else said_url
        if not isinstance(url, str):
            self._opaque("image", image)
            return
        read = read_data_url(url)
        if read is None:
            self._answer.media(modality=common_pb2.MODALITY_IMAGE, uri=url)
        else:
            self._answer.media(read[1], mime_type=read[0], modality=common_pb2.MODALITY_IMAGE)

    def _cite(self, urls: Sequence[Any], results: Sequence[Any]) -> None:
        """Sources told again with every chunk; they are kept and said once, at the end."""
        for url in urls:
            if isinstance(url, str):
                self._sources.setdefault(url, content_pb2.Citation(uri=url))
        for result in results:
            if isinstance(result, dict) and isinstance(result.get("url"), str):
                self._sources[result["url"]] = content_pb2.Citation(
                    uri=result["url"],
                    title=str(result.get("title") or ""),
                    cited_text=str(result.get("snippet") or ""),
                    provider_json=msgspec.json.encode(result).decode(),
                )

    def _filtered(self, results: Mapping[str, Any]) -> None:
        hit = [name for name, result in results.items() if isinstance(result, dict) and result.get("filtered")]
        if hit:
            self._answer.warning("CONTENT_FILTERED", f"the provider's filter found: {', '.join(sorted(hit))}")

    def _other(self) -> None:
        if not self._others:
            self._others = True
            self._answer.warning("CHOICES_DROPPED", "the provider sent more than one choice; only the first is kept")

    def _ended(self, choice: said.Choice) -> None:
        word = str(choice.finish_reason)
        if word in FAILED:
            self.failure = word
            return
        matched = next((m for m in (choice.stop_reason, choice.matched_stop) if isinstance(m, str)), "")
        stop = matched if matched in self._request.generation.stop_sequences else ""
        reason = FINISH.get(word.lower())
        if reason == chat_pb2.FINISH_REASON_STOP and stop:
            reason = chat_pb2.FINISH_REASON_STOP_SEQUENCE
        self._finish(reason, word, stop)

    def _finish(self, reason: chat_pb2.FinishReason.ValueType | None, word: str, stop: str) -> None:
        if reason == chat_pb2.FINISH_REASON_STOP and self._refused:
            reason = chat_pb2.FINISH_REASON_REFUSAL
        self.finished = True
        self._answer.finish(reason, word, stop)


def usage_of(told: said.Usage) -> common_pb2.Usage:
    """Their counts in ours. Some count reasoning beside the output, and some do not name it: the total tells."""
    inputs = told.prompt_tokens_details or told.prompt_token_details or said.InputDetails()
    outputs = told.completion_tokens_details or told.completion_token_details or said.OutputDetails()
    reasoning = _first(outputs.reasoning_tokens, told.reasoning_tokens)
    spent, output = _first(told.prompt_tokens), _first(told.completion_tokens)
    beside = _first(told.total_tokens) - spent - output
    if beside > 0:
        output += beside
        reasoning = max(reasoning, beside)
    cached = _first(
        inputs.cached_tokens,
        told.prompt_cache_hit_tokens,
        told.cached_tokens,
        told.num_cached_tokens,
        told.cache_read_input_tokens,
    )
    usage = common_pb2.Usage(
        input_tokens=spent,
        output_tokens=output,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=_first(inputs.cache_write_tokens, told.cache_creation_input_tokens),
        reasoning_output_tokens=reasoning,
    )
    for name, modality in MODALITIES.items():
        if tokens := getattr(inputs, name):
            usage.input_by_modality.add(modality=modality, tokens=max(tokens, 0))
        if tokens := getattr(outputs, name, 0):
            usage.output_by_modality.add(modality=modality, tokens=max(tokens, 0))
    return usage


def citation_of(annotation: Any) -> content_pb2.Citation:
    """An annotation of the text."""
    fields = annotation if isinstance(annotation, dict) else {}
    kind = str(fields.get("type") or "")
    inner = fields.get(kind)
    inner = inner if isinstance(inner, dict) else fields
    return content_pb2.Citation(
        start_index=_whole(inner.get("start_index")),
        end_index=_whole(inner.get("end_index")),
        title=str(inner.get("title") or inner.get("name") or ""),
        uri=str(inner.get("url") or ""),
        cited_text=str(inner.get("content") or "") if kind == "url_citation" else "",
        provider_json="" if kind == "url_citation" else msgspec.json.encode(annotation).decode(),
    )


def _tokens(told: Sequence[Mapping[str, Any]]) -> list[chat_pb2.TokenLogprob]:
    return [
        chat_pb2.TokenLogprob(
            token=str(token.get("token") or ""),
            logprob=float(token.get("logprob") or 0),
            token_bytes=bytes(token.get("bytes") or b""),
            top=_tokens(token.get("top_logprobs") or ()),
        )
        for token in told
    ]


def _text(raw: msgspec.Raw) -> str:
    """Arguments as the model wrote them: a text as it is, an object as its JSON."""
    written = bytes(raw)
    if written[:1] == b'"':
        return str(msgspec.json.decode(written))
    return "" if written == b"null" else written.decode()


def _first(*counts: int | None) -> int:
    """The first count that says something."""
    return max(next((count for count in counts if count), 0), 0)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
