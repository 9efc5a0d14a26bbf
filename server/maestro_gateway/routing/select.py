"""Request -> the targets that may answer, in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_gateway.routing.catalog import AUTO, Catalog, Target
from maestro_spi.capability import EMULATED, NATIVE, unmet
from maestro_spi.errors import MaestroError, Precondition, Reason, Resource


@dataclass(frozen=True, slots=True)
class Selection:
    """Who may answer, best first, and why others may not."""

    targets: tuple[Target, ...]
    rejected: tuple[chat_pb2.RejectedTarget, ...]

    def decision(self) -> chat_pb2.RouteDecision:
        """The same in the contract's words."""
        return chat_pb2.RouteDecision(
            strategy=chat_pb2.ROUTING_STRATEGY_ORDERED,
            rejected=self.rejected,
            emulated=sorted(self.targets[0].emulated),
        )


def select(catalog: Catalog, request: chat_pb2.ChatRequest, *, streaming: bool = False) -> Selection:
    """The model named and its fallbacks, in the caller's order, less those that may not or cannot answer."""
    routing = request.routing
    names = [request.model, *([] if routing.disable_fallback else routing.fallback_models)]
    candidates = list({target.name: target for target in map(catalog.find, names)}.values())
    needs = [*request.requires, *implied(request, streaming=streaming)]
    rejected: list[chat_pb2.RejectedTarget] = []
    targets: list[Target] = []
    for target in candidates:
        if reason := _barred(target, routing):
            rejected.append(chat_pb2.RejectedTarget(model=target.name, reason=reason))
        elif not target.chats:
            rejected.append(chat_pb2.RejectedTarget(model=target.name, reason="DOES_NOT_CHAT"))
        elif missing := unmet(target.facts, needs):
            rejected.append(
                chat_pb2.RejectedTarget(model=target.name, reason="CAPABILITY_UNMET", capability=missing[0].capability)
            )
        else:
            emulated = _emulated(target, needs)
            targets.append(replace(target, emulated=emulated) if emulated else target)
    if not targets:
        raise _nobody(catalog, rejected, needs)
    return Selection(tuple(targets), tuple(rejected))


def _emulated(
    target: Target, needs: Iterable[common_pb2.CapabilityRequirement]
) -> frozenset[common_pb2.Capability.ValueType]:
    supports = target.facts.capabilities
    return frozenset(
        need.capability for need in needs if need.capability in supports and supports[need.capability].level == EMULATED
    )


def implied(request: chat_pb2.ChatRequest, *, streaming: bool = False) -> list[common_pb2.CapabilityRequirement]:
    """What a request needs though it does not say so: a model without it could only misunderstand."""
    need = common_pb2.CapabilityRequirement
    wanted: dict[common_pb2.Capability.ValueType, None] = {}
    if request.tools:
        wanted[common_pb2.CAPABILITY_TOOLS] = None
    if request.HasField("tool_choice") and request.tool_choice.mode in CHOSEN:
        wanted[common_pb2.CAPABILITY_TOOL_CHOICE] = None
    if request.HasField("response_format") and (
        capability := FORMAT.get(request.response_format.WhichOneof("format") or "")
    ):
        wanted[capability] = None
    if chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include:
        wanted[common_pb2.CAPABILITY_LOGPROBS] = None
    for message in request.messages:
        for part in message.parts:
            if part.HasField("media") and (capability := INPUT.get(part.media.modality)):
                wanted[capability] = None
    wanted.update(dict.fromkeys(OUTPUT[modality] for modality in request.output_modalities if modality in OUTPUT))
    if streaming:
        wanted[common_pb2.CAPABILITY_STREAMING] = None
    if request.system or any(message.role in INSTRUCTIONS for message in request.messages):
        wanted[common_pb2.CAPABILITY_SYSTEM_PROMPT] = None
    level = NATIVE if request.routing.native_only else common_pb2.SUPPORT_LEVEL_UNSPECIFIED
    return [need(capability=capability, min_level=level) for capability in wanted]


CHOSEN = frozenset({chat_pb2.TOOL_MODE_REQUIRED, chat_pb2.TOOL_MODE_NONE})
INSTRUCTIONS = frozenset({content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER})


FORMAT = {"json_schema": common_pb2.CAPABILITY_JSON_SCHEMA, "json_object": common_pb2.CAPABILITY_JSON_OBJECT}
INPUT = {
    common_pb2.MODALITY_IMAGE: common_pb2.CAPABILITY_VISION,
    common_pb2.MODALITY_AUDIO: common_pb2.CAPABILITY_AUDIO_INPUT,
    common_pb2.MODALITY_VIDEO: common_pb2.CAPABILITY_VIDEO_INPUT,
    common_pb2.MODALITY_DOCUMENT: common_pb2.CAPABILITY_DOCUMENT_INPUT,
}
OUTPUT = {
    common_pb2.MODALITY_IMAGE: common_pb2.CAPABILITY_IMAGE_OUTPUT,
    common_pb2.MODALITY_AUDIO: common_pb2.CAPABILITY_AUDIO_OUTPUT,
}


def _barred(target: Target, routing: chat_pb2.RoutingOptions) -> str:
    allowed = routing.allowed_providers
    if target.provider in routing.denied_providers or (allowed and target.provider not in allowed):
        return "DENIED_BY_REQUEST"
    return ""


def _nobody(
    catalog: Catalog,
    rejected: Sequence[chat_pb2.RejectedTarget],
    needs: Iterable[common_pb2.CapabilityRequirement],
) -> MaestroError:
    names = ", ".join(target.model for target in rejected)
    if all(target.reason == "DENIED_BY_REQUEST" for target in rejected):
        return MaestroError(
            Reason.MODEL_NOT_FOUND,
            f"routing.allowed_providers and routing.denied_providers leave nobody of: {names}",
            metadata={"model": names},
            resource=Resource("maestro.v1.Model", names),
            phase="route",
        )
    if all(target.reason != "CAPABILITY_UNMET" for target in rejected):
        return MaestroError(
            Reason.CAPABILITY_UNMET,
            f"{names}: makes vectors and does not chat; ask another model, or ask it with Embed",
            metadata={"model": names},
            preconditions=[Precondition("CAPABILITY", "CHAT", _nearest(catalog, None))],
            phase="route",
        )
    last = next(target for target in reversed(rejected) if target.reason == "CAPABILITY_UNMET")
    missing = unmet(catalog.find(last.model).facts, needs)
    return MaestroError(
        Reason.CAPABILITY_UNMET,
        f"{last.model} cannot do what the request needs: {', '.join(map(_name, missing))}",
        metadata={"model": last.model},
        preconditions=[Precondition("CAPABILITY", _name(need), _nearest(catalog, need)) for need in missing],
        phase="route",
        model=last.model,
    )


def _name(need: common_pb2.CapabilityRequirement) -> str:
    return need.extension or common_pb2.Capability.Name(need.capability).removeprefix("CAPABILITY_")


def embedder(catalog: Catalog, request: embedding_pb2.EmbedRequest) -> Target:
    """The model that a request for vectors means, if it makes any and meets what the request requires."""
    if request.model in AUTO and not any(target.embeds for target in catalog.targets):
        raise MaestroError(
            Reason.CAPABILITY_UNMET,
            "no model here makes vectors; ask an admin for a provider that does",
            preconditions=[Precondition("CAPABILITY", "EMBEDDINGS", "no model here has it")],
            phase="route",
        )
    target = catalog.find_embedder(request.model)
    media = {INPUT[item.media.modality] for item in request.inputs if item.media.modality in INPUT}
    wanted = [common_pb2.CAPABILITY_EMBEDDINGS, *sorted(media)]
    needs = [*request.requires, *(common_pb2.CapabilityRequirement(capability=each) for each in wanted)]
    if missing := unmet(target.facts, needs):
        raise MaestroError(
            Reason.CAPABILITY_UNMET,
            f"{target.name} cannot do what the request needs: {', '.join(map(_name, missing))}",
            metadata={"model": target.name},
            preconditions=[Precondition("CAPABILITY", _name(need), _nearest(catalog, need)) for need in missing],
            phase="route",
            provider=target.provider,
            model=target.facts.name,
        )
    return target


def _nearest(catalog: Catalog, need: common_pb2.CapabilityRequirement | None) -> str:
    needs = [need] if need else []
    able = next((each for each in catalog.targets if (needs or each.chats) and not unmet(each.facts, needs)), None)
    return f"nearest: {able.name}" if able else "no model here has it"
