"""The Go client against a gateway in a process of its own."""

import sys

import pytest

from tests.clients.tool import ROOT, run
from tests.doubles.gateway import RunningGateway

FOLDER = ROOT / "clients/go"

pytestmark = pytest.mark.group("go")


def test_the_go_client_is_what_the_contract_makes() -> None:
    run(sys.executable, "proto/tools/clients.py", "--check", "go")


def test_what_the_go_client_depends_on_is_what_was_locked() -> None:
    run("go", "mod", "verify", folder=FOLDER)


def test_the_go_client_is_formatted_and_vetted() -> None:
    assert not run("gofmt", "-l", *sorted(FOLDER.glob("*.go")), "examples")
    run("go", "vet", "./...", folder=FOLDER)


def test_the_go_client_chats_cancels_and_reads_errors(running_gateway: RunningGateway) -> None:
    variables = {"MAESTRO_ADDRESS": running_gateway.address, "MAESTRO_KEY": running_gateway.key}
    said = run("go", "test", "-count=1", "-v", "./...", folder=FOLDER, **variables)
    assert "--- SKIP" not in said
    assert "FINISH_REASON_STOP" in run("go", "run", "./examples/chat", folder=FOLDER, **variables)


def test_the_go_readme_shows_the_example_that_runs() -> None:
    assert (FOLDER / "examples/chat/main.go").read_text() in (FOLDER / "README.md").read_text()
