import pytest

from maestro_adapters.wire.errors import (
    SENTENCES,
    Complaint,
    Dialect,
    duration,
    failure,
    read_complaint,
    retry_delay,
)
from maestro_spi import MaestroError, Reason

DIALECT = Dialect(codes={"too_long": Reason.CONTEXT_OVERFLOW}, phrases=[("blocked by us", Reason.PROMPT_BLOCKED)])


def failed(status: int, complaint: Complaint, **given: object) -> MaestroError:
    return failure(DIALECT, status, complaint, provider="acme", model="m", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"error":{"code":"c","type":"t","message":"m"}}', Complaint("c", "t", "m")),
        (b'{"error":{"code":429,"status":"T","message":"m"}}', Complaint("429", "T", "m", 429)),
        (b'[{"error":{"code":400,"message":"m"}}]', Complaint("400", "", "m", 400)),
        (b'{"type":"error","error":{"type":"t","message":"m"}}', Complaint("", "t", "m")),
        (b'{"error":"plain"}', Complaint("", "", "plain")),
        (b'{"object":"error","message":"m","type":"t","code":40303}', Complaint("40303", "t", "m")),
        (b'{"detail":[{"msg":"field required","type":"missing"}]}', Complaint("", "missing", "field required")),
        (b'{"message":"m"}', Complaint("", "", "m")),
        (b'{"errors":[{"message":"m"}]}', Complaint("", "", "m")),
        (b'"text"', Complaint("", "", "text")),
        (b"plain text", Complaint("", "", "plain text")),
        (b"<html><title>No</title></html>", Complaint("", "html", "")),
        (b"", Complaint()),
        (b"[]", Complaint()),
        (b"7", Complaint()),
        (b'{"error":null,"message":null}', Complaint()),
        (b"\xff\xfe", Complaint("", "", "��")),
    ],
)
def test_a_complaint_is_read_whatever_its_shape(body, complaint):
    assert read_complaint(body) == complaint


@pytest.mark.parametrize(
    ("status", "complaint", "reason"),
    [
        (400, Complaint("too_long"), "CONTEXT_OVERFLOW"),
        (400, Complaint("", "too_long"), "CONTEXT_OVERFLOW"),
        (400, Complaint("", "", "This was Blocked By Us today"), "PROMPT_BLOCKED"),
        (400, Complaint("", "", "the maximum context length is 8"), "CONTEXT_OVERFLOW"),
        (500, Complaint("", "", "the maximum context length is 8"), "PROVIDER_UNAVAILABLE"),
        (404, Complaint("", "", "no model of that name"), "MODEL_NOT_FOUND"),
        (404, Complaint("", "", "no such page"), "PROVIDER_REJECTED_REQUEST"),
        (402, Complaint(), "PROVIDER_QUOTA_EXHAUSTED"),
        (418, Complaint(), "PROVIDER_REJECTED_REQUEST"),
        (529, Complaint(), "PROVIDER_UNAVAILABLE"),
        (307, Complaint(), "PROVIDER_PROTOCOL_ERROR"),
        (200, Complaint("429", "", "slow down", 429), "PROVIDER_RATE_LIMITED"),
    ],
)
def test_a_failure_goes_by_code_then_words_then_status(status, complaint, reason):
    error = failed(status, complaint)
    assert error.reason.name == reason
    assert error.metadata["provider"] == "acme"


def test_every_reason_that_a_provider_can_cause_has_a_sentence_that_fits():
    for sentence in SENTENCES.values():
        assert "{" not in sentence.format(provider="acme", model="'m'")


@pytest.mark.parametrize(
    ("headers", "complaint", "seconds"),
    [
        ({"retry-after": "7"}, Complaint(), 7),
        ({"retry-after": "1.5"}, Complaint(), 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, Complaint(), 0.25),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, Complaint(), 30),
        ({"retry-after": "Fri, 20 Nov 2026 09:00:00 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, Complaint(), 0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, Complaint(), None),
        ({"retry-after": "soon", "date": "now"}, Complaint(), None),
        ({"retry-after": "-5"}, Complaint(), None),
        ({"retry-after": "nan"}, Complaint(), None),
        ({}, Complaint(message="Please try again in 6m0.5s."), 360.5),
        ({}, Complaint(message="Try again in 20ms, please"), 0.02),
        ({}, Complaint(message="Please retry after 12 seconds."), 12),
        ({}, Complaint(retry_delay=34), 34),
        ({}, Complaint(message="try again"), None),
    ],
)
def test_how_long_to_wait_is_read_where_it_is_said(headers, complaint, seconds):
    assert retry_delay(headers, complaint) == seconds


def test_the_delay_of_a_detail_is_read():
    body = b'{"error":{"code":429,"details":[{"@type":"RetryInfo","retryDelay":"34.5s"}]}}'
    assert read_complaint(body).retry_delay == 34.5
    assert duration("1h2m") == 3720
    assert duration("") is None


def test_only_what_may_be_tried_again_has_a_delay_and_never_after_content():
    assert failed(400, Complaint(), headers={"retry-after": "7"}).retry_delay is None
    assert failed(503, Complaint()).retryable
    assert not failed(503, Complaint(), spoken=True).retryable


def test_the_providers_word_is_kept_cleaned_and_cut():
    secret = "sk-very-secret"
    told = failed(
        400,
        Complaint("c", "t", f"bad\nkey {secret} " + "x" * 1000),
        headers={"x-request-id": "req_1"},
        secret=secret,
    )
    assert told.word.http_status == 400
    assert told.word.code == "c"
    assert told.word.request_id == "req_1"
    assert told.word.message.startswith("bad key *** x")
    assert len(told.word.message) == 512
    assert secret not in repr(vars(told))
