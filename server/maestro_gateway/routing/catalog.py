"""Which models there are, and what each can do."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maestro.v1 import common_pb2
from maestro_gateway.routing.settings import ModelSettings
from maestro_spi.capability import EMULATED, ModelFacts, Support
from maestro_spi.errors import MaestroError, Reason, Resource

ANY = "*"  # a model of this name stands for all that a provider has and nobody has listed
AUTO = frozenset({"", "auto"})


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider: who may answer."""

    provider: str
    facts: ModelFacts
    emulated: frozenset[common_pb2.Capability.ValueType] = frozenset()  # what a request needs and is lent to it

    @property
    def name(self) -> str:
        """ "{provider}/{model}"."""
        return f"{self.provider}/{self.facts.name}"

    @property
    def chats(self) -> bool:
        """Something that can be said comes out of it."""
        return bool(self.facts.output_modalities)

    @property
    def embeds(self) -> bool:
        """Vectors come out of it."""
        return common_pb2.CAPABILITY_EMBEDDINGS in self.facts.capabilities


class Catalog:
    """Immutable: every model by its name and aliases. A name of one target is never that of another."""

    def __init__(
        self,
        known: Mapping[str, Sequence[ModelFacts]],
        written: Mapping[str, ModelSettings],
        default_model: str,
        default_embedding_model: str = "",
        lent: Collection[common_pb2.Capability.ValueType] = (),
    ) -> None:
        self.targets = tuple(
            Target(provider, _with_lent(_as_written(facts, written.get(f"{provider}/{facts.name}")), lent))
            for provider, models in known.items()
            for facts in _listed(provider, models, written)
        )
        # Providers that may have models nobody has listed, and what is assumed of those.
        self._open = {
            provider: _with_lent(facts, lent)
            for provider, models in known.items()
            for facts in models
            if facts.name == ANY
        }
        self._by_name = {name: target for target in self.targets for name in (target.name, *target.facts.aliases)}
        self._default = default_model or next((target.name for target in self.targets if target.chats), "")
        # A model that does nothing else is meant rather than one that makes vectors, too.
        able = sorted((each for each in self.targets if each.embeds), key=lambda each: each.chats)
        self._embedder = default_embedding_model or next((each.name for each in able), "")

    def find(self, model: str) -> Target:
        """The target a request means; MODEL_NOT_FOUND names the nearest there is."""
        return self._find(self._default if model in AUTO else model.removeprefix("models/"))

    def find_embedder(self, model: str) -> Target:
        """The same for vectors: "auto" means another model there."""
        return self._find(self._embedder if model in AUTO else model.removeprefix("models/"))

    def _find(self, name: str) -> Target:
        if target := self._by_name.get(name):
            return target
        provider, _, model = name.partition("/")
        if provider in self._open and model not in ("", ANY):
            return Target(provider, replace(self._open[provider], name=model))
        near = difflib.get_close_matches(name, self._by_name, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise MaestroError(
            Reason.MODEL_NOT_FOUND,
            f"no model '{name}' here; {hint}ListModels names them all",
            metadata={"model": name, **({"nearest": near[0]} if near else {})},
            resource=Resource("maestro.v1.Model", name),
            phase="route",
            model=name,
        )

    def default(self) -> Target | None:
        """What "auto" means."""
        return self._by_name.get(self._default)


def _listed(provider: str, models: Sequence[ModelFacts], written: Mapping[str, ModelSettings]) -> Iterator[ModelFacts]:
    """The models of a provider: those it knows, and, where it may have others, those that the operator writes about."""
    yield from (facts for facts in models if facts.name != ANY)
    names = {facts.name for facts in models}
    for template in models:
        if template.name == ANY:
            mine = (name.removeprefix(f"{provider}/") for name in written if name.startswith(f"{provider}/"))
            yield from (replace(template, name=name) for name in mine if name not in names)


def _as_written(facts: ModelFacts, settings: ModelSettings | None) -> ModelFacts:
    """What the adapter knows, and what the operator has added."""
    if settings is None:
        return facts
    aliases = dict.fromkeys((*facts.aliases, *settings.aliases))
    said: dict[str, Any] = {
        name: value
        for name in ("context_tokens", "max_output_tokens", "embedding_dimensions")
        if (value := getattr(settings, name)) is not None
    }
    if settings.capabilities is not None:
        said["capabilities"] = {
            common_pb2.Capability.Value(f"CAPABILITY_{n}"): Support() for n in settings.capabilities
        }
        if set(said["capabilities"]) == {common_pb2.CAPABILITY_EMBEDDINGS}:
            said["output_modalities"] = ()
    return replace(facts, aliases=tuple(aliases), title=settings.title or facts.title, **said)


def _with_lent(facts: ModelFacts, lent: Collection[common_pb2.Capability.ValueType]) -> ModelFacts:
    """What a polyfill lends to a model that talks and lacks it, declared as emulated."""
    if common_pb2.MODALITY_TEXT not in facts.output_modalities:
        return facts
    missing = {capability: Support(EMULATED) for capability in lent if capability not in facts.capabilities}
    return replace(facts, capabilities={**facts.capabilities, **missing}) if missing else facts


def unknown(targets: Iterable[Target], written: Iterable[str]) -> list[str]:
    """Models that the operator wrote about and nobody has."""
    names = {target.name for target in targets}
    return [model for model in written if model not in names]
