"""Nobody configured: the usual variables of vendors, and what listens on this machine, switch providers on."""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from maestro_gateway.config.document import Document
from maestro_gateway.config.environment import Environment, put
from maestro_gateway.config.problems import Place
from maestro_spi.vendor import Vendor

PROBE_SECONDS = 0.05  # to this machine a connection is had at once, or refused
LOCAL_EMBEDDER = ("local", "local_embedding")  # makes vectors where no vendor that is on makes any


@dataclass(frozen=True, slots=True)
class Found:
    """A vendor that is on, and what switched it on: a variable, or the address at which it listens."""

    vendor: Vendor
    by: str


def listens(address: str) -> bool:
    """Does somebody take connections there?"""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PROBE_SECONDS):
            return True
    except OSError:
        return False


def found(
    vendors: Iterable[Vendor], variables: Mapping[str, str], probe: Callable[[str], bool] = listens
) -> list[Found]:
    """The vendors whose variables are set, or who listen here."""
    there = []
    for vendor in vendors:
        first = [_first(group, variables) for group in vendor.variables]
        if vendor.local:
            by = _first(vendor.url, variables) or (vendor.local if probe(vendor.local) else "")
        else:
            by = first[0] if first and all(first) else ""
        if by:
            there.append(Found(vendor, by))
    return there


def switch_on(there: Sequence[Found], document: Document, environment: Environment) -> None:
    """Writes them into the document as providers, each setting at the place of the variable that it comes from."""
    for each in there:
        for path, value, place in _settings(each, environment):
            put(document, ("providers", each.vendor.name, *path), value, place)
    name, adapter = LOCAL_EMBEDDER
    if there:
        put(document, ("providers", name, "adapter"), adapter, Place("defaults"))


def missing(vendors: Iterable[Vendor], on: Iterable[str]) -> list[str]:
    """The others, each with what would switch it on."""
    names = set(on)
    return [f"{vendor.name} ({_wanted(vendor)})" for vendor in vendors if vendor.name not in names]


def _settings(each: Found, environment: Environment) -> Iterable[tuple[tuple[str, ...], Any, Place]]:
    vendor, variables = each.vendor, environment.variables
    yield ("adapter",), vendor.name, Place("defaults")
    if key := _first(vendor.key, variables):
        yield ("api_key",), f"env:{key}", environment.place(key)
    if url := _first(vendor.url, variables):
        address = _address(variables[url], vendor.local) if vendor.local else variables[url].strip()
        yield ("base_url",), address, environment.place(url)
    elif vendor.local:
        yield ("base_url",), f"http://{vendor.local}", Place("defaults")
    for option, names in vendor.settings.items():
        if name := _first(names, variables):
            yield ("options", option), variables[name], environment.place(name)


def _wanted(vendor: Vendor) -> str:
    if vendor.local:
        return f"start it here, or {' or '.join(vendor.url)}"
    return " and ".join(" or ".join(group) for group in vendor.variables)


def _first(names: Iterable[str], variables: Mapping[str, str]) -> str:
    return next((name for name in names if variables.get(name, "").strip()), "")


def _address(said: str, usual: str) -> str:
    """As its own tools read it: host, host:port, or a whole address; what listens everywhere is reached here."""
    url = urlsplit(said.strip() if "://" in said else f"http://{said.strip()}")
    host, _, port = usual.rpartition(":")
    name = url.hostname or host
    name = host if name in ("0.0.0.0", "::") else f"[{name}]" if ":" in name else name
    default = {"https": ":443", "http": f":{port}"}[url.scheme] if "://" not in said else ""
    return f"{url.scheme}://{name}{f':{url.port}' if url.port else default}{url.path.rstrip('/')}"
