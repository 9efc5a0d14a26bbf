"""The docs are current, lead somewhere, and show nothing that was not run."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_adapters.registry import ADAPTERS
from maestro_adapters.registry import load as load_adapter
from maestro_spi import AdapterSettings
from tests.doubles.gateway import RunningGateway

ROOT = Path(__file__).parents[2]
OURS = (
    "*.md",
    "docs/**/*.md",
    "examples/**/*.md",
    "clients/*/*.md",
    "proto/*.md",
    "proto/templates/*.md",
    "bench/*.md",
)
PAGES = sorted({page for pattern in OURS for page in ROOT.glob(pattern)})
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
INCLUDED = re.compile(r"^<!-- include: \S+ -->\n.*?^<!-- /include -->$", re.M | re.S)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


marks = load("docs/tools/marks.py")


def test_what_is_made_is_current() -> None:
    tool = [sys.executable, str(ROOT / "docs/tools/make.py"), "--check"]
    ran = subprocess.run(tool, capture_output=True, text=True, timeout=240, check=False)  # it plays exchanges
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    assert not list(lost(page))


def lost(page: Path) -> Iterator[str]:
    for link in LINK.finditer(FENCED.sub("", page.read_text())):
        target, _, heading = link["target"].partition("#")
        if ":" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (heading and heading not in headings(file)):
            yield link["target"]


def headings(page: Path) -> set[str]:
    text = FENCED.sub("", page.read_text())
    return {marks.slug(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.M)}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=name)
def test_code_in_the_docs_is_included_from_where_it_runs(page: Path) -> None:
    rest = INCLUDED.sub("", page.read_text())
    assert not re.findall(r"^```(?:python|console|go|ts)$", rest, flags=re.M)


def test_a_class_is_included_with_its_decorators_and_nothing_else() -> None:
    included = marks.include("adapters/maestro_spi/provider.py#Checkup")
    assert included.startswith("```python\n@dataclass(frozen=True, slots=True)\nclass Checkup:")
    assert "class Provider" not in included


@pytest.mark.parametrize("what", ["adapters/maestro_spi/provider.py#Chekup", "examples/console.md#nowhere"])
def test_what_cannot_be_included_is_an_error(what: str) -> None:
    with pytest.raises(LookupError):
        marks.include(what)


def test_decisions_are_numbered_without_gaps() -> None:
    records = sorted(page.name for page in (ROOT / "docs/decisions").glob("*.md"))
    assert [record[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        title = (ROOT / "docs/decisions" / record).read_text().partition("\n")[0]
        assert title.startswith(f"# {record[:4]} · ")


def test_changes_are_told_one_file_each() -> None:
    kinds = {page.suffixes[0] for page in (ROOT / "changes").glob("*.md")}
    assert kinds <= {".feature", ".fix", ".breaking", ".docs"}


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_example_runs(example: Path, running_gateway: RunningGateway, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(example)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "MAESTRO_ADDRESS": running_gateway.address,
            "MAESTRO_KEY": running_gateway.key,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.strip()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_option_of_an_adapter_is_told(adapter: str) -> None:
    page = (ROOT / "docs/providers.md").read_text()
    made = load_adapter(AdapterSettings(name=adapter, adapter=adapter, base_url="http://127.0.0.1:9", api_key="none"))
    assert adapter in page
    assert [name for name in getattr(made, "OPTIONS", ()) if f"`{name}`" not in page] == []
