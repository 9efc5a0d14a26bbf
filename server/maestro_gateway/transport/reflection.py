"""Reflection, as v1alpha and as v1, which grpcurl asks for first."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

V1ALPHA, V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
METHOD = "ServerReflectionInfo"

Admit = Callable[[Any], Awaitable[None]]  # raises, by aborting, for whoever may not ask


def handlers(services: Iterable[str], admit: Admit) -> list[grpc.GenericRpcHandler]:
    """Both versions, over the same descriptors. The messages are the same; only the package's name is not."""
    pool = _with_v1()
    servicer = aio.ReflectionServicer([*services, f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection"], pool=pool)
    request, response = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse

    async def reflect(requests: AsyncIterator[Any], context: Any) -> None:
        await admit(context)
        generator: Any = servicer.ServerReflectionInfo(requests, context)
        async with aclosing(generator) as answers:
            async for answer in answers:
                await context.write(answer)

    handler = grpc.stream_stream_rpc_method_handler(reflect, request.FromString, response.SerializeToString)
    return [
        grpc.method_handlers_generic_handler(f"{package}.ServerReflection", {METHOD: handler})
        for package in (V1, V1ALPHA)
    ]


def _with_v1() -> "_Pool":
    """The process-wide pool, and in it the v1 service, which no Python package brings."""
    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    pool.Add(_renamed(file))  # the same again where it is there already
    return _Pool(pool)


class _Pool:
    """The pool, and in it methods too: grpcurl describes those by the file that holds their service."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - the pool's own name for it
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindServiceByName(symbol.rpartition(".")[0]).file


def _renamed(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    file.name = file.name.replace("v1alpha", "v1")
    file.package = V1
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{V1ALPHA}.", f".{V1}.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{V1ALPHA}.", f".{V1}.")
            method.output_type = method.output_type.replace(f".{V1ALPHA}.", f".{V1}.")
    return file
