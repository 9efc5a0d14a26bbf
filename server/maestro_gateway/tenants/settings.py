"""Keys, as written."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Tenant = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Scope = Annotated[str, Field(pattern=r"^(\*|[a-z]+(\.[a-z]+)?)$")]


class KeySettings(BaseModel):
    """One key that callers may hold. Its secret is resolved, and is shown by nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(
        min_length=1, max_length=64, description="what the key is called in logs and answers", examples=["backend"]
    )
    secret: SecretStr = Field(
        min_length=1, description="where its secret is: env:NAME or file:PATH", examples=["env:BACKEND_KEY"]
    )
    tenant: Tenant = Field(
        default="default", description="who its callers are: lower-case letters, digits, - and _", examples=["acme"]
    )
    scopes: tuple[Scope, ...] = Field(
        default=("chat", "models"),
        description="what they may do: a noun, or noun.verb; a noun holds its verbs, * holds all",
        examples=[["chat", "models"]],
    )
    disabled: bool = Field(default=False, description="true turns its callers away", examples=[True])
