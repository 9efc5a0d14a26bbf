"""What requests to every provider are made of: raw options, JSON texts, media as data URLs, short numbers."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from maestro.v1 import chat_pb2, content_pb2
from maestro_spi.errors import MaestroError, Reason, Violation


def merge_options(body: dict[str, Any], request: chat_pb2.ChatRequest, names: Iterable[str]) -> dict[str, Any]:
    """The body with the request's raw options under these names merged in, object into object, the last name last."""
    for name in dict.fromkeys(names):
        if name in request.provider_options_json:
            field = f'provider_options_json["{name}"]'
            options = parse(request.provider_options_json[name], field)
            if not isinstance(options, dict):
                raise invalid(field, "an object is needed")
            merge(body, options)
    return body


def merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    """Objects are merged, all else is replaced; null takes a key away."""
    for key, value in new.items():
        kept = into.get(key)
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(kept, dict):
            merge(kept, value)
        else:
            into[key] = value


def parse(text: str, field: str) -> Any:
    """JSON text of a request field; INVALID_FIELD if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        raise invalid(field, "this is no JSON") from None


def invalid(field: str, problem: str) -> MaestroError:
    """A field that cannot be sent as it is."""
    return MaestroError(
        Reason.INVALID_FIELD,
        f"{field}: {problem}",
        metadata={"field": field},
        violations=[Violation(field, "provider", problem)],
        phase="validate",
    )


def short(number: float) -> float | int:
    """A float of the contract as it was written: 0.7, not 0.699999988079071; whole numbers whole."""
    rounded = float(f"{number:.7g}")
    return int(rounded) if rounded.is_integer() else rounded


def base64_of(media: content_pb2.Media) -> str:
    """The bytes of a media part."""
    return base64.b64encode(media.data).decode("ascii")


def data_url(media: content_pb2.Media) -> str:
    """The address of a media part: its own, or one that holds its bytes."""
    if media.WhichOneof("source") == "uri":
        return media.uri
    return f"data:{media.mime_type};base64,{base64_of(media)}"


def read_data_url(url: str) -> tuple[str, bytes] | None:
    """Type and bytes of a data URL; None if it is another address."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return None
    mime_type, _, coding = head.removeprefix("data:").partition(";")
    try:
        return mime_type, base64.b64decode(data) if coding.endswith("base64") else data.encode()
    except ValueError:
        return None
