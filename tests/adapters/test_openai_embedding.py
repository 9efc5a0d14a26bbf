"""OpenAI's embeddings: what is asked, in how many requests, and what is made of the answers and failures."""

import asyncio
import base64
import json
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters import registry
from maestro_adapters.openai_chat import adapter  # noqa: F401 - here, so that no test waits for the SDK to load
from maestro_spi import AdapterSettings, EmbeddingAdapter, MaestroError, Reason
from tests.conformance.embedding import texts
from tests.conformance.replay import Plan, Replay


def packed(*values: float) -> str:
    return base64.b64encode(array("f", values).tobytes()).decode()


def said(*data: dict[str, object], **more: object) -> bytes:
    return json.dumps(
        {"object": "list", "data": data, "model": "m-1", "usage": {"prompt_tokens": 3, "total_tokens": 3}, **more}
    ).encode()


ONE = said({"index": 0, "embedding": packed(1, 2)})


@asynccontextmanager
async def provider(
    body: bytes, status: int = 200, *, plan: Plan | None = None, kind: str = "application/json", **options: object
) -> AsyncGenerator[tuple[EmbeddingAdapter, Replay]]:
    headers = {"content-type": kind, "x-request-id": "req-1"}
    async with asyncio.timeout(5), Replay(status, headers, body, plan or Plan()) as replay:
        acme = registry.load(
            AdapterSettings(
                name="acme", adapter="openai_chat", base_url=replay.url, api_key="k-secret", options=options
            )
        )
        try:
            yield acme, replay
        finally:
            await acme.aclose()


async def test_it_asks_for_small_numbers_and_reads_them():
    async with provider(ONE) as (acme, replay):
        answer = await acme.embed(texts("hello", model="m", dimensions=2))
    assert replay.asked[0].json == {"model": "m", "input": ["hello"], "encoding_format": "base64", "dimensions": 2}
    assert list(answer.vectors[0].values) == [1.0, 2.0]
    assert (answer.model, answer.request_id) == ("m-1", "req-1")
    assert answer.usage == common_pb2.Usage(
        input_tokens=3, total_tokens=3, source=common_pb2.USAGE_SOURCE_PROVIDER, model_calls=1
    )


async def test_a_vendor_that_sends_plain_numbers_is_read_too():
    async with provider(said({"index": 0, "embedding": [0.5, -1]})) as (acme, _):
        answer = await acme.embed(texts("hello", model="m"))
    assert list(answer.vectors[0].values) == [0.5, -1.0]


async def test_vectors_stand_in_the_order_of_the_inputs_whatever_order_they_come_in():
    body = said({"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]})
    async with provider(body) as (acme, _):
        answer = await acme.embed(texts("a", "b", model="m"))
    assert [list(each.values) for each in answer.vectors] == [[1.0], [2.0]]


async def test_without_indexes_the_order_is_theirs():
    body = said({"index": 0, "embedding": [2]}, {"index": 0, "embedding": [1]})
    async with provider(body) as (acme, _):
        answer = await acme.embed(texts("a", "b", model="m"))
    assert [list(each.values) for each in answer.vectors] == [[2.0], [1.0]]


async def test_more_inputs_than_the_vendor_takes_go_in_several_requests():
    async with provider(ONE, embedding_batch=1) as (acme, replay):
        answer = await acme.embed(texts("a", "b", "c", model="m"))
    assert sorted(asked.json["input"][0] for asked in replay.asked) == ["a", "b", "c"]
    assert len(answer.vectors) == 3
    assert answer.usage.input_tokens == 9
    assert answer.usage.model_calls == 3


async def test_long_inputs_go_fewer_at_once():
    async with provider(ONE) as (acme, replay):
        await acme.embed(texts("x" * 600_000, "y" * 600_000, model="m"))
    assert [len(asked.json["input"]) for asked in replay.asked] == [1, 1]


async def test_a_vendors_own_words_are_data():
    options = {
        "embedding_format": "",
        "embedding_dimensions_field": "output_dimension",
        "embedding_purposes": {"QUERY": "query"},
    }
    request = texts("a", model="m", dimensions=2, purpose=embedding_pb2.EMBEDDING_PURPOSE_QUERY)
    request.inputs[0].title = "t"
    request.provider_options_json["acme"] = '{"user": "u", "output_dimension": null}'
    async with provider(ONE, **options) as (acme, replay):
        await acme.embed(request)
    assert replay.asked[0].json == {"model": "m", "input": ["t\n\na"], "input_type": "query", "user": "u"}


async def test_options_that_are_no_object_are_refused_before_anything_is_sent():
    request = texts("a", model="m")
    request.provider_options_json["acme"] = "[1]"
    async with provider(ONE) as (acme, replay):
        with pytest.raises(MaestroError, match="INVALID_FIELD"):
            await acme.embed(request)
    assert replay.asked == []


FAILURES = {
    "no such model": (404, b'{"error": {"code": "model_not_found", "message": "no"}}', Reason.MODEL_NOT_FOUND),
    "no key": (401, b'{"error": {"message": "wrong key k-secret"}}', Reason.PROVIDER_AUTH_FAILED),
    "too fast": (429, b'{"error": {"message": "slow down"}}', Reason.PROVIDER_RATE_LIMITED),
    "out of credit": (429, b'{"error": {"code": "insufficient_quota"}}', Reason.PROVIDER_QUOTA_EXHAUSTED),
    "down": (503, b"", Reason.PROVIDER_UNAVAILABLE),
    "an error in a good answer": (200, b'{"error": {"code": 429, "message": "slow"}}', Reason.PROVIDER_RATE_LIMITED),
    "an empty body": (200, b"", Reason.PROVIDER_PROTOCOL_ERROR),
    "no vectors": (200, b'{"object": "list"}', Reason.PROVIDER_PROTOCOL_ERROR),
    "too few vectors": (200, said(), Reason.PROVIDER_PROTOCOL_ERROR),
    "no base64": (200, said({"embedding": "%%%"}), Reason.PROVIDER_PROTOCOL_ERROR),
    "half a number": (200, said({"embedding": "AAA="}), Reason.PROVIDER_PROTOCOL_ERROR),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_has_its_reason_and_tells_no_key(failure):
    status, body, reason = FAILURES[failure]
    async with provider(body, status) as (acme, _):
        with pytest.raises(MaestroError) as failed:
            await acme.embed(texts("a", model="m"))
    assert failed.value.reason is reason
    assert "k-secret" not in f"{failed.value} {failed.value.word}"


async def test_a_page_is_no_answer():
    async with provider(b"<html>", kind="text/html") as (acme, _):
        with pytest.raises(MaestroError, match="PROVIDER_PROTOCOL_ERROR"):
            await acme.embed(texts("a", model="m"))


async def test_an_answer_that_breaks_off_may_be_asked_for_again():
    async with provider(ONE, plan=Plan(cut="reset", cut_after=20)) as (acme, _):
        with pytest.raises(MaestroError) as failed:
            await acme.embed(texts("a", model="m"))
    assert failed.value.retryable


async def test_cancelling_hangs_up():
    async with provider(ONE, plan=Plan(stall_after=20)) as (acme, replay):
        task = asyncio.create_task(acme.embed(texts("a", model="m")))
        while not replay.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await replay.left.wait()
