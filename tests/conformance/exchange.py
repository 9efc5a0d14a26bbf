"""Exchanges: what was asked of a provider, what it said, and what that means; one JSON object each."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

OWN = Path(__file__).parents[1] / "exchanges"  # ours, by dialect: written by hand after the providers' documentation

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
    if response.get("body_b64"):
        body = base64.b64decode(response["body_b64"])
    else:
        written = response.get("body") or ""
        body = (written if isinstance(written, str) else json.dumps(written)).encode()
    return Exchange(
        id=told["id"],
        provider=told["provider"],
        protocol=told["protocol"],
        status=response.get("status", 200),
        headers=response.get("headers") or {},
        body=body,
        request=request.get("json"),
        path=request.get("url_path") or "",
        expected=told["expected"],
        tags=frozenset(told.get("tags") or ()),
        fidelity=told.get("fidelity") or "wire",
        options=told.get("options") or {},
        query=request.get("query") or {},
    )


def corpus(folder: Path, provider: str = "") -> Iterator[Exchange]:
    """The exchanges of a folder of `.jsonl` files, of one provider or of all."""
    for file in sorted(folder.glob("*.jsonl")):
        if provider and provider not in (file.stem, file.stem.rpartition(".")[0]):
            continue
        with file.open(encoding="utf-8") as lines:
            yield from (read(line) for line in lines if line.strip())


def own(names: Iterable[str] = ()) -> Iterator[Exchange]:
    """Our own exchanges, of these dialects or of all."""
    wanted = set(names)
    for file in sorted(OWN.glob("*/*.json")):
        if not wanted or file.parent.name in wanted:
            yield read(file.read_text(encoding="utf-8"))
