import subprocess
import sys

import pytest

from maestro_adapters.registry import ADAPTERS, UnknownAdapter, load, names
from maestro_spi import AdapterSettings


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_of_ours_is_found_and_says_what_it_is(name):
    assert name in names()
    assert load(AdapterSettings(name="p", adapter=name, base_url="http://127.0.0.1:9")).version  # some need an address


def test_an_unknown_adapter_is_named_with_those_there_are():
    with pytest.raises(UnknownAdapter, match=r"provider 'p' wants the adapter 'openia', .* there are: .*scripted"):
        load(AdapterSettings(name="p", adapter="openia"))


def test_nothing_of_an_adapter_is_imported_before_it_is_asked_for():
    asked = "import sys; import maestro_adapters.registry as r; r.names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert "maestro_adapters.registry" in loaded
    assert not {"maestro_adapters.scripted", "yaml", "openai", "anthropic"} & set(loaded)


def test_an_adapter_of_another_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "acme_plug.py").write_text(
        "class Acme:\n    def __init__(self, settings):\n        self.version = 'acme 1'\n"
    )
    facts = tmp_path / "acme_plug-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plug\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[maestro.adapters]\nacme = acme_plug:Acme\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "acme" in names()
    assert load(AdapterSettings(name="p", adapter="acme")).version == "acme 1"
