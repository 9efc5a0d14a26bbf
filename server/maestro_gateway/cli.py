"""The command line: serve, check, chat, models."""

import asyncio
import json
import sys
import textwrap
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO, TypeVar

import typer

# Late imports below: each command loads what it alone needs, so that `maestro --help` needs none of it.
if TYPE_CHECKING:
    from google.protobuf.message import Message

    from maestro.v1 import chat_pb2
    from maestro_client import Client, MaestroError
    from maestro_gateway.config.load import Loaded
    from maestro_gateway.config.problems import ConfigError
    from maestro_gateway.config.schema import Settings

T = TypeVar("T")

CANCELLED = 130  # what shells expect of a command that Ctrl-C has ended
CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}

Config = Annotated[Path | None, typer.Option("--config", help="The file; else MAESTRO_CONFIG, else gateway.yaml here.")]
Address = Annotated[
    str | None, typer.Option("--address", help="Where the gateway is; else MAESTRO_ADDRESS, else 127.0.0.1:7070.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Speak plaintext to another machine.")]
CA = Annotated[Path | None, typer.Option("--ca", help="Who signed the gateway's certificate, PEM.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """The console script."""
    commands()()


def commands() -> typer.Typer:
    """Every command there is."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(help="Maestro: one typed gRPC API in front of every LLM provider.")(start)
    for command in (serve, check, chat, models):
        app.command()(command)
    return app


def show_version(asked: bool) -> None:
    """Said before anything else is looked at."""
    if asked:
        typer.echo(f"maestro {version('maestro-gateway')}")
        raise typer.Exit


def start(
    shown: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """What is asked of `maestro` itself."""


def serve(
    config: Config = None,
    address: Annotated[str | None, typer.Option("--address", help="Where to listen: host:port, or unix:/path.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow plaintext beyond this machine.")] = False,
) -> None:
    """Start the gateway."""
    import uvloop

    from maestro_gateway.app import serve as run
    from maestro_gateway.transport.grpc_server import CannotListenError

    said: dict[tuple[str | int, ...], object] = {}
    if address is not None:
        said["listen", "address"] = address
    if insecure:
        said["listen", "insecure"] = True
    loaded = _load(config, said)
    _ask_the_adapters(loaded)
    settings = _with_a_key(loaded)
    _tell_what_is_on(loaded)
    try:
        code = uvloop.run(run(settings, environ=loaded.environ, announce=typer.echo))
    except CannotListenError as error:
        typer.echo(f"error: {error}", err=True)
        code = 1
    except KeyboardInterrupt:
        code = CANCELLED  # before the gateway listened for signals itself
    raise typer.Exit(code)


def check(config: Config = None, as_json: AsJSON = False) -> None:
    """Check the configuration; name every mistake, its line and how to mend it."""
    loaded = _load(config, {}, as_json=as_json)
    _ask_the_adapters(loaded, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"source": loaded.source, "problems": []}))
        return
    settings = loaded.settings
    typer.echo(
        f"OK {loaded.source}: listens on {settings.listen.address}; providers: {', '.join(settings.providers)}; "
        f"default model: {settings.default_model or 'the first'}; keys: {len(settings.keys) or 'the local one'}"
    )


def chat(
    prompt: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Which model; empty means the gateway's default.")] = "",
    system: Annotated[str, typer.Option("--system", "-s", help="Instructions placed before it.")] = "",
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: each event, or the whole answer.")] = False,
    address: Address = None,
    insecure: Insecure = False,
    ca: CA = None,
) -> None:
    """Say something to a model, and print its answer."""
    from maestro.v1 import chat_pb2, content_pb2
    from maestro_client import Client, user

    text = sys.stdin.read().removesuffix("\n") if prompt == "-" else prompt
    if not text.strip():
        raise typer.BadParameter("there is nothing to say", param_hint="PROMPT")
    parts = [content_pb2.Part(text=system)] if system else []
    request = chat_pb2.ChatRequest(model=model, system=parts, messages=[user(text)])

    async def talk() -> None:
        async with Client(address, insecure=insecure, ca=ca) as client:
            answer = await (_streamed if stream else _whole)(client, request, as_json=as_json)
        if not as_json:
            _tell_how_it_ended(answer)

    _run(talk())


def models(as_json: AsJSON = False, address: Address = None, insecure: Insecure = False, ca: CA = None) -> None:
    """List the models there are, and the providers behind them."""
    from google.protobuf.json_format import MessageToDict

    from maestro.v1 import capability_pb2
    from maestro_client import Client

    async def ask() -> tuple[list[capability_pb2.Model], list[capability_pb2.Provider]]:
        async with Client(address, insecure=insecure, ca=ca) as client:
            found = [model async for model in client.capabilities.list_models()]
            return found, [provider async for provider in client.capabilities.list_providers()]

    found, providers = _run(ask())
    if as_json:
        listed = {"models": [*map(MessageToDict, found)], "providers": [*map(MessageToDict, providers)]}
        typer.echo(json.dumps(listed, ensure_ascii=False))
        return
    _table(
        ("model", "aliases", "title", "context"),
        [
            (
                model.name.removeprefix("models/"),
                ", ".join(model.aliases),
                model.title,
                f"{model.context_tokens or '–'}",
            )
            for model in found
        ],
    )
    health = capability_pb2.ProviderHealth
    _table(
        ("provider", "adapter", "health"),
        [
            (
                each.name.removeprefix("providers/"),
                each.adapter_version or each.adapter,
                ": ".join(filter(None, (_word(health.Name(each.health), "PROVIDER_HEALTH_"), each.health_note))),
            )
            for each in providers
        ],
    )


def _load(config: Path | None, said: dict[tuple[str | int, ...], object], *, as_json: bool = False) -> "Loaded":
    from maestro_gateway.app import sold
    from maestro_gateway.config.environment import process
    from maestro_gateway.config.load import load
    from maestro_gateway.config.problems import ConfigError

    try:
        return load(config, *process(), said, sold())
    except ConfigError as error:
        _refuse(error, as_json=as_json)


def _refuse(error: "ConfigError", *, as_json: bool) -> NoReturn:
    if as_json:
        problems = [
            {
                "file": each.place.source,
                "line": each.place.line,
                "column": each.place.column,
                "path": each.path,
                "message": each.message,
                "fix": each.fix,
            }
            for each in error.problems
        ]
        typer.echo(json.dumps({"problems": problems}))
    else:
        typer.echo(str(error), err=True)
    raise typer.Exit(1) from None


def _with_a_key(loaded: "Loaded") -> "Settings":
    """Where no key is configured, the one that lies in the gateway's own folder; it is shown once, when it is made."""
    from pydantic import SecretStr

    from maestro_gateway.tenants.keys import KeyFileError, local_key
    from maestro_gateway.tenants.settings import KeySettings

    if loaded.settings.keys:
        return loaded.settings
    try:
        secret, made = local_key(loaded.home)
    except KeyFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    kept = loaded.home / "key"
    typer.echo(f"key:       {secret}  (new; kept in {kept})" if made else f"key:       in {kept}")
    row = KeySettings(name="local", secret=SecretStr(secret), scopes=("*",))
    return loaded.settings.model_copy(update={"keys": (row,)})


def _ask_the_adapters(loaded: "Loaded", *, as_json: bool = False) -> None:
    """What only an adapter can say of its settings: that it does not exist, that its script is wrong."""
    from maestro_gateway.app import misfits
    from maestro_gateway.config.problems import ConfigError, Problem, dotted

    found = [Problem(loaded.place(path), dotted(path), message, fix) for path, message, fix in misfits(loaded.settings)]
    if found:
        _refuse(ConfigError(found), as_json=as_json)


def _tell_what_is_on(loaded: "Loaded") -> None:
    settings, pinned = loaded.settings, " (pinned by MAESTRO_PROVIDER)" if loaded.pinned else ""
    by = {each.vendor.name: each.by for each in loaded.found}
    providers = (f"{name} ({by.get(name, provider.adapter)})" for name, provider in settings.providers.items())
    typer.echo(f"config:    {loaded.source}")
    typer.echo(f"providers: {', '.join(providers)}{pinned}")
    if settings.keys:
        typer.echo(f"keys:      {', '.join(key.name for key in settings.keys)}")
    _tell_what_is_off(loaded)


def _tell_what_is_off(loaded: "Loaded") -> None:
    """What would switch the others on, where that is left to the environment."""
    from maestro_gateway.app import sold
    from maestro_gateway.config.discover import missing

    if loaded.configured:
        return
    if not loaded.found:
        typer.echo("           the scripted adapter answers; to add somebody who can think, set a variable of:")
    others = ", ".join(missing(sold(), loaded.settings.providers))
    for number, line in enumerate(textwrap.wrap(others, 100, break_on_hyphens=False)):
        typer.echo(f"{'' if number else 'off:':11}{line}")
    typer.echo("           or write `providers` into gateway.yaml: docs/configuration.md")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """What every failure looks like: the reason, one sentence, and the request to ask about."""
    from maestro_client import ConnectionSettingsError, MaestroError

    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        typer.echo("\ncancelled", err=True)
        raise typer.Exit(CANCELLED) from None
    except MaestroError as error:
        _tell_failure(error)
    except ConnectionSettingsError as error:
        typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)


async def _streamed(client: "Client", request: "chat_pb2.ChatRequest", *, as_json: bool) -> "chat_pb2.ChatResponse":
    async with client.chat.stream(request) as events:
        async for event in events:
            if as_json:
                _write_json(event)
                continue
            match event.WhichOneof("event"):
                case "text_delta":
                    _write(event.text_delta)
                case "refusal_delta":
                    _write(event.refusal_delta)
                case "reasoning_delta":
                    _aside(event.reasoning_delta)
                case _:
                    pass  # tool calls and warnings are told whole, at the end
        return events.response


async def _whole(client: "Client", request: "chat_pb2.ChatRequest", *, as_json: bool) -> "chat_pb2.ChatResponse":
    answer = await client.chat.complete(request)
    if as_json:
        _write_json(answer)
    else:
        parts = [part for message in answer.messages for part in message.parts]
        _write("".join(part.text or part.refusal for part in parts))
    return answer


def _tell_how_it_ended(answer: "chat_pb2.ChatResponse") -> None:
    from maestro.v1 import chat_pb2
    from maestro_client import tool_calls_of

    typer.echo()
    for call in tool_calls_of(answer):
        typer.echo(_safe(f"[tool call] {call.name} {call.arguments_json}", sys.stdout))
    for warning in answer.warnings:
        typer.echo(_safe(f"[warning] {warning.message}", sys.stderr), err=True)
    if answer.finish_reason not in (chat_pb2.FINISH_REASON_STOP, chat_pb2.FINISH_REASON_TOOL_CALLS):
        reason = _word(chat_pb2.FinishReason.Name(answer.finish_reason), "FINISH_REASON_")
        typer.echo(f"[ended] {reason}", err=True)


def _tell_failure(error: "MaestroError") -> None:
    lines = [f"error: {error.reason or error.code.name}: {error.message}"]
    lines += [f"  {each.field}: {each.description}" for each in error.violations]
    if error.retry_delay is not None:
        lines.append(f"  try again in {error.retry_delay:g} s")
    if error.request_id:
        lines.append(f"  request id: {error.request_id}")
    elif error.code.name == "UNAVAILABLE":
        lines.append("  is the gateway running? `maestro serve` starts one here")
    if error.partial is not None:
        typer.echo()  # after the part of the answer that has been printed
    typer.echo(_safe("\n".join(lines), sys.stderr), err=True)


def _write(text: str) -> None:
    typer.echo(_safe(text, sys.stdout), nl=False)


def _aside(text: str) -> None:
    typer.secho(_safe(text, sys.stderr), nl=False, err=True, dim=True)


def _write_json(message: "Message") -> None:
    from google.protobuf.json_format import MessageToJson

    typer.echo(MessageToJson(message, indent=None, ensure_ascii=False))


def _safe(text: str, stream: TextIO) -> str:
    """What a model says must not steer the terminal; a pipe gets it as it is."""
    return text.translate(CONTROLS) if stream.isatty() else text


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: what is listed is not markup
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
