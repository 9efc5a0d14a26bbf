"""Batches of inputs: split to the provider's size, a few at once, joined in order; and what fails on the way."""

import asyncio
from array import array

import pytest

from maestro.v1 import common_pb2, embedding_pb2
from maestro_spi import MaestroError, Reason, Vector, Vectors, in_batches

INPUTS = [embedding_pb2.EmbedInput(text=str(number)) for number in range(10)]


def answer(inputs, source=common_pb2.USAGE_SOURCE_PROVIDER) -> Vectors:
    usage = common_pb2.Usage(input_tokens=len(inputs), total_tokens=len(inputs), source=source)
    warning = common_pb2.Warning(code="PARAMETER_DROPPED", field="purpose")
    return Vectors([Vector(array("f", [float(item.text)])) for item in inputs], "m", usage, [warning], "r")


def numbers(vectors: Vectors) -> list[float | None]:
    return [None if each.error else each.values[0] for each in vectors.vectors]


async def test_what_fits_is_asked_for_at_once():
    asked = []

    async def ask(inputs):
        asked.append(len(inputs))
        return answer(inputs)

    vectors = await in_batches(INPUTS, 10, ask)
    assert asked == [10]
    assert numbers(vectors) == list(range(10))


async def test_batches_that_end_in_any_order_are_joined_in_theirs():
    gates = [asyncio.Event() for _ in range(4)]
    gates[3].set()

    async def ask(inputs):
        batch = int(inputs[0].text) // 3
        await gates[batch].wait()
        if batch:
            gates[batch - 1].set()
        return answer(inputs)

    async with asyncio.timeout(5):
        vectors = await in_batches(INPUTS, 3, ask)
    assert numbers(vectors) == list(range(10))
    assert vectors.usage.input_tokens == vectors.usage.total_tokens == 10
    assert vectors.usage.model_calls == 4
    assert [warning.field for warning in vectors.warnings] == ["purpose"]


async def test_counts_of_two_kinds_are_mixed():
    async def ask(inputs):
        estimated = inputs[0].text == "0"
        return answer(inputs, common_pb2.USAGE_SOURCE_ESTIMATED if estimated else common_pb2.USAGE_SOURCE_PROVIDER)

    assert (await in_batches(INPUTS, 5, ask)).usage.source == common_pb2.USAGE_SOURCE_MIXED


async def test_a_batch_that_fails_keeps_its_error_and_nothing_more_is_asked():
    asked = []

    async def ask(inputs):
        asked.append(inputs[0].text)
        if inputs[0].text == "1":
            raise MaestroError(Reason.PROVIDER_RATE_LIMITED, "wait")
        return answer(inputs)

    vectors = await in_batches(INPUTS, 1, ask)
    assert asked[:2] == ["0", "1"]
    assert len(asked) < 10
    assert vectors.vectors[1].error is not None
    assert vectors.vectors[1].error.reason is Reason.PROVIDER_RATE_LIMITED
    assert vectors.vectors[9].error is vectors.vectors[1].error
    assert numbers(vectors)[0] == 0.0


async def test_where_every_batch_fails_the_call_fails():
    async def ask(inputs):
        raise MaestroError(Reason.PROVIDER_AUTH_FAILED, "no")

    with pytest.raises(MaestroError, match="PROVIDER_AUTH_FAILED"):
        await in_batches(INPUTS, 2, ask)


async def test_a_provider_that_leaves_an_input_out_is_not_believed():
    async def ask(inputs):
        return answer(inputs[1:])

    with pytest.raises(MaestroError, match="PROVIDER_PROTOCOL_ERROR"):
        await in_batches(INPUTS, 10, ask)


async def test_cancelling_stops_every_batch():
    begun, stopped = asyncio.Event(), []

    async def ask(inputs):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(inputs[0].text)

    task = asyncio.create_task(in_batches(INPUTS, 5, ask))
    async with asyncio.timeout(5):
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sorted(stopped) == ["0", "5"]
