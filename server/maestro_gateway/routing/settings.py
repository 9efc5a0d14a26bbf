"""Providers and models, as written."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

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
Alias = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=256)]


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


class ModelSettings(BaseModel):
    """What the operator adds to what an adapter knows of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aliases: tuple[Alias, ...] = Field(
        default=(), description="other names callers may use for it, without a slash", examples=[["default", "fast"]]
    )
    title: str = Field(default="", max_length=256, description="its name for people", examples=["Hello"])


# What is there when no provider is configured.
EMBEDDED = {
    "scripted": ProviderSettings(adapter="scripted"),
    "local": ProviderSettings(adapter="local_embedding"),
}


def provider_of(model: str) -> str:
    """The part before the slash."""
    return model.partition("/")[0]
