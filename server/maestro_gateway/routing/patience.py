"""How long a silent provider is waited for."""

import asyncio

from maestro_spi.errors import MaestroError, Reason

# An answer has begun to say something once one of these has come.
CONTENT = frozenset(
    {"part_started", "text_delta", "reasoning_delta", "arguments_delta", "refusal_delta", "media_delta"}
)


AGAIN = 0.05  # seconds between two looks at a provider that is not waited for


class Patience:
    """Watches the waits of one try, for each event: one that is too long ends in PROVIDER_TIMEOUT.

    Only the provider's silence counts: while an event is being delivered, no clock of it runs. One lazy timer a try and
    two assignments an event, for this is the path of every token.
    """

    __slots__ = (
        "_attempt",
        "_began",
        "_expired",
        "_idle",
        "_limit",
        "_now",
        "_phase",
        "_provider",
        "_since",
        "_task",
        "_timer",
    )

    def __init__(self, provider: str, first_token: float, idle: float, attempt: float) -> None:
        """Limits in seconds; an attempt of 0 has none of its own."""
        self._provider = provider
        self._limit = first_token
        self._idle = idle
        self._attempt = attempt
        self._phase = "connect"
        self._since: float | None = None
        self._expired = False

    def __enter__(self) -> "Patience":
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._began = loop.time()
        self._task = asyncio.current_task(loop)  # the one that waits
        self._timer = loop.call_at(self._due(self._began), self._look, loop)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        ours = self._expired and isinstance(error, asyncio.CancelledError)
        # Unless somebody else wants the task to end too.
        if ours and self._task is not None and self._task.uncancel() == 0:
            raise self._too_slow() from None

    def wait(self) -> None:
        """From now on the next event is waited for."""
        self._since = self._now()

    def came(self) -> None:
        """It came."""
        self._since = None

    def heard(self, kind: str | None) -> None:
        """What came before the first content, and the first content itself: from it on silence is measured anew."""
        if kind in CONTENT:
            self._limit, self._phase = self._idle, "idle"
        elif self._phase == "connect":
            self._phase = "first_token"

    def _due(self, since: float) -> float:
        """When a wait that began at `since` has been too long."""
        due = (since if self._phase == "idle" else self._began) + self._limit
        return min(due, self._began + self._attempt) if self._attempt else due

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        due = self._due(now if self._since is None else self._since)
        if self._since is not None and now >= due and self._task is not None:
            self._expired = True
            self._task.cancel()
            return
        # A limit that passed while an event was on its way out is looked at again at the next wait.
        self._timer = loop.call_at(max(due, now + max(self._limit / 8, AGAIN)), self._look, loop)

    def _too_slow(self) -> MaestroError:
        return MaestroError(
            Reason.PROVIDER_TIMEOUT,
            f"{self._provider} was silent for too long ({self._phase}); give it more time or another model",
            metadata={"provider": self._provider, "phase": self._phase},
            phase="connect"
            if self._phase == "connect"
            else "first_token"
            if self._phase == "first_token"
            else "stream",
            provider=self._provider,
        )
