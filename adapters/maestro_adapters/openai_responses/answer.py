"""Their answer in our words: the events of the Responses API, or a whole response -> Answer."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.openai_responses import items
from maestro_adapters.openai_responses.events import Event, Response, usage_of
from maestro_adapters.openai_responses.items import text
from maestro_adapters.openai_responses.output import Output, bytes_of
from maestro_spi.answer import Answer
from maestro_spi.errors import MaestroError

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "completed": chat_pb2.FINISH_REASON_STOP,
    "complete": chat_pb2.FINISH_REASON_STOP,
    "max_output_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "content_filter": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "max_tool_calls": chat_pb2.FINISH_REASON_TOOL_LIMIT,
    "cancelled": chat_pb2.FINISH_REASON_CANCELLED,
}
AUDIO = "audio"

_response = msgspec.json.Decoder(Response).decode


class Reader:
    """Feeds one call's Answer with what the provider says, event by event or whole.

    `finished` is true once it has said why it ended; nothing follows that. `fail` makes the error of an error object,
    `names` are those of functions that are spelt otherwise there.
    """

    def __init__(
        self,
        answer: Answer,
        request: chat_pb2.ChatRequest,
        fail: Callable[[bytes], MaestroError],
        names: Mapping[str, str],
    ) -> None:
        self._answer = answer
        self._fail = fail
        self._raw = chat_pb2.CHAT_INCLUDE_PROVIDER_RAW in request.include
        self._output = Output(answer, request, names)
        self._pieces = self._output.pieces
        self._previews = 0
        self.finished = False
        self._verbs: Mapping[str, Callable[[Event], None]] = {
            "response.output_text.delta": self._text,
            "response.output_text.done": self._text_done,
            "response.output_text.annotation.added": self._annotation,
            "response.refusal.delta": self._refusal,
            "response.refusal.done": self._refusal_done,
            "response.reasoning_text.delta": self._reasoning,
            "response.reasoning.delta": self._reasoning,  # an older name, that some servers keep
            "response.reasoning_summary_text.delta": self._summary,
            "response.function_call_arguments.delta": self._arguments,
            "response.mcp_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.code_interpreter_call_code.delta": self._code,
            "response.shell_call_command.added": self._command_added,
            "response.shell_call_command.delta": self._command,
            "response.shell_call_output_content.delta": self._printed,
            "response.image_generation_call.partial_image": self._preview,
            "response.audio.delta": self._audio,
            "response.audio.done": self._audio_done,
            "response.audio.transcript.delta": self._transcript,
            "keepalive": self._alive,
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.created": self._started,
            "response.queued": self._started,
            "response.in_progress": self._started,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
            "response.cancelled": self._ended,
            "response.failed": self._ended,
            "response.done": self._ended,
        }

    def event(self, event: Event, raw: bytes) -> None:
        """The next event; `raw` is its JSON."""
        verb = self._verbs.get(event.type)
        if verb is not None:
            verb(event)
        elif event.type == "error" or (not event.type and event.error):
            raise self._fail(raw)
        else:
            kind, _, stage = event.type.removeprefix("response.").rpartition(".")
            self._output.progress(_index(event), kind, stage)

    def whole(self, raw: bytes) -> None:
        """A response that was not streamed."""
        self._end(raw, "")

    # What the model says. The key of a part: the index of its item, and its own within it.

    def _text(self, event: Event) -> None:
        key = (_index(event), event.content_index or 0)
        if isinstance(event.delta, str) and self._pieces.hear(key, event.delta):
            self._answer.text(event.delta, key=key)
        if event.logprobs:
            self._output.logprobs(key, event.logprobs)

    def _text_done(self, event: Event) -> None:
        key = (_index(event), event.content_index or 0)
        self._pieces.complete(key, event.text or "", lambda rest: self._answer.text(rest, key=key))

    def _annotation(self, event: Event) -> None:
        key = (_index(event), event.content_index or 0)
        if event.annotation is not None and key in self._pieces:
            self._output.cite(key, event.annotation)

    def _refusal(self, event: Event) -> None:
        key = (_index(event), event.content_index or 0)
        self._output.refused = True
        if isinstance(event.delta, str) and self._pieces.hear(key, event.delta):
            self._answer.refusal(event.delta, key=key)

    def _refusal_done(self, event: Event) -> None:
        key = (_index(event), event.content_index or 0)
        self._output.refused = True
        self._pieces.complete(key, event.refusal or "", lambda rest: self._answer.refusal(rest, key=key))

    def _reasoning(self, event: Event) -> None:
        key = (_index(event), "content", event.content_index or 0)
        if isinstance(event.delta, str) and self._pieces.hear(key, event.delta):
            self._answer.reasoning(event.delta, key=key)

    def _summary(self, event: Event) -> None:
        key = (_index(event), "summary", event.summary_index or 0)
        if isinstance(event.delta, str) and self._pieces.hear(key, event.delta):
            self._answer.reasoning(event.delta, summary=True, key=key)

    # Calls while they are written; code and commands as the JSON text that the whole call has.

    def _arguments(self, event: Event) -> None:
        self._write(event, text(event.delta))

    def _code(self, event: Event) -> None:
        begun = self._pieces.heard((_index(event),))
        self._write(event, ("" if begun else '{"code":"') + items.text_of(text(event.delta))[1:-1])

    def _command_added(self, event: Event) -> None:
        self._write(event, '","' if event.command_index else '{"commands":["')

    def _command(self, event: Event) -> None:
        self._write(event, items.text_of(text(event.delta))[1:-1])

    def _write(self, event: Event, fragment: str) -> None:
        key = (_index(event),)
        if key in self._pieces and self._pieces.hear(key, fragment):
            self._answer.tool_call(key, arguments=fragment)

    def _printed(self, event: Event) -> None:
        if isinstance(event.delta, dict):
            output = text(event.delta.get("stdout")) + text(event.delta.get("stderr"))
            self._output.printed(_index(event), output)

    # Pictures and sound.

    def _preview(self, event: Event) -> None:
        if event.partial_image_b64:
            self._previews += 1
            form = event.output_format or ""
            self._output.preview(_index(event), self._previews, event.partial_image_b64, form)

    def _audio(self, event: Event) -> None:
        self._answer.media(bytes_of(event.delta), modality=common_pb2.MODALITY_AUDIO, key=AUDIO)

    def _transcript(self, event: Event) -> None:
        self._answer.media(modality=common_pb2.MODALITY_AUDIO, transcript=text(event.delta), key=AUDIO)

    def _audio_done(self, event: Event) -> None:
        self._answer.close(AUDIO)

    # Items, the beginning and the end.

    def _item_added(self, event: Event) -> None:
        if event.item:
            item = items.read(event.item)
            self._output.begin(_index(event, item), item)

    def _item_done(self, event: Event) -> None:
        if event.item:
            self._output.finish(_index(event, items.read(event.item)), event.item)

    def _alive(self, event: Event) -> None:
        if self._answer.spoken:
            self._answer.heartbeat()

    def _started(self, event: Event) -> None:
        response = _response(event.response) if event.response else Response()
        self._answer.start(response.model or "", response.id or "")

    def _ended(self, event: Event) -> None:
        self._end(bytes(event.response), event.type.removeprefix("response."))

    def _end(self, raw: bytes, word: str) -> None:
        response = _response(raw) if raw else Response()
        if not word and response.status is None and response.output is None:
            raise self._fail(raw)
        status = response.status or word or "completed"
        usage = usage_of(response)
        if status == "failed" or (response.error and status not in FINISH):
            said: dict[str, Any] = {"error": response.error or "the response failed"}
            error = self._fail(items.text_of(said).encode())
            error.usage = usage
            raise error
        self._answer.start(response.model or "", response.id or "")
        self._output.finish_rest(response.output or ())
        self._answer.usage(usage)
        self._answer.metadata(
            response_id=response.id or "",
            service_tier=response.service_tier or "",
            raw_json=raw.decode() if self._raw else "",
        )
        incomplete = response.incomplete_details
        said_why = (incomplete.reason if incomplete is not None else None) or status
        self._answer.finish(self._reason(said_why), said_why)
        self.finished = True

    def _reason(self, word: str) -> chat_pb2.FinishReason.ValueType | None:
        reason = FINISH.get(word)
        if reason == chat_pb2.FINISH_REASON_STOP and self._output.awaiting:
            return chat_pb2.FINISH_REASON_AWAITING_APPROVAL
        if reason == chat_pb2.FINISH_REASON_STOP and self._output.refused:
            return chat_pb2.FINISH_REASON_REFUSAL
        return reason


def _index(event: Event, item: Mapping[str, Any] | None = None) -> int | str:
    """Which item an event is about: by its place, or, where a server leaves that out, by its id."""
    if event.output_index is not None:
        return event.output_index
    return event.item_id or text((item or {}).get("id"))
