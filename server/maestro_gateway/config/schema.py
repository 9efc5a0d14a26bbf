"""gateway.yaml as types; each room brings its own section."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from maestro_gateway.config.quantities import Duration, Patience, Size, address, host_and_port
from maestro_gateway.routing.settings import (
    EMBEDDED,
    ModelName,
    ModelSettings,
    ProviderName,
    ProviderSettings,
    provider_of,
)
from maestro_gateway.tenants.settings import KeySettings

Address = Annotated[str, AfterValidator(address)]
HostAndPort = Annotated[str, AfterValidator(host_and_port)]

FROZEN = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TLSSettings(BaseModel):
    """The gateway's own certificate, and whose clients it takes."""

    model_config = FROZEN

    certificate: Path = Field(description="its certificate chain, PEM", examples=["tls/gateway.pem"])
    key: Path = Field(description="the private key of it, PEM, readable by its owner alone", examples=["tls/key.pem"])
    client_ca: Path | None = Field(
        default=None,
        description="who signs client certificates, PEM; where set, every client must show one",
        examples=["tls/clients.pem"],
    )


class DrainSettings(BaseModel):
    """How the gateway leaves."""

    model_config = FROZEN

    notice: Duration = Field(
        default=2.0, description="between telling balancers and refusing new calls", examples=["2s"]
    )
    grace: Duration = Field(default=30.0, description="for calls that run to finish", examples=["30s"])
    barrier: Duration = Field(default=3.0, description="for what was cut off to be settled", examples=["3s"])


class ListenSettings(BaseModel):
    """Where callers come in."""

    model_config = FROZEN

    address: Address = Field(
        default="127.0.0.1:7070", description="host:port, or unix:/path of a socket", examples=["127.0.0.1:7070"]
    )
    insecure: bool = Field(default=False, description="true allows plaintext beyond this machine", examples=[True])
    tls: TLSSettings | None = Field(default=None, description="without it, plaintext")
    reflection: bool = Field(
        default=True, description="whether callers may ask which services there are", examples=[False]
    )
    probes: HostAndPort | None = Field(
        default=None, description="host:port of HTTP /livez and /readyz; off unless set", examples=["127.0.0.1:7071"]
    )
    channelz: Address | None = Field(
        default=None, description="local address of gRPC channelz; off unless set", examples=["127.0.0.1:7072"]
    )
    drain: DrainSettings = Field(default=DrainSettings(), description="how the gateway leaves")


class ChatsSettings(BaseModel):
    """What `store` keeps in the process: the oldest go first where there are too many."""

    model_config = FROZEN

    keep_bytes: Size = Field(default=64 * 2**20, description="most that is kept, of all tenants", examples=["64 MiB"])
    keep_for: Duration = Field(default=3600.0, description="longest that an answer is kept", examples=["1h"])


class TimeoutSettings(BaseModel):
    """How long anything may take where the caller does not say."""

    model_config = FROZEN

    chat: Patience = Field(default=600.0, description="a chat without a deadline of its own", examples=["10m"])
    embed: Patience = Field(default=60.0, description="vectors, for a call without one", examples=["60s"])
    read: Patience = Field(default=10.0, description="any other call without one", examples=["10s"])
    first_token: Patience = Field(default=60.0, description="a provider's first event", examples=["60s"])
    idle: Patience = Field(default=20.0, description="a provider's silence between two events", examples=["20s"])


class LogSettings(BaseModel):
    """What is written to standard error."""

    model_config = FROZEN

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is written: debug, info, warning or error", examples=["info"]
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="json, text, or auto: text on a terminal, json elsewhere", examples=["json"]
    )


def embedded(providers: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
    """Where nobody is configured, the scripted adapter answers."""
    return providers or dict(EMBEDDED)


def default_model(data: dict[str, Any]) -> str:
    """The first model that the operator names; else the scripted adapter's own; else what the catalog has first."""
    providers: dict[str, ProviderSettings] = data.get("providers", {})
    models = (name for name in data.get("models", {}) if provider_of(name) in providers)
    scripted = (f"{name}/hello" for name, provider in providers.items() if provider.adapter == "scripted")
    return next(models, next(scripted, ""))


class Settings(BaseModel):
    """All that an operator can say, checked, with its secrets resolved. Where nothing is said it is for one machine."""

    model_config = FROZEN

    listen: ListenSettings = Field(default=ListenSettings(), description="where callers come in")
    keys: tuple[KeySettings, ...] = Field(default=(), description="keys that callers may hold")
    providers: Annotated[dict[ProviderName, ProviderSettings], AfterValidator(embedded)] = Field(
        default_factory=dict, validate_default=True, description="who can answer, by name; nobody means scripted"
    )
    models: dict[ModelName, ModelSettings] = Field(
        default_factory=dict, description="what is added to what adapters know, by provider/model"
    )
    default_model: str = Field(
        default_factory=default_model,
        description='what "auto" and an empty model mean: an alias or provider/model',
        examples=["scripted/hello"],
    )
    default_embedding_model: str = Field(
        default="", description="the same for vectors; the first that makes any", examples=["local/hash-256"]
    )
    chats: ChatsSettings = Field(default=ChatsSettings(), description="what store keeps")
    timeouts: TimeoutSettings = Field(default=TimeoutSettings(), description="how long anything may take")
    log: LogSettings = Field(default=LogSettings(), description="what is written to standard error")
