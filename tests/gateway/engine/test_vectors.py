"""How vectors travel: each encoding, read back by the client, and what cannot be encoded."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro.v1 import embedding_pb2
from maestro_client import vector_of
from maestro_gateway.engine.vectors import ENCODERS, normalized
from maestro_spi import MaestroError

numbers = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=40)


def travelled(values: "array[float]", name: str) -> list[float]:
    encoding = embedding_pb2.VectorEncoding.Value(f"VECTOR_ENCODING_{name}")
    encoded = ENCODERS[encoding](values)
    sent = embedding_pb2.Embedding(dimensions=len(values))
    if isinstance(encoded, bytes):
        sent.packed = encoded
    else:
        sent.list.values.extend(encoded)
    return list(vector_of(sent, encoding))


def test_every_encoding_of_the_contract_is_there():
    assert set(ENCODERS) == set(embedding_pb2.VectorEncoding.values())


@given(numbers)
def test_single_precision_comes_back_as_it_was(values):
    vector = array("f", values)
    for name in ("UNSPECIFIED", "FLOAT32_LE", "FLOAT_LIST"):
        assert travelled(vector, name) == list(vector)


@given(numbers)
def test_half_precision_is_near(values):
    for sent, came in zip(array("f", values), travelled(array("f", values), "FLOAT16_LE"), strict=True):
        assert came == pytest.approx(sent, rel=1e-3, abs=1e-6)


@given(numbers)
def test_signed_bytes_keep_the_direction(values):
    largest = max(map(abs, values))
    for sent, came in zip(values, travelled(array("f", values), "INT8"), strict=True):
        assert came == pytest.approx(sent * 127 / largest if largest else 0.0, abs=0.51)


@given(numbers)
def test_one_bit_says_what_is_above_zero(values):
    assert travelled(array("f", values), "BINARY") == [float(value > 0) for value in values]


def test_the_first_number_is_the_highest_bit_of_the_first_byte():
    assert ENCODERS[embedding_pb2.VECTOR_ENCODING_BINARY](array("f", [1, -1, -1, -1, -1, -1, -1, 1, 1])) == b"\x81\x80"


def test_too_large_for_half_precision_is_the_largest_there_is():
    assert travelled(array("f", [1e30, -1e30]), "FLOAT16_LE") == [65504.0, -65504.0]


@given(numbers)
def test_scaled_to_length_one_points_the_same_way(values):
    vector = normalized(array("f", values))
    length = math.hypot(*vector)
    assert length == pytest.approx(1.0, abs=1e-5) or not any(values)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_numbers_that_are_none_are_the_providers_mistake(wrong):
    with pytest.raises(MaestroError, match="PROVIDER_PROTOCOL_ERROR"):
        normalized(array("f", [1.0, wrong]))
