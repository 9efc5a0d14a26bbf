"""What is kept is bounded in bytes and in time, and belongs to one tenant."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from google.rpc import status_pb2

from maestro.v1 import chat_pb2, content_pb2
from maestro_gateway.runs.chats import Chats
from maestro_spi.errors import MaestroError, Reason
from tests.doubles.asking import ask
from tests.doubles.clock import Counted, HandClock

Event = chat_pb2.ChatEvent
HOUR = 3600.0


def explain(error: MaestroError) -> status_pb2.Status:
    return status_pb2.Status(code=error.reason.value, message=error.message)


def kept_by(clock: HandClock, keep_bytes: int = 10_000) -> Chats:
    return Chats(clock, Counted(), keep_bytes=keep_bytes, keep_for=HOUR)


async def says(chat: str, text: str) -> AsyncGenerator[Event]:
    """An answer of one text."""
    yield Event(started=chat_pb2.ChatStarted(chat=chat))
    part = chat_pb2.PartStarted(role=content_pb2.ROLE_ASSISTANT, part=content_pb2.Part(text=""))
    yield Event(part_started=part)
    yield Event(text_delta=text)
    yield Event(part_completed=chat_pb2.PartCompleted(text_bytes=len(text.encode())))
    yield Event(completed=chat_pb2.ChatCompleted(finish_reason=chat_pb2.FINISH_REASON_STOP))


async def answer(chats: Chats, text: str = "yes", *, tenant: str = "acme", store: bool = True) -> str:
    """Plays one answer to its end; its name."""
    async with chats.open(tenant, ask("?", store=store), explain) as running:
        running.start(says(running.chat, text))
        async for _ in running.events():
            pass
    name: str = running.chat
    return name


def is_gone(chats: Chats, chat: str, tenant: str = "acme") -> bool:
    with pytest.raises(MaestroError) as missing:
        chats.get(tenant, chat)
    return missing.value.reason is Reason.RESOURCE_NOT_FOUND


async def test_an_answer_is_kept_for_its_time_and_not_a_moment_longer() -> None:
    clock = HandClock()
    chats = kept_by(clock)
    name = await answer(chats)
    clock.now += HOUR - 1
    assert chats.get("acme", name).messages[0].parts[0].text == "yes"
    clock.now += 1
    assert is_gone(chats, name)


async def test_reading_does_not_prolong_the_time() -> None:
    clock = HandClock()
    chats = kept_by(clock)
    name = await answer(chats)
    for _ in range(4):
        clock.now += HOUR / 4
        with suppress(MaestroError):
            chats.get("acme", name)
    assert is_gone(chats, name)


async def test_the_oldest_gives_way_and_the_bytes_are_counted_to_the_last() -> None:
    chats = kept_by(HandClock(), keep_bytes=2_000)
    names = [await answer(chats, "x" * 300) for _ in range(10)]
    alive = [name for name in names if name in chats._kept]
    assert alive == names[-len(alive) :]
    assert 1 <= len(alive) < 10
    assert 0 < chats._kept_bytes <= 2_000
    for name in alive:
        chats.delete("acme", name)
    assert chats._kept_bytes == 0


async def test_what_has_expired_gives_its_bytes_back() -> None:
    clock = HandClock()
    chats = kept_by(clock, keep_bytes=2_000)
    await answer(chats, "x" * 300)
    clock.now += HOUR
    last = await answer(chats, "y" * 300)
    assert list(chats._kept) == [last]


async def test_an_answer_larger_than_the_bound_pushes_nobody_out() -> None:
    chats = kept_by(HandClock(), keep_bytes=1_000)
    small = await answer(chats)
    large = await answer(chats, "x" * 5_000)
    assert is_gone(chats, large)
    assert chats.get("acme", small)


async def test_what_nobody_asked_to_store_is_not_kept() -> None:
    chats = kept_by(HandClock())
    assert is_gone(chats, await answer(chats, store=False))


async def test_an_answer_that_never_started_is_not_kept() -> None:
    async def nothing() -> AsyncGenerator[Event]:
        raise MaestroError(Reason.PROVIDER_UNAVAILABLE, "down")
        yield Event()

    chats = kept_by(HandClock())
    async with chats.open("acme", ask(store=True), explain) as running:
        running.start(nothing())
        with pytest.raises(MaestroError):
            async for _ in running.events():
                pass
    assert is_gone(chats, running.chat)


async def test_two_tenants_never_see_each_other() -> None:
    chats = kept_by(HandClock())
    name = await answer(chats, tenant="acme")
    assert is_gone(chats, name, "other")
    for forbidden in (chats.delete, chats.conversation):
        with pytest.raises(MaestroError) as missing:
            forbidden("other", name)
        assert missing.value.reason is Reason.RESOURCE_NOT_FOUND
    with pytest.raises(MaestroError):
        await chats.cancel("other", name, "key", "")
    assert chats.get("acme", name)


async def test_a_conversation_is_the_question_and_the_answer() -> None:
    chats = kept_by(HandClock())
    name = await answer(chats, "yes")
    said = [(message.role, message.parts[0].text) for message in chats.conversation("acme", name)]
    assert said == [(content_pb2.ROLE_USER, "?"), (content_pb2.ROLE_ASSISTANT, "yes")]
