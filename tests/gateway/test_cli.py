"""The command line, against a gateway that it has started itself."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maestro_gateway.cli import _safe, commands

MAESTRO = [sys.executable, "-c", "from maestro_gateway.cli import main; main()"]
GATEWAY = """
listen: {address: "127.0.0.1:0", drain: {notice: 0, grace: 0}}
providers:
  scripted:
    adapter: scripted
    options:
      models:
        stall: [{text: "one "}, {stall: true}]
        steer: [{reasoning: {text: hmm}}, {text: "\\e[31mred"}]
        tools: [{tool_calls: [{id: c1, name: weather, arguments: {city: Oslo}}]}]
        short: [{text: so far}, {fail: {reason: PROVIDER_UNAVAILABLE}}]
models:
  scripted/hello: {aliases: [default], title: "[bold]Hello"}
"""


class Running:
    """A gateway in a process of its own: where it is, its home, and all that it has said so far."""

    def __init__(self, home: Path, process: "subprocess.Popen[str]") -> None:
        self.home = home
        self.process = process
        self.said = ""
        self.address = self.until(r"listening on (\S+)\n")

    def until(self, pattern: str) -> str:
        assert self.process.stdout is not None
        while not (found := re.search(pattern, self.said)):
            # The pipe itself is read: what Python has buffered already, select would wait for in vain.
            assert select.select([self.process.stdout], [], [], 20)[0], self.said
            told = os.read(self.process.stdout.fileno(), 65536).decode()
            assert told, self.said
            self.said += told
        return found[1]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "MAESTRO_HOME": str(home / "maestro"), **more}


@contextmanager
def start(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A gateway that is gone when the test is, however the test ends."""
    command = [*MAESTRO, "serve"]
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "gateway.yaml").write_text(GATEWAY)
    with start(folder) as process:
        yield Running(folder / "maestro", process)


def maestro(*words: str, environ: dict[str, str] | None = None, said: str | None = None) -> tuple[int, str, str]:
    clean = dict.fromkeys(("MAESTRO_ADDRESS", "MAESTRO_KEY", "MAESTRO_CONFIG", "MAESTRO_HOME", "MAESTRO_PROVIDER"))
    result = CliRunner().invoke(commands(), words, env={**clean, **(environ or {})}, input=said)
    return result.exit_code, result.stdout, result.stderr


def talk(running: Running, *words: str, said: str | None = None) -> tuple[int, str, str]:
    here = {"MAESTRO_ADDRESS": running.address, "MAESTRO_HOME": str(running.home)}
    return maestro(*words, environ=here, said=said)


def test_it_knows_its_version() -> None:
    assert maestro("--version") == (0, f"maestro {version('maestro-gateway')}\n", "")


@pytest.mark.parametrize("command", ["serve", "check", "chat", "models"])
def test_every_command_explains_itself(command: str) -> None:
    code, shown, _ = maestro(command, "--help")
    assert code == 0
    assert "Usage" in shown


def test_help_loads_nothing_that_is_slow() -> None:
    program = (
        "import sys\nfrom maestro_gateway.cli import main\nsys.argv = ['maestro', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('grpc', 'pydantic', 'google.protobuf', 'uvloop', 'yaml') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_says_what_would_run(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY)
    assert maestro("check", "--config", str(file)) == (
        0,
        f"OK {file}: listens on 127.0.0.1:0; providers: scripted; default model: scripted/hello; keys: the local one\n",
        "",
    )
    code, shown, _ = maestro("check", "--json", "--config", str(file))
    assert (code, json.loads(shown)) == (0, {"source": str(file), "problems": []})


def test_check_names_every_mistake_with_its_line_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("provders: {}\nlog: {level: loud}\n")
    code, shown, told = maestro("check", "--config", str(file))
    assert (code, shown) == (1, "")
    first, second = told.splitlines()
    assert first == f"{file}:1:1: provders: no such setting; did you mean 'providers'?"
    assert second.startswith(f"{file}:2:7: log.level: ")
    code, shown, _ = maestro("check", "--json", "--config", str(file))
    problem = json.loads(shown)["problems"][0]
    assert (code, problem["line"], problem["fix"]) == (1, 1, "did you mean 'providers'?")


def test_serve_refuses_what_check_refuses(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("provders: {}\n")
    config = str(tmp_path / "gateway.yaml")
    assert maestro("serve", "--config", config)[0] == 1
    code, _, told = maestro("serve", "--address", "0.0.0.0:0", environ={"MAESTRO_HOME": str(tmp_path)})
    assert code == 1
    assert "command line: listen.address: 0.0.0.0:0 can be reached from other machines, and there is no TLS" in told
    assert "there is no key" in told


def test_serve_refuses_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary")
    (tmp_path / "key").chmod(0o644)
    code, shown, told = maestro("serve", "--address", "127.0.0.1:0", environ={"MAESTRO_HOME": str(tmp_path)})
    assert (code, shown, told) == (1, "", f"others can read {tmp_path}/key; run: chmod 600 {tmp_path}/key\n")


def test_serve_refuses_an_address_that_is_taken(running: Running, tmp_path: Path) -> None:
    done = subprocess.run(
        [*MAESTRO, "serve", "--address", running.address],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: cannot listen on {running.address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_start_shows_the_new_key_once(running: Running, tmp_path: Path) -> None:
    key = (running.home / "key").read_text().strip()
    assert running.said.count(key) == 1
    assert f"(new; kept in {running.home / 'key'})" in running.said
    (tmp_path / "maestro").mkdir(mode=0o700)
    (tmp_path / "maestro" / "key").write_text(key)
    (tmp_path / "maestro" / "key").chmod(0o600)
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    with start(tmp_path) as process:
        again = Running(tmp_path / "maestro", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert key not in again.said
    assert f"key:       in {tmp_path}/maestro/key\n" in again.said


def test_a_chat_is_printed_as_it_comes(running: Running) -> None:
    code, shown, told = talk(running, "chat", "good morning")
    assert (code, told) == (0, "")
    assert "good morning" in shown
    assert talk(running, "chat", "--no-stream", "good morning") == (0, shown, "")
    assert talk(running, "chat", "-", said="good morning\n") == (0, shown, "")


def test_a_chat_in_json_is_its_events_or_its_answer(running: Running) -> None:
    code, shown, _ = talk(running, "chat", "--json", "hello")
    events = [json.loads(line) for line in shown.splitlines()]
    assert code == 0
    assert "started" in events[0]
    assert "completed" in events[-1]
    code, shown, _ = talk(running, "chat", "--json", "--no-stream", "hello")
    assert json.loads(shown)["finishReason"] == "FINISH_REASON_STOP"


def test_tool_calls_and_thoughts_are_shown(running: Running) -> None:
    code, shown, _ = talk(running, "chat", "-m", "scripted/tools", "hello")
    assert code == 0
    assert "[tool call] weather " in shown
    assert "Oslo" in shown
    code, shown, told = talk(running, "chat", "-m", "scripted/steer", "hello")
    assert (code, "red" in shown, "hmm" in told) == (0, True, True)


def test_a_failure_shows_reason_sentence_and_request(running: Running) -> None:
    code, shown, told = talk(running, "chat", "-m", "scripted/hallo", "hello")
    assert (code, shown) == (1, "")
    assert told.startswith("error: MODEL_NOT_FOUND: no model 'scripted/hallo' here")
    assert re.search(r"\n  request id: \S+\n$", told)
    code, shown, told = talk(running, "chat", "-m", "scripted/short", "hello")
    assert (code, shown) == (1, "so far\n")
    assert told.startswith("error: PROVIDER_UNAVAILABLE: ")


def test_a_wrong_key_is_a_failure_and_is_not_shown(running: Running) -> None:
    code, _, told = maestro("chat", "hi", environ={"MAESTRO_ADDRESS": running.address, "MAESTRO_KEY": "canary"})
    assert code == 1
    assert told.startswith("error: CREDENTIALS_INVALID: ")
    assert "canary" not in told


def test_no_gateway_is_a_failure_that_says_how_to_start_one(tmp_path: Path) -> None:
    code, _, told = maestro("models", environ={"MAESTRO_ADDRESS": f"unix:{tmp_path}/nowhere", "MAESTRO_KEY": "key"})
    assert code == 1
    assert "is the gateway running? `maestro serve` starts one here" in told


def test_plaintext_to_another_machine_is_refused() -> None:
    code, _, told = maestro("models", "--address", "gateway.example:1", environ={"MAESTRO_KEY": "canary"})
    assert code == 1
    assert told.startswith("error: gateway.example:1 is another machine")
    assert "canary" not in told


def test_nothing_to_say_is_a_mistake() -> None:
    assert maestro("chat", "-", said="\n")[0] == 2


def test_models_are_listed_with_their_providers(running: Running) -> None:
    code, shown, _ = talk(running, "models")
    assert code == 0
    assert re.search(r"scripted/hello +default +\[bold\]Hello", shown)
    assert re.search(r"\nscripted +scripted \S+ +serving", shown)
    code, shown, _ = talk(running, "models", "--json")
    listed = json.loads(shown)
    assert "models/scripted/hello" in [model["name"] for model in listed["models"]]
    assert listed["providers"][0]["health"] == "PROVIDER_HEALTH_SERVING"


def test_ctrl_c_cancels_the_chat_and_says_so(running: Running) -> None:
    environ = environment(running.home, MAESTRO_ADDRESS=running.address, MAESTRO_HOME=str(running.home))
    with subprocess.Popen(
        [*MAESTRO, "chat", "-m", "scripted/stall", "hello"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == "one "
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == "\ncancelled\n"
    assert talk(running, "chat", "still there?")[0] == 0


def test_what_a_model_says_does_not_steer_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert _safe("a\x1b[31mb\x07\x9bc\n\td\r", Terminal()) == "a[31mbc\n\td"
    assert _safe("a\x1b[31mb", io.StringIO()) == "a\x1b[31mb"
