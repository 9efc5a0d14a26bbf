"""An adapter in a package of its own: installed, found by its entry point, held to the same contract."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_adapters import registry
from maestro_spi import AdapterSettings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples/adapter-package"
FIND = """
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings
acme = load(AdapterSettings(name="acme", adapter="acme"))
print(type(acme).__module__, *(model.name for model in acme.models()))
"""


def run(*command: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is, as pip has put it there."""
    target = tmp_path_factory.mktemp("elsewhere")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
    run("-m", "pip", "install", *quiet, "--target", str(target), str(PACKAGE))
    return target


def test_before_it_is_installed_it_is_not_there() -> None:
    with pytest.raises(registry.UnknownAdapter, match="wants the adapter 'acme'"):
        registry.load(AdapterSettings(name="acme", adapter="acme"))


def test_an_installed_package_is_found_by_its_entry_point(installed: Path) -> None:
    said = run("-c", FIND, PYTHONPATH=str(installed))
    assert said.split() == ["maestro_acme", "parrot"]


def test_a_package_of_its_own_passes_the_contract_tests(installed: Path) -> None:
    said = run(
        *("-m", "pytest", "tests/contracts", "-k", "acme", "-q", "-p", "no:cacheprovider"),
        PYTHONPATH=str(installed),
        MAESTRO_TEST_ADAPTER=str(PACKAGE),
    )
    assert " passed" in said
    assert "skipped" not in said.splitlines()[-1]
