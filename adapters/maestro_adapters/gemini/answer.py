"""Theirs -> ours: Gemini's responses, fed to an Answer."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.gemini.grounding import Grounding
from maestro_adapters.gemini.partial import Arguments
from maestro_adapters.gemini.said import (
    Candidate,
    Chunk,
    FunctionCall,
    LogprobsResult,
    Part,
    PromptFeedback,
    Rating,
    RawChunk,
    UsageMetadata,
)
from maestro_adapters.gemini.usage import later, usage_of
from maestro_spi.answer import Answer
from maestro_spi.errors import MaestroError, ProviderWord, Reason

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "STOP": chat_pb2.FINISH_REASON_STOP,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "RECITATION": chat_pb2.FINISH_REASON_RECITATION,
    "IMAGE_RECITATION": chat_pb2.FINISH_REASON_RECITATION,
    "BLOCKLIST": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "PROHIBITED_CONTENT": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "SPII": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "LANGUAGE": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_SAFETY": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "MODEL_ARMOR": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "ESCALATION": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "MALFORMED_FUNCTION_CALL": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
    "UNEXPECTED_TOOL_CALL": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
    "TOO_MANY_TOOL_CALLS": chat_pb2.FINISH_REASON_TOOL_LIMIT,
    "CONTINUATION": chat_pb2.FINISH_REASON_PAUSED,
}
UNSPECIFIED = ("FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "", 0, None)

# Enums may come as their numbers; those that mean the same in both of Google's APIs.
NUMBERED = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
# Tools that Google runs: the part that asks, by our name for the tool; and the part that answers.
CODE_EXECUTION = "code_execution"
TOOL_TYPES = {
    "GOOGLE_SEARCH_WEB": "web_search",
    "GOOGLE_SEARCH_IMAGE": "image_search",
    "GOOGLE_MAPS": "google_maps",
    "URL_CONTEXT": "web_fetch",
    "FILE_SEARCH": "file_search",
}
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER

SIGNATURE = "thought_signature"  # provider_state of a part: its signature alone
WHOLE = "part"  # the same, of a call that Google itself ran: the whole part as it came

_chunk = msgspec.json.Decoder(Chunk).decode
_raw = msgspec.json.Decoder(RawChunk).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_block = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Reader:
    """Reads one answer: `read` for each response, `close` once there are no more; `account` in any case.

    Gemini has no blocks: a part is over when one of another kind comes, or once it is signed. A signed part stays what
    it was, for so it has to go back. `complain` makes the error of an error object that stands in a response's place.
    """

    def __init__(
        self,
        answer: Answer,
        request: chat_pb2.ChatRequest,
        *,
        provider: str,
        complain: Callable[[bytes], MaestroError],
    ) -> None:
        self._answer = answer
        self._model = request.model
        self._provider = provider
        self._complain = complain
        self._wants_output = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in request.include
        self._wants_events = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in request.include
        self._raw: list[bytes] | None = [] if chat_pb2.CHAT_INCLUDE_PROVIDER_RAW in request.include else None
        self._parts = 0
        self._kind = ""  # of the part that goes on, and its key
        self._key = 0
        self._signed = False
        self._arguments: Arguments | None = None  # of the call that comes in pieces
        self._ran: dict[str, str] = {}  # calls that Google runs itself: id, the name of the tool
        self._last_ran = ""
        self._response_id = ""
        self._grounding = Grounding()
        self._usage: UsageMetadata | None = None
        self.finished = False  # has it been said why the answer ended?

    def read(self, payload: bytes, *, whole: bool = False) -> None:
        """Take in one response, or a list of them. A whole answer is all there, whatever it says of its end."""
        if payload.lstrip()[:1] == b"[":
            for one in _list(payload):
                self.read(bytes(one))
            return
        chunk = _chunk(payload)
        if self._wants_events:
            self._answer.provider_event("GenerateContentResponse", payload.decode(errors="replace"))
        if self._raw is not None:
            self._raw.append(payload)
        if bytes(chunk.error) not in (b"", b"null"):
            raise self._complain(payload)
        self._about(chunk)
        for candidate in chunk.candidates or ():
            if not candidate.index:  # others were not asked for
                self._candidate(candidate, payload)
        if whole and not self.finished:
            if not chunk.candidates:
                raise msgspec.ValidationError("an answer without a candidate")
            self._answer.finish(chat_pb2.FINISH_REASON_STOP)
            self.finished = True

    def account(self) -> None:
        """Say what was spent until here, and what Google says about itself."""
        self._answer.usage(usage_of(self._usage, self._grounding.searches))
        if self._usage is not None:
            tier = self._usage.service_tier or self._usage.traffic_type
            self._answer.metadata(service_tier=str(tier or "").lower())

    def close(self) -> None:
        """There are no more: say what could only be said at the end."""
        self._leave()
        if self.finished:
            self._grounding.tell(self._answer)
        if self._raw:
            raw = b",".join(self._raw).decode(errors="replace")
            self._answer.metadata(raw_json=raw if len(self._raw) == 1 else f"[{raw}]")

    # What a response says beside its candidates.

    def _about(self, chunk: Chunk) -> None:
        feedback = chunk.prompt_feedback
        if feedback is None and chunk.candidates is None and chunk.usage_metadata is None and not chunk.model_version:
            raise msgspec.ValidationError("a response that holds none of what responses hold")
        if feedback is not None and not chunk.candidates:
            blocked = feedback.block_reason not in UNSPECIFIED
            if blocked or feedback.block_reason_message:
                raise self._blocked(feedback)
        self._answer.start(chunk.model_version or "", chunk.response_id or "")
        self._response_id = chunk.response_id or self._response_id
        if feedback is not None:
            self._warn("PROMPT_FLAGGED", "a filter finds harm in the prompt", feedback.safety_ratings)
        if chunk.usage_metadata is not None:
            self._usage = later(self._usage, chunk.usage_metadata)

    def _blocked(self, feedback: PromptFeedback) -> MaestroError:
        category = "" if feedback.block_reason in UNSPECIFIED else str(feedback.block_reason)
        return MaestroError(
            Reason.PROMPT_BLOCKED,
            f"a filter of {self._provider} blocked the prompt; rephrase it",
            metadata={"provider": self._provider, "category": category},
            phase="first_token",
            provider=self._provider,
            model=self._model,
            word=ProviderWord(http_status=200, code=category, message=(feedback.block_reason_message or "")[:512]),
        )

    def _warn(self, code: str, message: str, ratings: Iterable[Rating] | None) -> None:
        flagged = sorted(str(rating.category) for rating in ratings or () if rating.blocked)
        if flagged:
            self._answer.warning(code, f"{message}: {', '.join(flagged)}")

    # The candidate.

    def _candidate(self, candidate: Candidate, payload: bytes) -> None:
        for number, part in enumerate(candidate.content.parts or () if candidate.content else ()):
            self._part(part, payload, number)
        if candidate.logprobs_result is not None and self._kind == "text":
            self._answer.logprobs(_logprobs(candidate.logprobs_result), key=self._key)
        if candidate.citation_metadata is not None:
            self._grounding.cite(candidate.citation_metadata)
        if len(candidate.grounding_metadata) > len("null"):
            self._grounding.lean(candidate.grounding_metadata)
        if len(candidate.url_context_metadata) > len("null"):
            self._grounding.fetch(candidate.url_context_metadata)
        if candidate.finish_reason not in UNSPECIFIED:
            self._finish(candidate)

    def _finish(self, candidate: Candidate) -> None:
        told = candidate.finish_reason
        word = NUMBERED.get(told, str(told)) if isinstance(told, int) else str(told)
        reason = FINISH.get(word)
        self._answer.finish(reason, word)
        self.finished = True
        if reason != chat_pb2.FINISH_REASON_STOP:
            if candidate.finish_message:
                self._answer.warning("FINISH_EXPLAINED", candidate.finish_message)
            self._warn("ANSWER_FLAGGED", "a filter finds harm in the answer", candidate.safety_ratings)

    def _part(self, part: Part, payload: bytes, number: int) -> None:
        if part.function_call is not None:
            self._function_call(part.function_call, part.thought_signature)
        elif part.inline_data is not None or part.file_data is not None:
            self._media(part)
        elif part.text is not None:
            self._say("reasoning" if part.thought else "text", part.text, part.thought_signature)
        else:
            self._other(part, payload, number)

    def _say(self, kind: str, text: str, signature: str | None) -> None:
        if not text and not signature:
            return
        if kind != self._kind or self._signed or signature:
            self._begin(kind)
        if kind == "reasoning":
            self._answer.reasoning(text, summary=True, key=self._key)
        elif text:
            self._grounding.said(self._key, text)
            self._answer.text(text, key=self._key)
        elif signature:
            self._answer.open(self._key, content_pb2.Part(text=""))
        self._sign(signature)

    def _function_call(self, call: FunctionCall, signature: str | None) -> None:
        if self._arguments is None or call.name:
            if not call.name and not call.partial_args and not len(call.args):
                return  # the end of a call that has ended
            self._begin("tool_call")
            self._answer.tool_call(self._key, id=call.id, name=call.name)
            self._sign(signature)
            self._arguments = Arguments()
        for piece in call.partial_args or ():
            self._arguments.add(piece)
        if not call.will_continue:
            self._end_call(_compact(call.args))

    def _media(self, part: Part) -> None:
        self._begin("media")
        if part.inline_data is not None:
            self._answer.media(part.inline_data.data, mime_type=part.inline_data.mime_type, key=self._key)
        elif part.file_data is not None:
            self._answer.media(mime_type=part.file_data.mime_type, uri=part.file_data.file_uri, key=self._key)
        self._sign(part.thought_signature)

    def _other(self, part: Part, payload: bytes, number: int) -> None:
        """A part that is read as it came: code and tools that Google runs, and what we do not know."""
        whole = _whole(payload, number)
        fields = _block(whole)
        kind = next((name for name in fields if name not in ("thought", "thoughtSignature")), "")
        self._leave()
        if kind == "executableCode":
            self._run(_block(fields[kind]), CODE_EXECUTION, _compact(fields[kind]), whole)
        elif kind == "toolCall":
            call = _block(fields[kind])
            self._run(call, _tool(call), _compact(call.get("args")) or "{}", whole)
        elif kind in ("codeExecutionResult", "toolResponse"):
            self._answer.opaque(kind, whole.decode(errors="replace"))
            self._ran_to_end(_block(fields[kind]))
        elif kind:
            self._answer.opaque(kind, whole.decode(errors="replace"))
        elif part.thought_signature:
            self._say("text", "", part.thought_signature)

    # Tools that Google runs.

    def _run(self, call: Mapping[str, msgspec.Raw], name: str, arguments: str, whole: bytes) -> None:
        self._begin("tool_call")
        id = _text(call.get("id")) or f"{self._response_id or 'run'}_{self._key}"
        self._ran[id] = name
        self._last_ran = id
        self._answer.tool_call(id, id=id, name=name, arguments=arguments, executor=PROVIDER)
        self._answer.state(WHOLE, whole, key=id)
        self._answer.close(id)
        self._kind = ""

    def _ran_to_end(self, result: Mapping[str, msgspec.Raw]) -> None:
        id = _text(result.get("id")) or self._last_ran
        if id not in self._ran:
            return
        failed = _text(result.get("outcome")) not in ("", "OUTCOME_OK")
        output = _text(result.get("output"))
        state = content_pb2.TOOL_CALL_STATE_FAILED if failed else content_pb2.TOOL_CALL_STATE_SUCCEEDED
        self._answer.tool_update(id, state, output=output if self._wants_output else "")
        if self._wants_output:
            told = content_pb2.ToolResult(tool_call_id=id, name=self._ran[id], is_error=failed)
            if output:
                told.content.add(text=output)
            told.structured_json = _compact(result.get("response"))
            self._answer.tool_result(told)

    # Where one part ends and another begins.

    def _begin(self, kind: str) -> None:
        self._leave()
        self._parts += 1
        self._kind, self._key, self._signed = kind, self._parts, False

    def _leave(self) -> None:
        self._end_call()
        if self._kind:
            self._answer.close(self._key)
            self._kind = ""

    def _sign(self, signature: str | None) -> None:
        if signature:
            self._answer.state(SIGNATURE, signature, key=self._key)
            self._signed = True

    def _end_call(self, arguments: str = "") -> None:
        if self._arguments is not None:
            self._answer.tool_call(self._key, arguments=arguments or self._arguments.json())
            self._arguments = None
            self._leave()


def _tool(call: Mapping[str, msgspec.Raw]) -> str:
    told = _text(call.get("toolType"))
    return TOOL_TYPES.get(told, told.lower())


def _whole(payload: bytes, number: int) -> bytes:
    """The part of the first candidate with that number, as it came."""
    for candidate in _raw(payload).candidates or ():
        if not candidate.index and candidate.content is not None and candidate.content.parts is not None:
            return bytes(candidate.content.parts[number])
    return b"{}"


def _compact(json: msgspec.Raw | None) -> str:
    """The JSON without the space between its words; nothing for nothing."""
    if json is None or len(json) == 0 or bytes(json) == b"null":
        return ""
    return msgspec.json.format(bytes(json), indent=-1).decode(errors="replace")


def _text(json: msgspec.Raw | None) -> str:
    said = msgspec.json.decode(json) if json is not None else ""
    return said if isinstance(said, str) else ""


def _logprobs(result: LogprobsResult) -> Iterable[chat_pb2.TokenLogprob]:
    tops = result.top_candidates or []
    for number, chosen in enumerate(result.chosen_candidates or ()):
        top = (tops[number].candidates if number < len(tops) else None) or ()
        yield chat_pb2.TokenLogprob(
            token=chosen.token,
            logprob=chosen.log_probability,
            top=[chat_pb2.TokenLogprob(token=each.token, logprob=each.log_probability) for each in top],
        )
