"""Call and Caller: who asks, for what, by when."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a credential belongs to. It comes from verified credentials only, never from what a request says."""

    tenant: str
    key: str  # its name, never the secret
    scopes: frozenset[str]
    suspended: bool = False

    def may(self, scope: str) -> bool:
        """A noun holds its verbs; `*` holds all."""
        return bool(self.scopes & {"*", scope, scope.partition(".")[0]})


NOBODY = Caller(tenant="", key="", scopes=frozenset())


class Call(msgspec.Struct):
    """One call, whichever door it came through. The envelope makes it; steps fill it; services and engine read it."""

    method: str  # "maestro.v1.ChatService/StreamChat"
    request_id: str
    metadata: Mapping[str, str]
    started: float  # on the monotonic clock
    deadline: float | None = (
        None  # the same clock; the caller's own, or what the gateway gives where the caller gave none
    )
    deadline_is_ours: bool = False
    caller: Caller = NOBODY
    # Metadata of the answer, beside the request id.
    answer_metadata: dict[str, str] = {}  # one for each call: msgspec copies it
    # What became of it, for the record: filled in by who knows.
    chat: str = ""
    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    first_content: float | None = None
