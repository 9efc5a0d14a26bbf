"""client.capabilities: maestro.v1.CapabilityService."""
# ruff: noqa: ASYNC109 - these timeouts are deadlines: they travel with the call.

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from maestro.v1 import capability_pb2, common_pb2
from maestro.v1 import capability_pb2_grpc as rpc
from maestro_client.call import Calls, Metadata

SERVICE = "maestro.v1.CapabilityService"


class Capabilities:
    """What the gateway, its providers and their models can do, now. Lists are read page by page, as they are walked."""

    RPCS: ClassVar[Mapping[str, str]] = {
        "GetServerInfo": "server_info",
        "ListModels": "list_models",
        "GetModel": "get_model",
        "ListProviders": "list_providers",
        "MatchCapabilities": "match",
    }

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @cached_property
    def _stub(self) -> "rpc.CapabilityServiceAsyncStub":
        return rpc.CapabilityServiceStub(self._calls.channel.grpc)

    async def server_info(
        self, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> capability_pb2.GetServerInfoResponse:
        """Version, features and limits of the server, and whose key this is."""
        request = capability_pb2.GetServerInfoRequest()
        return await self._calls.unary(f"{SERVICE}/GetServerInfo", self._stub.GetServerInfo, request, timeout, metadata)

    async def list_models(
        self, *, filter: str = "", page_size: int = 0, timeout: float | None = None, metadata: Metadata | None = None
    ) -> AsyncIterator[capability_pb2.Model]:
        """The models that the caller may use."""
        request = capability_pb2.ListModelsRequest(filter=filter, page_size=page_size)
        while True:
            page = await self._calls.unary(f"{SERVICE}/ListModels", self._stub.ListModels, request, timeout, metadata)
            for model in page.models:
                yield model
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_model(
        self, name: str, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> capability_pb2.Model:
        """One model, "models/{provider}/{model}" or an alias."""
        request = capability_pb2.GetModelRequest(name=name)
        answer = await self._calls.unary(f"{SERVICE}/GetModel", self._stub.GetModel, request, timeout, metadata)
        return answer.model

    async def list_providers(
        self, *, page_size: int = 0, timeout: float | None = None, metadata: Metadata | None = None
    ) -> AsyncIterator[capability_pb2.Provider]:
        """The providers and their health."""
        request = capability_pb2.ListProvidersRequest(page_size=page_size)
        while True:
            page = await self._calls.unary(
                f"{SERVICE}/ListProviders", self._stub.ListProviders, request, timeout, metadata
            )
            for provider in page.providers:
                yield provider
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def match(
        self,
        *requires: common_pb2.CapabilityRequirement,
        models: Sequence[str] = (),
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> list[capability_pb2.MatchCapabilitiesResponse.Match]:
        """How the models, or those named, do against requirements, best first."""
        request = capability_pb2.MatchCapabilitiesRequest(requires=requires, models=models)
        name = f"{SERVICE}/MatchCapabilities"
        answer = await self._calls.unary(name, self._stub.MatchCapabilities, request, timeout, metadata)
        return list(answer.matches)
