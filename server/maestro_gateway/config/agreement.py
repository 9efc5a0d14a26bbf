"""What must hold between settings: references that lead somewhere, names used once, and no key in plaintext abroad."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

from maestro_gateway.config.problems import Path
from maestro_gateway.config.quantities import is_local
from maestro_gateway.config.schema import Settings
from maestro_gateway.config.secrets import SecretError, read_private
from maestro_gateway.routing.settings import provider_of


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A setting that does not fit the others."""

    path: Path
    message: str
    fix: str


def plaintext_stays_here(settings: Settings) -> Iterator[Disagreement]:
    """Keys and prompts do not cross a network unless they are encrypted, or the operator says so."""
    listen = settings.listen
    if not is_local(listen.address) and listen.tls is None and not listen.insecure:
        yield Disagreement(
            ("listen", "address"),
            f"{listen.address} can be reached from other machines, and there is no TLS",
            "set listen.tls, or listen on 127.0.0.1, or, where something in front encrypts, set listen.insecure: true",
        )


def channelz_stays_here(settings: Settings) -> Iterator[Disagreement]:
    """It tells who is connected, and asks for no key."""
    channelz = settings.listen.channelz
    if channelz is not None and not is_local(channelz):
        yield Disagreement(
            ("listen", "channelz"), f"{channelz} can be reached from other machines", "use 127.0.0.1 or a unix: socket"
        )


def doors_differ(settings: Settings) -> Iterator[Disagreement]:
    """One address, one door."""
    seen: dict[str, str] = {}
    for name in ("address", "probes", "channelz"):
        address = getattr(settings.listen, name)
        if address is None or address.endswith(":0"):
            continue
        if address in seen:
            yield Disagreement(
                ("listen", name), f"{address} is listen.{seen[address]} already", "give each an address of its own"
            )
        seen.setdefault(address, name)


def certificates_are_there(settings: Settings) -> Iterator[Disagreement]:
    """The named files can be read, the private key by its owner alone, and they belong together."""
    tls = settings.listen.tls
    if tls is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        read_private(tls.key)
        context.load_cert_chain(
            tls.certificate, tls.key, password=""
        )  # a key under a password is refused, not asked for
    except SecretError as refused:
        yield Disagreement(("listen", "tls", "key"), refused.message, refused.fix)
    except ssl.SSLError:
        yield Disagreement(
            ("listen", "tls"),
            "certificate and key do not belong together, or are not PEM",
            "name a pair, without password",
        )
    except OSError as error:
        yield Disagreement(("listen", "tls", "certificate"), *_unreadable(tls.certificate, error))
    try:
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except ssl.SSLError:
        yield Disagreement(("listen", "tls", "client_ca"), f"{tls.client_ca} holds no certificate", "name a PEM file")
    except OSError as error:
        yield Disagreement(("listen", "tls", "client_ca"), *_unreadable(tls.client_ca, error))


def _unreadable(path: FilePath | None, error: OSError) -> tuple[str, str]:
    return f"{path} cannot be read: {error.strerror}", "make the file, or name another"


def somebody_can_call(settings: Settings) -> Iterator[Disagreement]:
    """A key made at the first start lies on this machine, so it is for callers on this machine."""
    if not settings.keys and not is_local(settings.listen.address):
        yield Disagreement(
            ("keys",),
            f"there is no key, and {settings.listen.address} can be reached from other machines",
            "add a key under keys, or set MAESTRO_KEY",
        )


def keys_differ(settings: Settings) -> Iterator[Disagreement]:
    """A name means one key, and a secret one caller."""
    names: set[str] = set()
    secrets: dict[str, str] = {}
    for index, key in enumerate(settings.keys):
        secret = key.secret.get_secret_value()
        if key.name in names:
            yield Disagreement(("keys", index, "name"), f"there is a key {key.name!r} already", "give it another name")
        elif secret in secrets:
            yield Disagreement(
                ("keys", index, "secret"), f"is the secret of key {secrets[secret]!r} too", "give each key its own"
            )
        names.add(key.name)
        secrets.setdefault(secret, key.name)


def models_have_providers(settings: Settings) -> Iterator[Disagreement]:
    """The part before the slash is somebody who can answer."""
    for model in settings.models:
        if provider_of(model) not in settings.providers:
            yield Disagreement(
                ("models", model), f"there is no provider {provider_of(model)!r}", _known(settings.providers)
            )


def aliases_differ(settings: Settings) -> Iterator[Disagreement]:
    """An alias means one model."""
    owners = {"auto": "default_model"}
    for model, extras in settings.models.items():
        for index, alias in enumerate(extras.aliases):
            if alias in owners:
                yield Disagreement(
                    ("models", model, "aliases", index),
                    f"{alias!r} means {owners[alias]} already",
                    "take one of them out",
                )
            owners.setdefault(alias, model)


def the_default_is_there(settings: Settings) -> Iterator[Disagreement]:
    """`auto` means something."""
    aliases = {each for model in settings.models.values() for each in model.aliases}
    for field in ("default_model", "default_embedding_model"):
        default: str = getattr(settings, field)
        if default in aliases or default == "":
            continue
        if "/" not in default:
            yield Disagreement((field,), f"there is no alias {default!r}", "name an alias, or provider/model")
        elif provider_of(default) not in settings.providers:
            yield Disagreement((field,), f"there is no provider {provider_of(default)!r}", _known(settings.providers))


def _known(providers: Iterable[str]) -> str:
    return f"configured are: {', '.join(providers)}"


# Each with the sections it reads: it is not asked where one of them is wrong in itself.
RULES: tuple[tuple[frozenset[str], Callable[[Settings], Iterator[Disagreement]]], ...] = (
    (frozenset({"listen"}), plaintext_stays_here),
    (frozenset({"listen"}), channelz_stays_here),
    (frozenset({"listen"}), doors_differ),
    (frozenset({"listen"}), certificates_are_there),
    (frozenset({"listen", "keys"}), somebody_can_call),
    (frozenset({"keys"}), keys_differ),
    (frozenset({"models", "providers"}), models_have_providers),
    (frozenset({"models"}), aliases_differ),
    (frozenset({"models", "providers", "default_model", "default_embedding_model"}), the_default_is_there),
)
