"""Options, TLS, health, reflection; mounts the services."""

from collections.abc import Awaitable, Callable, Sequence
from inspect import isasyncgenfunction
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from grpc_channelz.v1.channelz import add_channelz_servicer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from maestro_gateway.services.descriptors import Descriptors
from maestro_gateway.transport import reflection
from maestro_gateway.transport.envelope import Envelope, text_metadata
from maestro_spi.errors import MaestroError

MEGABYTE = 1024 * 1024
MAX_STREAMS = 1_000
HEALTH = "grpc.health.v1.Health"
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", 68 * MEGABYTE),  # above the rule's 64, which explains itself
    ("grpc.max_send_message_length", 68 * MEGABYTE),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 10 * 60_000),
    ("grpc.so_reuseport", 0),  # a second gateway on the same port is a mistake, and is told so
)


class CannotListenError(Exception):
    """The address cannot be had; the text says why and what to do."""


class GrpcServer:
    """The gRPC door. Services are mounted by their descriptors: a method without a handler keeps it from starting."""

    def __init__(
        self,
        services: Sequence[Any],
        descriptors: Descriptors,
        envelope: Envelope,
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        *,
        channelz: bool = False,
    ) -> None:
        self.health = HealthServicer()
        self.names = [service.name for service in services]
        self._envelope = envelope
        options = (*OPTIONS, ("grpc.enable_channelz", int(channelz)))
        self._server = grpc.aio.server(interceptors=list(interceptors), options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        handlers = [*(self._mount(service, descriptors) for service in services), _Unknown(envelope, self.names)]
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def _mount(self, service: Any, descriptors: Descriptors) -> grpc.GenericRpcHandler:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in descriptors.services[service.name].methods:
            behaviour = getattr(service, method.name)
            name = f"{service.name}/{method.name}"
            serialize = _plain(method.output_type.full_name).SerializeToString
            if isasyncgenfunction(behaviour):
                answer: Any = self._envelope.stream(name, behaviour)
                handlers[method.name] = grpc.unary_stream_rpc_method_handler(answer, None, serialize)
            else:
                answer = self._envelope.unary(name, behaviour)
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(answer, None, serialize)
        return grpc.method_handlers_generic_handler(service.name, handlers)

    def reflect(self, admit: reflection.Admit) -> None:
        """Let callers whom `admit` lets through ask which services there are."""
        names = [*self.names, HEALTH]
        self._server.add_generic_rpc_handlers(tuple(reflection.handlers(names, admit)))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> str:
        """Take the address, before anything is served; the answer has the real port."""
        return _bind(self._server, address, credentials, "MAESTRO_ADDRESS or listen.address")

    async def start(self) -> None:
        """Serve, and say so to whoever asks for health."""
        await self._server.start()
        for name in ("", *self.names):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def refuse(self) -> None:
        """NOT_SERVING, for good: balancers look elsewhere."""
        await self.health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no new calls; those that run have `grace` seconds, and are cancelled then."""
        await self._server.stop(grace)


class ChannelzServer:
    """channelz, on a port of its own."""

    def __init__(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        add_channelz_servicer(self._server)

    async def start(self, address: str) -> str:
        bound = _bind(self._server, address, None, "listen.channelz")
        await self._server.start()
        return bound

    async def stop(self) -> None:
        await self._server.stop(None)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None, setting: str) -> str:
    """Take the address; the answer has the real port."""
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise CannotListenError(
            f"cannot listen on {address}: is another gateway running there? Choose another with {setting}"
        )
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """TLS; with `client_ca` every client must show a certificate that it signed."""
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=client_ca.read_bytes() if client_ca else None,
        require_client_auth=client_ca is not None,
    )


def _plain(name: str) -> type[Message]:
    """The class that services answer with: generated, without rules."""
    return message_factory.GetMessageClass(Default().FindMessageTypeByName(name))


class _Unknown(grpc.GenericRpcHandler):
    """Methods of ours that this server does not have, for clients of a newer contract: clear, instead of bare."""

    def __init__(self, envelope: Envelope, names: Sequence[str]) -> None:
        self._envelope = envelope
        self._names = names

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        name = handler_call_details.method.lstrip("/")
        if name.partition("/")[0] not in self._names:
            return None
        return grpc.unary_unary_rpc_method_handler(self._envelope.missing(name), None, None)


async def reflect_for_all(context: Any) -> None:
    """On loopback anybody may ask."""


Identify = Callable[[str], Awaitable[object]]


def reflect_for_callers(envelope: Envelope, caller: Identify) -> reflection.Admit:
    """Off loopback only who has a key."""

    async def admit(context: Any) -> None:
        try:
            await caller(text_metadata(context).get("authorization", ""))
        except MaestroError as error:
            await envelope.turn_away(context, error)

    return admit
