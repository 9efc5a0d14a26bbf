"""File + environment -> Settings, or an error that names the line."""

from pathlib import Path

import pytest

from maestro_gateway.config.load import Loaded, load
from maestro_gateway.config.problems import ConfigError

ABROAD = "listen: {insecure: true, address: '0.0.0.0:7070'}\n"
TWO = "providers:\n  one: {adapter: scripted}\n  two: {adapter: scripted, api_key: env:NOWHERE}\n"


def read(folder: Path, text: str | None = None, environ: dict[str, str] | None = None) -> Loaded:
    if text is not None:
        (folder / "gateway.yaml").write_text(text)
    return load(None, environ or {}, folder)


def mistakes(folder: Path, text: str | None = None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as failure:
        read(folder, text, environ)
    assert all(problem.fix and problem.message for problem in failure.value.problems)
    return [str(problem).replace(f"{folder}/", "") for problem in failure.value.problems]


def test_nothing_said_is_the_embedded_gateway(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert loaded.source == "embedded defaults"
    assert loaded.settings.listen.address == "127.0.0.1:7070"
    assert list(loaded.settings.providers) == ["scripted", "local"]
    assert loaded.settings.default_model == "scripted/hello"
    assert loaded.settings.keys == ()


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "listen:\nkeys:\nproviders:\nmodels:\n", "providers: {}\n"]
)
def test_a_file_that_says_nothing_is_the_same(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).settings == read(tmp_path / "elsewhere").settings


MISTAKES = {
    "an unknown section": ("provders: {}\n", "gateway.yaml:1:1: provders: no such setting; did you mean 'providers'?"),
    "an unknown setting": (
        "listen:\n  adress: x\n",
        "gateway.yaml:2:3: listen.adress: no such setting; did you mean 'address'?",
    ),
    "an unknown setting like none": (
        "log: {qqq: 1}\n",
        "gateway.yaml:1:7: log.qqq: no such setting; there are: level, format",
    ),
    "no YAML": ("listen: [\n", "gateway.yaml:2:1: cannot be read: "),
    "a tab": ("listen:\n\taddress: x\n", "gateway.yaml:2:1: cannot be read: found character '\\t'"),
    "an alias": ("listen: &here {}\nlog: *here\n", "gateway.yaml:2:6: cannot be read: aliases are not read here"),
    "a tag": ("listen: !!python/name:os.system\n", "gateway.yaml:1:9: listen: cannot be read; write plain YAML"),
    "a date that is none": ("log: {level: 2024-13-45}\n", "gateway.yaml:1:14: log.level: cannot be read"),
    "a control character": (
        "a: 1\nb: \x01\n",
        "gateway.yaml:2:4: holds a character that YAML does not allow; take it out",
    ),
    "a list at the top": ("- listen\n", "gateway.yaml:1:1: is not a mapping of settings; write it like"),
    "two documents": ("listen: {}\n---\nlog: {}\n", "gateway.yaml:2:1: cannot be read: but found another document"),
    "a name that is a list": ("? [a, b]\n: 1\n", "gateway.yaml:1:3: a name must be text"),
    "depth without end": ("[" * 5000, "gateway.yaml:1:1: is nested too deeply"),
    "the same twice": (
        "log: {}\nlisten: {}\nlog: {}\n",
        "gateway.yaml:3:1: log: is written twice; the first is on line 1; keep one of them",
    ),
    "a wrong type": (
        "listen:\n  insecure: perhaps\n",
        "gateway.yaml:2:3: listen.insecure: must be true or false; write",
    ),
    "a section that is text": ("listen: here\n", "gateway.yaml:1:1: listen: must be a mapping; write listen: where"),
    "a list that is text": ("keys: one\n", "gateway.yaml:1:1: keys: must be a list; write keys: keys that callers"),
    "a number for a name": (
        "providers: {a: {adapter: 3}}\n",
        "gateway.yaml:1:17: providers.a.adapter: must be text; write adapter: which adapter speaks to it, for example "
        "adapter: scripted",
    ),
    "one of few": (
        "log: {level: loud}\n",
        "gateway.yaml:1:7: log.level: should be 'debug', 'info', 'warning' or 'error'",
    ),
    "a duration": (
        "listen:\n  drain: {grace: soon}\n",
        "gateway.yaml:2:11: listen.drain.grace: is not a duration; write grace: for calls that run to finish, for "
        "example grace: 30s",
    ),
    "no time at all": ("timeouts: {idle: 0}\n", "gateway.yaml:1:12: timeouts.idle: should be greater than 0"),
    "an address": ("listen: {address: 7070}\n", "gateway.yaml:1:10: listen.address: must be text"),
    "an address without port": (
        "listen: {address: localhost}\n",
        "listen.address: is not an address; write address: host",
    ),
    "a port too high": ("listen: {address: '127.0.0.1:70000'}\n", "listen.address: is not an address"),
    "a socket path too long": (
        f"listen: {{address: 'unix:/{'a' * 120}'}}\n",
        "is a socket path of more than 107 bytes",
    ),
    "a provider's name": (
        "providers: {Open AI: {adapter: x}}\n",
        "gateway.yaml:1:13: providers.Open AI: is not a name it can have; a provider's name is lower-case letters",
    ),
    "a model's name": (
        "models: {hello: {}}\n",
        "gateway.yaml:1:10: models.hello: is not a name it can have; a model is",
    ),
    "a provider without adapter": (
        "providers:\n  acme:\n",
        "gateway.yaml:2:3: providers.acme.adapter: is missing; add adapter: which adapter",
    ),
    "a base_url with a password": (
        "providers: {a: {adapter: x, base_url: 'https://me:canary@acme.example'}}\n",
        "gateway.yaml:1:29: providers.a.base_url: is not written as it must be; write base_url: where it is",
    ),
    "a secret written out": (
        "keys:\n  - name: a\n    secret: canary\n",
        "gateway.yaml:3:5: keys[0].secret: a secret is not written here; put it in the environment or in a file, and "
        "write env:NAME or file:PATH",
    ),
    "a secret that is missing": (
        "providers: {a: {adapter: x, api_key: env:NOWHERE}}\n",
        "gateway.yaml:1:29: providers.a.api_key: the variable NOWHERE is not set; set it: export NOWHERE=…",
    ),
    "a secret file that is missing": (
        "keys: [{name: a, secret: file:nowhere}]\n",
        "gateway.yaml:1:18: keys[0].secret: nowhere cannot be read: No such file or directory; make the file",
    ),
    "a scope": (
        "keys: [{name: a, secret: env:A, scopes: [Chat!]}]\n",
        "gateway.yaml:1:42: keys[0].scopes[0]: is not written as it must be; write scopes: what they may do",
    ),
    "two keys of one name": (
        "keys:\n  - {name: a, secret: env:A}\n  - {name: a, secret: env:B}\n",
        "gateway.yaml:3:6: keys[1].name: there is a key 'a' already; give it another name",
    ),
    "two keys of one secret": (
        "keys:\n  - {name: a, secret: env:A}\n  - {name: b, secret: env:A}\n",
        "gateway.yaml:3:15: keys[1].secret: is the secret of key 'a' too; give each key its own",
    ),
    "a model of nobody": (
        "models:\n  acme/fast: {}\n",
        "gateway.yaml:2:3: models.acme/fast: there is no provider 'acme'; configured are: scripted",
    ),
    "an alias of two": (
        "models:\n  scripted/a: {aliases: [x]}\n  scripted/b: {aliases: [y, x]}\n",
        "gateway.yaml:3:29: models.scripted/b.aliases[1]: 'x' means scripted/a already; take one of them out",
    ),
    "an alias called auto": ("models: {scripted/a: {aliases: [auto]}}\n", "'auto' means default_model already"),
    "an alias with a slash": ("models: {scripted/a: {aliases: [a/b]}}\n", "aliases[0]: is not written as it must be"),
    "a default that is no alias": (
        "default_model: fast\n",
        "gateway.yaml:1:1: default_model: there is no alias 'fast'; name an alias, or provider/model",
    ),
    "a default of nobody": (
        "default_model: acme/fast\n",
        "gateway.yaml:1:1: default_model: there is no provider 'acme'; configured are: scripted",
    ),
    "plaintext abroad": (
        "listen: {address: '0.0.0.0:7070'}\n",
        "gateway.yaml:1:10: listen.address: 0.0.0.0:7070 can be reached from other machines, and there is no TLS; set "
        "listen.tls, or listen on 127.0.0.1, or, where something in front encrypts, set listen.insecure: true",
    ),
    "no key abroad": (
        ABROAD,
        "keys: there is no key, and 0.0.0.0:7070 can be reached from other machines; add a key under keys, or set "
        "MAESTRO_KEY",
    ),
    "channelz abroad": (
        "listen: {channelz: 'example.com:1'}\n",
        "gateway.yaml:1:10: listen.channelz: example.com:1 can be reached from other machines; use 127.0.0.1",
    ),
    "one address twice": (
        "listen: {probes: '127.0.0.1:7070'}\n",
        "gateway.yaml:1:10: listen.probes: 127.0.0.1:7070 is listen.address already; give each an address of its own",
    ),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_names_its_line_and_how_to_mend_it(tmp_path: Path, text: str, said: str) -> None:
    found = mistakes(tmp_path, text, {"A": "secret-a", "B": "secret-b"})
    assert any(said in mistake for mistake in found), found
    assert len(found) == (2 if text.startswith("listen: {address: '0.") else 1), found
    assert "canary" not in "".join(found)


def test_all_mistakes_are_named_at_once_in_their_order(tmp_path: Path) -> None:
    text = "provders: {}\nlisten:\n  adress: 1\nkeys:\n  - {name: a, secret: env:NOWHERE}\n"
    text += "default_model: fast\nlog: {level: x}\n"
    found = mistakes(tmp_path, text, {"MAESTRO_LOGS__LEVEL": "info"})
    assert [mistake.partition(": ")[0] for mistake in found] == [
        "gateway.yaml:1:1",
        "gateway.yaml:3:3",
        "gateway.yaml:5:15",
        "gateway.yaml:6:1",
        "gateway.yaml:7:7",
        "environment MAESTRO_LOGS__LEVEL",
    ]


def test_secrets_come_from_where_the_file_says_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "acme.key").write_text("canary-file\n")
    (tmp_path / "acme.key").chmod(0o600)
    text = "keys: [{name: a, secret: env:A}]\nproviders: {acme: {adapter: x, api_key: file:acme.key}}\n"
    loaded = read(tmp_path, text, {"A": "canary-variable"})
    acme = loaded.settings.providers["acme"].adapter_settings("acme")
    assert acme.api_key is not None
    assert acme.api_key.get_secret_value() == "canary-file"
    assert loaded.settings.keys[0].secret.get_secret_value() == "canary-variable"
    shown = f"{loaded.settings!r} {loaded.settings} {loaded.settings.model_dump_json()} {acme!r}"
    assert "canary" not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "key").write_text("canary\n")
    (tmp_path / "key").chmod(mode)
    (found,) = mistakes(tmp_path, "keys: [{name: a, secret: file:key}]\n")
    assert found == "gateway.yaml:1:18: keys[0].secret: others can read key; run: chmod 600 key"


@pytest.mark.parametrize("secret", [b"", b"\n", b"line\nline", "schlüssel".encode(), b"\xff\xfe"])
def test_a_secret_that_no_header_can_carry_is_refused(tmp_path: Path, secret: bytes) -> None:
    (tmp_path / "key").write_bytes(secret)
    (tmp_path / "key").chmod(0o600)
    assert len(mistakes(tmp_path, "keys: [{name: a, secret: file:key}]\n")) == 1


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "maestro.yaml"
    file.write_text("listen: {tls: {certificate: a.pem, key: /b.pem}}\n")
    with pytest.raises(ConfigError, match=r"/b\.pem cannot be read: No such file"):
        load(file, {}, tmp_path)
    (tmp_path / "etc" / "key").write_text("hello")
    (tmp_path / "etc" / "key").chmod(0o600)
    file.write_text("keys: [{name: a, secret: file:key}]\n")
    assert load(file, {}, tmp_path).settings.keys[0].secret.get_secret_value() == "hello"


def test_the_file_is_the_one_asked_for_then_the_one_of_the_environment_then_the_one_here(tmp_path: Path) -> None:
    for name in ("asked", "environment", "gateway"):
        (tmp_path / f"{name}.yaml").write_text(f"default_model: scripted/{name}\n")
    environ = {"MAESTRO_CONFIG": "environment.yaml"}
    assert load(Path("asked.yaml"), environ, tmp_path).settings.default_model == "scripted/asked"
    assert load(None, environ, tmp_path).settings.default_model == "scripted/environment"
    assert load(None, {}, tmp_path).settings.default_model == "scripted/gateway"


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, None, {"MAESTRO_CONFIG": "other.yaml"})
    assert (
        found == "other.yaml: cannot be read: No such file or directory; name another with --config or MAESTRO_CONFIG"
    )


def test_a_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_bytes(b"log: {}\nlisten: \xff\n")
    with pytest.raises(ConfigError, match=r"gateway\.yaml:2:1: is not UTF-8"):
        load(None, {}, tmp_path)


def test_a_key_of_the_environment_may_do_everything_and_is_never_shown(tmp_path: Path) -> None:
    loaded = read(tmp_path, ABROAD, {"MAESTRO_KEY": " canary\n"})
    (key,) = loaded.settings.keys
    assert (key.name, key.tenant, key.scopes) == ("environment", "default", ("*",))
    assert key.secret.get_secret_value() == "canary"
    (found,) = mistakes(tmp_path, "", {"MAESTRO_KEY": "canary\ncanary"})
    assert "canary" not in found
    assert found.startswith("environment MAESTRO_KEY: ")


def test_where_the_file_has_the_key_of_the_environment_the_file_counts(tmp_path: Path) -> None:
    text = "keys: [{name: a, secret: env:MAESTRO_KEY, scopes: [models]}]\n"
    (key,) = read(tmp_path, text, {"MAESTRO_KEY": "hello"}).settings.keys
    assert (key.name, key.scopes) == ("a", ("models",))


def test_a_pin_turns_the_others_off_with_their_secrets_and_models(tmp_path: Path) -> None:
    text = TWO + "models:\n  two/b: {aliases: [fast]}\n  one/a: {aliases: [slow]}\ndefault_model: fast\n"
    assert len(mistakes(tmp_path, text)) == 1
    loaded = read(tmp_path, text, {"MAESTRO_PROVIDER": "one"})
    assert loaded.pinned == "one"
    assert list(loaded.settings.providers) == ["one"]
    assert list(loaded.settings.models) == ["one/a"]
    assert loaded.settings.default_model == "one/a"


@pytest.mark.parametrize(("default", "expected"), [("slow", "slow"), ("one/b", "one/b"), ("two/b", "one/a")])
def test_a_pin_keeps_a_default_of_its_own(tmp_path: Path, default: str, expected: str) -> None:
    text = TWO + f"models: {{one/a: {{aliases: [slow]}}}}\ndefault_model: {default}\n"
    assert read(tmp_path, text, {"MAESTRO_PROVIDER": "one"}).settings.default_model == expected


def test_a_pin_without_models_means_the_first_word_of_the_scripted_adapter(tmp_path: Path) -> None:
    assert read(tmp_path, TWO, {"MAESTRO_PROVIDER": "one"}).settings.default_model == "one/hello"
    assert read(tmp_path, "", {"MAESTRO_PROVIDER": "scripted"}).settings.default_model == "scripted/hello"


def test_a_pin_on_nobody_is_a_mistake(tmp_path: Path) -> None:
    text = TWO.replace(", api_key: env:NOWHERE", "")
    (found,) = mistakes(tmp_path, text, {"MAESTRO_PROVIDER": "three"})
    assert found == "environment MAESTRO_PROVIDER: there is no provider 'three'; configured are: one, two"


def test_a_word_on_the_command_line_goes_before_all(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("listen: {address: '127.0.0.1:1'}\n")
    environ = {"MAESTRO_LISTEN__ADDRESS": "127.0.0.1:2"}
    loaded = load(None, environ, tmp_path, {("listen", "address"): "127.0.0.1:3"})
    assert loaded.settings.listen.address == "127.0.0.1:3"
    with pytest.raises(ConfigError, match=r"^command line: listen\.address: is not an address"):
        load(None, environ, tmp_path, {("listen", "address"): "nowhere"})


def test_home_is_a_folder_of_the_user_unless_said(tmp_path: Path) -> None:
    assert read(tmp_path).home == Path("~/.maestro").expanduser()
    assert read(tmp_path, None, {"MAESTRO_HOME": str(tmp_path)}).home == tmp_path
