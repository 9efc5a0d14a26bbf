"""The TypeScript client, in Node, against a gateway in a process of its own."""

import sys

import pytest

from tests.clients.tool import ROOT, run
from tests.doubles.gateway import RunningGateway

FOLDER = ROOT / "clients/typescript"

pytestmark = pytest.mark.group("typescript")


def test_the_typescript_client_is_what_the_contract_makes() -> None:
    run(sys.executable, "proto/tools/clients.py", "--check", "typescript")


def test_what_the_typescript_client_depends_on_is_locked_without_an_address() -> None:
    assert "://" not in (FOLDER / "package-lock.json").read_text()


def test_the_typescript_client_chats_cancels_and_reads_errors(running_gateway: RunningGateway) -> None:
    variables = {"MAESTRO_ADDRESS": running_gateway.address, "MAESTRO_KEY": running_gateway.key}
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=FOLDER)
    run("npm", "run", "build", folder=FOLDER)
    said = run("npm", "test", folder=FOLDER, **variables)
    assert "skipped 0" in said
    assert "STOP" in run("node", "dist/examples/chat.js", folder=FOLDER, **variables)


def test_the_typescript_readme_shows_the_example_that_runs() -> None:
    assert (FOLDER / "examples/chat.ts").read_text() in (FOLDER / "README.md").read_text()
