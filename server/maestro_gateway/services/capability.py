"""maestro.v1.CapabilityService"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from maestro.v1 import capability_pb2, common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock, timestamp
from maestro_gateway.base.live import Live
from maestro_gateway.routing.catalog import Catalog, Target
from maestro_gateway.routing.fleet import Fleet
from maestro_gateway.services.pages import Pages
from maestro_gateway.services.rules import LIMIT_BYTES
from maestro_gateway.spend.prices import Prices
from maestro_spi.capability import EMULATED, unmet
from maestro_spi.errors import MaestroError, Reason, Violation
from maestro_spi.provider import Checkup

CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class About:
    """What this server says of itself."""

    version: str
    packages: Sequence[str]
    features: Sequence[str]
    max_streams: int


class CapabilityService:
    """What this gateway, its providers and their models can do, now."""

    name = "maestro.v1.CapabilityService"

    def __init__(
        self, about: About, catalog: Live[Catalog], fleet: Fleet, prices: Prices, pages: Pages, clock: Clock
    ) -> None:
        self._about = about
        self._catalog = catalog
        self._fleet = fleet
        self._prices = prices
        self._pages = pages
        self._clock = clock

    async def GetServerInfo(
        self, request: capability_pb2.GetServerInfoRequest, context: Call
    ) -> capability_pb2.GetServerInfoResponse:
        return capability_pb2.GetServerInfoResponse(
            server_version=self._about.version,
            api_packages=self._about.packages,
            features=self._about.features,
            max_request_bytes=LIMIT_BYTES,
            max_concurrent_streams=self._about.max_streams,
            tenant=context.caller.tenant,
            scopes=sorted(context.caller.scopes),
        )

    async def ListModels(
        self, request: capability_pb2.ListModelsRequest, context: Call
    ) -> capability_pb2.ListModelsResponse:
        if request.filter:
            raise MaestroError(
                Reason.INVALID_FIELD,
                "filter: this list has no fields to filter by; leave it empty",
                metadata={"field": "filter"},
                violations=[Violation("filter", "filter", "leave it empty")],
                phase="validate",
            )
        page, token = self._pages.page(self._catalog.value.targets, request, default=100, most=1000)
        return capability_pb2.ListModelsResponse(models=map(self._model, page), next_page_token=token)

    async def GetModel(self, request: capability_pb2.GetModelRequest, context: Call) -> capability_pb2.GetModelResponse:
        return capability_pb2.GetModelResponse(model=self._model(self._catalog.value.find(request.name)))

    async def ListProviders(
        self, request: capability_pb2.ListProvidersRequest, context: Call
    ) -> capability_pb2.ListProvidersResponse:
        page, token = self._pages.page(sorted(self._fleet.plugs), request, default=50, most=500)
        providers = await asyncio.gather(*map(self._provider, page))
        return capability_pb2.ListProvidersResponse(providers=providers, next_page_token=token)

    async def MatchCapabilities(
        self, request: capability_pb2.MatchCapabilitiesRequest, context: Call
    ) -> capability_pb2.MatchCapabilitiesResponse:
        catalog = self._catalog.value
        named = {target.name: target for target in map(catalog.find, request.models)}
        matches = [match(target, request.requires) for target in (named.values() or catalog.targets)]
        # Best first: those that fit, those that lack least, those that need no polyfill; else the catalog's order.
        matches.sort(key=lambda each: (not each.satisfied, len(each.unmet), len(each.emulated)))
        return capability_pb2.MatchCapabilitiesResponse(matches=matches)

    def _model(self, target: Target) -> capability_pb2.Model:
        found = model(target)
        price = self._prices.price(target.provider, target.facts.name)
        if price is not None:
            found.price.CopyFrom(price)
        return found

    async def _provider(self, name: str) -> capability_pb2.Provider:
        plug = self._fleet.plugs[name]
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                checkup = await plug.check()
        except (MaestroError, TimeoutError) as error:
            note = error.message if isinstance(error, MaestroError) else f"no answer within {CHECK_SECONDS:g} s"
            checkup = Checkup(capability_pb2.PROVIDER_HEALTH_UNREACHABLE, note)
        return capability_pb2.Provider(
            name=f"providers/{name}",
            adapter=self._fleet.adapters[name],
            adapter_version=plug.version,
            configured=True,
            health=checkup.health,
            health_note=checkup.note,
            check_time=timestamp(self._clock.wall()),
        )


def match(
    target: Target, requirements: Sequence[common_pb2.CapabilityRequirement]
) -> capability_pb2.MatchCapabilitiesResponse.Match:
    """How a target does against requirements."""
    missing = unmet(target.facts, requirements)
    asked = {each.capability for each in requirements if each not in missing}
    return capability_pb2.MatchCapabilitiesResponse.Match(
        model=f"models/{target.name}",
        satisfied=not missing,
        emulated=sorted(
            name for name, it in target.facts.capabilities.items() if name in asked and it.level == EMULATED
        ),
        unmet=missing,
    )


def model(target: Target) -> capability_pb2.Model:
    """A target in the contract's words."""
    facts = target.facts
    supports = [
        capability_pb2.CapabilitySupport(capability=name, level=it.level, value=it.value, note=it.note)
        for name, it in sorted(facts.capabilities.items())
    ]
    supports += [
        capability_pb2.CapabilitySupport(extension=name, level=it.level, value=it.value, note=it.note)
        for name, it in sorted(facts.extensions.items())
    ]
    return capability_pb2.Model(
        name=f"models/{target.name}",
        provider=target.provider,
        aliases=facts.aliases,
        title=facts.title,
        capabilities=supports,
        input_modalities=facts.input_modalities,
        output_modalities=facts.output_modalities,
        context_tokens=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
        state=capability_pb2.Model.STATE_ACTIVE,
        embedding_dimensions=facts.embedding_dimensions,
    )
