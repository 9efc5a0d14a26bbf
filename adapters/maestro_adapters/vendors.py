"""Vendors as data: vendors.yaml -> the settings of the adapter that speaks to one."""

from collections.abc import Sequence
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import yaml

from maestro_adapters.catalog import catalog
from maestro_spi.settings import AdapterSettings
from maestro_spi.vendor import Vendor


class Vendors:
    """Every row, in its order. `completed` turns settings that name a vendor into settings of its adapter."""

    def __init__(self, rows: Sequence[Vendor]) -> None:
        self.rows = tuple(rows)
        self._by_name = {row.name: row for row in rows}
        self._dialects = {dialect for row in rows for dialect in (row.adapter, *row.also)}

    def of(self, settings: AdapterSettings) -> Vendor | None:
        """Whose row counts: the one named as the adapter, else the one at that address, else the dialect's first."""
        if settings.adapter in self._by_name:
            return self._by_name[settings.adapter]
        speaking = [row for row in self.rows if settings.adapter in (row.adapter, *row.also)]
        if settings.base_url is None:
            return next(iter(speaking), None)
        return next((row for row in speaking if row.base_url and _host(row) == _host(settings)), None)

    def completed(self, settings: AdapterSettings) -> AdapterSettings:
        """The same with what the vendor's row and the catalogue say where the operator says nothing."""
        vendor = self.of(settings)
        if vendor is None and settings.adapter not in self._dialects:
            return settings  # no dialect of a vendor: scripted, local, somebody else's
        adapter, base_url, options = settings.adapter, settings.base_url, dict[str, Any](settings.options)
        if vendor is not None:
            base_url = base_url or vendor.base_url
            if adapter not in vendor.also:
                adapter, options = vendor.adapter, {**vendor.options, **options}
        options.setdefault("models", catalog.models(vendor.name if vendor and _at_home(vendor, settings) else ""))
        return settings.model_copy(update={"adapter": adapter, "base_url": base_url, "options": options})

    def prices(self, settings: AdapterSettings) -> str:
        """The vendor's name in the price table; empty where it is somebody else's house."""
        vendor = self.of(settings)
        return vendor.prices if vendor and _at_home(vendor, settings) else ""


def read() -> Vendors:
    """The rows of vendors.yaml."""
    text = resources.files("maestro_adapters").joinpath("vendors.yaml").read_text(encoding="utf-8")
    return Vendors([Vendor(name=name, **row) for name, row in yaml.load(text, Loader=catalog.LOADER).items()])


def _at_home(vendor: Vendor, settings: AdapterSettings) -> bool:
    """Is it the vendor itself that answers there?"""
    return not settings.base_url or not vendor.base_url or _host(settings) == _host(vendor)


def _host(of: AdapterSettings | Vendor) -> str:
    return (urlsplit(of.base_url or "").hostname or "").lower()
