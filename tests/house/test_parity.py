"""The same nouns and verbs on every floor: proto, rights, handlers, clients, reasons."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2

import maestro_client
import maestro_gateway.app
from maestro.v1 import error_pb2
from maestro_gateway.services.descriptors import Descriptors
from maestro_gateway.transport.deliver import Deliver
from maestro_spi.errors import RETRYABLE, Reason
from maestro_spi.reasons import TABLE

ROOT = Path(__file__).parents[2]
CONTRACT = Descriptors()
METHODS = dict(CONTRACT.methods())
STREAM_THEIR_REQUEST: frozenset[str] = frozenset()  # few, and listed here by name
# Nothing here raises these: adapters do, from what a provider answers, or a room that has not been built yet.
OF_PROVIDERS = frozenset(
    {
        Reason.PROVIDER_NOT_CONFIGURED,
        Reason.PROMPT_BLOCKED,
        Reason.OUTPUT_INVALID,
        Reason.PROVIDER_RATE_LIMITED,
        Reason.PROVIDER_QUOTA_EXHAUSTED,
        Reason.PROVIDER_UNAVAILABLE,
        Reason.CIRCUIT_OPEN,
        Reason.PROVIDER_AUTH_FAILED,
        Reason.PROVIDER_REJECTED_REQUEST,
    }
)


def noun(method: str) -> str:
    """chat, of maestro/v1/chat.proto."""
    return Path(METHODS[method].containing_service.file.name).stem


def members(module: str, attribute: str) -> Iterator[Any]:
    for value in vars(import_module(module)).values():
        if inspect.isclass(value) and value.__module__ == module and hasattr(value, attribute):
            yield value


@pytest.mark.parametrize("method", METHODS)
def test_every_rpc_has_a_handler_in_the_file_of_its_noun(method: str) -> None:
    service, _, name = method.partition("/")
    (handler,) = [each for each in members(f"maestro_gateway.services.{noun(method)}", "name") if each.name == service]
    behaviour = getattr(handler, name)
    streams = METHODS[method].server_streaming
    assert inspect.isasyncgenfunction(behaviour) if streams else inspect.iscoroutinefunction(behaviour)


@pytest.mark.parametrize("method", METHODS)
def test_every_rpc_has_a_method_of_the_client_in_the_file_of_its_noun(method: str) -> None:
    name = method.partition("/")[2]
    (calls,) = [each for each in members(f"maestro_client.{noun(method)}", "RPCS") if name in each.RPCS]
    assert callable(getattr(calls, calls.RPCS[name]))
    blocking = [each for each in members("maestro_client.blocking", "RPCS") if name in each.RPCS]
    assert all(callable(getattr(each, each.RPCS[name])) for each in blocking)
    assert blocking


def test_clients_call_no_rpc_that_is_not_there() -> None:
    there = {name.partition("/")[2] for name in METHODS}
    folder = Path(next(iter(maestro_client.__path__)))
    for file in folder.glob("*.py"):
        for calls in members(f"maestro_client.{file.stem}", "RPCS"):
            assert set(calls.RPCS) <= there


@pytest.mark.parametrize("method", METHODS)
def test_every_rpc_says_which_right_it_needs(method: str) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z]+)?", CONTRACT.needs(METHODS[method]))


def test_few_rpcs_stream_their_request_and_they_are_listed() -> None:
    assert {name for name, method in METHODS.items() if method.client_streaming} == STREAM_THEIR_REQUEST


async def test_what_grpc_runs_for_a_stream_is_the_one_coroutine_that_writes() -> None:
    async def messages(request: Any, context: Any) -> Any:
        yield b""

    async def found(details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(messages)

    for method in (name for name, rpc in METHODS.items() if rpc.server_streaming):
        handler = await Deliver().intercept_service(found, SimpleNamespace(method=f"/{method}"))
        assert inspect.iscoroutinefunction(handler.unary_stream)


def test_the_proto_the_enum_and_the_table_have_the_same_reasons() -> None:
    proto = {name.removeprefix("ERROR_REASON_"): value for name, value in error_pb2.ErrorReason.items() if value}
    assert {reason.name: reason.value for reason in Reason} == proto
    assert set(TABLE) == set(Reason)
    assert set(Reason) >= RETRYABLE


def test_the_proto_and_the_table_have_the_same_codes() -> None:
    text = (ROOT / "proto/maestro/v1/error.proto").read_text()
    codes = {name: code for code, name in re.findall(r"// ([A-Z_]+)\. .*\n  ERROR_REASON_(\w+) = [1-9]", text)}
    assert {reason.name: code_pb2.Code.Name(row.code) for reason, row in TABLE.items()} == codes


def test_every_reason_is_raised_somewhere_or_is_a_providers() -> None:
    raised: set[str] = set()
    for folder in ("server/maestro_gateway", "adapters/maestro_spi", "adapters/maestro_adapters"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.name not in {"errors.py", "reasons.py"}:
                raised.update(re.findall(r"\bReason\.([A-Z_]+)", file.read_text()))
    assert {reason.name for reason in Reason} - raised <= {reason.name for reason in OF_PROVIDERS}


def test_every_reason_tells_the_caller_what_to_do() -> None:
    for reason, row in TABLE.items():
        assert row.caller_should, reason
        assert 400 <= row.http < 600, reason


@pytest.mark.parametrize("feature", maestro_gateway.app.FEATURES)
def test_a_feature_that_is_claimed_is_named_after_what_there_is(feature: str) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", feature)
