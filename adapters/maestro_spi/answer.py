"""Builds the event stream: parts opened and closed, fragments joined, usage, the end."""

from collections.abc import Hashable, Iterable, Mapping

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi import estimate
from maestro_spi.errors import MaestroError, Reason
from maestro_stream.grammar import KINDS, text_of

ASSISTANT = content_pb2.ROLE_ASSISTANT
CLIENT = content_pb2.TOOL_EXECUTOR_CLIENT

MEDIA_CHUNK = 256 * 1024  # bytes of one media_delta, so that no event comes near a message limit

_ARMS: Mapping[str | None, str] = {kind: arm for arm, kind in KINDS.items()}
_MODALITIES = {
    "image": common_pb2.MODALITY_IMAGE,
    "audio": common_pb2.MODALITY_AUDIO,
    "video": common_pb2.MODALITY_VIDEO,
    "text": common_pb2.MODALITY_DOCUMENT,
    "application": common_pb2.MODALITY_DOCUMENT,
}


class _Piece:
    """A part that has begun."""

    __slots__ = ("arm", "call_id", "index", "kind", "named", "open", "remainder", "text_bytes")

    def __init__(self, index: int, part: content_pb2.Part) -> None:
        self.index = index
        self.kind = part.WhichOneof("kind")
        self.arm = _ARMS.get(self.kind, "")
        self.call_id = part.tool_call.id
        self.named = bool(part.tool_call.name)
        self.text_bytes = len(text_of(part).encode())
        self.open = True
        self.remainder = content_pb2.Part()


class Answer:
    """Turns what a provider says into the events of the contract. One for each call; an adapter feeds and drains it.

    - A verb that takes a fragment may be given None or "": a chunk that says nothing of it.
    - A part opens with its first fragment. `text`, `reasoning` and `refusal` go on in the same part until something is
      said that is not. A tool call has the provider's own key (an index, an id) and stays open until `close` or the
      end, so that several may grow at once. For a provider with blocks of its own, `key=` does the same for every kind.
    - `drain` gives the events since the last one, neighbouring fragments joined: call it once for all that one read
      brought. `started` comes first by itself, at the latest with the first content.
    - `end` closes what is open and says how it ended. Without a finish reason the stream was broken: it raises.
    - Given the request, usage that never came is estimated, and raw provider events are passed on only if asked for.
    """

    def __init__(self, provider: str, request: chat_pb2.ChatRequest | None = None) -> None:
        self._provider = provider
        self._request = chat_pb2.ChatRequest() if request is None else request
        self._wants_raw = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in self._request.include
        self._events: list[chat_pb2.ChatEvent] = []
        self._started = False
        self._parts = 0
        self._message = 0
        self._role: content_pb2.Role.ValueType = ASSISTANT
        self._keyed: dict[Hashable, _Piece] = {}  # in order of appearance, closed ones too
        self._current: _Piece | None = None  # without a key: goes on until something else is said
        self._last: _Piece | None = None
        self._reasons = (False, False)  # summary and redacted, of the last reasoning
        self._run: list[str] = []  # fragments not yet made into an event, all of one part
        self._run_piece: _Piece | None = None
        self._bytes = 0
        self._reasoning_bytes = 0
        self._calls: list[str] = []
        self._client_calls = False
        self._usage: common_pb2.Usage | None = None
        self._usage_told = True
        self._late: list[chat_pb2.ChatEvent] = []
        self._metadata = chat_pb2.ProviderMetadata()
        self._finish: chat_pb2.FinishReason.ValueType | None = None
        self._word = ""
        self._stop_sequence = ""

    @property
    def spoken(self) -> bool:
        """Has there been any content?"""
        return self._parts > 0

    def start(self, model: str = "", response_id: str = "") -> None:
        """The provider has accepted the request, and `model` answers. Saying so again changes nothing."""
        if self._started:
            return
        self._started = True
        self._metadata.response_id = response_id
        started = chat_pb2.ChatStarted(provider=self._provider, model=model or self._request.model)
        self._events.append(chat_pb2.ChatEvent(started=started))

    # What the model says.

    def text(self, fragment: str | None, *, key: Hashable = None) -> None:
        """More text."""
        if fragment:
            piece = self._current
            if key is not None or piece is None or piece.kind != "text":
                piece = self._growing("text", key)
            self._say(piece, fragment)

    def refusal(self, fragment: str | None, *, key: Hashable = None) -> None:
        """More of the model's declining."""
        if fragment:
            self._say(self._growing("refusal", key), fragment)

    def reasoning(
        self, fragment: str | None = None, *, summary: bool = False, redacted: bool = False, key: Hashable = None
    ) -> None:
        """More reasoning. Redacted reasoning that has no text is a part of its own each time; say its `state` next."""
        if not fragment and not redacted:
            return
        if key is None and (not fragment or self._reasons != (summary, redacted)):
            self._leave()
        self._reasons = (summary, redacted)
        piece = self._growing("reasoning", key)
        if fragment:
            self._say(piece, fragment)

    def tool_call(
        self,
        key: Hashable,
        *,
        id: str | None = None,
        name: str | None = None,
        arguments: str | None = None,
        executor: content_pb2.ToolExecutor.ValueType = CLIENT,
    ) -> None:
        """More of the tool call that the provider knows as `key`; its id is made up where the provider has none."""
        piece = self._keyed.get(key)
        if piece is None or not piece.open:
            call = content_pb2.ToolCall(
                id=id if id and id not in self._calls else self._made_up_id(),
                name=name or "",
                executor=executor,
                state=content_pb2.TOOL_CALL_STATE_STREAMING,
            )
            self._calls.append(call.id)
            self._client_calls |= executor == CLIENT
            piece = self._begin_keyed(key, content_pb2.Part(tool_call=call))
            piece.remainder.tool_call.state = content_pb2.TOOL_CALL_STATE_PENDING  # what it is once it is complete
        elif name and not piece.named:
            piece.remainder.tool_call.name = name
            piece.named = True
        if arguments:
            self._say(piece, arguments)

    def tool_update(
        self,
        key: Hashable,
        state: content_pb2.ToolCallState.ValueType,
        *,
        progress: float = -1,
        message: str = "",
        output: str = "",
    ) -> None:
        """News of a tool call that the provider runs."""
        piece = self._keyed.get(key)
        update = chat_pb2.ToolCallUpdate(
            tool_call_id=piece.call_id if piece else str(key),
            state=state,
            progress=progress,
            message=message,
            output_delta=output,
        )
        self._emit(chat_pb2.ChatEvent(tool_call_update=update))

    def tool_result(self, result: content_pb2.ToolResult) -> None:
        """What a tool answered that the provider ran: a message of its own."""
        named = content_pb2.ToolResult(tool_call_id=result.tool_call_id, name=result.name)
        piece = self._begin(content_pb2.Part(tool_result=named), content_pb2.ROLE_TOOL)
        piece.remainder.tool_result.CopyFrom(result)
        self._close(piece)

    def media(
        self,
        data: bytes | None = None,
        *,
        modality: common_pb2.Modality.ValueType = common_pb2.MODALITY_UNSPECIFIED,
        mime_type: str = "",
        uri: str = "",
        transcript: str = "",
        key: Hashable = None,
    ) -> None:
        """Media: a whole one, or, with a key, one that comes in pieces."""
        piece = self._keyed.get(key) if key is not None else None
        if piece is None or not piece.open:
            media = content_pb2.Media(mime_type=mime_type)
            media.modality = modality or _MODALITIES.get(mime_type.partition("/")[0], modality)
            if uri:
                media.uri = uri
            part = content_pb2.Part(media=media)
            piece = self._begin(part) if key is None else self._begin_keyed(key, part)
        for start in range(0, len(data or b""), MEDIA_CHUNK):
            chunk = (data or b"")[start : start + MEDIA_CHUNK]
            self._emit(chat_pb2.ChatEvent(part_index=piece.index, media_delta=chunk))
        if transcript:
            piece.remainder.media.transcript += transcript
            self._bytes += len(transcript)
        if key is None:
            self._close(piece)

    def opaque(self, type: str, json: str) -> None:
        """A block that only this provider understands, kept so that it can go back unchanged."""
        block = content_pb2.OpaqueBlock(provider=self._provider, type=type, json=json)
        self._bytes += len(json)
        self._close(self._begin(content_pb2.Part(opaque=block)))

    # What it says about what it says. Without a key: about the part that grew last.

    def citation(self, citation: content_pb2.Citation, *, key: Hashable = None) -> None:
        """A source; for a part that is complete it waits for the end, where grounding belongs."""
        piece = self._keyed.get(key) if key is not None else self._last
        if piece is None:
            self.warning("CITATION_DROPPED", "the provider cited a source before it said anything")
            return
        event = chat_pb2.ChatEvent(part_index=piece.index, citation=citation)
        if piece.open:
            self._emit(event)
        else:
            self._late.append(event)

    def logprobs(self, tokens: Iterable[chat_pb2.TokenLogprob], *, key: Hashable = None) -> None:
        """How likely the tokens just said were."""
        piece = self._keyed.get(key) if key is not None else self._last
        if piece is not None and piece.open:
            told = chat_pb2.PartLogprobs(part_index=piece.index, tokens=tokens)
            if told.tokens:
                self._emit(chat_pb2.ChatEvent(part_index=piece.index, logprobs=told))

    def state(self, kind: str, data: bytes | str, *, key: Hashable = None) -> None:
        """Signed or encrypted state that must travel with the part; where none is open, with an empty text of its own.

        A part without a key ends here: what is said next does not belong to what was signed.
        """
        piece = self._keyed.get(key) if key is not None else self._last
        if piece is None or not piece.open:
            piece = self._growing("text", key)
        state = piece.remainder.provider_state
        state.provider = self._provider
        state.kind = kind
        state.data = data.encode() if isinstance(data, str) else data
        if piece is self._current:
            self._leave()

    # Blocks, for providers that say where they begin and end.

    def open(self, key: Hashable, part: content_pb2.Part) -> None:
        """Begin a part of the kind of `part`, known as `key`. Its text follows by the verb of its kind."""
        self._begin_keyed(key, part)

    def close(self, key: Hashable) -> None:
        """The part known as `key` is whole. Where no such part is open, nothing happens."""
        piece = self._keyed.get(key)
        if piece is not None and piece.open:
            self._close(piece)

    # Everything else.

    def usage(self, usage: common_pb2.Usage | None) -> None:
        """Tokens so far, cumulative; sub-counts are included in their totals. Total and source are filled in."""
        if usage is None:
            return
        usage.total_tokens = usage.input_tokens + usage.output_tokens
        usage.source = usage.source or common_pb2.USAGE_SOURCE_PROVIDER
        usage.model_calls = usage.model_calls or 1
        if usage != self._usage:
            self._usage = usage
            self._usage_told = False

    def estimate(self) -> common_pb2.Usage:
        """Tokens so far, counted by length."""
        self._flush()
        reasoning = -(-self._reasoning_bytes // estimate.BYTES_PER_TOKEN)
        spent = common_pb2.Usage(
            input_tokens=estimate.input_tokens(self._request),
            output_tokens=reasoning - (-self._bytes // estimate.BYTES_PER_TOKEN),
            reasoning_output_tokens=reasoning,
            source=common_pb2.USAGE_SOURCE_ESTIMATED,
            model_calls=1,
        )
        spent.total_tokens = spent.input_tokens + spent.output_tokens
        return spent

    def warning(self, code: str, message: str, field: str = "") -> None:
        """A notice that does not stop the call."""
        self._emit(chat_pb2.ChatEvent(warning=common_pb2.Warning(code=code, message=message, field=field)))

    def provider_event(self, type: str, json: str) -> None:
        """A raw event of the provider; passed on only if the request asks for them."""
        if self._wants_raw:
            event = chat_pb2.ProviderEvent(provider=self._provider, type=type, json=json)
            self._emit(chat_pb2.ChatEvent(provider_event=event))

    def heartbeat(self) -> None:
        """The provider lives, and has nothing to say."""
        self._emit(chat_pb2.ChatEvent(heartbeat=chat_pb2.Heartbeat()))

    def metadata(
        self,
        *,
        response_id: str = "",
        request_id: str = "",
        system_fingerprint: str = "",
        service_tier: str = "",
        headers: Mapping[str, str] | None = None,
        raw_json: str = "",
    ) -> None:
        """What the provider says about itself; what is left out stays as it was."""
        told = chat_pb2.ProviderMetadata(
            response_id=response_id,
            request_id=request_id,
            system_fingerprint=system_fingerprint,
            service_tier=service_tier,
            headers=headers or {},
            raw_json=raw_json,
        )
        self._metadata.MergeFrom(told)

    def finish(
        self, reason: chat_pb2.FinishReason.ValueType | None, word: str | None = "", stop_sequence: str | None = ""
    ) -> None:
        """Why it ended, in our word and the provider's. A word we have none for is OTHER; neither means: not yet."""
        if reason or word:
            self._finish = reason or chat_pb2.FINISH_REASON_OTHER
            self._word = word or ""
            self._stop_sequence = stop_sequence or ""

    def drain(self) -> list[chat_pb2.ChatEvent]:
        """The events since the last drain."""
        self._flush()
        if not self._usage_told and self._started:
            self._usage_told = True
            self._events.append(chat_pb2.ChatEvent(usage=self._usage))
        events = self._events
        self._events = []
        return events

    def end(self) -> list[chat_pb2.ChatEvent]:
        """The last events; STREAM_BROKEN if the provider has not said why it ended."""
        if self._finish is None:
            raise self.broken()
        self.start()
        self._leave()
        for piece in self._keyed.values():
            if piece.open:
                self._close(piece)
        self._events.extend(self._late)
        finish = self._finish
        if finish == chat_pb2.FINISH_REASON_STOP and self._client_calls:
            finish = chat_pb2.FINISH_REASON_TOOL_CALLS  # some providers call both a stop
        completed = chat_pb2.ChatCompleted(
            finish_reason=finish,
            usage=self._usage or self.estimate(),
            provider_finish_reason=self._word,
            stop_sequence=self._stop_sequence,
        )
        if self._metadata.ByteSize():
            completed.provider_metadata.CopyFrom(self._metadata)
        self._usage_told = True
        self._events.append(chat_pb2.ChatEvent(completed=completed))
        return self.drain()

    def broken(self) -> MaestroError:
        """The failure of a stream that breaks off here."""
        error = MaestroError(
            Reason.STREAM_BROKEN,
            "the provider's stream ended before it said why; what came until then is not a whole answer",
            retryable=not self.spoken,
            metadata={"provider": self._provider},
            phase="stream",
            provider=self._provider,
            model=self._request.model,
        )
        error.usage = self._usage
        return error

    def _say(self, piece: _Piece, fragment: str) -> None:
        if piece is not self._run_piece:
            self._flush()
            self._run_piece = self._last = piece
        self._run.append(fragment)

    def _flush(self) -> None:
        piece = self._run_piece
        if piece is None or not self._run:
            return
        text = "".join(self._run)
        self._run.clear()
        if not text.isascii():
            text = _whole(text)
        size = len(text) if text.isascii() else len(text.encode())
        piece.text_bytes += size
        if piece.kind == "reasoning":
            self._reasoning_bytes += size
        else:
            self._bytes += size
        event = chat_pb2.ChatEvent(part_index=piece.index)
        setattr(event, piece.arm, text)
        self._events.append(event)

    def _emit(self, event: chat_pb2.ChatEvent) -> None:
        self.start()
        self._flush()
        self._events.append(event)

    def _growing(self, kind: str, key: Hashable) -> _Piece:
        piece = self._keyed.get(key) if key is not None else self._current
        if key is not None and piece is not None and piece.open:
            if piece.kind != kind:
                raise self._unreadable(f"{kind} in a block of kind {piece.kind}")
            return piece
        if key is None and piece is not None and piece.kind == kind:
            return piece
        part = self._empty(kind)
        if key is not None:
            return self._begin_keyed(key, part)
        self._current = piece = self._begin(part)
        return piece

    def _empty(self, kind: str) -> content_pb2.Part:
        if kind == "reasoning":
            summary, redacted = self._reasons
            return content_pb2.Part(reasoning=content_pb2.Reasoning(summary=summary, redacted=redacted))
        return content_pb2.Part(refusal="") if kind == "refusal" else content_pb2.Part(text="")

    def _begin_keyed(self, key: Hashable, part: content_pb2.Part) -> _Piece:
        self.close(key)
        piece = self._begin(part)
        self._keyed[key] = piece
        return piece

    def _begin(self, part: content_pb2.Part, role: content_pb2.Role.ValueType = ASSISTANT) -> _Piece:
        self._leave()
        self._flush()
        if role != self._role:
            self._message += 1 if self._parts else 0
            self._role = role
        piece = _Piece(self._parts, part)
        self._parts += 1
        self._last = piece
        self._run_piece = None
        started = chat_pb2.PartStarted(message_index=self._message, role=role, part=part)
        self._emit(chat_pb2.ChatEvent(part_index=piece.index, part_started=started))
        return piece

    def _leave(self) -> None:
        if self._current is not None:
            self._close(self._current)
            self._current = None

    def _close(self, piece: _Piece) -> None:
        self._flush()  # the text may still wait
        piece.open = False
        completed = chat_pb2.PartCompleted(text_bytes=piece.text_bytes)
        if piece.remainder.ByteSize():
            completed.remainder.CopyFrom(piece.remainder)
        self._emit(chat_pb2.ChatEvent(part_index=piece.index, part_completed=completed))

    def _made_up_id(self) -> str:
        """Counts on over the whole conversation, so that no earlier call has the same."""
        earlier = {
            part.tool_call.id
            for message in self._request.messages
            for part in message.parts
            if part.WhichOneof("kind") == "tool_call"
        }
        taken = earlier.union(self._calls)
        number = len(taken) + 1
        while f"call_{number}" in taken:
            number += 1
        return f"call_{number}"

    def _unreadable(self, what: str) -> MaestroError:
        return MaestroError(
            Reason.PROVIDER_PROTOCOL_ERROR,
            f"the provider's stream makes no sense: {what}",
            metadata={"provider": self._provider},
            phase="stream",
            provider=self._provider,
            model=self._request.model,
        )


def _whole(text: str) -> str:
    """The text with surrogates paired. JSON may tear a character into two halves; the wire carries whole ones only."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
