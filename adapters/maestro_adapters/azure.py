"""OpenAI behind Azure: deployments as models, both of its APIs and its embeddings, by key or Entra token."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import httpx2
import openai
from pydantic import BaseModel, ConfigDict, Field

from maestro.v1 import chat_pb2, embedding_pb2
from maestro_adapters.openai_chat.adapter import OpenAIChat
from maestro_adapters.openai_embedding import OpenAIEmbedding
from maestro_adapters.openai_responses.adapter import OpenAIResponses
from maestro_adapters.openai_responses.errors import DIALECT
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Vectors
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

Api = Literal["chat", "responses"]
Token = Callable[[], Awaitable[str]]

V1 = "v1"  # the API without dates; any other version is a date, and has deployments in its paths


class Options(BaseModel):
    """What is Azure's own; the rest of the options are those of the two APIs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    api: Api = Field(default="chat", description="the API that deployments are asked by")
    apis: dict[str, Api] = Field(default_factory=dict, description="deployment -> its API, where it is another one")
    api_version: str = Field(default=V1, description='"v1", or the date of an older version: "2024-10-21"')
    scope: str = Field(
        default="https://cognitiveservices.azure.com/.default", description="what an Entra token is asked for"
    )
    client_id: str | None = Field(default=None, description="of the managed identity, where there are several")


class Azure:
    """Speaks to one Azure resource, whose address is `base_url`; without a key, with the identity that Azure finds.

    Identities are looked for where Azure's own library does: the environment, the workload, the machine, its tools.
    """

    version = f"azure 1 (openai {openai.__version__}, Chat Completions and Responses, v1 or dated)"
    OPTIONS = understood(Options) | OpenAIChat.OPTIONS | OpenAIResponses.OPTIONS

    def __init__(self, settings: AdapterSettings, *, credential: Any = None) -> None:
        self._options = Options.model_validate(settings.options)
        if not settings.base_url:
            raise ValueError(f"provider {settings.name!r}: base_url is needed, the address of the Azure resource")
        self._name = settings.name
        self._credential = credential
        self._client = self._connect(settings)
        self._chat = _Chat(settings, self._client)
        self._responses = _Responses(settings, self._client)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = http.Failures(DIALECT, settings.name, secret=key, sdk=(openai.APIError,))
        self._embedding = OpenAIEmbedding(settings, self._client, self._failures)

    def models(self) -> Sequence[ModelFacts]:
        """The deployments of the settings, each with what its API can do."""
        spoken: Mapping[Api, Sequence[ModelFacts]] = {
            "chat": self._chat.models(),
            "responses": self._responses.models(),
        }
        return [facts for api, models in spoken.items() for facts in models if self._api(facts.name) == api]

    async def check(self) -> Checkup:
        """Ask for the list of models: it costs no tokens, and needs the key."""
        return await http.checkup(self._failures, lambda: self._client.get("/models", cast_to=httpx2.Response))

    async def aclose(self) -> None:
        """Close every connection, those to Entra too."""
        await self._client.close()
        if self._credential is not None:
            await self._credential.close()

    def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask the deployment by its API."""
        speaker = self._responses if self._api(request.model) == "responses" else self._chat
        return speaker.chat(request)

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """The vectors of texts, by a deployment of an embedding model."""
        return await self._embedding.embed(request)

    def _api(self, deployment: str) -> Api:
        return self._options.apis.get(deployment, self._options.api)

    def _connect(self, settings: AdapterSettings) -> openai.AsyncOpenAI:
        """One client for both APIs. The dated versions have a class of their own in the SDK, v1 needs none."""
        options = http.options_of(settings)
        endpoint = (settings.base_url or "").rstrip("/").removesuffix("/v1").removesuffix("/openai")
        common: dict[str, Any] = {
            "http_client": http.client(options),
            "timeout": http.timeout(options),
            "max_retries": 0,  # routing decides what to try again, and where
        }
        key = settings.api_key.get_secret_value() if settings.api_key else None
        if self._options.api_version == V1:
            return openai.AsyncOpenAI(api_key=key or self._token(), base_url=f"{endpoint}/openai/v1", **common)
        credentials: dict[str, Any] = {"api_key": key} if key else {"azure_ad_token_provider": self._token()}
        return openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint, api_version=self._options.api_version, **credentials, **common
        )

    def _token(self) -> Token:
        """Gives an Entra token that is valid now. Azure's library is loaded here: most have a key, and it is large."""
        identity = import_module("azure.identity.aio")
        if self._credential is None:
            self._credential = identity.DefaultAzureCredential(managed_identity_client_id=self._options.client_id)
        token: Token = identity.get_bearer_token_provider(self._credential, self._options.scope)
        failed: type[Exception] = import_module("azure.core.exceptions").AzureError

        async def valid() -> str:
            try:
                return await token()
            except failed as error:
                raise MaestroError(
                    Reason.PROVIDER_AUTH_FAILED,
                    f"Entra gives no token for {self._name}; an admin must look at its identity",
                    metadata={"provider": self._name},
                    phase="connect",
                    provider=self._name,
                ) from error

        return valid


class _Chat(OpenAIChat):
    """Chat Completions over a client that is there."""

    def __init__(self, settings: AdapterSettings, client: openai.AsyncOpenAI) -> None:
        self._given = client
        super().__init__(settings)

    def _connect(self, settings: AdapterSettings) -> openai.AsyncOpenAI:
        return self._given


class _Responses(OpenAIResponses):
    """The Responses API over a client that is there."""

    def __init__(self, settings: AdapterSettings, client: openai.AsyncOpenAI) -> None:
        self._given = client
        super().__init__(settings)

    def _connect(self, settings: AdapterSettings) -> openai.AsyncOpenAI:
        return self._given
