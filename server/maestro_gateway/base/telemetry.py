"""Names of spans and metrics, and how to reach them."""

from opentelemetry import metrics, trace

from maestro.v1 import common_pb2

# The GenAI conventions still move, so their names stand here and nowhere else.
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"
ERROR_TYPE = "error.type"
TENANT = "maestro.tenant"
CHAT = "maestro.chat"
REQUEST_ID = "maestro.request_id"
METHOD = "rpc.method"


class Telemetry:
    """Where measurements go. Without a tracer or a meter each of its methods is one comparison."""

    def __init__(self, tracer: trace.Tracer | None = None, meter: metrics.Meter | None = None) -> None:
        self._tracer = tracer
        self._calls = meter and meter.create_histogram("rpc.server.call.duration", "s", "duration of a call")
        self._chats = meter and meter.create_histogram("gen_ai.client.operation.duration", "s", "duration of a try")
        self._first = meter and meter.create_histogram(
            "gen_ai.server.time_to_first_token", "s", "from the call's start to the first content"
        )
        self._tokens = meter and meter.create_histogram("gen_ai.client.token.usage", "{token}", "tokens of a chat")

    def call_ended(self, method: str, outcome: str, seconds: float) -> None:
        """A call has left its last step."""
        if self._calls:
            self._calls.record(seconds, {METHOD: method, ERROR_TYPE: outcome})

    def try_started(self, provider: str, model: str, request_id: str, operation: str = "chat") -> trace.Span | None:
        """A span around one try at one provider, child of whatever span is current."""
        if self._tracer is None:
            return None
        attributes = {OPERATION: operation, PROVIDER: provider, REQUEST_MODEL: model, REQUEST_ID: request_id}
        return self._tracer.start_span(f"{operation} {model}", kind=trace.SpanKind.CLIENT, attributes=attributes)

    def try_ended(self, span: trace.Span | None, provider: str, model: str, outcome: str, seconds: float) -> None:
        """The try is over: `outcome` is OK or a reason."""
        if span is not None:
            if outcome != "OK":
                span.set_attribute(ERROR_TYPE, outcome)
                span.set_status(trace.StatusCode.ERROR, outcome)
            span.end()
        if self._chats:
            self._chats.record(seconds, {PROVIDER: provider, REQUEST_MODEL: model, ERROR_TYPE: outcome})

    def chat_settled(self, provider: str, model: str, tenant: str, chat: str, usage: common_pb2.Usage) -> None:
        """What a chat used is known; the current span, if any, learns it too."""
        if self._tracer is not None:
            trace.get_current_span().set_attributes(
                {
                    PROVIDER: provider,
                    RESPONSE_MODEL: model,
                    TENANT: tenant,
                    CHAT: chat,
                    INPUT_TOKENS: usage.input_tokens,
                    OUTPUT_TOKENS: usage.output_tokens,
                    CACHE_READ_TOKENS: usage.cache_read_input_tokens,
                    CACHE_WRITE_TOKENS: usage.cache_write_input_tokens,
                    REASONING_TOKENS: usage.reasoning_output_tokens,
                }
            )
        if self._tokens:  # labels have few values: never a tenant, a chat or a request
            labels = {PROVIDER: provider, REQUEST_MODEL: model}
            self._tokens.record(usage.input_tokens, {**labels, TOKEN_TYPE: "input"})
            self._tokens.record(usage.output_tokens, {**labels, TOKEN_TYPE: "output"})

    def first_content(self, provider: str, model: str, seconds: float) -> None:
        """The first content of an answer has come."""
        if self._first:
            self._first.record(seconds, {PROVIDER: provider, REQUEST_MODEL: model})
