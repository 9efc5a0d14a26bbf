"""The EmbeddingAdapter protocol: one verb, EmbedRequest -> Vectors."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from maestro.v1 import common_pb2, embedding_pb2
from maestro_spi.errors import MaestroError, Reason

AT_ONCE = 4  # batches of one request that are on their way together

Inputs = Sequence[embedding_pb2.EmbedInput]


@dataclass(frozen=True, slots=True)
class Vector:
    """What the provider said about one input: its numbers (an array of single precision, typecode "f"), or an error."""

    values: "array[float]"
    input_tokens: int = 0  # 0 where the provider does not count each
    truncated: bool = False
    error: MaestroError | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector for each input, in their order; the totals; what was not honoured, or done another way."""

    vectors: Sequence[Vector]
    model: str = ""  # as the provider names it, where it says
    usage: common_pb2.Usage = field(default_factory=common_pb2.Usage)
    warnings: Sequence[common_pb2.Warning] = ()
    request_id: str = ""  # the provider's own


@runtime_checkable
class EmbeddingAdapter(Protocol):
    """Makes vectors at one provider with one set of credentials; shared by all calls. A chat adapter may be one too.

    What an adapter owes:

    - `request.model` is the provider's own name of the model. The request is read, never changed.
    - Any number of inputs gets an answer, in their order: what is more than the provider takes at once is split with
      `in_batches`, whose size is a fact about the provider.
    - `dimensions`, `purpose`, `truncate`, `EmbedInput.title` and media go to the provider where ModelFacts.parameters
      names them. `encoding` and `normalize` are not its business: the numbers come back as the provider computed them,
      in single precision.
    - `usage.input_tokens` is the provider's count over all batches; an estimate has the source ESTIMATED.
    - A failure is a MaestroError. No retry, no logging, no waiting for limits: others do that.
    - When the call is cancelled, the provider's connection is closed before it returns.
    """

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """Embed the inputs of `request`."""
        ...


async def in_batches(inputs: Inputs, size: int, ask: Callable[[Inputs], Awaitable[Vectors]]) -> Vectors:
    """Asks for at most `size` inputs at once, a few batches at a time, and joins what comes back in their order.

    After the first failure nothing more is asked. Where some batches are answered all the same, the inputs of the
    others carry the error; where none is, it is raised.
    """
    if len(inputs) <= size:
        return _counted(await ask(inputs), len(inputs))
    gate = asyncio.Semaphore(AT_ONCE)
    failures: list[MaestroError] = []

    async def one(batch: Inputs) -> Vectors | MaestroError:
        async with gate:
            if failures:
                return failures[0]
            try:
                return _counted(await ask(batch), len(batch))
            except MaestroError as error:
                failures.append(error)
                return error

    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(batch)) for batch in batches]
    return _joined([(len(batch), task.result()) for batch, task in zip(batches, tasks, strict=True)])


def _counted(vectors: Vectors, wanted: int) -> Vectors:
    if len(vectors.vectors) != wanted:
        raise MaestroError(
            Reason.PROVIDER_PROTOCOL_ERROR,
            f"the provider sent {len(vectors.vectors)} vectors for {wanted} inputs",
            metadata={"inputs": str(wanted), "vectors": str(len(vectors.vectors))},
        )
    return vectors


def _joined(answers: Sequence[tuple[int, Vectors | MaestroError]]) -> Vectors:
    good = [answer for _, answer in answers if isinstance(answer, Vectors)]
    if not good:
        raise next(answer for _, answer in answers if isinstance(answer, MaestroError))
    sources = {each.usage.source for each in good}
    usage = common_pb2.Usage(source=sources.pop() if len(sources) == 1 else common_pb2.USAGE_SOURCE_MIXED)
    for each in good:
        usage.input_tokens += each.usage.input_tokens
        usage.output_tokens += each.usage.output_tokens
        usage.total_tokens += each.usage.total_tokens
        usage.cache_read_input_tokens += each.usage.cache_read_input_tokens
        usage.model_calls += max(1, each.usage.model_calls)
    warnings = {warning.SerializeToString(): warning for each in good for warning in each.warnings}
    return replace(good[0], vectors=[*_each(answers)], usage=usage, warnings=tuple(warnings.values()))


def _each(answers: Sequence[tuple[int, Vectors | MaestroError]]) -> Iterator[Vector]:
    for count, answer in answers:
        if isinstance(answer, MaestroError):
            yield from [Vector(array("f"), error=answer)] * count
        else:
            yield from answer.vectors
