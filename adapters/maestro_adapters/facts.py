"""What the settings say of models -> ModelFacts, over what a dialect can do at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from maestro.v1 import common_pb2
from maestro_spi.capability import ModelFacts, Support

_CAPABILITIES = {name.removeprefix("CAPABILITY_"): value for name, value in common_pb2.Capability.items()}
_MODALITIES = {name.removeprefix("MODALITY_"): value for name, value in common_pb2.Modality.items()}
ADDS = "adds"  # capabilities beside the usual ones, where `capabilities` would take their place


def capabilities(*names: str) -> dict[common_pb2.Capability.ValueType, Support]:
    """Native support of the capabilities of these names: "TOOLS", "VISION"."""
    return {_CAPABILITIES[name]: Support() for name in names}


def read_facts(written: Any, usual: ModelFacts) -> list[ModelFacts]:
    """The models of `options.models`: names, or mappings with `name` and what differs from the usual."""
    models = written or []
    if isinstance(models, Mapping):
        models = [{"name": name, **(facts or {})} for name, facts in models.items()]
    if not isinstance(models, Sequence) or isinstance(models, str):
        raise ValueError("models: a list of names or of mappings with `name` is needed")
    return [_read(model, usual) for model in models]


def _read(model: Any, usual: ModelFacts) -> ModelFacts:
    if isinstance(model, str):
        return replace(usual, name=model)
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        raise ValueError(f"models: {model!r} has no name")
    strange = [key for key in model if key not in (*_READ, ADDS)]
    if strange:
        there = ", ".join((*_READ, ADDS))
        raise ValueError(f"models.{model['name']}: {strange[0]!r} is not known; there are: {there}")
    read = replace(usual, **{key: _READ[key](value) for key, value in model.items() if key != ADDS})
    if ADDS in model:
        more = capabilities(*(str(name).upper() for name in model[ADDS]))
        read = replace(read, capabilities={**read.capabilities, **more})
    return read


def _modalities(names: Sequence[Any]) -> tuple[common_pb2.Modality.ValueType, ...]:
    return tuple(_MODALITIES[str(name).upper()] for name in names)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "name": str,
    "title": str,
    "aliases": lambda names: tuple(map(str, names)),
    "capabilities": lambda names: capabilities(*(str(name).upper() for name in names)),
    "input_modalities": _modalities,
    "output_modalities": _modalities,
    "context_tokens": int,
    "max_output_tokens": int,
    "embedding_dimensions": lambda sizes: tuple(map(int, sizes)),
    "parameters": lambda paths: frozenset(map(str, paths)),
}
