"""The prices that genai-prices ships, in our words; read from the package, never from the network."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING

from maestro_gateway.spend.prices import Book, Rates, Steps

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

# Their names of prices by the million tokens -> our classes.
CLASSES: Mapping[str, str] = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "input_video_mtok": "input_video",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
}
# Their names of prices by the thousand uses -> our tools.
TOOLS: Mapping[str, str] = {
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
}
CALLS = "requests_kcount"


class PriceTable:
    """Every price that is known of every vendor, with its dates and tiers. Loading it takes a quarter of a second."""

    def __init__(self) -> None:
        from genai_prices.data import providers  # late: nobody waits for it who has no vendor

        self._providers = {provider.id: provider for provider in providers}
        self.revision = f"genai-prices {version('genai-prices')}"

    def book(self, vendor: str, model: str) -> Book | None:
        """What a vendor asks for a model; None where the table does not say."""
        provider = self._providers.get(vendor)
        info = provider.find_model(model, all_providers=list(self._providers.values())) if provider else None
        if info is None:
            return None
        return lambda wall, tier: self._rates(info, wall, tier)

    def _rates(self, info: "ModelInfo", wall: int, tier: str) -> Rates | None:
        when = datetime.fromtimestamp(wall / 1e9, UTC)
        return rates(info.get_prices(when, {"service_tier": tier} if tier else None), self.revision)


def rates(price: "ModelPrice", revision: str) -> Rates | None:
    """Theirs as ours; None where not even input has a price."""
    said = vars(price)
    classes = {ours: _steps(said[theirs]) for theirs, ours in CLASSES.items() if said.get(theirs) is not None}
    if "input" not in classes:
        return None
    tools = {ours: _base(said[theirs]) / 1000 for theirs, ours in TOOLS.items() if said.get(theirs) is not None}
    call = _base(said[CALLS]) / 1000 if said.get(CALLS) is not None else Decimal(0)
    return Rates(classes, tools, call, revision)


def _steps(price: "Decimal | TieredPrices") -> Steps:
    if isinstance(price, Decimal):
        return ((0, price),)
    return ((0, price.base), *((tier.start, tier.price) for tier in price.tiers))


def _base(price: "Decimal | TieredPrices") -> Decimal:
    return price if isinstance(price, Decimal) else price.base
