"""The options that an adapter understands: a misspelt one is a mistake, never ignored."""

import difflib
from collections.abc import Collection

from pydantic import BaseModel

from maestro_spi.settings import AdapterSettings


class UnknownOption(ValueError):  # noqa: N818 - a fact about the settings, told as one
    """The settings name an option that the adapter does not have."""


def understood(*models: type[BaseModel], also: Collection[str] = ()) -> frozenset[str]:
    """The names of all fields of these models, and a few more."""
    return frozenset(also).union(*(model.model_fields for model in models))


def refuse_unknown(settings: AdapterSettings, known: Collection[str]) -> None:
    """Name the first option that the adapter does not have, and the nearest it has."""
    for name in settings.options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
            raise UnknownOption(
                f"options of provider {settings.name!r}: {name!r} is not known to {settings.adapter}; {hint}"
            )
