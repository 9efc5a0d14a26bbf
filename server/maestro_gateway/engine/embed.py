"""Vectors: check, select, ask, meter; in the numbers' encoding that the caller wants."""

import asyncio
import math
from collections.abc import Callable, Iterator

import msgspec
from google.rpc import status_pb2

from maestro.v1 import common_pb2, embedding_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock, duration, timestamp
from maestro_gateway.base.live import Live
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.engine.vectors import ENCODERS, normalized
from maestro_gateway.routing.catalog import Catalog, Target
from maestro_gateway.routing.fleet import Fleet
from maestro_gateway.routing.select import embedder
from maestro_gateway.spend.accounts import Accounts
from maestro_spi.embedding import Vector, Vectors
from maestro_spi.errors import MaestroError, Reason, Violation
from maestro_spi.estimate import TOKENS_PER_MEDIA, text_tokens
from maestro_spi.reasons import TABLE

Explain = Callable[[MaestroError, str], status_pb2.Status]  # the error, the request id

BREATH = 32  # vectors after which others get a turn
REFUSED = (("persona", "personas"), ("idempotency_key", "idempotency"))


class EmbedEngine:
    """Answers requests for vectors: one for each input, in their order, paid for once."""

    def __init__(
        self,
        catalog: Live[Catalog],
        fleet: Fleet,
        accounts: Accounts,
        clock: Clock,
        telemetry: Telemetry,
        explain: Explain,
    ) -> None:
        self._catalog = catalog
        self._fleet = fleet
        self._accounts = accounts
        self._clock = clock
        self._telemetry = telemetry
        self._explain = explain

    async def embed(self, call: Call, request: embedding_pb2.EmbedRequest) -> embedding_pb2.EmbedResponse:
        """The vectors of all inputs."""
        _check(request)
        target = embedder(self._catalog.value, request)
        _refuse_dimensions(request, target)
        warnings = list(_warnings(request, target))
        request.model = target.facts.name
        call.provider, call.model = target.provider, target.facts.name
        attempt = common_pb2.Attempt(provider=target.provider, model=target.facts.name, cause="primary")
        async with self._accounts.open(call, lambda: sum(map(_tokens, request.inputs))) as meter:
            vectors = await self._ask(call, request, target, attempt)
            meter.report(vectors.usage)
            answer = embedding_pb2.EmbedResponse(
                model=vectors.model or target.facts.name,
                provider=target.provider,
                usage=meter.spent(),
                encoding=request.encoding or embedding_pb2.VECTOR_ENCODING_FLOAT32_LE,
                warnings=[*warnings, *vectors.warnings],
                attempts=[attempt],
            )
            answer.usage.model_calls = max(1, answer.usage.model_calls)
            for index, vector in enumerate(vectors.vectors):
                answer.embeddings.append(self._embedding(call, request, index, vector))
                if index % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
            return answer

    async def _ask(
        self, call: Call, request: embedding_pb2.EmbedRequest, target: Target, attempt: common_pb2.Attempt
    ) -> Vectors:
        """The provider's answer, in time; the attempt says what became of it."""
        adapter = self._fleet.embedder(target.provider)
        assert adapter is not None, "the catalog lists embedding models of adapters that embed"
        provider, model = target.provider, target.facts.name
        attempt.start_time.CopyFrom(timestamp(self._clock.wall()))
        began = self._clock.monotonic()
        span = self._telemetry.try_started(provider, model, call.request_id, "embeddings")
        outcome = Reason.CALLER_CANCELLED.name
        try:
            async with asyncio.timeout(None if call.deadline is None else max(0.0, call.deadline - began)):
                vectors = await adapter.embed(request)
            outcome = "OK"
            attempt.provider_request_id = vectors.request_id
            return vectors
        except TimeoutError:
            outcome = Reason.DEADLINE_EXCEEDED.name
            raise MaestroError(
                Reason.DEADLINE_EXCEEDED,
                "time ran out before all vectors were there; give the call more time, or send fewer inputs",
                metadata={"phase": "first_token"},
                phase="first_token",
                provider=provider,
                model=model,
            ) from None
        except MaestroError as error:
            outcome = error.reason.name
            error.provider, error.model = error.provider or provider, error.model or model
            error.metadata.setdefault("provider", provider)
            attempt.code = TABLE[error.reason].code
            attempt.reason = f"ERROR_REASON_{error.reason.name}"
            attempt.provider_request_id = error.word.request_id
            error.attempts = [attempt]
            raise
        finally:
            took = self._clock.monotonic() - began
            attempt.elapsed.CopyFrom(duration(took))
            self._telemetry.try_ended(span, provider, model, outcome, took)

    def _embedding(
        self, call: Call, request: embedding_pb2.EmbedRequest, index: int, vector: Vector
    ) -> embedding_pb2.Embedding:
        made = embedding_pb2.Embedding(index=index, truncated=vector.truncated, input_tokens=vector.input_tokens)
        if vector.error is not None:
            made.error.CopyFrom(self._explain(vector.error, call.request_id))
            return made
        numbers = normalized(vector.values) if request.normalize else vector.values
        made.dimensions = len(numbers)
        encoded = ENCODERS[request.encoding](numbers)
        if isinstance(encoded, bytes):
            made.packed = encoded
        else:
            made.list.values.extend(encoded)
        return made


def _check(request: embedding_pb2.EmbedRequest) -> None:
    """What the rules of the proto cannot say, and what this server does not have."""
    broken = list(_broken(request))
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise MaestroError(
            Reason.INVALID_FIELD,
            f"{broken[0].field}: {broken[0].description}{more}",
            metadata={"field": broken[0].field},
            violations=broken,
            phase="validate",
        )
    for field, feature in REFUSED:
        if getattr(request, field):
            raise MaestroError(
                Reason.FEATURE_DISABLED,
                f"this server does not have '{feature}', which {field} asks for; GetServerInfo lists what it has",
                metadata={"feature": feature, "field": field},
                phase="validate",
            )
    if any(item.media.file for item in request.inputs):
        raise MaestroError(
            Reason.FEATURE_DISABLED,
            "this server does not have 'files', which inputs.media.file asks for; GetServerInfo lists what it has",
            metadata={"feature": "files", "field": "inputs.media.file"},
            phase="validate",
        )


def _broken(request: embedding_pb2.EmbedRequest) -> Iterator[Violation]:
    if request.encoding not in ENCODERS:
        yield Violation("encoding", "enum.defined_only", "not an encoding of this contract")
    for index, item in enumerate(request.inputs):
        if item.WhichOneof("input") is None:
            yield Violation(f"inputs[{index}]", "required", "an input is a text or media")
    for provider, text in request.provider_options_json.items():
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Violation(f'provider_options_json["{provider}"]', "json", f"no JSON text: {error}")


def _refuse_dimensions(request: embedding_pb2.EmbedRequest, target: Target) -> None:
    """Vectors of another size than was asked for would be of no use."""
    facts, wanted = target.facts, request.dimensions
    if not request.HasField("dimensions") or wanted in facts.embedding_dimensions[:1]:
        return
    most = max(facts.embedding_dimensions, default=math.inf)
    if "dimensions" in facts.parameters and wanted <= most:
        return
    there = ", ".join(map(str, sorted(facts.embedding_dimensions))) or "its own alone"
    raise MaestroError(
        Reason.PARAMETER_UNSUPPORTED,
        f"{target.name} makes no vectors of {wanted} dimensions; it makes: {there}",
        metadata={"model": target.name, "parameters": "dimensions"},
        violations=[Violation("dimensions", "unsupported", f"it makes: {there}")],
        phase="route",
        provider=target.provider,
        model=facts.name,
    )


def _warnings(request: embedding_pb2.EmbedRequest, target: Target) -> Iterator[common_pb2.Warning]:
    asked = {
        "purpose": bool(request.purpose),
        "truncate": request.truncate,
        "inputs.title": any(item.title for item in request.inputs),
    }
    for field, wanted in asked.items():
        if wanted and field not in target.facts.parameters:
            yield _dropped(field, f"{target.name} does not honour it")
    for other in sorted(request.provider_options_json):
        if other != target.provider:
            yield _dropped(f'provider_options_json["{other}"]', f"meant for {other}, and {target.provider} answers")


def _dropped(field: str, sentence: str) -> common_pb2.Warning:
    return common_pb2.Warning(code="PARAMETER_DROPPED", message=sentence, field=field)


def _tokens(item: embedding_pb2.EmbedInput) -> int:
    return TOKENS_PER_MEDIA if item.HasField("media") else text_tokens(item.title) + text_tokens(item.text)
