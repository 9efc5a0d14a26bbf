"""Providers and models, as written."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from maestro.v1 import common_pb2
from maestro_spi.settings import AdapterSettings

ProviderName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="a provider's name is lower-case letters, digits, - and _"
    ),
]
ModelName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}/\S+$",
        max_length=256,
        description="a model is named by its provider, a slash, and the provider's own name of it",
    ),
]
Amount = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Dimensions = Annotated[int, Field(gt=0)]
Alias = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=256)]


def capability(name: str) -> str:
    """`tools` or `TOOLS`: a name of the contract, without its prefix."""
    if name == "" or f"CAPABILITY_{name.upper()}" not in common_pb2.Capability.keys():  # noqa: SIM118 - not a mapping
        raise ValueError("is no capability; docs/reference.md lists them")
    return name.upper()


CapabilityName = Annotated[str, AfterValidator(capability)]


class ProviderSettings(BaseModel):
    """One provider: which adapter speaks to it, where it is, and its key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    adapter: str = Field(min_length=1, description="which adapter speaks to it", examples=["scripted"])
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@?#]+([/?#]\S*)?$",
        description="where it is, when not at the vendor's own address; no user or password in it",
        examples=["https://llm.acme.example/v1"],
    )
    api_key: SecretStr | None = Field(
        default=None, min_length=1, description="where its key is: env:NAME or file:PATH", examples=["env:ACME_KEY"]
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="what only this adapter understands", examples=[{"script": "demo.yaml"}]
    )

    def adapter_settings(self, name: str) -> AdapterSettings:
        """The same for the adapter itself, which also learns its provider's name here."""
        return AdapterSettings(
            name=name, adapter=self.adapter, base_url=self.base_url, api_key=self.api_key, options=self.options
        )


class PriceSettings(BaseModel):
    """What a model costs here, in US dollars for a million tokens; it takes the place of the table's prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Amount = Field(description="of a million input tokens, in US dollars", examples=["0.15"])
    output: Amount = Field(default=Decimal(0), description="of a million output tokens", examples=["0.60"])
    cache_read: Amount | None = Field(
        default=None, description="of a million input tokens from a cache; else as input", examples=["0.075"]
    )
    cache_write: Amount | None = Field(
        default=None, description="of a million input tokens put into a cache; else as input", examples=["0.1875"]
    )


class ModelSettings(BaseModel):
    """What the operator adds to what an adapter knows of a model, or knows of one that it does not list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aliases: tuple[Alias, ...] = Field(
        default=(), description="other names callers may use for it, without a slash", examples=[["default", "fast"]]
    )
    title: str = Field(default="", max_length=256, description="its name for people", examples=["Hello"])
    capabilities: tuple[CapabilityName, ...] | None = Field(
        default=None, description="all it can do, in place of what is known of it", examples=[["streaming", "tools"]]
    )
    context_tokens: int | None = Field(default=None, ge=0, description="its context window", examples=[32768])
    max_output_tokens: int | None = Field(default=None, ge=0, description="most it says at once", examples=[4096])
    embedding_dimensions: tuple[Dimensions, ...] | None = Field(
        default=None, description="sizes of its vectors, its own first", examples=[[1024]]
    )
    price: PriceSettings | None = Field(default=None, description="what it costs here; else as the price table has it")


# What is there when no provider is configured.
EMBEDDED = {
    "scripted": ProviderSettings(adapter="scripted"),
    "local": ProviderSettings(adapter="local_embedding"),
}


def provider_of(model: str) -> str:
    """The part before the slash."""
    return model.partition("/")[0]
