"""Which models there are, and what each can do."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from maestro.v1 import common_pb2
from maestro_gateway.routing.settings import ModelSettings
from maestro_spi.capability import ModelFacts
from maestro_spi.errors import MaestroError, Reason, Resource

AUTO = frozenset({"", "auto"})


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider: who may answer."""

    provider: str
    facts: ModelFacts

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
    ) -> None:
        self.targets = tuple(
            Target(provider, _as_written(facts, written.get(f"{provider}/{facts.name}")))
            for provider, models in known.items()
            for facts in models
        )
        self._by_name = {name: target for target in self.targets for name in (target.name, *target.facts.aliases)}
        self._default = default_model or next((target.name for target in self.targets if target.chats), "")
        self._embedder = default_embedding_model or next((each.name for each in self.targets if each.embeds), "")

    def find(self, model: str) -> Target:
        """The target a request means; MODEL_NOT_FOUND names the nearest there is."""
        return self._find(self._default if model in AUTO else model.removeprefix("models/"))

    def find_embedder(self, model: str) -> Target:
        """The same for vectors: "auto" means another model there."""
        return self._find(self._embedder if model in AUTO else model.removeprefix("models/"))

    def _find(self, name: str) -> Target:
        if target := self._by_name.get(name):
            return target
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


def _as_written(facts: ModelFacts, settings: ModelSettings | None) -> ModelFacts:
    """What the adapter knows, and what the operator has added."""
    if settings is None:
        return facts
    aliases = dict.fromkeys((*facts.aliases, *settings.aliases))
    return replace(facts, aliases=tuple(aliases), title=settings.title or facts.title)


def unknown(targets: Iterable[Target], written: Iterable[str]) -> list[str]:
    """Models that the operator wrote about and nobody has."""
    names = {target.name for target in targets}
    return [model for model in written if model not in names]
