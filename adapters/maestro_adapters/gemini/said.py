"""What Gemini sends, as far as it is read.

The structs hold no cycles, so the garbage collector need not look at them.
"""

from typing import Any

from msgspec import Raw, Struct


class PartialArgument(Struct, rename="camel", gc=False):
    """A piece of one argument: where it belongs, and what to add there."""

    json_path: str = ""
    string_value: str | None = None
    number_value: float | int | None = None
    bool_value: bool | None = None
    null_value: Any = None


class FunctionCall(Struct, rename="camel", gc=False):
    """A call for one of the caller's functions, whole or in pieces."""

    id: str | None = None
    name: str | None = None
    args: Raw = Raw()
    partial_args: list[PartialArgument] | None = None
    will_continue: bool | None = None


class Blob(Struct, rename="camel", gc=False):
    """Bytes of a medium, in base64."""

    mime_type: str = ""
    data: bytes = b""


class FileData(Struct, rename="camel", gc=False):
    """A medium that lies elsewhere."""

    mime_type: str = ""
    file_uri: str = ""


class Part(Struct, rename="camel", gc=False):
    """One part; kinds that are not here are read as they came."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None


class Content(Struct, rename="camel", gc=False):
    """The parts of one candidate."""

    parts: list[Part] | None = None


class Rating(Struct, rename="camel", gc=False):
    """How harmful something may be."""

    category: str | int = ""
    probability: str | int = ""
    blocked: bool | None = None


class TokenChance(Struct, rename="camel", gc=False):
    """A token and how likely it was."""

    token: str = ""
    log_probability: float = 0.0


class TokenChances(Struct, rename="camel", gc=False):
    """The likeliest tokens of one step."""

    candidates: list[TokenChance] | None = None


class LogprobsResult(Struct, rename="camel", gc=False):
    """How likely the tokens of this chunk were."""

    chosen_candidates: list[TokenChance] | None = None
    top_candidates: list[TokenChances] | None = None


class CitationSource(Struct, rename="camel", gc=False):
    """A source that the text repeats; its range counts bytes."""

    start_index: int = 0
    end_index: int = 0
    uri: str = ""
    title: str = ""
    license: str = ""


class CitationMetadata(Struct, rename="camel", gc=False):
    """The sources that the text repeats, under the one name or the other."""

    citation_sources: list[CitationSource] | None = None
    citations: list[CitationSource] | None = None


class Source(Struct, rename="camel", gc=False):
    """One place that the answer leans on."""

    uri: str = ""
    title: str = ""
    text: str = ""


class GroundingChunk(Struct, rename="camel", gc=False):
    """The same, by kind."""

    web: Source | None = None
    maps: Source | None = None
    retrieved_context: Source | None = None


class Segment(Struct, rename="camel", gc=False):
    """A range of the text, in bytes, and the words that stand there."""

    start_index: int = 0
    end_index: int = 0
    text: str = ""


class GroundingSupport(Struct, rename="camel", gc=False):
    """Which chunks back a segment, and how well."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None
    confidence_scores: list[float] | None = None


class GroundingMetadata(Struct, rename="camel", gc=False):
    """What the answer leans on."""

    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[GroundingSupport] | None = None
    web_search_queries: list[str] | None = None


class Candidate(Struct, rename="camel", gc=False):
    """One candidate, or what is new in it. The reader asks for the raw grounding only at the end."""

    content: Content | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    index: int | None = None
    safety_ratings: list[Rating] | None = None
    citation_metadata: CitationMetadata | None = None
    grounding_metadata: Raw = Raw()
    url_context_metadata: Raw = Raw()
    logprobs_result: LogprobsResult | None = None


class PromptFeedback(Struct, rename="camel", gc=False):
    """What the filters say about the prompt."""

    block_reason: str | int | None = None
    block_reason_message: str | None = None
    safety_ratings: list[Rating] | None = None


class ModalityCount(Struct, rename="camel", gc=False):
    """Tokens of one modality."""

    modality: str | int = ""
    token_count: int = 0


class UsageMetadata(Struct, rename="camel", gc=False):
    """Tokens so far."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    tool_use_prompt_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None
    service_tier: str | int | None = None
    traffic_type: str | int | None = None


class Chunk(Struct, rename="camel", gc=False):
    """One response: a piece of a stream, or a whole answer."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = Raw()


class RawContent(Struct, gc=False):
    """Parts as they came."""

    parts: list[Raw] | None = None


class RawCandidate(Struct, gc=False):
    """The same, of one candidate."""

    content: RawContent | None = None
    index: int | None = None


class RawChunk(Struct, gc=False):
    """A response, read for its parts as they came."""

    candidates: list[RawCandidate] | None = None
