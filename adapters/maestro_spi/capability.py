"""What a model can do, and whether a request asks for more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from maestro.v1 import common_pb2

NATIVE = common_pb2.SUPPORT_LEVEL_NATIVE
EMULATED = common_pb2.SUPPORT_LEVEL_EMULATED
NONE = common_pb2.SUPPORT_LEVEL_NONE


@dataclass(frozen=True, slots=True)
class Support:
    """How well a capability is met; `value` is its quantity, where it has one, and `note` its limits in words."""

    level: common_pb2.SupportLevel.ValueType = NATIVE
    value: int = 0
    note: str = ""


MISSING = Support(NONE)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model of one provider: facts, never code. What is not listed in `capabilities` it cannot do."""

    name: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    capabilities: Mapping[common_pb2.Capability.ValueType, Support] = field(default_factory=dict)
    extensions: Mapping[str, Support] = field(default_factory=dict)
    input_modalities: tuple[common_pb2.Modality.ValueType, ...] = (common_pb2.MODALITY_TEXT,)
    output_modalities: tuple[common_pb2.Modality.ValueType, ...] = (common_pb2.MODALITY_TEXT,)
    context_tokens: int = 0
    max_output_tokens: int = 0
    embedding_dimensions: tuple[int, ...] = ()  # of its vectors, its own choice first; empty where it makes none
    # Request fields that it honours beside the conversation, tools and format, by path: "generation.temperature".
    parameters: frozenset[str] = frozenset()


def unmet(
    facts: ModelFacts, requirements: Iterable[common_pb2.CapabilityRequirement]
) -> list[common_pb2.CapabilityRequirement]:
    """The requirements that the model does not meet."""
    return [requirement for requirement in requirements if not _meets(facts, requirement)]


def _meets(facts: ModelFacts, requirement: common_pb2.CapabilityRequirement) -> bool:
    if requirement.extension:
        support = facts.extensions.get(requirement.extension, MISSING)
    else:
        support = facts.capabilities.get(requirement.capability, MISSING)
    if support.level < (requirement.min_level or EMULATED):
        return False
    value = support.value
    if requirement.capability == common_pb2.CAPABILITY_LONG_CONTEXT:
        value = value or facts.context_tokens
    return value >= requirement.min_value or not requirement.min_value
