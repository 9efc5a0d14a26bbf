"""The rules of the proto, with protovalidate and without it; the right of every method; page tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro.v1 import capability_pb2
from maestro_gateway.services import rights
from maestro_gateway.services.bounds import RULES, Bounds
from maestro_gateway.services.descriptors import Descriptors
from maestro_gateway.services.pages import Pages
from maestro_gateway.services.rights import RightMissingError
from maestro_gateway.services.rules import Protovalidate, Rules
from maestro_spi.errors import MaestroError, Reason
from tests.doubles.asking import ask
from tests.doubles.broken_requests import broken_requests

CONTRACT = Descriptors()
CONTRACT_INPUT = {name: method.input_type.full_name for name, method in CONTRACT.methods()}
CHAT = "maestro.v1.ChatService/CompleteChat"
READER = Rules(CONTRACT, Protovalidate())
GUARDED = {f"{kind}.{rule}" for kind, rule, _, _ in RULES}


@pytest.mark.parametrize("method", [name for name, _ in CONTRACT.methods()])
def test_without_protovalidate_the_rules_that_guard_memory_and_time_still_hold(method: str) -> None:
    full, guards = Protovalidate(), Bounds(CONTRACT)
    for broken in broken_requests(method):
        request = CONTRACT.message(CONTRACT_INPUT[method]).FromString(broken.data)
        seen = {(found.field, found.rule) for found in full.violations(request)}
        assert any(field == broken.path for field, _ in seen)
        if broken.rule in GUARDED and not broken.path.endswith("]"):
            assert broken.path in {found.field for found in guards.violations(request)}


@pytest.mark.parametrize("judge", [Protovalidate(), Bounds(CONTRACT)], ids=["protovalidate", "bounds"])
def test_a_good_request_comes_out_as_it_was_sent(judge: Protovalidate | Bounds) -> None:
    rules = Rules(CONTRACT, judge)
    rules.warm_up()
    request = ask("hello")
    assert rules.read(CHAT, request.SerializeToString()) == request


@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_at_all_are_read_or_named_as_the_callers_mistake(data: bytes) -> None:
    for method in CONTRACT_INPUT:
        try:
            READER.read(method, data)
        except MaestroError as error:
            reason = error.reason
        else:
            reason = Reason.INVALID_FIELD
        assert reason is Reason.INVALID_FIELD


def test_a_method_without_a_right_keeps_the_server_from_starting() -> None:
    class Forgetful(Descriptors):
        def needs(self, method: object) -> str:
            return "" if getattr(method, "name", "") == "GetModel" else "models"

    with pytest.raises(RightMissingError, match="CapabilityService/GetModel"):
        rights.read(Forgetful())


def test_tokens_of_one_process_mean_nothing_to_another() -> None:
    request = capability_pb2.ListModelsRequest(page_size=1)
    _, token = Pages(b"one").page([1, 2, 3], request, default=2, most=2)
    request.page_token = token
    assert Pages(b"one").page([1, 2, 3], request, default=2, most=2)[0] == [2]
    with pytest.raises(MaestroError) as refused:
        Pages(b"two").page([1, 2, 3], request, default=2, most=2)
    assert refused.value.reason is Reason.INVALID_FIELD


def test_a_token_belongs_to_the_arguments_it_was_made_for() -> None:
    pages = Pages(b"one")
    request = capability_pb2.ListModelsRequest(filter="a")
    _, request.page_token = pages.page([1, 2, 3], request, default=1, most=9)
    request.filter = "b"
    with pytest.raises(MaestroError):
        pages.page([1, 2, 3], request, default=1, most=9)


def test_a_list_that_shrank_ends_at_its_end() -> None:
    pages = Pages(b"one")
    request = capability_pb2.ListModelsRequest()
    _, request.page_token = pages.page([1, 2, 3], request, default=2, most=9)
    assert pages.page([1], request, default=2, most=9) == ([], "")
