"""Wires the house: the one file that knows everyone."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache
from importlib.metadata import version

import grpc

from maestro_adapters import registry, vendors
from maestro_adapters.polyfill.lend import LENT, lend
from maestro_gateway.base.clock import Clock, SystemClock
from maestro_gateway.base.ids import TimedIds
from maestro_gateway.base.live import Live
from maestro_gateway.config.quantities import is_local
from maestro_gateway.config.schema import ListenSettings, Settings
from maestro_gateway.config.telemetry import Observed, observe
from maestro_gateway.engine.chat import ChatEngine
from maestro_gateway.engine.embed import EmbedEngine
from maestro_gateway.routing.attempt import Attempts, Limits
from maestro_gateway.routing.catalog import Catalog, unknown
from maestro_gateway.routing.fleet import Fleet
from maestro_gateway.routing.settings import ModelSettings, PriceSettings
from maestro_gateway.runs.chats import Chats
from maestro_gateway.services import rights, status
from maestro_gateway.services.capability import About, CapabilityService
from maestro_gateway.services.chat import ChatService
from maestro_gateway.services.descriptors import Descriptors
from maestro_gateway.services.embedding import EmbeddingService
from maestro_gateway.services.pages import Pages
from maestro_gateway.services.rules import Rules, judge
from maestro_gateway.spend.accounts import Accounts, Settlement
from maestro_gateway.spend.price_table import PriceTable
from maestro_gateway.spend.prices import Book, Prices, Rates
from maestro_gateway.tenants.keys import Keys, new_pepper
from maestro_gateway.transport import grpc_server, tracing
from maestro_gateway.transport.deliver import Deliver
from maestro_gateway.transport.envelope import Envelope, Step
from maestro_gateway.transport.grpc_server import ChannelzServer, GrpcServer
from maestro_gateway.transport.probes import Probes
from maestro_gateway.transport.steps.authenticate import Authenticate
from maestro_gateway.transport.steps.authorize import Authorize
from maestro_gateway.transport.steps.record import Record
from maestro_spi.provider import ChatProvider
from maestro_spi.vendor import Vendor

FEATURES = (
    "chat.complete",
    "chat.stream",
    "chat.plan",
    "chat.count_tokens",
    "chat.store",
    "chat.cancel",
    "embed",
    "models",
)
LOG = logging.getLogger("maestro.app")
TABLE_LOOKUPS = 4096  # models whose prices are remembered: a lookup walks the table
YOUNG = 20_000  # objects, before the youngest are looked through
UNSETTLED = 3  # exit code: the gateway had to leave before everything was settled


class Gateway:
    """A gateway, wired and listening: `start`, then `drain`; leave the context to close what it holds.

    `steps` and `interceptors` go around every call, outside the gateway's own; `settle` learns what each chat has used.
    """

    def __init__(
        self,
        settings: Settings,
        observed: Observed,
        *,
        steps: Sequence[Step] = (),
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        settle: Callable[[Settlement], None] | None = None,
    ) -> None:
        self.settings = settings
        self.address = ""
        self.probes = ""
        self.channelz = ""
        self.ready = False
        self._observed = observed
        self._stack = AsyncExitStack()
        clock = SystemClock()
        ids = TimedIds(clock)
        telemetry = observed.telemetry
        rows = vendors.read()
        written = {name: provider.adapter_settings(name) for name, provider in settings.providers.items()}
        completed = {name: rows.completed(provider) for name, provider in written.items()}
        self.plugs: dict[str, ChatProvider] = {name: registry.load(each) for name, each in completed.items()}
        self.prices = _prices(settings.models, {name: rows.prices(each) for name, each in written.items()}, clock)
        self.fleet = fleet = Fleet(self.plugs, {name: each.adapter for name, each in completed.items()}, lend)
        self.catalog = Live(
            Catalog(
                fleet.models(), settings.models, settings.default_model, settings.default_embedding_model, lent=LENT
            )
        )
        self._stack.push_async_callback(fleet.aclose)
        limits = Limits(settings.timeouts.first_token, settings.timeouts.idle)
        self.chats = Chats(clock, ids, keep_bytes=settings.chats.keep_bytes, keep_for=settings.chats.keep_for)
        accounts = Accounts(settle or self._settle, self.prices)
        engine = ChatEngine(
            self.catalog,
            Attempts(fleet, clock, telemetry, limits),
            accounts,
            self.chats,
            clock,
            status.status,
        )
        about = About(version("maestro-gateway"), ["maestro.v1"], FEATURES, grpc_server.MAX_STREAMS)
        services = [
            ChatService(engine, self.chats),
            EmbeddingService(EmbedEngine(self.catalog, fleet, accounts, clock, telemetry, status.status)),
            CapabilityService(about, self.catalog, fleet, self.prices, Pages(new_pepper()), clock),
        ]
        descriptors = Descriptors()
        rules = Rules(descriptors, judge(descriptors))
        rules.warm_up()
        authenticate = Authenticate(Keys(settings.keys, new_pepper()).identify)
        own: list[Step] = [Record(clock, telemetry), authenticate, Authorize(rights.read(descriptors))]
        self.envelope = Envelope([*steps, *own], rules, clock, ids, self._default_deadline)
        chain = [*interceptors, Deliver()]
        if observed.tracer_provider is not None:
            chain.append(tracing.interceptor(observed.tracer_provider))
        listen = settings.listen
        self._server = GrpcServer(services, descriptors, self.envelope, chain, channelz=listen.channelz is not None)
        if listen.reflection:
            open_to_all = is_local(listen.address)
            self._server.reflect(
                grpc_server.reflect_for_all
                if open_to_all
                else grpc_server.reflect_for_callers(self.envelope, authenticate.caller)
            )

    async def __aenter__(self) -> "Gateway":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Listen and serve."""
        listen = self.settings.listen
        self.address = self._server.listen(listen.address, _credentials(listen))
        if listen.probes:
            self.probes = await self._stack.enter_async_context(Probes(lambda: self.ready).listen(listen.probes))
        if listen.channelz:
            channelz = ChannelzServer()
            self.channelz = await channelz.start(listen.channelz)
            self._stack.push_async_callback(channelz.stop)
        await self._server.start()
        self.ready = True

    async def drain(self, cut: asyncio.Event, *, notice: bool) -> bool:
        """Leave in good order; once `cut` is set, at once. True if everything was settled."""
        drain = self.settings.listen.drain
        self.ready = False
        await self._server.refuse()
        if notice and self.envelope.open:
            await _until(cut, drain.notice)
        stopping = asyncio.create_task(self._server.stop(0 if cut.is_set() else drain.grace))
        cutting = asyncio.create_task(cut.wait())
        await asyncio.wait({stopping, cutting}, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        if not stopping.done():
            await self._server.stop(0)
        await stopping
        try:
            async with asyncio.timeout(drain.barrier):
                await self.envelope.empty()
        except TimeoutError:
            LOG.error("%d calls were not settled when the gateway left", self.envelope.open)
            return False
        return True

    def _default_deadline(self, method: str) -> float | None:
        timeouts = self.settings.timeouts
        if method.endswith(("/CompleteChat", "/StreamChat")):
            return timeouts.chat
        return timeouts.embed if method.endswith("/Embed") else timeouts.read

    def _settle(self, settlement: Settlement) -> None:
        """The books are the log and the metrics, until there is a ledger."""
        usage = settlement.usage
        self._observed.telemetry.chat_settled(
            settlement.provider, settlement.model, settlement.tenant, settlement.chat, usage
        )
        LOG.debug(
            "settled",
            extra={
                "request_id": settlement.request_id,
                "tenant": settlement.tenant,
                "key": settlement.key,
                "chat": settlement.chat,
                "provider": settlement.provider,
                "model": settlement.model,
                "outcome": settlement.outcome,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
            },
        )


def rest() -> None:
    """What is wired now stays: the garbage collector need not look at it again, nor so often at what comes and goes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


async def serve(settings: Settings, *, environ: Mapping[str, str], announce: Callable[[str], None]) -> int:
    """Run until a signal says to leave; the exit code."""
    observed = observe(environ, settings.log)
    loop = asyncio.get_running_loop()
    leave, cut = asyncio.Event(), asyncio.Event()
    interactive = False

    def signalled(number: int) -> None:
        nonlocal interactive
        interactive = number == signal.SIGINT
        (cut if leave.is_set() else leave).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled, number)
    try:
        async with Gateway(settings, observed) as gateway:
            await gateway.start()
            rest()
            default = gateway.catalog.value.default()
            announce(f"model:     {default.name if default else 'none: configure one'}")
            announce(f"listening on {gateway.address}")
            await leave.wait()
            if gateway.envelope.open:
                announce(f"leaving: {gateway.envelope.open} calls may finish; once more to cut them off")
            settled = await gateway.drain(cut, notice=not interactive)
            return 0 if settled else UNSETTLED
    finally:
        observed.close()


def _prices(models: Mapping[str, ModelSettings], vendors_: Mapping[str, str], clock: Clock) -> Prices:
    """What the operator writes of a model, else what the table says of its vendor's."""
    written = {name: written_rates(extras.price) for name, extras in models.items() if extras.price is not None}
    table = lru_cache(TABLE_LOOKUPS)(PriceTable().book) if any(vendors_.values()) else None

    def find(provider: str, model: str) -> Book | None:
        if rates := written.get(f"{provider}/{model}"):
            return lambda wall, tier: rates
        return table(vendors_[provider], model) if table and vendors_.get(provider) else None

    return Prices(find, clock.wall)


def written_rates(price: PriceSettings) -> Rates:
    """The operator's prices."""
    said = {name: value for name, value in price.model_dump().items() if value is not None}
    return Rates({name: ((0, value),) for name, value in said.items()}, revision="gateway.yaml")


def sold() -> Sequence[Vendor]:
    """The vendors that an adapter of this gateway speaks to."""
    here = registry.names()
    return [row for row in vendors.read().rows if row.adapter in here]


def misfits(settings: Settings) -> Iterator[tuple[tuple[str, str], str, str]]:
    """What is wrong with the settings that only adapters can know: the path, the problem, how to mend it."""
    models, rows = {}, vendors.read()
    for name, provider in settings.providers.items():
        try:
            models[name] = registry.load(rows.completed(provider.adapter_settings(name))).models()
        except (ValueError, ImportError) as error:
            yield ("providers", name), str(error), "see docs/configuration.md"
    catalog = Catalog(models, settings.models, settings.default_model)
    for model in unknown(catalog.targets, settings.models):
        if model.partition("/")[0] in models:
            there = ", ".join(target.name for target in catalog.targets)
            yield ("models", model), f"no provider has the model {model!r}", f"there are: {there}"


def _credentials(listen: ListenSettings) -> grpc.ServerCredentials | None:
    return grpc_server.credentials(listen.tls.certificate, listen.tls.key, listen.tls.client_ca) if listen.tls else None


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
