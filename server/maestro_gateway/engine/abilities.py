"""What a request asks for and this gateway or this model does not do: refused where it matters, else a warning."""

from collections.abc import Callable, Iterator
from typing import Literal, get_args

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi.capability import ModelFacts
from maestro_spi.errors import MaestroError, Reason, Violation

Sampling = Literal[
    "temperature",
    "top_p",
    "top_k",
    "max_output_tokens",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
]
Asked = Callable[[chat_pb2.ChatRequest], bool]

# To go on without these would be another request than the one that was sent: field, the feature that is missing.
REFUSED: tuple[tuple[str, str, Asked], ...] = (
    ("persona", "personas", lambda r: bool(r.persona)),
    ("session", "sessions", lambda r: bool(r.session)),
    ("idempotency_key", "idempotency", lambda r: bool(r.idempotency_key)),
    ("stream.resumable", "chat.resume", lambda r: r.stream.resumable),
    ("stream.detached", "chat.detached", lambda r: r.stream.detached),
    ("tools.registered", "tools.registry", lambda r: any(tool.HasField("registered") for tool in r.tools)),
    ("tools.mcp", "tools.mcp", lambda r: any(tool.HasField("mcp") for tool in r.tools)),
    ("tool_loop.run_gateway_tools", "tools.loop", lambda r: r.tool_loop.run_gateway_tools),
    ("routing.regions", "routing.regions", lambda r: bool(r.routing.regions)),
)
FILES: tuple[str, str, Asked] = ("messages.parts.media.file", "files", lambda r: any(map(_in_a_file, r.messages)))

# The answer is the same without these, or nearly: a warning names them, and strict mode refuses.
GATEWAY: tuple[tuple[str, Asked], ...] = (
    ("routing.strategy", lambda r: r.routing.strategy > chat_pb2.ROUTING_STRATEGY_ORDERED),
    ("routing.sticky_key", lambda r: bool(r.routing.sticky_key)),
    ("routing.allow_midstream_restart", lambda r: r.routing.allow_midstream_restart),
    ("routing.experiment_bucket", lambda r: bool(r.routing.experiment_bucket)),
    ("retry", lambda r: r.HasField("retry") and r.retry.max_attempts != 1),
    ("cache.ttl", lambda r: r.cache.HasField("ttl")),
    ("cache.scope", lambda r: bool(r.cache.scope)),
    ("cache.auto_breakpoints", lambda r: r.cache.auto_breakpoints),
    ("limits.on_budget_exceeded", lambda r: r.limits.on_budget_exceeded > chat_pb2.BUDGET_ACTION_FAIL),
    ("tool_loop.max_rounds", lambda r: bool(r.tool_loop.max_rounds)),
    ("tool_loop.max_tool_calls", lambda r: bool(r.tool_loop.max_tool_calls)),
    ("tool_loop.max_parallel", lambda r: bool(r.tool_loop.max_parallel)),
)

# What a model honours or not: named in ModelFacts.parameters by the same paths.
SAMPLING: tuple[Sampling, ...] = get_args(Sampling)
MODEL: tuple[tuple[str, Asked], ...] = (
    ("generation.stop_sequences", lambda r: bool(r.generation.stop_sequences)),
    ("generation.logit_bias", lambda r: bool(r.generation.logit_bias)),
    ("generation.verbosity", lambda r: bool(r.generation.verbosity)),
    ("generation.service_tier", lambda r: bool(r.generation.service_tier)),
    ("reasoning.effort", lambda r: r.reasoning.effort > chat_pb2.REASONING_EFFORT_NONE),
    ("reasoning.max_tokens", lambda r: r.reasoning.HasField("max_tokens")),
    ("reasoning.summary", lambda r: r.reasoning.summary),
    ("reasoning.return_encrypted", lambda r: r.reasoning.return_encrypted),
    ("tool_choice.disable_parallel", lambda r: r.tool_choice.disable_parallel),
    ("cache.prompt_cache_key", lambda r: bool(r.cache.prompt_cache_key)),
    ("audio", lambda r: r.HasField("audio")),
    ("end_user", lambda r: bool(r.end_user)),
)

# The fields at the top that any of these begin with. Most requests set none of them, and need not be asked.
ASKED = frozenset(row[0].partition(".")[0] for rows in (REFUSED, GATEWAY, MODEL) for row in rows) | {"generation"}


def refuse_missing_features(request: chat_pb2.ChatRequest, fields: frozenset[str]) -> None:
    """FEATURE_DISABLED for what would change the meaning of the request."""
    rules = () if fields.isdisjoint(ASKED) else REFUSED
    for field, feature, asked in (*rules, FILES):
        if asked(request):
            raise MaestroError(
                Reason.FEATURE_DISABLED,
                f"this server does not have '{feature}', which {field} asks for; GetServerInfo lists what it has",
                metadata={"feature": feature, "field": field},
                phase="validate",
            )


def warnings(
    request: chat_pb2.ChatRequest, fields: frozenset[str], facts: ModelFacts, provider: str
) -> list[common_pb2.Warning]:
    """One for each parameter that will not be honoured; PARAMETER_UNSUPPORTED instead in strict mode."""
    dropped = list(_dropped(request, fields, facts, provider))
    if dropped and request.routing.native_only:
        names = ", ".join(field for field, _ in dropped)
        raise MaestroError(
            Reason.PARAMETER_UNSUPPORTED,
            f"{provider}/{facts.name} does not honour {names}; drop it, or allow warnings: routing.native_only is set",
            metadata={"model": f"{provider}/{facts.name}", "parameters": names},
            violations=[Violation(field, "unsupported", sentence) for field, sentence in dropped],
            phase="route",
            provider=provider,
            model=facts.name,
        )
    return [common_pb2.Warning(code="PARAMETER_DROPPED", message=sentence, field=field) for field, sentence in dropped]


def _dropped(
    request: chat_pb2.ChatRequest, fields: frozenset[str], facts: ModelFacts, provider: str
) -> Iterator[tuple[str, str]]:
    if not fields.isdisjoint(ASKED):
        yield from _dropped_settings(request, facts, provider)
    for other in sorted(request.provider_options_json):
        if other != provider:
            yield f'provider_options_json["{other}"]', f"meant for {other}, and {provider} answers"
    yield from _foreign_state(request, provider)


def _dropped_settings(request: chat_pb2.ChatRequest, facts: ModelFacts, provider: str) -> Iterator[tuple[str, str]]:
    for field, asked in GATEWAY:
        if asked(request):
            yield field, "this server does not have what it asks for, and goes on without"
    asked_of_model = [f"generation.{name}" for name in SAMPLING if request.generation.HasField(name)]
    asked_of_model += [field for field, asked in MODEL if asked(request)]
    for field in asked_of_model:
        if field not in facts.parameters:
            yield field, f"{provider}/{facts.name} does not honour it"


def _in_a_file(message: content_pb2.Message) -> bool:
    return any(part.HasField("media") and part.media.file for part in message.parts)


def _foreign_state(request: chat_pb2.ChatRequest, provider: str) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(request.messages):
        for index, part in enumerate(message.parts):
            for field in OWNED:
                if part.HasField(field) and (owner := getattr(part, field).provider) not in {"", provider}:
                    yield f"messages[{number}].parts[{index}].{field}", f"belongs to {owner}, and {provider} answers"


OWNED: tuple[Literal["opaque", "provider_state"], ...] = ("opaque", "provider_state")
