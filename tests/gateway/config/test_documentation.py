"""The reference in docs/configuration.md and the example say what the schema says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from maestro_gateway.config.load import load
from maestro_gateway.config.problems import dotted
from maestro_gateway.config.quantities import written
from maestro_gateway.config.schema import Settings
from maestro_gateway.config.shape import INDEX, leaves

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLE = ROOT / "examples" / "gateway.yaml"
IN_WORDS = {"chats.keep_bytes": "64 MiB", "default_model": "the first of `models`, else `scripted/hello`"}


def shown(path: str, field: FieldInfo) -> str:
    if path in IN_WORDS:
        return IN_WORDS[path]
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{written(default)}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(default)}]`"
    return f"`{default}`" if default else "–"


def row(path: str, field: FieldInfo) -> str:
    return f"| `{path}` | {shown(path, field)} | {field.description} |"


ROWS = {
    path: row(path, field)
    for steps, field in leaves(Settings)
    for path in [dotted(steps).replace(f"[{INDEX}]", "[]").replace(".[]", "[]")]
}


@pytest.mark.parametrize("path", ROWS)
def test_every_setting_stands_in_the_reference_with_its_default(path: str) -> None:
    assert ROWS[path] in REFERENCE


def test_the_reference_has_no_setting_that_is_none() -> None:
    rows = [line for line in REFERENCE.partition("## Every setting")[2].splitlines() if line.startswith("| `")]
    assert rows == list(ROWS.values())


def test_the_example_is_valid(tmp_path: Path) -> None:
    settings = load(EXAMPLE, {}, tmp_path).settings
    assert settings.listen == Settings().listen
    assert settings.timeouts == Settings().timeouts
    assert settings.chats == Settings().chats
    assert settings.log == Settings().log


def test_the_example_names_every_setting() -> None:
    text = EXAMPLE.read_text()
    assert yaml.safe_load(text)
    for path in ROWS:
        assert f"{path.rpartition('.')[2]}:" in text, path
