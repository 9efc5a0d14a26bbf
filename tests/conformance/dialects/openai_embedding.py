"""OpenAI's embeddings, and those of every vendor that speaks it."""

from collections.abc import Mapping
from typing import Any

from maestro.v1 import embedding_pb2
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import ABSENT, Allowed
from tests.conformance.embedding import EmbedDialect, texts
from tests.conformance.exchange import Exchange

NAME = "openai_chat"
ENDPOINT = "/embeddings"

# In what the vendors of the recordings differ: the options of their rows.
VENDORS: Mapping[str, Mapping[str, Any]] = {
    "mistral": {"embedding_format": "", "embedding_dimensions_field": "output_dimension"},
    "perplexity": {"embedding_format": "base64_int8"},
}


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    path = exchange.path.partition("?")[0]
    prefix = path[: -len(ENDPOINT)] if path.endswith(ENDPOINT) else ""
    options = {**VENDORS.get(exchange.vendor, {}), **exchange.options}
    return AdapterSettings(name="provider", adapter=NAME, base_url=url + prefix, api_key="k-123", options=options)


def ours(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    asked = exchange.asked
    said = asked.get("input", [""] * exchange.expected.get("embedding", {}).get("count", 1))
    fields = {"dimensions": asked["dimensions"]} if "dimensions" in asked else {}
    return texts(*([said] if isinstance(said, str) else said), model=asked.get("model", "model"), **fields)


def normal(body: Any) -> Any:
    """One text or a list of one is the same."""
    said = body.get("input")
    return {**body, "input": [said] if isinstance(said, str) else said}


def not_applicable(exchange: Exchange) -> str:
    if not exchange.path.partition("?")[0].endswith(ENDPOINT) and exchange.path:
        return "another endpoint"
    return ""


DIALECT = EmbedDialect(
    name=NAME,
    protocols=frozenset({"openai.embeddings"}),
    settings=settings,
    ours=ours,
    reasons={401: Reason.PROVIDER_AUTH_FAILED, 404: Reason.MODEL_NOT_FOUND},
    normal=normal,
    not_applicable=not_applicable,
    allowed=[
        Allowed("encoding_format", "numbers in base64 are the same numbers, and smaller", ours="base64"),
        Allowed("encoding_format", "the form that this vendor has anyway", theirs=ABSENT),
    ],
)
