"""Plays one step of a script into an Answer."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat, zip_longest
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.scripted import script
from maestro_adapters.scripted.script import FINISH, json_text
from maestro_adapters.scripted.words import pieces, words
from maestro_spi.answer import Answer
from maestro_spi.errors import MaestroError, Precondition, ProviderWord, Reason, Resource, Violation

FOREVER = math.inf

_EXECUTORS = {
    "client": content_pb2.TOOL_EXECUTOR_CLIENT,
    "gateway": content_pb2.TOOL_EXECUTOR_GATEWAY,
    "provider": content_pb2.TOOL_EXECUTOR_PROVIDER,
}


def play(step: script.Step, answer: Answer) -> Iterable[float]:
    """Say the step. What it yields are the seconds to wait, once everything said until then has been sent."""
    verb = step.verb
    return _PLAYS[verb](answer, getattr(step, verb), step.every)


def _say(say: Callable[[str], None], fragments: Iterable[str], every: float) -> Iterator[float]:
    for number, fragment in enumerate(fragments):
        if number:
            yield every
        say(fragment)


def _fragments(text: script.Fragments | script.Repeat) -> Iterable[str]:
    match text:
        case str():
            return (text,)
        case script.Repeat():
            return repeat(text.of, text.repeat)
        case _:
            return text


def _text(answer: Answer, text: script.Fragments | script.Repeat, every: float) -> Iterable[float]:
    if isinstance(text, str):
        answer.text(text)
        return ()
    return _say(answer.text, _fragments(text), every)


def _refusal(answer: Answer, text: script.Fragments, every: float) -> Iterator[float]:
    return _say(answer.refusal, _fragments(text), every)


def _json(answer: Answer, value: Any, every: float) -> Iterator[float]:
    return _say(answer.text, words(json_text(value)), every)


def _reasoning(answer: Answer, thought: script.Fragments | script.Thought, every: float) -> Iterator[float]:
    if not isinstance(thought, script.Thought):
        thought = script.Thought(text=thought)
    summary, redacted = thought.summary, thought.redacted

    def say(fragment: str) -> None:
        answer.reasoning(fragment, summary=summary, redacted=redacted)

    yield from _say(say, _fragments(thought.text), every)
    if thought.signature:
        answer.state("signature", thought.signature)


def _tool_calls(answer: Answer, calls: script.Call | list[script.Call], every: float) -> Iterator[float]:
    # All begin, then grow in turn, as a model does that asks for several tools at once.
    called = calls if isinstance(calls, list) else [calls]
    keys = [object() for _ in called]
    for key, call in zip(keys, called, strict=True):
        answer.tool_call(key, id=call.id, name=call.name, executor=_EXECUTORS[call.executor])
        yield 0
    for turn in zip_longest(*(pieces(json_text(call.arguments)) for call in called)):
        for key, arguments in zip(keys, turn, strict=True):
            if arguments:
                answer.tool_call(key, arguments=arguments)
                yield 0
    for key in keys:
        answer.close(key)


def _citation(answer: Answer, source: script.Source, every: float) -> Iterable[float]:
    answer.citation(
        content_pb2.Citation(
            start_index=source.start_index,
            end_index=source.end_index,
            title=source.title,
            uri=source.uri,
            cited_text=source.cited_text,
        )
    )
    return ()


def _token(token: script.Token) -> chat_pb2.TokenLogprob:
    return chat_pb2.TokenLogprob(token=token.token, logprob=token.logprob, top=[_token(other) for other in token.top])


def _logprobs(answer: Answer, tokens: list[script.Token], every: float) -> Iterable[float]:
    answer.logprobs([_token(token) for token in tokens])
    return ()


def _media(answer: Answer, blob: script.Blob, every: float) -> Iterable[float]:
    answer.media(blob.data, mime_type=blob.mime, uri=blob.uri, transcript=blob.transcript)
    return ()


def _opaque(answer: Answer, block: script.Block, every: float) -> Iterable[float]:
    answer.opaque(block.type, json_text(block.json))
    return ()


def _provider_event(answer: Answer, block: script.Block, every: float) -> Iterable[float]:
    answer.provider_event(block.type, json_text(block.json))
    return ()


def _warning(answer: Answer, notice: script.Notice, every: float) -> Iterable[float]:
    answer.warning(notice.code, notice.message, notice.field)
    return ()


def _usage(answer: Answer, tokens: script.Tokens, every: float) -> Iterable[float]:
    answer.usage(
        common_pb2.Usage(
            input_tokens=tokens.input_tokens,
            output_tokens=tokens.output_tokens,
            cache_read_input_tokens=tokens.cache_read_input_tokens,
            cache_write_input_tokens=tokens.cache_write_input_tokens,
            reasoning_output_tokens=tokens.reasoning_output_tokens,
        )
    )
    return ()


def _metadata(answer: Answer, about: script.About, every: float) -> Iterable[float]:
    answer.metadata(
        request_id=about.request_id,
        system_fingerprint=about.system_fingerprint,
        service_tier=about.service_tier,
        headers=about.headers,
        raw_json=about.raw_json,
    )
    return ()


def _heartbeat(answer: Answer, yes: bool, every: float) -> Iterable[float]:
    answer.heartbeat()
    return ()


def _start(answer: Answer, start: bool | script.Start, every: float) -> Iterable[float]:
    if isinstance(start, script.Start):
        answer.start(start.model, start.response_id)
    else:
        answer.start()
    return ()


def _delay(answer: Answer, seconds: float, every: float) -> Iterable[float]:
    return (seconds,)


def _stall(answer: Answer, yes: bool, every: float) -> Iterable[float]:
    return (FOREVER,)


def _cut(answer: Answer, yes: bool, every: float) -> Iterable[float]:
    raise answer.broken()


def _fail(answer: Answer, fail: script.Fail, every: float) -> Iterable[float]:
    reason = Reason[fail.reason]
    raise MaestroError(
        reason,
        fail.message or f"the script says {reason.name}",
        retryable=fail.retryable,
        retry_delay=fail.retry_after,
        metadata=fail.metadata,
        violations=[Violation(each.field, each.rule, each.description) for each in fail.violations],
        preconditions=[Precondition(each.type, each.subject, each.description) for each in fail.preconditions],
        resource=Resource(fail.resource.type, fail.resource.name) if fail.resource else None,
        phase=fail.phase,
        word=ProviderWord(fail.http_status, fail.code, fail.provider_message, fail.request_id),
    )


def _finish(answer: Answer, finish: script.Finish, every: float) -> Iterable[float]:
    answer.finish(FINISH[finish.reason], finish.word or finish.reason.lower(), finish.stop_sequence)
    return ()


_PLAYS: Mapping[str, Callable[[Answer, Any, float], Iterable[float]]] = {
    "text": _text,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "json": _json,
    "tool_calls": _tool_calls,
    "citation": _citation,
    "logprobs": _logprobs,
    "media": _media,
    "opaque": _opaque,
    "warning": _warning,
    "usage": _usage,
    "metadata": _metadata,
    "provider_event": _provider_event,
    "heartbeat": _heartbeat,
    "start": _start,
    "delay": _delay,
    "stall": _stall,
    "cut": _cut,
    "fail": _fail,
    "finish": _finish,
}
