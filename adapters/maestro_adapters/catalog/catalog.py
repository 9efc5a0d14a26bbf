"""Models as data: the catalogue's files -> what adapters read as `options.models`."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C where it is built: ten times as fast
ANY = "*"  # stands for every model of a provider that the catalogue does not name


def models(vendor: str) -> Sequence[Mapping[str, Any]]:
    """The vendor's models, what they have in common written into each; any name where nothing is known of them."""
    file = resources.files("maestro_adapters").joinpath("catalog", f"{vendor}.yaml")
    if not file.is_file():
        return [{"name": ANY, "adds": ["EMBEDDINGS"]}]
    groups = yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER)
    return [
        {**{key: value for key, value in group.items() if key != "models"}, **(own or {}), "name": name}
        for group in groups
        for name, own in group["models"].items()
    ]
