"""The environment: .env beneath it, and MAESTRO_ variables that set settings."""

from pathlib import Path

import pytest

from maestro_gateway.config.environment import read_environment
from maestro_gateway.config.load import load
from maestro_gateway.config.problems import ConfigError

LINES = {
    "A=1": "1",
    "A = 1": "1",
    "export A=1": "1",
    "A=": "",
    "A=one two # said": "one two",
    "A=one#two": "one#two",
    "A='one # two'": "one # two",
    "A='a\\nb'": "a\\nb",
    'A="a\\nb \\"c\\" \\\\ # d"  # said': 'a\nb "c" \\ # d',
    "A=postgres://u:p@h/d?x=y": "postgres://u:p@h/d?x=y",
    "\tA=1\r": "1",
}


@pytest.mark.parametrize(("line", "value"), LINES.items())
def test_a_line_of_dotenv_is_read_as_a_shell_would(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(f"# first\n\n{line}\n")
    environment, problems = read_environment({}, tmp_path)
    assert problems == []
    assert environment.variables["A"] == value


@pytest.mark.parametrize("line", ["canary", "1A=canary", "A='canary", "A B=canary", "=canary"])
def test_a_line_that_sets_nothing_is_named_and_not_repeated(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"B=2\n{line}\n")
    _, (problem,) = read_environment({}, tmp_path)
    assert str(problem) == f"{tmp_path}/.env:2:1: is not an assignment; write it like: NAME=value, or NAME='a value'"


def test_dotenv_never_overrides_the_real_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAESTRO_ADDRESS=127.0.0.1:1\nMAESTRO_LOG__LEVEL=debug\n")
    settings = load(None, {"MAESTRO_ADDRESS": "127.0.0.1:2"}, tmp_path).settings
    assert settings.listen.address == "127.0.0.1:2"
    assert settings.log.level == "debug"


def test_a_dotenv_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"\.env:1:1: cannot be read"):
        load(None, {}, tmp_path)


def test_a_mistake_in_dotenv_names_its_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# hello\nMAESTRO_LOG__LEVEL=loud\n")
    with pytest.raises(ConfigError, match=r"\.env:2:1: log\.level: should be 'debug'"):
        load(None, {}, tmp_path)


def test_variables_go_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "listen: {drain: {grace: 1s}}\n"
        "keys: [{name: a, secret: env:A}, {name: b, secret: env:B}]\n"
        "providers: {acme-eu: {adapter: one}}\n"
    )
    environ = {
        "A": "secret-a",
        "B": "secret-b",
        "C": "secret-c",
        "MAESTRO_LISTEN__DRAIN__GRACE": "5s",
        "MAESTRO_LISTEN__REFLECTION": "false",
        "MAESTRO_KEYS__1__NAME": "second",
        "MAESTRO_KEYS__1__SCOPES": "[chat, usage]",
        "MAESTRO_KEYS__2__NAME": "third",
        "MAESTRO_KEYS__2__SECRET": "env:C",
        "MAESTRO_PROVIDERS__ACME_EU__ADAPTER": "two",
        "MAESTRO_PROVIDERS__OTHER": "{adapter: scripted, options: {a: 1}}",
        "MAESTRO_TEST_POSTGRES": "postgres://nowhere",
        "PATH": "/bin",
    }
    settings = load(None, environ, tmp_path).settings
    assert settings.listen.drain.grace == 5
    assert settings.listen.reflection is False
    assert [key.name for key in settings.keys] == ["a", "second", "third"]
    assert settings.keys[1].scopes == ("chat", "usage")
    assert settings.keys[2].secret.get_secret_value() == "secret-c"
    assert settings.providers["acme-eu"].adapter == "two"
    assert settings.providers["other"].options == {"a": 1}


def test_the_long_name_of_the_address_goes_before_the_short_one(tmp_path: Path) -> None:
    environ = {"MAESTRO_ADDRESS": "127.0.0.1:1", "MAESTRO_LISTEN__ADDRESS": "127.0.0.1:2"}
    assert load(None, environ, tmp_path).settings.listen.address == "127.0.0.1:2"


def test_a_secret_may_stand_in_the_environment_itself(tmp_path: Path) -> None:
    environ = {"MAESTRO_KEYS__0__NAME": "a", "MAESTRO_KEYS__0__SECRET": "[canary]"}
    settings = load(None, environ, tmp_path).settings
    assert settings.keys[0].secret.get_secret_value() == "[canary]"


UNKNOWN = {
    "MAESTRO_ADRESS": "did you mean MAESTRO_ADDRESS?",
    "MAESTRO_LISTEN__ADRESS": "did you mean MAESTRO_LISTEN__ADDRESS?",
    "MAESTRO_LISTEN_ADDRESS": "did you mean MAESTRO_LISTEN__ADDRESS?",
    "MAESTRO_LISTEN__ADDRESS__HOST": "did you mean MAESTRO_LISTEN__ADDRESS?",
    "MAESTRO_LOG_LEVEL": "did you mean MAESTRO_LOG__LEVEL?",
    "MAESTRO_KEYS__FIRST__NAME": "did you mean MAESTRO_KEYS__0__NAME?",
    "MAESTRO_PROVIDERS__": "sets nothing",
    "MAESTRO_QQQQQQQQ": "take it out; docs/configuration.md lists those there are",
}


@pytest.mark.parametrize(("name", "fix"), UNKNOWN.items())
def test_a_variable_that_sets_nothing_is_a_mistake(tmp_path: Path, name: str, fix: str) -> None:
    with pytest.raises(ConfigError) as failure:
        load(None, {name: "canary"}, tmp_path)
    (problem,) = failure.value.problems
    assert str(problem).startswith(f"environment {name}: sets nothing; ")
    assert fix in str(problem)
    assert "canary" not in str(problem)


def test_a_variable_of_the_wrong_type_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^environment MAESTRO_TIMEOUTS__IDLE: timeouts\.idle: is not a duration"):
        load(None, {"MAESTRO_TIMEOUTS__IDLE": "soon"}, tmp_path)


def test_a_variable_cannot_reach_through_what_is_no_section(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("listen: here\n")
    with pytest.raises(ConfigError, match=r"gateway\.yaml:1:1: listen: must be a mapping"):
        load(None, {"MAESTRO_LISTEN__ADDRESS": "127.0.0.1:1"}, tmp_path)
