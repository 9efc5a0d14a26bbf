"""Spans about calls, and their context on the wire."""

import asyncio

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from maestro_client import Client, NotFound
from maestro_client.address import parse
from maestro_client.call import Calls
from maestro_client.channel import Channel
from maestro_client.chat import Chat
from maestro_client.opentelemetry import OpenTelemetry
from maestro_client.tracing import NoTracing, tracing


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield provider
    provider.shutdown()


@pytest.fixture
async def chat(fake, key, provider):
    channel = Channel(fake.address, key, environ={})
    yield Chat(Calls(channel, OpenTelemetry(channel.address, provider), None))
    await channel.close()


def traceparent(span):
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}"


async def test_a_call_is_a_span_and_its_context_arrives(chat, fake, hello, spans, provider):
    fake.says = hello
    with provider.get_tracer("test").start_as_current_span("around") as around:
        async with asyncio.timeout(5):
            await chat.complete("Hi")
    span = spans.get_finished_spans()[0]
    assert fake.metadata["traceparent"].startswith(traceparent(span))
    assert span.parent.span_id == around.get_span_context().span_id
    assert span.name == "maestro.v1.ChatService/CompleteChat"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert span.attributes["server.address"] == "127.0.0.1"
    assert span.status.is_ok


async def test_a_stream_is_one_span_from_first_to_last(chat, fake, hello, spans):
    fake.says = hello
    async with asyncio.timeout(5), chat.stream("Hi") as stream:
        await anext(stream)
        assert not spans.get_finished_spans()
        await stream.final()
    (span,) = spans.get_finished_spans()
    assert fake.metadata["traceparent"].startswith(traceparent(span))
    assert span.attributes["rpc.response.status_code"] == "OK"


async def test_a_failure_is_told_to_the_span(chat, fake, fails, spans):
    fake.says = [fails(grpc.StatusCode.NOT_FOUND, "no such model")]
    with pytest.raises(NotFound):
        async with asyncio.timeout(5):
            await chat.complete("Hi")
    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "NOT_FOUND"
    assert span.status.description == "no such model"


async def test_leaving_a_stream_ends_its_span_once_and_in_silence(chat, fake, script, stalls, spans, caplog):
    fake.says = [*script().started().events, stalls]
    async with asyncio.timeout(5):
        async with chat.stream("Hi") as stream:
            await anext(stream)
        reader = asyncio.create_task(chat.stream("Hi").final())
        fake.stalled.clear()
        await fake.stalled.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    ends = [span.attributes["rpc.response.status_code"] for span in spans.get_finished_spans()]
    assert ends == ["CANCELLED", "CANCELLED"]
    assert not caplog.records


async def test_a_client_that_was_not_told_to_trace_does_not(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5):
        await client.chat.complete("Hi")
    assert "traceparent" not in fake.metadata


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_tracing_follows_the_standard_variables(environ, on):
    channel = Channel("localhost:1", "", environ=environ)
    chosen = tracing(channel.address, wanted=None, configured=channel.tracing_configured)
    assert isinstance(chosen, OpenTelemetry if on else NoTracing)


def test_what_the_caller_says_goes_before_the_variables():
    address = parse("localhost:1")
    assert isinstance(tracing(address, wanted=True, configured=False), OpenTelemetry)
    assert isinstance(tracing(address, wanted=False, configured=True), NoTracing)
    assert isinstance(Client("localhost:1", "", tracing=True), Client)
