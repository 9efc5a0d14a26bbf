"""File + environment -> Settings, or an error that names the line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from maestro_gateway.config.agreement import RULES
from maestro_gateway.config.complaints import complaints, sections
from maestro_gateway.config.discover import Found, found, switch_on
from maestro_gateway.config.document import Document, read_document
from maestro_gateway.config.environment import Environment, override, put, read_environment
from maestro_gateway.config.problems import ConfigError, Place, Problem, dotted
from maestro_gateway.config.problems import Path as SettingPath
from maestro_gateway.config.schema import Settings
from maestro_gateway.config.secrets import SecretError, resolve, usable
from maestro_gateway.config.shape import fields, inside, plain
from maestro_gateway.routing.settings import EMBEDDED, provider_of
from maestro_gateway.tenants.settings import KeySettings
from maestro_spi.vendor import Vendor

FILE = "gateway.yaml"
COMMAND_LINE = Place("command line")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the gateway runs with, and where it was said."""

    settings: Settings
    source: str  # for people: the file, or that there was none
    environ: Mapping[str, str] = field(repr=False)  # the real environment, with .env beneath it
    home: Path  # where the gateway keeps its own things
    place: Callable[[SettingPath], Place]  # where a setting was said
    pinned: str = ""  # the one provider that is on, where MAESTRO_PROVIDER names it
    configured: bool = True  # somebody named providers; else they were found, or the embedded ones answer
    found: tuple[Found, ...] = ()  # vendors that are on because of a variable, where nobody is configured


def load(
    path: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    said: Mapping[SettingPath, object] | None = None,
    vendors: Sequence[Vendor] = (),
) -> Loaded:
    """Settings from the file, then the environment, then what was `said` on the command line; or all that is wrong.

    Where nobody is configured, `vendors` whose variables are set, or who listen on this machine, are switched on.
    """
    environment, problems = read_environment(environ, cwd)
    file = _file(path, environment, cwd)
    document, mistakes = _read(file, environment) if file else (Document(), [])
    problems += [*mistakes, *override(document, environment)]
    for setting, value in (said or {}).items():
        put(document, setting, value, COMMAND_LINE)
    configured = bool(document.values.get("providers"))
    there = [] if configured else found(vendors, environment.variables)
    pin = environment.variables.get("MAESTRO_PROVIDER", "")
    if there and pin not in EMBEDDED:
        switch_on(there, document, environment)
    problems += _pin(document, pin, environment) if pin else []

    filling = _Filling(document, environment, file, cwd)
    document.values = filling.fill(Settings, document.values, ())
    settings, broken, wrong = _validated(document)
    problems += [*filling.problems, *wrong]
    try:
        settings = _with_key_of_environment(settings, environment)
    except SecretError as refused:
        problems.append(Problem(environment.place("MAESTRO_KEY"), "MAESTRO_KEY", refused.message, refused.fix))
        broken.add("keys")
    problems += _disagreements(settings, broken, document)
    if problems:
        raise ConfigError(problems)
    source, variables = str(file or "embedded defaults"), environment.variables
    return Loaded(settings, source, variables, home(variables), document.place, pin, configured, tuple(there))


def home(environ: Mapping[str, str]) -> Path:
    """The folder in which the gateway keeps its own things."""
    return Path(environ.get("MAESTRO_HOME") or "~/.maestro").expanduser()


def _file(path: Path | None, environment: Environment, cwd: Path) -> Path | None:
    named = path or environment.variables.get("MAESTRO_CONFIG")
    if named:
        return cwd / named
    return cwd / FILE if (cwd / FILE).exists() else None


def _read(file: Path, environment: Environment) -> tuple[Document, list[Problem]]:
    try:
        return read_document(file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        fix = "name another with --config or MAESTRO_CONFIG"
        raise ConfigError([Problem(Place(str(file)), "", f"cannot be read: {error.strerror}", fix)]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(Place(str(file), line, 1), "", "is not UTF-8", "save it as UTF-8")]) from None


def _pin(document: Document, pin: str, environment: Environment) -> list[Problem]:
    """Leaves one provider on, its models, and a default that is one of them; the others' secrets are not looked for."""
    values = document.values
    providers, models = values.get("providers") or dict.fromkeys(EMBEDDED), values.get("models") or {}
    if not isinstance(providers, dict) or not isinstance(models, dict):
        return []  # the check of types names it
    if pin not in providers:
        fix = f"configured are: {', '.join(providers)}"
        return [
            Problem(environment.place("MAESTRO_PROVIDER"), "MAESTRO_PROVIDER", f"there is no provider {pin!r}", fix)
        ]
    if values.get("providers"):
        values["providers"] = {pin: providers[pin]}
    values["models"] = {name: extras for name, extras in models.items() if provider_of(name) == pin}
    aliases = [extras.get("aliases") for extras in values["models"].values() if isinstance(extras, dict)]
    default = str(values.get("default_model", ""))
    if provider_of(default) != pin and not any(isinstance(each, list) and default in each for each in aliases):
        values.pop("default_model", None)
    return []


class _Filling:
    """Puts the secret where the file only says where it is, and whole paths where it says relative ones."""

    def __init__(self, document: Document, environment: Environment, file: Path | None, cwd: Path) -> None:
        self._document = document
        self._environ = environment.variables
        self._file = file
        self._cwd = cwd
        self.problems: list[Problem] = []

    def fill(self, annotation: Any, value: Any, path: SettingPath) -> Any:
        kind = plain(annotation)
        if kind is SecretStr:
            return self._secret(value, path)
        if kind is Path:
            return self._folder(path) / value if isinstance(value, str) and value else value
        if isinstance(value, dict):
            return self._mapping(kind, value, path)
        if isinstance(value, list):
            return [self.fill(inside(kind, index), item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _mapping(self, kind: Any, value: dict[str, Any], path: SettingPath) -> dict[str, Any]:
        if fields(kind):  # a setting with nothing after its colon has its default
            return {
                name: self.fill(inside(kind, name), each, (*path, name))
                for name, each in value.items()
                if each is not None
            }
        return {
            name: self.fill(below, {} if each is None and fields(below) else each, (*path, name))
            for name, each in value.items()
            for below in [inside(kind, name)]
        }

    def _secret(self, value: object, path: SettingPath) -> SecretStr:
        try:
            return resolve(value, self._environ, self._folder(path), in_a_file=self._in_the_file(path))
        except SecretError as refused:
            self.problems.append(Problem(self._document.place(path), dotted(path), refused.message, refused.fix))
            return SecretStr(dotted(path))  # stands for it, so that one mistake is named once

    def _folder(self, path: SettingPath) -> Path:
        return self._file.parent if self._file and self._in_the_file(path) else self._cwd

    def _in_the_file(self, path: SettingPath) -> bool:
        return self._file is not None and self._document.place(path).source == str(self._file)


def _validated(document: Document) -> tuple[Settings, set[str], list[Problem]]:
    """Settings with defaults in place of the sections that are wrong; those sections; and what is wrong with them."""
    try:
        return Settings.model_validate(document.values), set(), []
    except ValidationError as error:
        broken = sections(error)
        rest = {name: value for name, value in document.values.items() if name not in broken}
        return Settings.model_validate(rest), broken, complaints(error, document)


def _with_key_of_environment(settings: Settings, environment: Environment) -> Settings:
    """MAESTRO_KEY may do everything in the tenant `default`; where the file has it too, the file's word counts."""
    text = environment.variables.get("MAESTRO_KEY")
    if not text:
        return settings
    secret = usable(text, "the variable MAESTRO_KEY")
    if any(key.secret == secret for key in settings.keys):
        return settings
    key = KeySettings(name="environment", secret=secret, scopes=("*",))
    return settings.model_copy(update={"keys": (*settings.keys, key)})


def _disagreements(settings: Settings, broken: set[str], document: Document) -> list[Problem]:
    return [
        Problem(document.place(each.path), dotted(each.path), each.message, each.fix)
        for reads, rule in RULES
        if not reads & broken
        for each in rule(settings)
    ]
