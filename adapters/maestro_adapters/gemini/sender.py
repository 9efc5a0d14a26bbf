"""Google's SDK over a client of ours: it builds, signs and sends; what comes back is not made into objects."""

import ssl
from typing import Any, cast

import google.auth
import httpx2
import msgspec
from google import genai
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.genai import _transformers
from google.genai._api_client import BaseApiClient
from google.genai.types import HttpOptions
from pydantic import BaseModel, ConfigDict, Field

from maestro_adapters.gemini.question import Thinking
from maestro_adapters.wire import http
from maestro_spi.errors import MaestroError, Reason, Resource
from maestro_spi.settings import AdapterSettings

VERTEX = "vertex"
VERSIONS = {"gemini": "v1beta", VERTEX: "v1beta1"}  # of the API
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


class Options(BaseModel):
    """What only this adapter understands, beside HTTP and models."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: bool = Field(default=True, description="false: ask for the answer whole")
    thinking: Thinking | None = Field(
        default=None, description="how efforts are told, where a model's name does not say"
    )
    api_version: str | None = Field(default=None, description="of the API, when not the usual one")
    project: str | None = Field(default=None, description="Vertex: the project in Google Cloud")
    location: str = Field(default="global", description="Vertex: the region that answers")
    credentials_file: str | None = Field(
        default=None, description="Vertex: a service account's file; else as Google looks"
    )


class Sender:
    """Speaks to the Gemini API with a key, or to Vertex with a project's credentials, or a key."""

    def __init__(self, settings: AdapterSettings, options: Options, credentials: Credentials | None = None) -> None:
        self._name = settings.name
        self.vertex = settings.adapter == VERTEX
        over = http.options_of(settings)
        self._timeout = http.timeout(over)
        self._client = http.client(over)
        self._client.event_hooks = {"request": [], "response": [_refuse]}
        self._missing = ""
        self._sdk = self._connect(settings, options, credentials)

    def _connect(
        self, settings: AdapterSettings, options: Options, credentials: Credentials | None
    ) -> BaseApiClient | None:
        """The SDK, told all that it would else look for in the environment. Of its clients only ours is used."""
        key = settings.api_key.get_secret_value() if settings.api_key else None
        project = options.project if self.vertex else None
        if self.vertex and key is None and credentials is None and options.credentials_file is not None:
            file = options.credentials_file
            credentials, found = google.auth.load_credentials_from_file(file, scopes=SCOPES)  # type: ignore[no-untyped-call]
            project = project or found
        if key is None and project is None:
            self._missing = "options.project, or a key" if self.vertex else "a key"
            return None
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; else each of them loads every certificate
        client = genai.Client(
            vertexai=self.vertex,
            api_key=key,
            credentials=credentials,
            project=project,
            location=options.location if project else None,
            http_options=HttpOptions(
                base_url=settings.base_url,
                api_version=options.api_version or VERSIONS[VERTEX if self.vertex else "gemini"],
                httpx_async_client=self._client,
                client_args={"verify": unused},
                async_client_args={"ssl": unused},
            ),
        )
        return client._api_client

    async def post(self, model: str, verb: str, body: Any) -> httpx2.Response:
        """The answer to a question to a model, its body not read. A refusal is an HTTPStatusError, with its body."""
        try:
            path = _transformers.t_model(self._configured(), model)
        except ValueError:
            raise self._no_such_model(model) from None
        if not path.isascii() or any(letter in path for letter in "#%\\ ") or not path.isprintable():
            raise self._no_such_model(model)
        return await self._send("post", f"{path}:{verb}", msgspec.json.encode(body), model)

    async def look(self) -> None:
        """Ask for one entry of the list of models, to see that we are let in."""
        path = "publishers/google/models" if self.vertex else "models"
        response = await self._send("get", f"{path}?pageSize=1", b"", "")
        await response.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._sdk is not None:
            self._sdk.close()
        await self._client.aclose()

    async def _send(self, method: str, path: str, body: bytes, model: str) -> httpx2.Response:
        sdk = self._configured()
        request = sdk._build_request(method, path, {})
        request.data = body
        request.timeout = cast(Any, self._timeout)  # it is handed to our client as it is
        try:
            sent = await sdk._async_request_once(request, stream=True)  # routing decides what to try again
        except TransportError as error:
            raise self._unsigned(
                Reason.PROVIDER_UNAVAILABLE, "cannot be reached for a token; try again", model
            ) from error
        except GoogleAuthError as error:
            problem = "gives no token for the gateway's credentials; an admin must look at them"
            raise self._unsigned(Reason.PROVIDER_AUTH_FAILED, problem, model) from error
        return cast(httpx2.Response, sent.response_stream)

    def _configured(self) -> BaseApiClient:
        if self._sdk is None:
            raise MaestroError(
                Reason.PROVIDER_NOT_CONFIGURED,
                f"{self._name} needs {self._missing}; an admin must set it",
                metadata={"provider": self._name},
                phase="route",
                provider=self._name,
            )
        return self._sdk

    def _unsigned(self, reason: Reason, problem: str, model: str) -> MaestroError:
        return MaestroError(
            reason,
            f"{self._name} {problem}",
            metadata={"provider": self._name, "model": model},
            phase="connect",
            provider=self._name,
            model=model,
        )

    def _no_such_model(self, model: str) -> MaestroError:
        return MaestroError(
            Reason.MODEL_NOT_FOUND,
            f"{self._name} has no model {model!r}; look at ListModels",
            metadata={"provider": self._name, "model": model},
            resource=Resource("model", model),
            phase="route",
            provider=self._name,
            model=model,
        )


async def _refuse(response: httpx2.Response) -> None:
    """Keeps the SDK from reading a refusal: it expects bodies of one shape, and hides the headers."""
    if response.status_code != 200:
        await response.aread()
        raise httpx2.HTTPStatusError("refused", request=response.request, response=response)
