"""Says what it was told to say, faults included; needs no key."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from maestro.v1 import capability_pb2, chat_pb2, common_pb2
from maestro_adapters.scripted import hello
from maestro_adapters.scripted.play import FOREVER, play
from maestro_adapters.scripted.script import CAPABILITIES, Model, ScriptError, Step, read_json, read_model
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts, Support
from maestro_spi.errors import MaestroError, Reason, Violation
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

HELLO = "hello"
OPTIONS = ("script", "models", "health")
SCRIPTS_COUNTED = 256  # scripts with `attempts` whose calls are counted; the oldest is forgotten first
BREATH = 64  # fragments after which others get a turn

_ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "TOOL_CHOICE", "JSON_OBJECT", "JSON_SCHEMA",
)  # fmt: skip
_ABLE_BY_SCRIPT = (
    *_ABLE, "PARALLEL_TOOLS", "VISION", "AUDIO_INPUT", "DOCUMENT_INPUT", "AUDIO_OUTPUT", "IMAGE_OUTPUT", "REASONING",
    "LOGPROBS", "CITATIONS",
)  # fmt: skip
_HELLO_FACTS = ModelFacts(
    name=HELLO,
    title="Quotes what you said last",
    capabilities={CAPABILITIES[name]: Support() for name in _ABLE},
    parameters=frozenset({"generation.max_output_tokens", "generation.stop_sequences"}),
)


class Scripted:
    """A provider without a model: the same request gets the same events, in the order and at the pace of a script.

    - The model `hello` is always there and quotes. Each script of `options.models`, or of the file `options.script`, is
      a model of its own. A script in the request's provider options, under the provider's name or `scripted`, wins.
    - Of a script with `attempts`, each call takes the next one, and after the last the first again. Calls are counted
      by the script's text, or by the model, in this object alone: only calls that come one by one can rely on it.
    - A failure before any content comes before `started`.
    """

    version = "scripted 1"

    def __init__(
        self, settings: AdapterSettings, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._name = settings.name
        self._sleep = sleep
        self._models = _models(settings)
        self._health = _health(settings)
        self._calls: dict[str, int] = {}

    def models(self) -> Sequence[ModelFacts]:
        """`hello`, unless a script has taken its name, and every scripted one."""
        scripted = [_facts(name, model) for name, model in self._models.items()]
        return scripted if HELLO in self._models else [_HELLO_FACTS, *scripted]

    async def check(self) -> Checkup:
        """What `options.health` says; else it serves."""
        return Checkup(self._health)

    async def aclose(self) -> None:
        """Nothing is open between calls."""

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Answer `request` as its script says, or the model's, or by quoting it."""
        steps = self._steps(request)
        answer = Answer(self._name, request)
        beats = 0
        for step in steps:
            for seconds in play(step, answer):
                for event in answer.drain():
                    yield event
                beats += 1
                await self._wait(seconds, beats)
            for event in answer.drain():
                yield event
        for event in _end(answer, steps):
            yield event

    async def _wait(self, seconds: float, beats: int) -> None:
        if seconds == FOREVER:
            await asyncio.Event().wait()
        elif seconds:
            await self._sleep(seconds)
        elif beats % BREATH == 0:
            await asyncio.sleep(0)

    def _steps(self, request: chat_pb2.ChatRequest) -> list[Step]:
        options = request.provider_options_json
        for key in (self._name, "scripted") if options else ():
            if key in options:
                text = options[key]
                try:
                    return self._next(text, read_json(text).tries)
                except ScriptError as error:
                    raise _invalid(key, error) from None
        model = self._models.get(request.model)
        if model is not None:
            return self._next(request.model, model.tries)
        if request.model in (HELLO, ""):
            return hello.steps(request)
        raise MaestroError(
            Reason.MODEL_NOT_FOUND,
            f"no script is called {request.model!r}; there are: {', '.join([HELLO, *self._models])}",
            metadata={"model": request.model},
            provider=self._name,
            model=request.model,
        )

    def _next(self, script: str, tries: Sequence[list[Step]]) -> list[Step]:
        if len(tries) == 1:
            return tries[0]
        call = self._calls.pop(script, 0)
        self._calls[script] = call + 1
        if len(self._calls) > SCRIPTS_COUNTED:
            del self._calls[next(iter(self._calls))]
        return tries[call % len(tries)]


def _end(answer: Answer, steps: Sequence[Step]) -> list[chat_pb2.ChatEvent]:
    said = {step.verb for step in steps}
    if "finish" not in said:
        if "refusal" in said:
            answer.finish(chat_pb2.FINISH_REASON_REFUSAL, "refusal")
        else:
            answer.finish(chat_pb2.FINISH_REASON_STOP, "tool_calls" if "tool_calls" in said else "stop")
    if "usage" not in said:
        usage = answer.estimate()
        usage.source = common_pb2.USAGE_SOURCE_PROVIDER  # it is the provider, and this is how it counts
        answer.usage(usage)
    return answer.end()


def _invalid(key: str, error: ScriptError) -> MaestroError:
    field = f'provider_options_json["{key}"]{error.path}'
    return MaestroError(
        Reason.INVALID_FIELD,
        f"{field}: {error.problem}",
        metadata={"field": field},
        violations=[Violation(field, "script", error.problem)],
        phase="validate",
    )


def _models(settings: AdapterSettings) -> Mapping[str, Model]:
    where = f"options of provider {settings.name!r}"
    strange = [key for key in settings.options if key not in OPTIONS]
    if strange:
        raise ValueError(f"{where}: {strange[0]!r} is not known; there are: {', '.join(OPTIONS)}")
    models = _read_all(where, settings.options.get("models", {}))
    file = settings.options.get("script")
    if file is not None:
        models |= _read_file(Path(str(file)))
    return models


def _read_file(file: Path) -> dict[str, Model]:
    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: cannot be read as YAML: {error}") from None
    if not isinstance(written, dict) or list(written) != ["models"]:
        raise ValueError(f"{file}: a script file has one key, `models`, with a list of steps under each model's name")
    return _read_all(str(file), written["models"])


def _read_all(where: str, models: Any) -> dict[str, Model]:
    if not isinstance(models, dict):
        raise ValueError(f"{where}: models: a mapping is needed, from a model's name to its steps")
    read = {}
    for name, script in models.items():
        try:
            read[str(name)] = read_model(script)
        except ScriptError as error:
            raise ValueError(f"{where}: models.{name}{error.path}: {error.problem}") from None
    return read


def _health(settings: AdapterSettings) -> capability_pb2.ProviderHealth.ValueType:
    said = str(settings.options.get("health", "serving")).upper()
    known = {name.removeprefix("PROVIDER_HEALTH_"): value for name, value in capability_pb2.ProviderHealth.items()}
    if said not in known:
        raise ValueError(f"options of provider {settings.name!r}: health: one of {', '.join(known).lower()}")
    return known[said]


def _facts(name: str, model: Model) -> ModelFacts:
    able = _ABLE_BY_SCRIPT if model.capabilities is None else model.capabilities
    return ModelFacts(
        name=name,
        title=model.title,
        aliases=tuple(model.aliases),
        capabilities={CAPABILITIES[capability]: Support() for capability in able},
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
    )
