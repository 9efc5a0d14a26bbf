"""A gateway for tests: in this process, with a channel to it; and what is known of one in a process of its own."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from maestro.v1 import capability_pb2_grpc, chat_pb2_grpc
from maestro_gateway.app import Gateway
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.config.load import load
from maestro_gateway.config.telemetry import Observed
from maestro_gateway.spend.accounts import Settlement
from maestro_gateway.transport.envelope import Step

if TYPE_CHECKING:
    from maestro.v1.capability_pb2_grpc import CapabilityServiceAsyncStub
    from maestro.v1.chat_pb2_grpc import ChatServiceAsyncStub

KEY = "a key for tests, with spaces in it"
BEARER = (("authorization", f"Bearer {KEY}"),)


@dataclass(slots=True)
class Wire:
    """A gateway in this process, and a channel to it."""

    gateway: Gateway
    channel: grpc.aio.Channel
    key: str = KEY

    @property
    def address(self) -> str:
        return self.gateway.address

    @property
    def chat(self) -> "ChatServiceAsyncStub":
        return chat_pb2_grpc.ChatServiceStub(self.channel)

    @property
    def capability(self) -> "CapabilityServiceAsyncStub":
        return capability_pb2_grpc.CapabilityServiceStub(self.channel)


@dataclass(frozen=True, slots=True)
class Around:
    """What a test puts around every call."""

    steps: Sequence[Step] = ()
    interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    settle: Callable[[Settlement], None] | None = None


@asynccontextmanager
async def wired(
    folder: Path,
    yaml: str = "",
    *,
    observed: Observed | None = None,
    environ: Mapping[str, str] | None = None,
    around: Around | None = None,
) -> AsyncGenerator[Wire]:
    """A gateway on port 0, as this gateway.yaml says, with one key that may do everything."""
    file = folder / "gateway.yaml"
    file.write_text(yaml)
    variables = {"MAESTRO_KEY": KEY, "MAESTRO_ADDRESS": "127.0.0.1:0", **(environ or {})}
    settings = load(file, variables, folder).settings
    outside = around or Around()
    async with Gateway(
        settings,
        observed or Observed(Telemetry()),
        steps=outside.steps,
        interceptors=outside.interceptors,
        settle=outside.settle,
    ) as gateway:
        await gateway.start()
        async with grpc.aio.insecure_channel(
            gateway.address, options=[("grpc.max_send_message_length", -1)]
        ) as channel:
            try:
                yield Wire(gateway, channel)
            finally:
                await gateway.drain(asyncio.Event(), notice=False)


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway in a process of its own."""

    address: str
    key: str
    process: subprocess.Popen[str]
