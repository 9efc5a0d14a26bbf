"""Tokens, theirs -> ours."""

from collections.abc import Iterable, Mapping

from maestro.v1 import common_pb2
from maestro_adapters.gemini.said import ModalityCount, UsageMetadata

# Enums may come as their numbers.
MODALITIES: Mapping[str | int, common_pb2.Modality.ValueType] = {
    "TEXT": common_pb2.MODALITY_TEXT,
    "IMAGE": common_pb2.MODALITY_IMAGE,
    "VIDEO": common_pb2.MODALITY_VIDEO,
    "AUDIO": common_pb2.MODALITY_AUDIO,
    "DOCUMENT": common_pb2.MODALITY_DOCUMENT,
    1: common_pb2.MODALITY_TEXT,
    2: common_pb2.MODALITY_IMAGE,
    3: common_pb2.MODALITY_VIDEO,
    4: common_pb2.MODALITY_AUDIO,
    5: common_pb2.MODALITY_DOCUMENT,
}


def later(before: UsageMetadata | None, told: UsageMetadata) -> UsageMetadata:
    """What is known once more has been told: counts are cumulative, and one that is left out stays as it was."""
    if before is not None:
        told.prompt_token_count = told.prompt_token_count or before.prompt_token_count
        told.tool_use_prompt_token_count = told.tool_use_prompt_token_count or before.tool_use_prompt_token_count
        told.candidates_token_count = told.candidates_token_count or before.candidates_token_count
        told.thoughts_token_count = told.thoughts_token_count or before.thoughts_token_count
        told.cached_content_token_count = told.cached_content_token_count or before.cached_content_token_count
        told.total_token_count = told.total_token_count or before.total_token_count
        told.prompt_tokens_details = told.prompt_tokens_details or before.prompt_tokens_details
        told.candidates_tokens_details = told.candidates_tokens_details or before.candidates_tokens_details
        told.service_tier = told.service_tier or before.service_tier
    return told


def usage_of(told: UsageMetadata | None, searches: int) -> common_pb2.Usage | None:
    """The same in our classes: prompts of tools are input, thoughts are output, and sub-counts are within."""
    if told is None or (told.prompt_token_count is None and told.total_token_count is None):
        return None
    usage = common_pb2.Usage(
        input_tokens=(told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0),
        output_tokens=(told.candidates_token_count or 0) + (told.thoughts_token_count or 0),
        cache_read_input_tokens=told.cached_content_token_count or 0,
        reasoning_output_tokens=told.thoughts_token_count or 0,
        input_by_modality=modalities(told.prompt_tokens_details, told.tool_use_prompt_tokens_details),
        output_by_modality=modalities(told.candidates_tokens_details),
    )
    if searches:
        usage.billed_tools.add(tool="web_search", count=searches)
    return usage


def modalities(*counts: Iterable[ModalityCount] | None) -> list[common_pb2.ModalityTokens]:
    """Tokens by modality, added up."""
    sums: dict[common_pb2.Modality.ValueType, int] = {}
    for count in (each for several in counts for each in several or ()):
        modality = MODALITIES.get(count.modality, common_pb2.MODALITY_UNSPECIFIED)
        sums[modality] = sums.get(modality, 0) + count.token_count
    return [common_pb2.ModalityTokens(modality=modality, tokens=tokens) for modality, tokens in sums.items()]
