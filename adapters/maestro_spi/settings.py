"""What an adapter is given: AdapterSettings."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class AdapterSettings(BaseModel):
    """One provider, as the operator wrote it, with its secrets resolved. Its repr shows no secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the provider's name in this gateway, the part before the slash in a model's name")
    adapter: str = Field(description="which adapter speaks to it")
    base_url: str | None = Field(default=None, description="where it is, when not at the vendor's own address")
    api_key: SecretStr | None = Field(default=None, description="its key")
    options: dict[str, Any] = Field(default_factory=dict, description="what only this adapter understands")
