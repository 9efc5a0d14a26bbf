"""What each family of Claude takes, and what that makes of a model: facts, by the beginning of its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from maestro.v1 import common_pb2
from maestro_spi.capability import EMULATED, NONE, ModelFacts, Support

UNKNOWN_OUTPUT_TOKENS = 8_192  # asked for where nobody knows the model's limit; the API demands a number


@dataclass(frozen=True, slots=True)
class Family:
    """Models that take the same request. `title` is there for those that are offered by name."""

    prefix: str
    title: str = ""
    context_tokens: int = 200_000
    max_output_tokens: int = 64_000
    # How it is told to think: by a budget of tokens, by an effort, or both; "always" cannot be told not to.
    thinking: Literal["none", "budget", "both", "adaptive", "always"] = "budget"
    sampling: Literal["all", "one", "none"] = "all"  # temperature and top_p: both, not together, neither
    schema: bool = True  # holds its answer to a JSON schema by itself
    system_later: bool = False  # takes system messages in the middle of a conversation
    offered: bool = True  # listed by itself; the others still answer to their names


_OLD = 4_096
_MILLION, _LARGE = 1_000_000, 128_000

# The longest prefix wins. Models that are retired stay here as long as somebody may still serve them.
FAMILIES: Sequence[Family] = (
    Family("claude-3", max_output_tokens=_OLD, thinking="none", schema=False, offered=False),
    Family("claude-3-5", max_output_tokens=8_192, thinking="none", schema=False, offered=False),
    Family("claude-3-7", schema=False, offered=False),
    Family("claude-sonnet-4", schema=False, offered=False),
    Family("claude-opus-4", max_output_tokens=32_000, schema=False, offered=False),
    Family("claude-opus-4-1", max_output_tokens=32_000, sampling="one", offered=False),
    Family("claude-haiku-4-5", "Claude Haiku 4.5", sampling="one"),
    Family("claude-sonnet-4-5", "Claude Sonnet 4.5", sampling="one"),
    Family("claude-opus-4-5", "Claude Opus 4.5", sampling="one"),
    Family("claude-sonnet-4-6", "Claude Sonnet 4.6", _MILLION, _LARGE, "both", "one"),
    Family("claude-opus-4-6", "Claude Opus 4.6", _MILLION, _LARGE, "both", "one"),
    Family("claude-opus-4-7", "Claude Opus 4.7", _MILLION, _LARGE, "adaptive", "none"),
    Family("claude-opus-4-8", "Claude Opus 4.8", _MILLION, _LARGE, "adaptive", "none", system_later=True),
    Family("claude-sonnet-5", "Claude Sonnet 5", _MILLION, _LARGE, "adaptive", "none", system_later=True),
    Family("claude-opus-5", "Claude Opus 5", _MILLION, _LARGE, "adaptive", "none", system_later=True),
    Family("claude-fable-5", "Claude Fable 5", _MILLION, _LARGE, "always", "none", system_later=True),
    Family("claude-mythos", "Claude Mythos", _MILLION, _LARGE, "always", "none", system_later=True, offered=False),
    Family("claude-mythos-5", "Claude Mythos 5", _MILLION, _LARGE, "always", "none", system_later=True),
    Family("claude-haiku-5-5", "Claude Haiku 5.5", _MILLION, _LARGE, "adaptive", "none", system_later=True),
    Family("claude-sonnet-5-5", "Claude Sonnet 5.5", _MILLION, _LARGE, "adaptive", "none", system_later=True),
    Family("claude-opus-5-5", "Claude Opus 5.5", _MILLION, _LARGE, "always", "none", system_later=True),
    Family("claude-fable-5-1", "Claude Fable 5.1", _MILLION, _LARGE, "always", "none", system_later=True),
    # A Claude that is newer than this table is taken for one of the newest.
    Family("claude-", "", _MILLION, _LARGE, "adaptive", "none", system_later=True, offered=False),
)

# Another vendor's model behind this API: nothing is known, so nothing that was asked for is held back.
STRANGER = Family("", "", 0, 0, "budget", "all", schema=False)

_C = common_pb2
_ABLE = (
    _C.CAPABILITY_STREAMING, _C.CAPABILITY_SYSTEM_PROMPT, _C.CAPABILITY_TOOLS, _C.CAPABILITY_PARALLEL_TOOLS,
    _C.CAPABILITY_TOOL_CHOICE, _C.CAPABILITY_VISION, _C.CAPABILITY_DOCUMENT_INPUT, _C.CAPABILITY_PROMPT_CACHE,
    _C.CAPABILITY_CITATIONS, _C.CAPABILITY_WEB_SEARCH, _C.CAPABILITY_CODE_EXECUTION, _C.CAPABILITY_LONG_CONTEXT,
)  # fmt: skip
_FORCED = Support(EMULATED, note="by a tool that it is made to call")

_HONOURED = frozenset(
    {
        "generation.max_output_tokens", "generation.stop_sequences", "generation.service_tier",
        "tool_choice.disable_parallel", "end_user",
    }
)  # fmt: skip
_SAMPLING = frozenset({"generation.temperature", "generation.top_p", "generation.top_k"})
_THINKING = frozenset({"reasoning.effort", "reasoning.max_tokens", "reasoning.return_encrypted", "reasoning.summary"})

_VENDOR = re.compile(r"^(?:[a-z-]+\.)*anthropic[./]|@.*$|-v\d+:\d+$")


def family(model: str) -> Family:
    """The family of a model, by its own name or by the one that another cloud has for it."""
    name = _VENDOR.sub("", model)
    fitting = [each for each in FAMILIES if name.startswith(each.prefix)]
    return max(fitting, key=lambda each: len(each.prefix), default=STRANGER)


def facts(kind: Family, name: str = "") -> ModelFacts:
    """What a model of this family can do."""
    capabilities: dict[common_pb2.Capability.ValueType, Support] = dict.fromkeys(_ABLE, Support())
    capabilities[_C.CAPABILITY_REASONING] = Support(NONE) if kind.thinking == "none" else Support()
    capabilities[_C.CAPABILITY_JSON_SCHEMA] = Support() if kind.schema else _FORCED
    capabilities[_C.CAPABILITY_JSON_OBJECT] = _FORCED
    return ModelFacts(
        name=name or kind.prefix,
        title=kind.title,
        capabilities=capabilities,
        input_modalities=(_C.MODALITY_TEXT, _C.MODALITY_IMAGE, _C.MODALITY_DOCUMENT),
        context_tokens=kind.context_tokens,
        max_output_tokens=kind.max_output_tokens,
        parameters=_parameters(kind),
    )


def offered() -> list[ModelFacts]:
    """The models that are there for everybody with a key."""
    return [facts(each) for each in FAMILIES if each.offered]


def _parameters(kind: Family) -> frozenset[str]:
    sampling = frozenset[str]() if kind.sampling == "none" else _SAMPLING
    thinking = frozenset[str]() if kind.thinking == "none" else _THINKING
    if kind.thinking in ("adaptive", "always"):
        thinking -= {"reasoning.max_tokens"}
    return _HONOURED | sampling | thinking
