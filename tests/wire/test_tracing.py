"""Traces and metrics over the wire: one trace from the caller to the provider, nothing where nothing is configured."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from maestro.v1 import chat_pb2_grpc
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.config.telemetry import Observed, on
from tests.doubles.asking import ask, interrupted, refused
from tests.doubles.gateway import BEARER, KEY, Wire, wired

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = (*BEARER, ("traceparent", f"00-{TRACE}-{PARENT}-01"))


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def metrics() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
async def wire(tmp_path: Path, spans: InMemorySpanExporter, metrics: InMemoryMetricReader) -> AsyncGenerator[Wire]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([metrics])
    telemetry = Telemetry(provider.get_tracer("maestro"), meters.get_meter("maestro"))
    async with wired(tmp_path, observed=Observed(telemetry, provider)) as made:
        yield made
    provider.shutdown()
    meters.shutdown()


async def finished(wire: Wire, spans: InMemorySpanExporter) -> Mapping[SpanKind, ReadableSpan]:
    """The spans of one call by their kind, once the server has left its last step."""
    async with asyncio.timeout(5):
        await wire.gateway.envelope.empty()
        while len(found := spans.get_finished_spans()) < 2:
            await asyncio.sleep(0)
    assert len(found) == 2, [span.name for span in found]
    return {span.kind: span for span in found}


def one_trace(made: Mapping[SpanKind, ReadableSpan], method: str) -> None:
    server, client = made[SpanKind.SERVER], made[SpanKind.CLIENT]
    assert f"{server.context.trace_id:032x}" == TRACE == f"{client.context.trace_id:032x}"
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == PARENT
    assert client.parent is not None
    assert client.parent.span_id == server.context.span_id
    assert server.name.endswith(method)


async def test_a_whole_answer_is_one_trace_from_the_caller_to_the_provider(
    wire: Wire, spans: InMemorySpanExporter
) -> None:
    whole = await wire.chat.CompleteChat(ask(), metadata=(*TRACED, ("x-request-id", "r-1")))
    made = await finished(wire, spans)
    one_trace(made, "CompleteChat")
    client = made[SpanKind.CLIENT]
    assert client.name == "chat hello"
    said = dict(client.attributes or {})
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "scripted"
    assert said["gen_ai.request.model"] == "hello"
    assert said["maestro.request_id"] == "r-1"
    told = dict(made[SpanKind.SERVER].attributes or {})
    assert told["gen_ai.usage.output_tokens"] == whole.usage.output_tokens
    assert told["maestro.chat"] == whole.chat


async def test_a_stream_is_one_trace_too(wire: Wire, spans: InMemorySpanExporter) -> None:
    events = [event async for event in wire.chat.StreamChat(ask(), metadata=TRACED)]
    assert events[-1].HasField("completed")
    made = await finished(wire, spans)
    one_trace(made, "StreamChat")
    assert made[SpanKind.CLIENT].status.status_code is not StatusCode.ERROR


async def test_a_failure_is_named_in_its_span(wire: Wire, spans: InMemorySpanExporter) -> None:
    request = ask(script=[{"text": "a"}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}])
    await interrupted(wire.chat.StreamChat(request, metadata=TRACED))
    client = (await finished(wire, spans))[SpanKind.CLIENT]
    assert client.status.status_code is StatusCode.ERROR
    assert dict(client.attributes or {})["error.type"] == "PROVIDER_UNAVAILABLE"


async def test_a_caller_without_a_trace_begins_one(wire: Wire, spans: InMemorySpanExporter) -> None:
    await wire.chat.CompleteChat(ask(), metadata=BEARER)
    assert (await finished(wire, spans))[SpanKind.SERVER].parent is None


async def test_hanging_up_leaves_no_complaint_of_the_tracer(
    wire: Wire, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    call = wire.chat.StreamChat(ask(script=[{"text": "a"}, {"stall": True}]), metadata=TRACED)
    await call.read()
    call.cancel()
    one_trace(await finished(wire, spans), "StreamChat")
    assert not [record.getMessage() for record in caplog.records if "detach" in record.getMessage()]
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_neither_prompt_nor_key_is_in_a_span(wire: Wire, spans: InMemorySpanExporter) -> None:
    await wire.chat.CompleteChat(ask("my secret question"), metadata=TRACED)
    made = await finished(wire, spans)
    told = "".join(span.to_json() for span in made.values())
    assert "my secret question" not in told
    assert KEY not in told


def points(metrics: InMemoryMetricReader) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    data = metrics.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found.setdefault(metric.name, []).extend(dict(point.attributes) for point in metric.data.data_points)
    return found


async def test_a_chat_is_measured_with_labels_that_have_few_values(wire: Wire, metrics: InMemoryMetricReader) -> None:
    await wire.chat.CompleteChat(ask(), metadata=BEARER)
    await refused(wire.chat.CompleteChat(ask(), metadata=()))
    await wire.gateway.envelope.empty()
    found = points(metrics)
    outcomes = {label["error.type"] for label in found["rpc.server.call.duration"]}
    assert outcomes == {"OK", "CREDENTIALS_MISSING"}
    assert {label["gen_ai.token.type"] for label in found["gen_ai.client.token.usage"]} == {"input", "output"}
    assert {"gen_ai.client.operation.duration", "gen_ai.server.time_to_first_token"} <= found.keys()
    allowed = {"rpc.method", "error.type", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type"}
    assert {name for labels in found.values() for label in labels for name in label} <= allowed


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        self.spans: asyncio.Queue[Any] = asyncio.Queue()

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put_nowait((resource.resource, span))
        return trace_service_pb2.ExportTraceServiceResponse()


async def serve_one_chat(folder: Path, **more: str) -> str:
    """A gateway in a process of its own answers one traced chat and leaves; what it has written to standard error."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAESTRO_ADDRESS": "127.0.0.1:0",
        "MAESTRO_KEY": KEY,
        "PYTHONUNBUFFERED": "1",
        **more,
    }
    command = [sys.executable, "-c", "from maestro_gateway.cli import main; main()", "serve"]
    with (folder / "errors").open("w") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=variables, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        await chat(await listening(process))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return (folder / "errors").read_text()


async def listening(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if line.startswith("listening on "):
            return line.removeprefix("listening on ").strip()
    raise AssertionError("it did not start")


async def chat(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await chat_pb2_grpc.ChatServiceStub(channel).CompleteChat(ask(), metadata=TRACED)


async def test_a_collector_gets_the_trace_where_the_standard_variable_names_it(tmp_path: Path) -> None:
    collector = Collector()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(20):
            endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_METRICS_EXPORTER": "none"}
            errors = await serve_one_chat(tmp_path, **endpoint, OTEL_LOGS_EXPORTER="none")
            got = [await collector.spans.get() for _ in range(2)]
    finally:
        await server.stop(0)
    assert {span.trace_id.hex() for _, span in got} == {TRACE}
    names = {attribute.value.string_value for resource, _ in got for attribute in resource.attributes}
    assert "maestro" in names
    assert "Traceback" not in errors


async def test_without_the_variable_nothing_is_sent_and_the_sdk_is_not_loaded(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        errors = await serve_one_chat(tmp_path, PYTHONVERBOSE="1")
    assert "import 'maestro_gateway.app'" in errors
    assert "import 'opentelemetry.sdk" not in errors
    assert "import 'opentelemetry.exporter" not in errors


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:1"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x:1"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, False),
    ],
)
def test_the_standard_variables_decide(environ: Mapping[str, str], expected: bool) -> None:
    assert on("TRACES", environ) is expected
