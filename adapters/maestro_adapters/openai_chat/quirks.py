"""In what one vendor's Chat Completions differ from OpenAI's: data, a row for each vendor."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Quirks(BaseModel):
    """A vendor's row. What stands here is OpenAI's own way; unknown keys belong to others, HTTP or the catalogue."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: bool = Field(default=True, description="false: ask for the answer whole")
    path: str = Field(default="/chat/completions", description="where it is, under the base address")
    fields: dict[str, str | None] = Field(
        default_factory=dict, description="OpenAI's name of a body's field -> this vendor's; null: never sent"
    )
    body: dict[str, Any] = Field(default_factory=dict, description="sent with every request, the caller's own wins")
    developer_role: str = Field(default="developer", description="role of developer messages")
    tool_required: str = Field(default="required", description="the word for a tool that must be used")
    named_tool: bool = Field(default=True, description="a single tool can be named as the choice")
    allowed_tools: bool = Field(default=True, description="a choice can name several tools")
    strict: bool = Field(default=True, description="tools and schemas can be strict")
    joined_text: bool = Field(default=False, description="content is one text, never a list of texts")
    empty_content: str | None = Field(default=None, description="content of a turn with tool calls alone")
    cache_control: bool = Field(default=False, description="prompt-cache breakpoints are honoured on parts")
    reasoning: Literal["effort", "object", "thinking", "enable_thinking", "none"] = Field(
        default="effort", description="how reasoning is steered"
    )
    reasoning_field: Literal["reasoning_content", "reasoning", "thinking_parts", ""] = Field(
        default="", description="where earlier reasoning goes back; empty: it is left out"
    )
    max_effort: str = Field(default="xhigh", description="the word for the most reasoning")
    documents: Literal["file", "document_url", "file_url", "none"] = Field(
        default="file", description="how documents are sent; only the last two take addresses"
    )
    video: bool = Field(default=False, description="takes video by address")
    audio_urls: bool = Field(default=False, description="takes audio as a data URL instead of data and format")
    image_string: bool = Field(default=False, description="an image's address is a text, not an object")
    web_search: Literal["web_search_options", "none"] = Field(
        default="web_search_options", description="how the provider's own web search is asked for"
    )
    think_tags: bool = Field(default=False, description="reasoning stands in the text, between <think> and </think>")
