"""Exchanges: what was asked of a provider, what it said, and what that means; one JSON object each."""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

OWN = Path(__file__).parents[1] / "exchanges"  # ours, by dialect: written by hand after the providers' documentation
# The folder of an adapter that lives elsewhere: `conformance.py` is its dialect, `exchanges/*.json` are its exchanges.
ELSEWHERE = Path(os.environ["MAESTRO_TEST_ADAPTER"]) if "MAESTRO_TEST_ADAPTER" in os.environ else None

_TRIMMED = re.compile(r"TRIMMED_BASE64_\d+_chars")


@dataclass(frozen=True)
class Exchange:
    """One exchange, in the format of the corpus."""

    id: str
    provider: str  # "<vendor>.<endpoint>"
    protocol: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    request: Mapping[str, Any] | None  # what was asked, as JSON
    path: str  # where
    expected: Mapping[str, Any]
    tags: frozenset[str] = frozenset()
    fidelity: str = "wire"
    options: Mapping[str, Any] = field(default_factory=dict)  # of the adapter; ours only
    query: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id

    @property
    def vendor(self) -> str:
        """The part before the endpoint."""
        return self.provider.rpartition(".")[0]

    @property
    def streamed(self) -> bool:
        """Was it asked for as a stream?"""
        return "stream" in self.tags

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The request; bytes that were trimmed from it are some bytes again."""
        text = json.dumps(self.request or {})
        return dict(json.loads(_TRIMMED.sub(lambda cut: base64.b64encode(cut[0].encode()).decode(), text)))


def read(line: str) -> Exchange:
    """One line, or one file of ours."""
    told = json.loads(line)
    request = told.get("request") or {}
    response = told["response"]
    return Exchange(
        id=told["id"],
        provider=told["provider"],
        protocol=told["protocol"],
        status=response.get("status", 200),
        headers=response.get("headers") or {},
        body=_body(response),
        request=request.get("json"),
        path=request.get("url_path") or "",
        expected=told["expected"],
        tags=frozenset(told.get("tags") or ()),
        fidelity=told.get("fidelity") or "wire",
        options=told.get("options") or {},
        query=request.get("query") or {},
    )


def _body(response: Mapping[str, Any]) -> bytes:
    """As it went over the wire. Ours may say a body as JSON, and a stream as a list of its events."""
    if response.get("body_b64"):
        return base64.b64decode(response["body_b64"])
    if "events" in response:
        return "".join(_event(event) for event in response["events"]).encode()
    written = response.get("body") or ""
    return (written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)).encode()


def _event(event: Any) -> str:
    """A server-sent event: its data, or an object of `event` and `data`."""
    if isinstance(event, Mapping) and set(event) == {"event", "data"}:
        return f"event: {event['event']}\ndata: {json.dumps(event['data'], ensure_ascii=False)}\n\n"
    return f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n"


def corpus(folder: Path, provider: str = "") -> Iterator[Exchange]:
    """The exchanges of a folder of `.jsonl` files, of one provider or of all."""
    for file in sorted(folder.glob("*.jsonl")):
        if provider and provider not in (file.stem, file.stem.rpartition(".")[0]):
            continue
        with file.open(encoding="utf-8") as lines:
            yield from (read(line) for line in lines if line.strip())


def own(names: Iterable[str] = ()) -> Iterator[Exchange]:
    """Our own exchanges, of these dialects or of all; then those of the adapter that lives elsewhere."""
    wanted = set(names)
    files = [file for file in sorted(OWN.glob("*/*.json")) if not wanted or file.parent.name in wanted]
    if ELSEWHERE is not None and not wanted:
        files += sorted(ELSEWHERE.glob("exchanges/*.json"))
    for file in files:
        yield read(file.read_text(encoding="utf-8"))
