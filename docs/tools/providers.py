"""Tables of providers: the vendors that are rows, an adapter's options."""

from collections.abc import Iterator
from importlib import import_module

from pydantic import BaseModel

from maestro_adapters import vendors as rows
from maestro_spi.vendor import Vendor


def vendors(_: str) -> str:
    """Each row of vendors.yaml."""
    lines = [
        "| provider | adapter | is on where these are set | and these say more | address |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_row, rows.read().rows)])


def options(what: str) -> str:
    """`module:Class`: the fields of settings."""
    module, _, name = what.partition(":")
    settings: type[BaseModel] = getattr(import_module(module), name)
    return "\n".join(["| option | default | what it says |", "| --- | --- | --- |", *_fields(settings)])


def _row(vendor: Vendor) -> str:
    needed = " *and* ".join(_any(group) for group in vendor.variables)
    if vendor.local:
        needed = f"{needed}, or it listens on `{vendor.local}`"
    more = [name for name in (*vendor.url, *(name for names in vendor.settings.values() for name in names))]
    asked = {name for group in vendor.variables for name in group}
    further = ", ".join(f"`{name}`" for name in dict.fromkeys(more) if name not in asked)
    adapters = ", ".join(f"`{name}`" for name in (vendor.adapter, *vendor.also))
    title = f"[{vendor.title}]({vendor.docs})" if vendor.docs else vendor.title
    return f"| `{vendor.name}`, {title} | {adapters} | {needed} | {further or '–'} | {_address(vendor)} |"


def _address(vendor: Vendor) -> str:
    if vendor.base_url is None and vendor.url:
        return f"as `{vendor.url[0]}` says"
    return f"`{vendor.base_url}`" if vendor.base_url else "the adapter's own"


def _any(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _fields(settings: type[BaseModel]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else _shown(default)
        yield f"| `{name}` | {shown} | {field.description or '–'} |"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default or default == 0 else "–"
