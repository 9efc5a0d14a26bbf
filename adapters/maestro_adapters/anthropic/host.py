"""Where Messages is spoken: Anthropic's own host or one that is like it, or Vertex, each by the SDK's own client."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import anthropic
import httpx2
import msgspec
from pydantic import BaseModel, ConfigDict, Field

from maestro_adapters.wire import http
from maestro_spi.settings import AdapterSettings

# The versions of the API that this adapter was written for. Later ones take no temperature, whatever the model.
API_VERSION = "2023-06-01"
VERTEX_VERSION = "vertex-2023-10-16"


class VertexOptions(BaseModel):
    """A project in Google's cloud that serves Claude; without a key of the settings, the machine's own credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str = Field(description="the project")
    region: str = Field(default="global", description="where in it")


class Options(BaseModel):
    """What this adapter alone understands; other keys are about HTTP, or about models."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: bool = Field(default=True, description="false: ask for the answer whole")
    api_version: str = Field(default="", description="version of the API, when not the one it was written for")
    betas: list[str] = Field(default_factory=list, description="betas to take part in with every request")
    vertex: VertexOptions | None = Field(default=None, description="speak to Vertex instead")


class Host:
    """The SDK's client, and what a request looks like there."""

    def __init__(self, settings: AdapterSettings, options: Options) -> None:
        self._options = options
        over_http = http.options_of(settings)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        common: dict[str, Any] = {
            "http_client": http.client(over_http),
            "timeout": http.timeout(over_http),
            "max_retries": 0,  # routing decides what to try again, and where
            "open_telemetry": False,  # the gateway has spans of its own
        }
        self._client: anthropic.AsyncAnthropic | anthropic.AsyncAnthropicVertex
        if options.vertex is None:
            self._client = anthropic.AsyncAnthropic(
                api_key=key or "none",
                base_url=(settings.base_url or "https://api.anthropic.com").rstrip("/").removesuffix("/v1"),
                default_headers={"anthropic-version": options.api_version or API_VERSION},
                **common,
            )
        else:
            self._client = anthropic.AsyncAnthropicVertex(
                project_id=options.vertex.project,
                region=options.vertex.region,
                access_token=key or None,
                base_url=settings.base_url,
                **common,
            )

    async def ask(self, body: Mapping[str, Any], betas: Sequence[str]) -> httpx2.Response:
        """The answer, its body not read: the SDK signs and sends, and makes no object of what comes."""
        betas = list(dict.fromkeys([*self._options.betas, *betas]))
        path, body = self._addressed(body)
        answer: Any = await self._client.post(
            f"{path}?beta=true" if betas and self._options.vertex is None else path,
            cast_to=httpx2.Response,
            content=msgspec.json.encode(body),  # what the model wrote goes back as it came, byte for byte
            options={"headers": {"anthropic-beta": ",".join(betas)}} if betas else {},
            stream=True,
            stream_cls=anthropic.AsyncStream[Any],
        )
        return cast(httpx2.Response, answer)

    async def look(self) -> None:
        """Ask for something that costs nothing and needs the key."""
        if self._options.vertex is None:
            await self._client.get("/v1/models?limit=1", cast_to=httpx2.Response)
        else:
            await self._client.get(self._publisher(self._options.vertex), cast_to=httpx2.Response)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _addressed(self, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Vertex has the model in the address, and the version in the body."""
        if self._options.vertex is None:
            return "/v1/messages", body
        version = self._options.api_version or VERTEX_VERSION
        rest = {"anthropic_version": version} | {name: value for name, value in body.items() if name != "model"}
        verb = "streamRawPredict" if body.get("stream") else "rawPredict"
        return f"{self._publisher(self._options.vertex)}/models/{_segment(body['model'])}:{verb}", rest

    def _publisher(self, vertex: VertexOptions) -> str:
        project, region = _segment(vertex.project), _segment(vertex.region)
        return f"/projects/{project}/locations/{region}/publishers/anthropic"


def _segment(text: str) -> str:
    """A piece of an address; a model's name is the caller's, and must not lead elsewhere."""
    return quote(text, safe="@")
