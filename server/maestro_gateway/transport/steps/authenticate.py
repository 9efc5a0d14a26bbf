"""Step: who is calling?"""

from collections.abc import Awaitable, Callable

from maestro_gateway.base.call import Call, Caller
from maestro_spi.errors import MaestroError, Reason


class Authenticate:
    """Turns the call's bearer key into its caller, or turns the call away. Nothing else in the metadata is believed."""

    def __init__(self, identify: Callable[[str], Awaitable[Caller | None]]) -> None:
        self._identify = identify

    async def enter(self, call: Call) -> None:
        call.caller = await self.caller(call.metadata.get("authorization", ""))

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Nothing is held."""

    async def caller(self, authorization: str) -> Caller:
        """Whoever the header `authorization` speaks for."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise MaestroError(Reason.CREDENTIALS_MISSING, "send the metadata 'authorization: Bearer <key>'")
        caller = await self._identify(key.strip())
        if caller is None:
            raise MaestroError(Reason.CREDENTIALS_INVALID, "no live key matches; ask an admin for a new one")
        if caller.suspended:
            raise MaestroError(Reason.TENANT_SUSPENDED, "this key is switched off; ask an admin")
        return caller
