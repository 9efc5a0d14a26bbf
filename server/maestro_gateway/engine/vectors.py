"""Numbers of a vector -> the bytes in which they travel."""

import math
import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence

from maestro.v1 import embedding_pb2
from maestro_spi.errors import MaestroError, Reason

HALF_MAX = 65_504.0  # the largest number of half precision


def float32(values: "array[float]") -> bytes:
    """Single precision, little-endian: as the numbers came."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def float16(values: "array[float]") -> bytes:
    """Half precision, little-endian; what is too large becomes the largest there is."""
    _finite_length(values)
    return struct.pack(f"<{len(values)}e", *(max(-HALF_MAX, min(HALF_MAX, value)) for value in values))


def int8(values: "array[float]") -> bytes:
    """Signed bytes: each number times 127 over the largest of its vector, rounded; the direction stays almost."""
    _finite_length(values)
    largest = max(map(abs, values), default=0.0)
    scale = 127 / largest if largest else 0.0
    return array("b", [round(value * scale) for value in values]).tobytes()


def binary(values: "array[float]") -> bytes:
    """One bit for each number above zero; the first is the highest of its byte, the last byte is filled with zeros."""
    size = -(-len(values) // 8)
    bits = "".join("1" if value > 0 else "0" for value in values).ljust(size * 8, "0")
    return int(bits or "0", 2).to_bytes(size, "big")


def normalized(values: "array[float]") -> "array[float]":
    """The same direction with length one; a vector of zeros has none and stays."""
    length = _finite_length(values)
    return array("f", [value / length for value in values]) if length else values


def _finite_length(values: "array[float]") -> float:
    length = math.hypot(*values)
    if not math.isfinite(length):
        raise MaestroError(Reason.PROVIDER_PROTOCOL_ERROR, "the provider sent numbers that are none (NaN, infinite)")
    return length


ENCODERS: Mapping[int, Callable[["array[float]"], bytes | Sequence[float]]] = {
    embedding_pb2.VECTOR_ENCODING_UNSPECIFIED: float32,
    embedding_pb2.VECTOR_ENCODING_FLOAT32_LE: float32,
    embedding_pb2.VECTOR_ENCODING_FLOAT_LIST: lambda values: values,
    embedding_pb2.VECTOR_ENCODING_INT8: int8,
    embedding_pb2.VECTOR_ENCODING_BINARY: binary,
    embedding_pb2.VECTOR_ENCODING_FLOAT16_LE: float16,
}
