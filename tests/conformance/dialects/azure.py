"""OpenAI behind Azure: both of its APIs and its embeddings, by the names of Azure's endpoints."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from maestro.v1 import embedding_pb2
from maestro_spi import AdapterSettings
from tests.conformance.compare import Allowed
from tests.conformance.dialects import openai_chat, openai_embedding, openai_responses
from tests.conformance.exchange import Exchange

NAME = "azure"


def settings(name: str, **options: Any) -> Callable[[Exchange, str], AdapterSettings]:
    """The adapter for a resource at an address, in the version of the recording; `name` is that of the provider."""

    def of(exchange: Exchange, url: str) -> AdapterSettings:
        dated = exchange.path and not exchange.path.startswith("/openai/v1/")
        version = exchange.query.get("api-version", "2024-10-21") if dated else "v1"
        return AdapterSettings(
            name=name,
            adapter=NAME,
            base_url=url,
            api_key="key-of-the-resource",
            options={"api_version": version, "stream": exchange.streamed, **options, **exchange.options},
        )

    return of


def embedded(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    """The recorded texts, for the deployment that the path names."""
    request = openai_embedding.ours(exchange)
    found = re.search("/deployments/([^/]+)/", exchange.path)
    request.model = found[1] if found else request.model
    return request


DIALECTS = (
    replace(
        openai_chat.DIALECT,
        name=NAME,
        protocols=frozenset({"azure.openai.chat"}),
        settings=settings(openai_chat.NAME, api="chat"),
    ),
    replace(
        openai_responses.DIALECT,
        name=NAME,
        protocols=frozenset({"azure.openai.responses"}),
        settings=settings(openai_responses.NAME, api="responses"),
    ),
    replace(
        openai_embedding.DIALECT,
        name=NAME,
        protocols=frozenset({"azure.openai.embeddings"}),
        settings=settings(NAME),
        ours=embedded,
        allowed=(
            *openai_embedding.DIALECT.allowed,
            Allowed("model", "the path names the deployment; what the body calls it is not read"),
        ),
    ),
)
