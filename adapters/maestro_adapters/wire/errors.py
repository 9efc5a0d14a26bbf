"""What a provider says about a failure, by status, headers and body -> MaestroError."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from maestro_spi.errors import RETRYABLE, MaestroError, ProviderWord, Reason, Resource

MESSAGE_CHARACTERS = 512  # of the provider's own message

# What an HTTP status says by itself; a code or a phrase of the dialect says it better.
STATUSES: Mapping[int, Reason] = {
    400: Reason.PROVIDER_REJECTED_REQUEST,
    401: Reason.PROVIDER_AUTH_FAILED,
    402: Reason.PROVIDER_QUOTA_EXHAUSTED,
    403: Reason.PROVIDER_AUTH_FAILED,
    408: Reason.PROVIDER_TIMEOUT,
    429: Reason.PROVIDER_RATE_LIMITED,
    504: Reason.PROVIDER_TIMEOUT,
}

# Fragments of messages, in lower case, that every vendor's servers share more or less.
PHRASES: Sequence[tuple[str, Reason]] = (
    ("maximum context length", Reason.CONTEXT_OVERFLOW),
    ("context length", Reason.CONTEXT_OVERFLOW),
    ("context window", Reason.CONTEXT_OVERFLOW),
    ("context size", Reason.CONTEXT_OVERFLOW),
    ("prompt is too long", Reason.CONTEXT_OVERFLOW),
    ("input is too long", Reason.CONTEXT_OVERFLOW),
    ("too many input tokens", Reason.CONTEXT_OVERFLOW),
    ("exceeds the maximum number of tokens", Reason.CONTEXT_OVERFLOW),
)

# One sentence for each reason; it says what to do.
SENTENCES: Mapping[Reason, str] = {
    Reason.CONTEXT_OVERFLOW: "the prompt does not fit {model}; shorten it or take a model with a larger window",
    Reason.PROMPT_BLOCKED: "a filter of {provider} blocked the prompt; rephrase it",
    Reason.MODEL_NOT_FOUND: "{provider} has no model {model}, or not for this key; look at ListModels",
    Reason.PROVIDER_AUTH_FAILED: "{provider} refuses the gateway's credentials; an admin must look at them",
    Reason.PROVIDER_QUOTA_EXHAUSTED: "the account at {provider} is out of credit; an admin must look at it",
    Reason.PROVIDER_RATE_LIMITED: "{provider} limits the rate of requests; wait and try again",
    Reason.PROVIDER_TIMEOUT: "{provider} was too slow; give it more time or take another model",
    Reason.PROVIDER_UNAVAILABLE: "{provider} fails at the moment; try again",
    Reason.PROVIDER_REJECTED_REQUEST: "{provider} calls the request wrong; see what it says and mend the request",
    Reason.PROVIDER_PROTOCOL_ERROR: "{provider} said something that cannot be read; tell its operator",
    Reason.STREAM_BROKEN: "the stream of {provider} broke off; what came until then is not a whole answer",
}

_TRY_AGAIN_IN = re.compile(r"(?:try again|retry) (?:in|after) ((?:[\d.]+ ?(?:ms|s|m|h|seconds?|minutes?) ?)+)", re.I)
_QUANTITY = re.compile(r"([\d.]+) ?(ms|s|m|h)", re.I)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error object of a provider, read for what all of them have."""

    code: str = ""
    type: str = ""
    message: str = ""
    status: int = 0  # where the object has one of its own
    retry_delay: float | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one dialect words its failures: codes and types, in lower case, and fragments of messages."""

    codes: Mapping[str, Reason] = field(default_factory=dict)
    phrases: Sequence[tuple[str, Reason]] = ()
    statuses: Mapping[int, Reason] = field(default_factory=dict)

    def reason(self, status: int, complaint: Complaint) -> Reason:
        """The reason of a failure: by its code, its type, its words, its status, in this order."""
        for word in (complaint.code.lower(), complaint.type.lower()):
            if word in self.codes:
                return self.codes[word]
        if status < 500:
            message = complaint.message.lower()
            for fragment, reason in (*self.phrases, *PHRASES):
                if fragment in message:
                    return reason
            if status == 404:  # of the model, or of a path that is not there
                return Reason.MODEL_NOT_FOUND if "model" in message else Reason.PROVIDER_REJECTED_REQUEST
        return self.statuses.get(status) or STATUSES.get(status) or _by_class(status)


def failure(
    dialect: Dialect,
    status: int,
    complaint: Complaint,
    *,
    provider: str,
    model: str = "",
    headers: Mapping[str, str] | None = None,
    secret: str = "",
    spoken: bool = False,
    phase: str = "",
) -> MaestroError:
    """The error that a provider's complaint amounts to. `headers` have lower-case names; `secret` is blotted out."""
    headers = headers or {}
    status = complaint.status if status < 400 and complaint.status >= 400 else status
    reason = dialect.reason(status, complaint)
    code = _clean(complaint.code or complaint.type, secret)[:128]
    metadata = {"provider": provider, "model": model}
    if code:
        metadata["providerCode"] = code
    return MaestroError(
        reason,
        SENTENCES[reason].format(provider=provider, model=repr(model)),
        retryable=reason in RETRYABLE and not spoken,
        retry_delay=retry_delay(headers, complaint) if reason in RETRYABLE else None,
        metadata=metadata,
        resource=Resource("model", model) if reason is Reason.MODEL_NOT_FOUND else None,
        phase=phase,
        provider=provider,
        model=model,
        word=ProviderWord(
            http_status=status,
            code=code,
            message=_clean(complaint.message, secret)[:MESSAGE_CHARACTERS],
            request_id=request_id(headers),
        ),
    )


def read_complaint(body: bytes | str) -> Complaint:
    """What an error's body says, whatever its shape: an object with `error`, a list, a plain text, a page, nothing."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        page = text.lstrip()[:1] == "<"
        return Complaint(message="" if page else text.strip()[:MESSAGE_CHARACTERS], type="html" if page else "")
    return complaint_of(said)


def complaint_of(said: Any) -> Complaint:
    """The same, of JSON that has been read."""
    if isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, str):
        return Complaint(message=said)
    if not isinstance(said, dict):
        return Complaint()
    inner = said.get("error") or said.get("errors") or said.get("detail") or said
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if not isinstance(inner, dict):
        return Complaint(message=_text(inner) or _text(said.get("message")), code=_text(said.get("code")))
    code, kind = _text(inner.get("code")), _text(inner.get("type") or inner.get("status"))
    status = next((int(word) for word in (code, _text(inner.get("status"))) if re.fullmatch(r"[45]\d\d", word)), 0)
    message = _text(inner.get("message") or inner.get("msg") or inner.get("detail") or said.get("message"))
    return Complaint(code=code, type=kind, message=message, status=status, retry_delay=_told_delay(inner))


def retry_delay(headers: Mapping[str, str], complaint: Complaint) -> float | None:
    """How long to wait, if the provider says so. A date is read against the answer's own, so no clock is asked."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (milliseconds := _number(headers.get(name))) is not None:
            return milliseconds / 1000
    after = headers.get("retry-after")
    seconds = _number(after)
    if seconds is None and after and headers.get("date"):
        seconds = _until(after, headers["date"])
    if seconds is not None:
        return seconds
    if complaint.retry_delay is not None:
        return complaint.retry_delay
    said = _TRY_AGAIN_IN.search(complaint.message)
    return duration(said[1]) if said else None


def duration(text: str) -> float | None:
    """Seconds of "1.5s", "20ms", "6m0s"."""
    found = _QUANTITY.findall(text)
    try:
        return sum(float(number) * _SECONDS[unit.lower()] for number, unit in found) if found else None
    except ValueError:
        return None


def request_id(headers: Mapping[str, str]) -> str:
    """The provider's id of the request, by the names that are in use."""
    names = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "x-goog-request-id", "cf-ray")
    return next((headers[name][:128] for name in names if headers.get(name)), "")


def _told_delay(inner: Mapping[str, Any]) -> float | None:
    details = inner.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return duration(detail["retryDelay"])
    return None


def _until(date: str, now: str) -> float | None:
    try:
        return max((parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _by_class(status: int) -> Reason:
    if status >= 500:
        return Reason.PROVIDER_UNAVAILABLE
    return Reason.PROVIDER_REJECTED_REQUEST if status >= 400 else Reason.PROVIDER_PROTOCOL_ERROR


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _clean(text: str, secret: str) -> str:
    text = text.replace(secret, "***") if len(secret) >= 4 else text
    return "".join(letter if letter.isprintable() else " " for letter in text)
