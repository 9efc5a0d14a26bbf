"""Builds the event stream: parts opened and closed, fragments joined, usage, the end."""

from collections.abc import Hashable, Iterable, Mapping

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi import estimate
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.parts import Parts, Piece

CLIENT = content_pb2.TOOL_EXECUTOR_CLIENT

MEDIA_CHUNK = 256 * 1024  # bytes of one media_delta, so that no event comes near a message limit

_MODALITIES = {
    "image": common_pb2.MODALITY_IMAGE,
    "audio": common_pb2.MODALITY_AUDIO,
    "video": common_pb2.MODALITY_VIDEO,
    "text": common_pb2.MODALITY_DOCUMENT,
    "application": common_pb2.MODALITY_DOCUMENT,
}


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
        self._parts = Parts()
        self._started = False
        self._reasons = (False, False)  # summary and redacted, of the last reasoning
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
        return self._parts.count > 0

    def start(self, model: str = "", response_id: str = "") -> None:
        """The provider has accepted the request, and `model` answers. Saying so again changes nothing."""
        if self._started:
            return
        self._started = True
        if response_id:
            self.metadata(response_id=response_id)
        started = chat_pb2.ChatStarted(provider=self._provider, model=model or self._request.model)
        self._parts.events.insert(0, chat_pb2.ChatEvent(started=started))  # nothing has been drained before it

    # What the model says.

    def text(self, fragment: str | None, *, key: Hashable = None) -> None:
        """More text."""
        if fragment:
            piece = self._parts.current
            if key is not None or piece is None or piece.kind != "text":
                piece = self._growing("text", key)
            self._parts.say(piece, fragment)

    def refusal(self, fragment: str | None, *, key: Hashable = None) -> None:
        """More of the model's declining."""
        if fragment:
            self._parts.say(self._growing("refusal", key), fragment)

    def reasoning(
        self, fragment: str | None = None, *, summary: bool = False, redacted: bool = False, key: Hashable = None
    ) -> None:
        """More reasoning. Redacted reasoning that has no text is a part of its own each time; say its `state` next."""
        if not fragment and not redacted:
            return
        if key is None and (not fragment or self._reasons != (summary, redacted)):
            self._parts.leave()
        self._reasons = (summary, redacted)
        piece = self._growing("reasoning", key)
        if fragment:
            self._parts.say(piece, fragment)

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
        piece = self._parts.find_open(key)
        if piece is None:
            call = content_pb2.ToolCall(
                id=id if id and id not in self._calls else self._made_up_id(),
                name=name or "",
                executor=executor,
                state=content_pb2.TOOL_CALL_STATE_STREAMING,
            )
            self._calls.append(call.id)
            self._client_calls |= executor == CLIENT
            piece = self._parts.begin(content_pb2.Part(tool_call=call), key=key)
            piece.remainder.tool_call.state = content_pb2.TOOL_CALL_STATE_PENDING  # what it is once it is complete
        elif name and not piece.named:
            piece.remainder.tool_call.name = name
            piece.named = True
        if arguments:
            self._parts.say(piece, arguments)

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
        piece = self._parts.find(key)
        update = chat_pb2.ToolCallUpdate(
            tool_call_id=piece.call_id if piece else str(key),
            state=state,
            progress=progress,
            message=message,
            output_delta=output,
        )
        self._parts.emit(chat_pb2.ChatEvent(tool_call_update=update))

    def tool_result(self, result: content_pb2.ToolResult) -> None:
        """What a tool answered that the provider ran: a message of its own."""
        named = content_pb2.ToolResult(tool_call_id=result.tool_call_id, name=result.name)
        piece = self._parts.begin(content_pb2.Part(tool_result=named), role=content_pb2.ROLE_TOOL)
        piece.remainder.tool_result.CopyFrom(result)
        self._parts.close(piece)

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
        piece = None if key is None else self._parts.find_open(key)
        if piece is None:
            media = content_pb2.Media(mime_type=mime_type)
            media.modality = modality or _MODALITIES.get(mime_type.partition("/")[0], modality)
            if uri:
                media.uri = uri
            piece = self._parts.begin(content_pb2.Part(media=media), key=key)
        for start in range(0, len(data or b""), MEDIA_CHUNK):
            chunk = (data or b"")[start : start + MEDIA_CHUNK]
            self._parts.emit(chat_pb2.ChatEvent(part_index=piece.index, media_delta=chunk))
        if transcript:
            piece.remainder.media.transcript += transcript
            self._parts.text_bytes += len(transcript)
        if key is None:
            self._parts.close(piece)

    def opaque(self, type: str, json: str) -> None:
        """A block that only this provider understands, kept so that it can go back unchanged."""
        block = content_pb2.OpaqueBlock(provider=self._provider, type=type, json=json)
        self._parts.text_bytes += len(json)
        self._parts.close(self._parts.begin(content_pb2.Part(opaque=block)))

    # What it says about what it says. Without a key: about the part that grew last.

    def citation(self, citation: content_pb2.Citation, *, key: Hashable = None) -> None:
        """A source; for a part that is complete it waits for the end, where grounding belongs."""
        piece = self._parts.find(key)
        if piece is None:
            self.warning("CITATION_DROPPED", "the provider cited a source before it said anything")
            return
        event = chat_pb2.ChatEvent(part_index=piece.index, citation=citation)
        if piece.open:
            self._parts.emit(event)
        else:
            self._late.append(event)

    def logprobs(self, tokens: Iterable[chat_pb2.TokenLogprob], *, key: Hashable = None) -> None:
        """How likely the tokens just said were."""
        piece = self._parts.find_open(key)
        if piece is not None:
            told = chat_pb2.PartLogprobs(part_index=piece.index, tokens=tokens)
            if told.tokens:
                self._parts.emit(chat_pb2.ChatEvent(part_index=piece.index, logprobs=told))

    def state(self, kind: str, data: bytes | str, *, key: Hashable = None) -> None:
        """Signed or encrypted state that must travel with the part; where none is open, with an empty text of its own.

        A part without a key ends here: what is said next does not belong to what was signed.
        """
        piece = self._parts.find_open(key) or self._growing("text", key)
        state = piece.remainder.provider_state
        state.provider = self._provider
        state.kind = kind
        state.data = data.encode() if isinstance(data, str) else data
        if piece is self._parts.current:
            self._parts.leave()

    # Blocks, for providers that say where they begin and end.

    def open(self, key: Hashable, part: content_pb2.Part) -> None:
        """Begin a part of the kind of `part`, known as `key`. Its text follows by the verb of its kind."""
        self._parts.begin(part, key=key)

    def close(self, key: Hashable) -> None:
        """The part known as `key` is whole. Where no such part is open, nothing happens."""
        piece = None if key is None else self._parts.find_open(key)
        if piece is not None:
            self._parts.close(piece)

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
        self._parts.flush()
        reasoning = -(-self._parts.reasoning_bytes // estimate.BYTES_PER_TOKEN)
        spent = common_pb2.Usage(
            input_tokens=estimate.input_tokens(self._request),
            output_tokens=reasoning - (-self._parts.text_bytes // estimate.BYTES_PER_TOKEN),
            reasoning_output_tokens=reasoning,
            source=common_pb2.USAGE_SOURCE_ESTIMATED,
            model_calls=1,
        )
        spent.total_tokens = spent.input_tokens + spent.output_tokens
        return spent

    def warning(self, code: str, message: str, field: str = "") -> None:
        """A notice that does not stop the call."""
        self._parts.emit(chat_pb2.ChatEvent(warning=common_pb2.Warning(code=code, message=message, field=field)))

    def provider_event(self, type: str, json: str) -> None:
        """A raw event of the provider; passed on only if the request asks for them."""
        if self._wants_raw:
            event = chat_pb2.ProviderEvent(provider=self._provider, type=type, json=json)
            self._parts.emit(chat_pb2.ChatEvent(provider_event=event))

    def heartbeat(self) -> None:
        """The provider lives, and has nothing to say."""
        self._parts.emit(chat_pb2.ChatEvent(heartbeat=chat_pb2.Heartbeat()))

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
        parts = self._parts
        parts.flush()
        if not self._usage_told and (self._started or parts.events):
            self._usage_told = True
            parts.events.append(chat_pb2.ChatEvent(usage=self._usage))
        if parts.events and not self._started:
            self.start()
        events = parts.events
        parts.events = []
        return events

    def end(self) -> list[chat_pb2.ChatEvent]:
        """The last events; STREAM_BROKEN if the provider has not said why it ended."""
        if self._finish is None:
            raise self.broken()
        self._parts.close_all()
        self._parts.events.extend(self._late)
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
        self._parts.events.append(chat_pb2.ChatEvent(completed=completed))
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

    def _growing(self, kind: str, key: Hashable) -> Piece:
        piece = self._parts.current if key is None else self._parts.find_open(key)
        if piece is not None and piece.kind == kind:
            return piece
        if piece is not None and key is not None:
            raise self._unreadable(f"{kind} in a block of kind {piece.kind}")
        piece = self._parts.begin(self._empty(kind), key=key)
        if key is None:
            self._parts.current = piece
        return piece

    def _empty(self, kind: str) -> content_pb2.Part:
        if kind == "reasoning":
            summary, redacted = self._reasons
            return content_pb2.Part(reasoning=content_pb2.Reasoning(summary=summary, redacted=redacted))
        return content_pb2.Part(refusal="") if kind == "refusal" else content_pb2.Part(text="")

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
