"""What a script may say: its steps, read strictly, every mistake with its path and the fix."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from maestro.v1 import chat_pb2, common_pb2
from maestro_spi.errors import Reason

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0, le=2**53)]

REPEATED_MAX = 64 * 1024 * 1024  # characters that one `repeat` may come to


class ScriptError(ValueError):
    """A script that cannot be played: where in it (`[0].fail.reason`), and what is wrong with it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the script'}: {problem}")
        self.path = path
        self.problem = problem


class Repeat(Struct, forbid_unknown_fields=True, frozen=True):
    """The same fragment many times."""

    repeat: Annotated[int, Meta(ge=1, le=1_000_000)]
    of: Annotated[str, Meta(min_length=1)]

    def __post_init__(self) -> None:
        if self.repeat * len(self.of) > REPEATED_MAX:
            raise ValueError(f"repeat x of comes to more than {REPEATED_MAX} characters; make one of them smaller")


Fragments = str | list[str]


class Thought(Struct, forbid_unknown_fields=True, frozen=True):
    """Reasoning; the signature becomes the part's provider_state."""

    text: Fragments = ""
    summary: bool = False
    redacted: bool = False
    signature: str = ""


class Call(Struct, forbid_unknown_fields=True, frozen=True):
    """A tool call; arguments that are a text are sent as they are."""

    name: Annotated[str, Meta(min_length=1)]
    arguments: Any = msgspec.field(default_factory=dict)
    id: str = ""
    executor: Literal["client", "gateway", "provider"] = "client"


class Source(Struct, forbid_unknown_fields=True, frozen=True):
    """A citation."""

    start_index: Count = 0
    end_index: Count = 0
    title: str = ""
    uri: str = ""
    cited_text: str = ""


class Token(Struct, forbid_unknown_fields=True, frozen=True):
    """A token and how likely it was."""

    token: str
    logprob: float = 0.0
    top: "list[Token]" = []


class Blob(Struct, forbid_unknown_fields=True, frozen=True):
    """Media; data is base64."""

    mime: str
    data: bytes = b""
    uri: str = ""
    transcript: str = ""


class Block(Struct, forbid_unknown_fields=True, frozen=True):
    """Something of the provider's own: an opaque block, or a raw event."""

    type: str
    json: Any = msgspec.field(default_factory=dict)


class Notice(Struct, forbid_unknown_fields=True, frozen=True):
    """A warning."""

    code: str
    message: str = ""
    field: str = ""


class Tokens(Struct, forbid_unknown_fields=True, frozen=True):
    """Usage so far."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    reasoning_output_tokens: Count = 0


class Broken(Struct, forbid_unknown_fields=True, frozen=True):
    """A field that breaks a rule."""

    field: str
    rule: str = ""
    description: str = ""


class Missing(Struct, forbid_unknown_fields=True, frozen=True):
    """What must hold first."""

    type: str
    subject: str = ""
    description: str = ""


class Wanted(Struct, forbid_unknown_fields=True, frozen=True):
    """What was looked for."""

    type: str
    name: str


class Fail(Struct, forbid_unknown_fields=True, frozen=True):
    """A failure, with what the provider said about it."""

    reason: str
    message: str = ""
    retryable: bool | None = None
    retry_after: Seconds | None = None
    http_status: Annotated[int, Meta(ge=0, le=999)] = 0
    code: str = ""
    provider_message: str = ""
    request_id: str = ""
    phase: str = ""
    metadata: dict[str, str] = {}
    violations: list[Broken] = []
    preconditions: list[Missing] = []
    resource: Wanted | None = None

    def __post_init__(self) -> None:
        if self.reason not in Reason.__members__:
            raise ValueError(f"no reason is called {self.reason!r}{_nearest(self.reason, Reason.__members__)}")


class Start(Struct, forbid_unknown_fields=True, frozen=True):
    """The provider accepts the request."""

    model: str = ""
    response_id: str = ""


class About(Struct, forbid_unknown_fields=True, frozen=True):
    """What the provider says about itself."""

    request_id: str = ""
    system_fingerprint: str = ""
    service_tier: str = ""
    headers: dict[str, str] = {}
    raw_json: str = ""


class Finish(Struct, forbid_unknown_fields=True, frozen=True):
    """Why it ended."""

    reason: str = "STOP"
    word: str = ""
    stop_sequence: str = ""

    def __post_init__(self) -> None:
        if self.reason not in FINISH:
            raise ValueError(f"no finish reason is called {self.reason!r}{_nearest(self.reason, FINISH)}")


class Step(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, dict=True):
    """One step: exactly one verb; beside text, reasoning and refusal, `every` seconds may lie between two fragments."""

    text: Fragments | Repeat | UnsetType = UNSET
    reasoning: Fragments | Thought | UnsetType = UNSET
    refusal: Fragments | UnsetType = UNSET
    json: Any = UNSET
    tool_calls: Call | list[Call] | UnsetType = UNSET
    citation: Source | UnsetType = UNSET
    logprobs: list[Token] | UnsetType = UNSET
    media: Blob | UnsetType = UNSET
    opaque: Block | UnsetType = UNSET
    warning: Notice | UnsetType = UNSET
    usage: Tokens | UnsetType = UNSET
    metadata: About | UnsetType = UNSET
    provider_event: Block | UnsetType = UNSET
    heartbeat: bool | UnsetType = UNSET
    start: bool | Start | UnsetType = UNSET
    delay: Seconds | UnsetType = UNSET
    stall: bool | UnsetType = UNSET
    cut: bool | UnsetType = UNSET
    fail: Fail | UnsetType = UNSET
    finish: Finish | UnsetType = UNSET
    every: Seconds = 0.0

    def __post_init__(self) -> None:
        said = [verb for verb in VERBS if getattr(self, verb) is not UNSET]
        if len(said) != 1:
            raise ValueError(f"a step says one thing, this one says {' and '.join(said) or 'nothing'}; split it")
        if self.every and said[0] not in ("text", "reasoning", "refusal", "json"):
            raise ValueError("`every` belongs to text, reasoning, refusal or json; to wait, write a step `delay`")
        if getattr(self, said[0]) is False:
            raise ValueError(f"`{said[0]}` is true, or left out")

    @cached_property
    def verb(self) -> str:
        """What the step says."""
        return next(verb for verb in VERBS if getattr(self, verb) is not UNSET)


class Script(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Steps, or a list of steps for each try: the first call gets the first, and after the last they begin again."""

    steps: list[Step] | UnsetType = UNSET
    attempts: Annotated[list[list[Step]], Meta(min_length=1)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.steps is UNSET) == (self.attempts is UNSET):
            raise ValueError("give either `steps` or `attempts`")

    @property
    def tries(self) -> list[list[Step]]:
        """The steps of each try."""
        if self.attempts is not UNSET:
            return self.attempts
        return [] if self.steps is UNSET else [self.steps]


class Model(Script, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A script under a model's name, with the facts that it shall be known by."""

    title: str = ""
    aliases: list[str] = []
    context_tokens: Count = 0
    max_output_tokens: Count = 0
    capabilities: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.capabilities or ():
            if name not in CAPABILITIES:
                raise ValueError(f"no capability is called {name!r}{_nearest(name, CAPABILITIES)}")


VERBS = tuple(name for name in Step.__struct_fields__ if name != "every")
FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    name.removeprefix("FINISH_REASON_"): value for name, value in chat_pb2.FinishReason.items() if value
}
CAPABILITIES: Mapping[str, common_pb2.Capability.ValueType] = {
    name.removeprefix("CAPABILITY_"): value for name, value in common_pb2.Capability.items() if value
}

_FIELDS: Mapping[str, type[Struct]] = {
    "text": Repeat, "reasoning": Thought, "tool_calls": Call, "citation": Source, "logprobs": Token, "top": Token,
    "media": Blob, "opaque": Block, "provider_event": Block, "warning": Notice, "usage": Tokens, "metadata": About,
    "start": Start, "fail": Fail, "violations": Broken, "preconditions": Missing, "resource": Wanted, "finish": Finish,
}  # fmt: skip
_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`")


def read_json(text: str) -> Script:
    """A script as JSON text: a list of steps, or an object with `steps` or `attempts`."""
    try:
        read = msgspec.json.decode(text.encode(), type=list[Step] | Script)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _explained(error) from None
    return Script(steps=read) if isinstance(read, list) else read


def read_model(script: Any) -> Model:
    """A model's script, as YAML or the settings hold it."""
    try:
        read = msgspec.convert(script, list[Step] | Model)
    except msgspec.MsgspecError as error:
        raise _explained(error) from None
    return Model(steps=read) if isinstance(read, list) else read


def json_text(value: Any) -> str:
    """JSON as text; what is a text already is taken as it is, broken JSON too."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _explained(error: Exception) -> ScriptError:
    told = _PATH.match(str(error))
    problem, path = (told["problem"], told["path"] or "") if told else (str(error), "")
    unknown = _UNKNOWN.search(problem)
    if unknown:
        known = _known(path)
        problem += _nearest(unknown["name"], known) or f"; there are: {', '.join(known)}"
    return ScriptError(path, problem)


def _known(path: str) -> tuple[str, ...]:
    """The fields of what stands at a path."""
    if not path:
        return Model.__struct_fields__
    last = re.split(r"[.\[]", re.sub(r"(\[\d+\])+$", "", path))[-1]
    return _FIELDS.get(last, Step).__struct_fields__


def _nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    near = get_close_matches(name.upper(), [each.upper() for each in known], n=1, cutoff=0.5)
    return "".join(f"; did you mean {each}?" for each in known if near and each.upper() == near[0])
