"""Acme's lines for Maestro's contract tests: recordings in neutral words."""

import json

from maestro.v1 import chat_pb2, content_pb2
from maestro_spi import AdapterSettings, Reason
from tests.conformance.compare import Expected
from tests.conformance.dialect import ChatDialect
from tests.conformance.exchange import Exchange

FINISH = {"stop": chat_pb2.FINISH_REASON_STOP, "length": chat_pb2.FINISH_REASON_MAX_TOKENS}
REASONS = {200: Reason.PROVIDER_UNAVAILABLE, 400: Reason.CONTEXT_OVERFLOW}
ROLES = {"you": content_pb2.ROLE_USER, "me": content_pb2.ROLE_ASSISTANT}


def settings(exchange: Exchange, url: str) -> AdapterSettings:
    return AdapterSettings(name="acme", adapter="acme", base_url=url, api_key="key-of-acme", options=exchange.options)


def ours(exchange: Exchange) -> chat_pb2.ChatRequest:
    request = chat_pb2.ChatRequest(model=exchange.asked["model"])
    for who, text in exchange.asked["said"]:
        if who == "rule":
            request.system.add(text=text)
        else:
            request.messages.add(role=ROLES[who]).parts.add(text=text)
    return request


def expected(exchange: Exchange) -> Expected:
    told = exchange.expected
    if error := told["error"]:
        return Expected(text=told["text"], reason=REASONS[error["status"]])
    if told["finish_reason"] is None:
        return Expected(text=told["text"], reason=Reason.STREAM_BROKEN)
    usage = {"input_tokens": told["input_tokens"], "output_tokens": told["output_tokens"]}
    return Expected(text=told["text"], finish=FINISH[told["finish_reason"]], usage=usage)


DIALECT = ChatDialect(
    name="acme",
    protocols=frozenset({"acme.lines"}),
    settings=settings,
    ours=ours,
    expected=expected,
    events=lambda body: [line + b"\n" for line in body.split(b"\n") if line],
    garbage=b'{"word": "he\n',
    failure=lambda status, message: json.dumps({"error": {"message": message}}).encode(),
    content_types={True: "application/x-ndjson", False: "application/json"},
)
