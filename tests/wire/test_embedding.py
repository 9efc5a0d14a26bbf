"""Vectors over the wire: a real server, a real channel, the local embedder."""

import asyncio
import math
from array import array
from pathlib import Path

import grpc
import pytest

import maestro_client
from maestro.v1 import common_pb2, content_pb2, embedding_pb2, embedding_pb2_grpc, error_pb2
from maestro_client import Client, FailedPrecondition, InvalidRequest, vectors_of
from maestro_gateway.spend.accounts import Settlement
from maestro_spi import MaestroError, Reason, Vector, Vectors
from tests.doubles.gateway import BEARER, KEY, Around, Wire, wired

Input = embedding_pb2.EmbedInput


async def test_texts_become_vectors_in_their_order(wire: Wire) -> None:
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        whole = await client.embeddings.embed(["one", "two", "one"])
        single = await client.embeddings.embed("two", model="local/hash-256")
    one, two, again = vectors_of(whole)
    assert one == again != two
    assert vectors_of(single) == [two]
    assert [each.index for each in whole.embeddings] == [0, 1, 2]
    assert whole.provider == "local"
    assert whole.model == "hash-256"
    assert whole.encoding == embedding_pb2.VECTOR_ENCODING_FLOAT32_LE
    assert whole.usage.input_tokens == whole.usage.total_tokens > 0
    assert whole.usage.source == common_pb2.USAGE_SOURCE_ESTIMATED
    assert [attempt.cause for attempt in whole.attempts] == ["primary"]


async def test_the_caller_says_how_many_numbers_and_how_they_travel(wire: Wire) -> None:
    request = embedding_pb2.EmbedRequest(
        inputs=[Input(text="hello")], dimensions=64, encoding=embedding_pb2.VECTOR_ENCODING_INT8, normalize=True
    )
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        answer = await client.embeddings.embed(request)
        halves = await client.embeddings.embed("hello", dimensions=128)
    assert len(answer.embeddings[0].packed) == answer.embeddings[0].dimensions == 64
    assert len(vectors_of(halves)[0]) == 128
    assert math.hypot(*vectors_of(halves)[0]) == pytest.approx(1.0, abs=1e-5)


async def test_what_is_not_honoured_is_said(wire: Wire) -> None:
    request = embedding_pb2.EmbedRequest(
        inputs=[Input(text="hello")],
        purpose=embedding_pb2.EMBEDDING_PURPOSE_QUERY,
        provider_options_json={"openai": "{}"},
    )
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        answer = await client.embeddings.embed(request)
    assert [warning.field for warning in answer.warnings] == ["purpose", 'provider_options_json["openai"]']


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (embedding_pb2.EmbedRequest(inputs=[Input()]), "inputs[0]"),
        (embedding_pb2.EmbedRequest(), "inputs"),
        (embedding_pb2.EmbedRequest(inputs=[Input(text="a")], encoding=99), "encoding"),
        (embedding_pb2.EmbedRequest(inputs=[Input(text="a")], dimensions=0), "dimensions"),
        (embedding_pb2.EmbedRequest(inputs=[Input(text="a")], dimensions=2**31 - 1), "dimensions"),
        (
            embedding_pb2.EmbedRequest(inputs=[Input(text="a")], provider_options_json={"local": "{"}),
            'provider_options_json["local"]',
        ),
    ],
)
async def test_a_wrong_request_names_the_field(wire: Wire, request_: embedding_pb2.EmbedRequest, field: str) -> None:
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        with pytest.raises(InvalidRequest) as refused:
            await client.embeddings.embed(request_)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_features_that_are_missing_are_named(wire: Wire) -> None:
    media = content_pb2.Media(file="files/x", modality=common_pb2.MODALITY_IMAGE)
    requests = {
        "personas": embedding_pb2.EmbedRequest(inputs=[Input(text="a")], persona="personas/x"),
        "idempotency": embedding_pb2.EmbedRequest(inputs=[Input(text="a")], idempotency_key="k"),
        "files": embedding_pb2.EmbedRequest(inputs=[Input(media=media)]),
    }
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        for feature, request in requests.items():
            with pytest.raises(maestro_client.MaestroError) as refused:
                await client.embeddings.embed(request)
            assert refused.value.reason == "FEATURE_DISABLED"
            assert feature in refused.value.message


async def test_a_model_that_only_chats_makes_no_vectors_and_the_other_way_round(wire: Wire) -> None:
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        with pytest.raises(FailedPrecondition) as no_vectors:
            await client.embeddings.embed("hello", model="scripted/hello")
        with pytest.raises(FailedPrecondition) as no_chat:
            await client.chat.complete("hello", model="local/hash-256")
    assert no_vectors.value.reason == no_chat.value.reason == "CAPABILITY_UNMET"
    assert [(each.subject, each.description) for each in no_vectors.value.preconditions] == [
        ("EMBEDDINGS", "nearest: local/hash-256")
    ]
    assert [(each.subject, each.description) for each in no_chat.value.preconditions] == [
        ("CHAT", "nearest: scripted/hello")
    ]


async def test_pictures_need_a_model_that_sees(wire: Wire) -> None:
    media = content_pb2.Media(data=b"x", mime_type="image/png", modality=common_pb2.MODALITY_IMAGE)
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        with pytest.raises(FailedPrecondition) as refused:
            await client.embeddings.embed(embedding_pb2.EmbedRequest(inputs=[Input(media=media)]))
    assert [each.subject for each in refused.value.preconditions] == ["VISION"]


async def test_where_nobody_makes_vectors_it_is_said(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(5),
        wired(tmp_path, "providers: {scripted: {adapter: scripted}}") as wire,
        Client(wire.address, KEY) as client,
    ):
        with pytest.raises(FailedPrecondition, match="no model here makes vectors"):
            await client.embeddings.embed("hello")


class Stalled:
    """An embedder that never answers, or fails; notes that it was stopped."""

    version = "stalled"

    def __init__(self, error: MaestroError | None = None) -> None:
        self.error = error
        self.asked, self.stopped = asyncio.Event(), asyncio.Event()

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        self.asked.set()
        if self.error is not None:
            raise self.error
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        raise AssertionError

    async def aclose(self) -> None:
        pass


@pytest.fixture
def settlements() -> list[Settlement]:
    return []


@pytest.fixture
async def watched(tmp_path: Path, settlements: list[Settlement]):
    around = Around(settle=settlements.append)
    async with wired(tmp_path, "timeouts: {embed: 100ms}", around=around) as made:
        yield made


async def test_silence_ends_at_the_gateways_own_limit(watched: Wire, settlements: list[Settlement]) -> None:
    watched.gateway.fleet.plugs["local"] = stalled = Stalled()
    stub = embedding_pb2_grpc.EmbeddingServiceStub(watched.channel)
    async with asyncio.timeout(5):
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await stub.Embed(embedding_pb2.EmbedRequest(inputs=[Input(text="a")]), metadata=BEARER)
        await stalled.stopped.wait()
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [each.outcome for each in settlements] == ["DEADLINE_EXCEEDED"]


async def test_hanging_up_stops_the_provider_and_settles_once(tmp_path: Path, settlements: list[Settlement]) -> None:
    async with asyncio.timeout(5), wired(tmp_path, around=Around(settle=settlements.append)) as wire:
        wire.gateway.fleet.plugs["local"] = stalled = Stalled()
        stub = embedding_pb2_grpc.EmbeddingServiceStub(wire.channel)
        call = stub.Embed(embedding_pb2.EmbedRequest(inputs=[Input(text="a")]), metadata=BEARER)
        await stalled.asked.wait()
        call.cancel()
        await stalled.stopped.wait()
        while not settlements:
            await asyncio.sleep(0)
    assert [(each.outcome, each.provider, each.model) for each in settlements] == [("CANCELLED", "local", "hash-256")]


async def test_a_failure_tells_who_and_what(watched: Wire, settlements: list[Settlement]) -> None:
    error = MaestroError(Reason.PROVIDER_RATE_LIMITED, "wait a little", retry_delay=0.0)
    watched.gateway.fleet.plugs["local"] = Stalled(error)
    async with asyncio.timeout(5), Client(watched.address, KEY) as client:
        with pytest.raises(maestro_client.MaestroError) as failed:
            await client.embeddings.embed("a")
    assert failed.value.reason == "PROVIDER_RATE_LIMITED"
    assert error_pb2.ErrorReason.Name(error.reason) == failed.value.context.attempts[0].reason
    assert [each.outcome for each in settlements] == ["PROVIDER_RATE_LIMITED"]


class Partly:
    """An embedder of which every second batch fails."""

    version = "partly"

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        error = MaestroError(Reason.PROVIDER_RATE_LIMITED, "wait a little")
        good, bad = Vector(array("f", [1.0, 2.0]), input_tokens=3), Vector(array("f"), error=error)
        usage = common_pb2.Usage(input_tokens=3, total_tokens=3, source=common_pb2.USAGE_SOURCE_PROVIDER)
        return Vectors([bad if index % 2 else good for index in range(len(request.inputs))], "m", usage)

    async def aclose(self) -> None:
        pass


async def test_what_was_paid_for_arrives_though_other_inputs_failed(wire: Wire) -> None:
    wire.gateway.fleet.plugs["local"] = Partly()
    async with asyncio.timeout(5), Client(wire.address, KEY) as client:
        answer = await client.embeddings.embed(["a", "b"])
    first, second = answer.embeddings
    assert (first.dimensions, first.input_tokens, first.HasField("error")) == (2, 3, False)
    assert (second.dimensions, second.packed) == (0, b"")
    assert second.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    with pytest.raises(ValueError, match="input 1 has no vector: wait a little"):
        vectors_of(answer)
