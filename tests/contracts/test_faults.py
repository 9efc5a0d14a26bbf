"""Every adapter, and everything that can go wrong between it and its provider: each fault to its row of the table."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from maestro.v1 import chat_pb2
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, MaestroError, Reason
from tests.conformance.dialect import ChatDialect, dialects
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.replay import Plan, Replay

SAYS = {
    400: "this field is wrong",
    401: "that key is not known",
    403: "that key may not do this",
    404: "the model `m` does not exist",
    408: "the request took too long",
    413: "the request is too large",
    429: "too many requests",
    500: "something broke",
    502: "nobody behind the gateway answers",
    503: "no capacity",
    504: "the gateway waited too long",
    529: "overloaded",
}
REASONS = {
    400: {Reason.PROVIDER_REJECTED_REQUEST},
    401: {Reason.PROVIDER_AUTH_FAILED},
    403: {Reason.PROVIDER_AUTH_FAILED},
    404: {Reason.MODEL_NOT_FOUND},
    408: {Reason.PROVIDER_TIMEOUT},
    413: {Reason.CONTEXT_OVERFLOW, Reason.PROVIDER_REJECTED_REQUEST},
    429: {Reason.PROVIDER_RATE_LIMITED},
    500: {Reason.PROVIDER_UNAVAILABLE},
    502: {Reason.PROVIDER_UNAVAILABLE},
    503: {Reason.PROVIDER_UNAVAILABLE},
    504: {Reason.PROVIDER_TIMEOUT, Reason.PROVIDER_UNAVAILABLE},
    529: {Reason.PROVIDER_UNAVAILABLE},
}
BROKEN = {Reason.STREAM_BROKEN, Reason.PROVIDER_UNAVAILABLE}  # the second only before any content


def streams() -> dict[str, tuple[ChatDialect, Exchange]]:
    """For each dialect of chat the stream of most events that is ours, good, and has text."""
    found: dict[str, tuple[ChatDialect, Exchange]] = {}
    for exchange in own():
        dialect = dialects().get(exchange.protocol)
        good = exchange.streamed and exchange.status == 200 and "early_end" not in exchange.tags
        if not isinstance(dialect, ChatDialect) or not good or dialect.expected(exchange).reason is not None:
            continue
        most = found.get(dialect.name)
        events = len(dialect.events(exchange.body))
        if dialect.expected(exchange).text and (most is None or events > len(dialect.events(most[1].body))):
            found[dialect.name] = (dialect, exchange)
    return found


STREAMS = streams()

every = pytest.mark.parametrize(("dialect", "exchange"), STREAMS.values(), ids=STREAMS)


async def ask(dialect: ChatDialect, exchange: Exchange, replay: Replay, **options: float) -> Told:
    settings = dialect.settings(exchange, replay.url)
    settings = settings.model_copy(update={"options": {**settings.options, **options}})
    return await converse(settings, dialect.ours(exchange))


async def failure(dialect: ChatDialect, exchange: Exchange, replay: Replay, **options: float) -> MaestroError:
    async with replay:
        told = await ask(dialect, exchange, replay, **options)
    assert told.error is not None, "no error"
    assert told.error.provider
    assert told.error.metadata["provider"]
    return told.error


def failing(dialect: ChatDialect, status: int, **headers: str) -> Replay:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Replay(status, sent, dialect.failure(status, SAYS[status]))


def saying(dialect: ChatDialect, exchange: Exchange, body: bytes, plan: Plan = Plan()) -> Replay:  # noqa: B008 - frozen
    return dialect.replay(replace(exchange, body=body), plan)


def spoken(told: Told) -> bool:
    return any(event.WhichOneof("event") == "part_started" for event in told.events)


@every
@pytest.mark.parametrize("status", SAYS)
async def test_a_status_has_its_reason_and_the_provider_its_word(dialect, exchange, status):
    error = await failure(dialect, exchange, failing(dialect, status, x_request_id="req_7"))
    assert error.reason in REASONS[status]
    assert error.word.http_status == status
    assert error.word.message == SAYS[status]
    assert error.model


@every
async def test_retry_after_in_seconds_is_told(dialect, exchange):
    error = await failure(dialect, exchange, failing(dialect, 429, retry_after="7"))
    assert error.retry_delay == 7
    assert error.retryable


@every
async def test_retry_after_as_a_date_is_told(dialect, exchange):
    now, then = "Fri, 20 Nov 2026 10:00:00 GMT", "Fri, 20 Nov 2026 10:00:30 GMT"
    error = await failure(dialect, exchange, failing(dialect, 429, retry_after=then, date=now))
    assert error.retry_delay == 30


@every
async def test_without_retry_after_there_is_no_delay(dialect, exchange):
    assert (await failure(dialect, exchange, failing(dialect, 429))).retry_delay is None


@every
@pytest.mark.parametrize(("status", "reason"), [(502, "PROVIDER_UNAVAILABLE"), (401, "PROVIDER_AUTH_FAILED")])
async def test_a_page_for_an_error_goes_by_its_status(dialect, exchange, status, reason):
    page = Replay(status, {"content-type": "text/html"}, b"<html><body>Bad gateway</body></html>")
    assert (await failure(dialect, exchange, page)).reason.name == reason


@every
async def test_an_error_without_a_body_goes_by_its_status(dialect, exchange):
    assert (await failure(dialect, exchange, Replay(503, {}, b""))).reason is Reason.PROVIDER_UNAVAILABLE


@every
async def test_a_page_for_an_answer_cannot_be_read(dialect, exchange):
    page = Replay(200, {"content-type": "text/html"}, b"<html><body>Sign in</body></html>")
    assert (await failure(dialect, exchange, page)).reason is Reason.PROVIDER_PROTOCOL_ERROR


@every
async def test_an_answer_without_a_body_is_broken(dialect, exchange):
    error = await failure(dialect, exchange, saying(dialect, exchange, b""))
    assert error.reason in (Reason.STREAM_BROKEN, Reason.PROVIDER_PROTOCOL_ERROR)


@every
async def test_an_event_that_cannot_be_read_is_a_protocol_error(dialect, exchange):
    first, *rest = dialect.events(exchange.body)
    body = b"".join([first, dialect.garbage, *rest])
    error = await failure(dialect, exchange, saying(dialect, exchange, body))
    assert error.reason is Reason.PROVIDER_PROTOCOL_ERROR
    assert not error.retryable


def cuts(events: Sequence[bytes]) -> list[int]:
    """Before anything, in the first event, between two, within one; all long before the one that says why it ended."""
    some = sum(map(len, events[: max(len(events) // 3, 1)]))
    return sorted({0, 5, len(events[0]), some, some + 9})


@every
@pytest.mark.parametrize("how", ["close", "reset", "clean"])
async def test_a_stream_that_is_cut_is_broken_and_never_an_answer(dialect, exchange, how):
    for after in cuts(dialect.events(exchange.body)):
        async with dialect.replay(exchange, Plan(seed=after + 1, cut=how, cut_after=after)) as replay:
            told = await ask(dialect, exchange, replay)
        assert told.error is not None, f"cut after {after} bytes: an answer"
        assert told.error.reason in BROKEN, f"cut after {after} bytes: {told.error}"
        if spoken(told):
            assert told.error.reason is Reason.STREAM_BROKEN, f"cut after {after} bytes"
            assert not told.error.retryable, f"cut after {after} bytes"


@every
async def test_headers_that_never_come_are_a_timeout(dialect, exchange):
    error = await failure(dialect, exchange, dialect.replay(exchange, Plan(late=True)), read_timeout=0.05)
    assert error.reason is Reason.PROVIDER_TIMEOUT
    assert error.retryable


@every
async def test_a_stream_that_stalls_is_a_timeout(dialect, exchange):
    events = dialect.events(exchange.body)
    stall = Plan(stall_after=sum(map(len, events[: len(events) // 2])))
    error = await failure(dialect, exchange, dialect.replay(exchange, stall), read_timeout=0.05)
    assert error.reason is Reason.PROVIDER_TIMEOUT


@every
async def test_closing_a_stream_that_stalls_closes_the_socket(dialect, exchange):
    events = dialect.events(exchange.body)
    stall = Plan(stall_after=sum(map(len, events[: -(-len(events) // 2)])))
    async with dialect.replay(exchange, stall) as replay:
        adapter = load(dialect.settings(exchange, replay.url))
        told = adapter.chat(dialect.ours(exchange))
        async with asyncio.timeout(5):
            first: chat_pb2.ChatEvent = await anext(told)
            assert first.WhichOneof("event") in ("started", "warning")
            await told.aclose()
            await replay.left.wait()
            await adapter.aclose()


@every
async def test_a_call_that_is_cancelled_closes_the_socket(dialect, exchange):
    async with dialect.replay(exchange, Plan(late=True)) as replay:
        adapter = load(dialect.settings(exchange, replay.url))

        async def watch() -> None:
            async with aclosing(adapter.chat(dialect.ours(exchange))) as told:
                async for _ in told:
                    pass

        async with asyncio.timeout(5):
            call = asyncio.create_task(watch())
            await replay.arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await replay.left.wait()
            await adapter.aclose()


@every
async def test_a_provider_that_is_not_there_is_unavailable(dialect, exchange):
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told = await converse(dialect.settings(exchange, nowhere), dialect.ours(exchange))
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_UNAVAILABLE
    assert told.error.retryable


@every
async def test_a_provider_without_tls_where_there_should_be_is_unavailable(dialect, exchange):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as plain:
        address = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
        told = await converse(dialect.settings(exchange, address), dialect.ours(exchange))
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_UNAVAILABLE


@every
async def test_the_key_is_in_no_error_and_no_repr(dialect, exchange):
    settings: AdapterSettings = dialect.settings(exchange, "http://127.0.0.1:9")
    if settings.api_key is None:
        pytest.skip("this dialect has no key")
    key = settings.api_key.get_secret_value()
    said = f"no such key: {key}"
    async with Replay(401, {"content-type": "application/json"}, dialect.failure(401, said)) as replay:
        settings = dialect.settings(exchange, replay.url)
        adapter = load(settings)
        told = await ask(dialect, exchange, replay)
        await adapter.aclose()
    assert told.error is not None
    for shown in (told.error.word.message, str(told.error), repr(told.error), repr(adapter), repr(vars(told.error))):
        assert key not in shown
