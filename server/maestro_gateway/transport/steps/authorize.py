"""Step: may they call this?"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from maestro_gateway.base.call import Call
from maestro_spi.errors import MaestroError, Reason


class Authorize:
    """Compares the right written beside the method in the proto with the caller's scopes."""

    def __init__(self, rights: Mapping[str, str]) -> None:
        self._rights = rights

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncGenerator[None]:
        scope = self._rights[call.method]
        if not call.caller.may(scope):
            raise MaestroError(
                Reason.SCOPE_MISSING,
                f"this call needs the scope '{scope}', which the key '{call.caller.key}' does not hold; ask an admin",
                metadata={"scope": scope},
            )
        yield
