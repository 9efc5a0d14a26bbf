"""The reasoning of an answer, with the details that must go back."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from maestro_spi.answer import Answer

DETAILS = "reasoning_details"
SIGNED = ("signature", "data")  # fields of a detail without which the provider would not go on
GROWING = ("text", "summary", "data")  # fields that come in pieces


class Reasoning:
    """One part of reasoning at a time, from its first piece until something else is said."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._number = 0
        self._open = False
        self._details: list[dict[str, Any]] = []

    @property
    def live(self) -> bool:
        """Has there been reasoning since the last close?"""
        return self._open or bool(self._details)

    def say(self, text: str | Mapping[str, Any] | None, details: Sequence[Mapping[str, Any]] | None) -> None:
        """More reasoning. A text and details that come together say the same."""
        if isinstance(text, Mapping):
            text = str(text.get("text") or text.get("content") or "")
        for detail in details or ():
            self._keep(detail)
        if not text:
            text = "".join(str(detail.get("text") or detail.get("summary") or "") for detail in details or ())
        if text:
            self._open = True
            self._answer.reasoning(text, key=("reasoning", self._number))

    def block(self, part: Mapping[str, Any]) -> None:
        """A content part that is reasoning: a text, or a list of texts."""
        inner = part.get("thinking") or part.get("text") or ""
        if isinstance(inner, list):
            inner = "".join(str(piece.get("text") or "") for piece in inner if isinstance(piece, dict))
        self.say(str(inner), None)
        if part.get("signature") and self._open:
            self._answer.state("signature", str(part["signature"]), key=("reasoning", self._number))

    def close(self) -> None:
        """Something else is said now."""
        if any(detail.get(field) for detail in self._details for field in SIGNED):
            key = ("reasoning", self._number)
            if not self._open:
                self._answer.reasoning(redacted=True, key=key)
            self._answer.state(DETAILS, msgspec.json.encode(self._details), key=key)
            self._open = True
        self._details = []
        if self._open:
            self._answer.close(("reasoning", self._number))
            self._open = False
            self._number += 1

    def _keep(self, detail: Mapping[str, Any]) -> None:
        last = self._details[-1] if self._details else {}
        same = last and all(last.get(name) == detail.get(name) for name in ("type", "index"))
        if not same or (last.get("id") and detail.get("id") and last["id"] != detail["id"]):
            self._details.append(dict(detail))
            return
        for name, value in detail.items():
            if name in GROWING and isinstance(value, str) and isinstance(last.get(name), str):
                last[name] += value
            elif value is not None:
                last[name] = value
