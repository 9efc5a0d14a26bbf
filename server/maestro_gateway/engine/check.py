"""What the rules of the proto cannot say of a chat request: fields that exclude, refer to or need each other."""

from collections.abc import Iterator
from itertools import chain, islice

import jsonschema_rs
import msgspec
from google.protobuf import duration_pb2

from maestro.v1 import chat_pb2, content_pb2
from maestro_spi.errors import MaestroError, Reason, Violation

WINDOW = "stream.coalesce_window"
WINDOW_SECONDS = 1  # the longest a fragment may be held back
SHORTEST_NANOS = 1_000_000  # of any other time: a timer that never rests would be ours to pay for
MOST_VIOLATIONS = 100  # more than anybody reads; a request of empty parts could have millions
# A schema of another dialect would have its rules fetched from wherever it says: never do what a caller's URL says.
DIALECTS = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema",
    }
)
Found = Iterator[Violation]


def set_fields(request: chat_pb2.ChatRequest) -> frozenset[str]:
    """The fields that are set at the top; most requests set few."""
    return frozenset([field.name for field, _ in request.ListFields()])


def check(request: chat_pb2.ChatRequest, fields: frozenset[str]) -> None:
    """Raise INVALID_FIELD with every violation, or INVALID_SCHEMA for a schema that is none.

    `fields` are those that are set: a rule about others has nothing to say.
    """
    rules = [_messages, *(rule for rule, about in RULES if not about.isdisjoint(fields))]
    broken = list(islice(chain.from_iterable(rule(request) for rule in rules), MOST_VIOLATIONS))
    if broken:
        first = broken[0]
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise MaestroError(
            Reason.INVALID_FIELD,
            f"{first.field}: {first.description}{more}",
            metadata={"field": first.field},
            violations=broken,
            phase="validate",
        )
    for field, schema in _schemas(request) if not SCHEMAS.isdisjoint(fields) else ():
        _check_schema(field, schema)


def _messages(request: chat_pb2.ChatRequest) -> Found:
    if not request.messages and not request.previous_chat:
        yield Violation("messages", "required", "say something: at least one message is needed")
    known: set[str] = set()
    for number, message in enumerate(request.messages):
        if not message.parts:
            yield Violation(f"messages[{number}].parts", "required", "a message needs at least one part")
        role = message.role
        for index, part in enumerate(message.parts):
            if role == content_pb2.ROLE_TOOL or not part.HasField("text"):  # plain text is right anywhere else
                yield from _part(f"messages[{number}].parts[{index}]", part, role, known, bool(request.previous_chat))
    for index, part in enumerate(request.system):
        if part.WhichOneof("kind") != "text":
            yield Violation(f"system[{index}]", "kind", "instructions are text")


def _part(at: str, part: content_pb2.Part, role: int, known: set[str], continued: bool) -> Found:
    kind = part.WhichOneof("kind")
    if kind is None:
        yield Violation(
            at, "required", "set one of text, media, tool_call, tool_result, reasoning, refusal, opaque, compaction"
        )
    elif kind == "tool_call":
        known.add(part.tool_call.id)
        if role != content_pb2.ROLE_ASSISTANT:
            yield Violation(f"{at}.tool_call", "role", "only an assistant message calls tools")
    elif kind == "tool_result":
        if role != content_pb2.ROLE_TOOL:
            yield Violation(f"{at}.tool_result", "role", "results of tools stand in messages of ROLE_TOOL")
        if part.tool_result.tool_call_id not in known and not continued:
            yield Violation(
                f"{at}.tool_result.tool_call_id", "reference", "no earlier message has a tool call of this id"
            )
    elif kind == "media" and part.media.WhichOneof("source") is None:
        yield Violation(f"{at}.media", "required", "set one of data, uri, file")
    elif role == content_pb2.ROLE_TOOL:
        yield Violation(at, "role", "a message of ROLE_TOOL holds tool_result parts alone")


def _tools(request: chat_pb2.ChatRequest) -> Found:
    names: set[str] = set()
    for index, tool in enumerate(request.tools):
        at = f"tools[{index}]"
        name = tool.function.name
        if tool.WhichOneof("kind") is None:
            yield Violation(at, "required", "set one of function, registered, provider, mcp")
        elif name and name in names:
            yield Violation(f"{at}.function.name", "unique", f"the name '{name}' is taken by an earlier tool")
        names.add(name)
    choice = request.tool_choice
    if choice.mode == chat_pb2.TOOL_MODE_REQUIRED and not request.tools:
        yield Violation("tool_choice.mode", "depends", "a tool is required, and none is declared in tools")
    for index, name in enumerate(choice.allowed_tools):
        if name not in names:
            yield Violation(
                f"tool_choice.allowed_tools[{index}]", "reference", f"no tool '{name}' is declared in tools"
            )


def _settings(request: chat_pb2.ChatRequest) -> Found:
    if request.reasoning.effort and request.reasoning.HasField("max_tokens"):
        yield Violation("reasoning.max_tokens", "exclusive", "set effort or max_tokens, not both")
    if request.reasoning.max_tokens < 0:
        yield Violation("reasoning.max_tokens", "int32.gte", "must be greater than or equal to 0")
    for index, need in enumerate(request.requires):
        if bool(need.capability) == bool(need.extension):
            yield Violation(f"requires[{index}]", "exclusive", "set capability or extension, and not both")
    for field in ("max_cost_nanos", "max_total_tokens"):
        if getattr(request.limits, field) < 0:
            yield Violation(f"limits.{field}", "int64.gte", "must be greater than or equal to 0")
    if request.stream.coalesce_bytes < 0:
        yield Violation("stream.coalesce_bytes", "int32.gte", "must be greater than or equal to 0")
    wants = chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include
    if request.generation.HasField("top_logprobs") and not wants:
        yield Violation("generation.top_logprobs", "depends", "ask for them: include CHAT_INCLUDE_LOGPROBS")


def _durations(request: chat_pb2.ChatRequest) -> Found:
    fields = {
        WINDOW: request.stream.coalesce_window,
        "stream.heartbeat": request.stream.heartbeat,
        "cache.ttl": request.cache.ttl,
        **{f"timeouts.{name}": getattr(request.timeouts, name) for name in ("total", "first_token", "idle", "attempt")},
    }
    for field, value in fields.items():
        if value.seconds < 0 or value.nanos < 0:
            yield Violation(field, "duration.gte", "must not be negative")
        elif field != WINDOW and value.seconds == 0 and 0 < value.nanos < SHORTEST_NANOS:
            yield Violation(field, "duration.gte", "must be at least 1 ms; leave it out for the default")
    window: duration_pb2.Duration = request.stream.coalesce_window
    if window.seconds >= WINDOW_SECONDS:
        yield Violation(WINDOW, "duration.lt", f"must be less than {WINDOW_SECONDS} s")


def _options(request: chat_pb2.ChatRequest) -> Found:
    for provider, text in request.provider_options_json.items():
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Violation(f'provider_options_json["{provider}"]', "json", f"no JSON text: {error}")


def _schemas(request: chat_pb2.ChatRequest) -> Iterator[tuple[str, str]]:
    if request.response_format.HasField("json_schema"):
        yield "response_format.json_schema.schema_json", request.response_format.json_schema.schema_json
    for index, tool in enumerate(request.tools):
        for name in ("input_schema_json", "output_schema_json"):
            if schema := getattr(tool.function, name):
                yield f"tools[{index}].function.{name}", schema


def _check_schema(field: str, schema: str) -> None:
    pointer, problem = "", ""
    try:
        read = msgspec.json.decode(schema)
        dialect = read.get("$schema") if isinstance(read, dict) else None
        if isinstance(dialect, str) and dialect.removesuffix("#") not in DIALECTS:
            pointer, problem = "/$schema", f"'{dialect}' is no dialect known here; leave it out for 2020-12"
        else:
            jsonschema_rs.meta.validate(read)
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"no JSON text: {error}"
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{step}" for step in error.instance_path)
        problem = error.message
    except ValueError as error:
        problem = str(error)
    if problem:
        raise MaestroError(
            Reason.INVALID_SCHEMA,
            f"{field} is no JSON Schema (at '{pointer or '/'}'): {problem[:200]}",
            metadata={"field": field, "pointer": pointer},
            violations=[Violation(field, "json_schema", problem[:200])],
            phase="validate",
        )


# What each other rule is about.
RULES = (
    (_tools, frozenset({"tools", "tool_choice"})),
    (_settings, frozenset({"reasoning", "requires", "limits", "stream", "generation"})),
    (_durations, frozenset({"stream", "cache", "timeouts"})),
    (_options, frozenset({"provider_options_json"})),
)
SCHEMAS = frozenset({"tools", "response_format"})
