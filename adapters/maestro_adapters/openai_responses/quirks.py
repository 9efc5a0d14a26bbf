"""In what one vendor's Responses API differs from OpenAI's: data, a row for each vendor."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Quirks(BaseModel):
    """A vendor's row. What stands here is OpenAI's own way; unknown keys belong to others, HTTP or the catalogue."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: bool = Field(default=True, description="false: ask for the answer whole")
    fields: dict[str, str | None] = Field(
        default_factory=dict, description="OpenAI's name of a body's field -> this vendor's; null: never sent"
    )
    body: dict[str, Any] = Field(default_factory=dict, description="sent with every request, the caller's own wins")
    max_effort: str = Field(default="xhigh", description="the word for the most reasoning")
    tools: dict[str, str] = Field(
        default_factory=dict, description="our name of a tool that the provider runs -> its type there"
    )
    cache_breakpoints: bool = Field(
        default=False, description="prompt-cache breakpoints are honoured on parts; models before them refuse the field"
    )
