"""Fixtures: a gateway in this process, a gateway in a process of its own, and the groups that need more than Python."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from pathlib import Path

import pytest

from tests.doubles.gateway import RunningGateway, Wire, wired
from tests.doubles.process import serving

ROOT = Path(__file__).parents[1]

# What a group needs, and how it is found; a group that lacks it is skipped, listed at the end, and in CI an error.
GROUPS: Mapping[str, Callable[[], str]] = {
    "go": lambda: "" if shutil.which("go") else "go is not on the PATH",
    "typescript": lambda: "" if shutil.which("npm") else "node and npm are not on the PATH",
    "simulator": lambda: "" if shutil.which("npm") else "node and npm are not on the PATH",
    "grpcurl": lambda: "" if grpcurl() else "grpcurl is neither on the PATH nor in .services/bin (make services)",
}
# Beside them, groups that cost too much for every day. Without what they need they are skipped in CI, too.
OPTIONAL: Mapping[str, Callable[[], str]] = {
    "local": lambda: "" if (ROOT / ".local/venv/ready").exists() else "the engine is not there (make test-local)",
}
SKIPPED: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def grpcurl() -> str | None:
    own = ROOT / ".services/bin/grpcurl"
    return str(own) if own.exists() else shutil.which("grpcurl")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "group(name): needs a server or a toolchain that `make services` brings")
    config.stash[SKIPPED] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("group"):
        name: str = marker.args[0]
        if missing := (GROUPS.get(name) or OPTIONAL[name])():
            item.config.stash[SKIPPED][name] = missing
            if os.environ.get("CI") and name in GROUPS:
                pytest.fail(f"group {name}: {missing}", pytrace=False)
            pytest.skip(f"group {name}: {missing}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[SKIPPED]
    terminalreporter.section("groups")
    for name in GROUPS:
        terminalreporter.write_line(f"{name}: skipped, {skipped[name]}" if name in skipped else f"{name}: available")
    for name, missing in OPTIONAL.items():
        terminalreporter.write_line(f"{name}: optional, {missing() or 'available'}")


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncGenerator[Wire]:
    """A gateway on the embedded defaults: the scripted adapter answers."""
    async with wired(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def running_gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    """`maestro serve` on a free port, for clients that live elsewhere."""
    with serving(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway
