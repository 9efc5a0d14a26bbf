"""Step: may they call this?"""

from collections.abc import Mapping

from maestro_gateway.base.call import Call
from maestro_spi.errors import MaestroError, Reason


class Authorize:
    """Compares the right written beside the method in the proto with the caller's scopes."""

    def __init__(self, rights: Mapping[str, str]) -> None:
        self._rights = rights

    async def enter(self, call: Call) -> None:
        scope = self._rights[call.method]
        if not call.caller.may(scope):
            raise MaestroError(
                Reason.SCOPE_MISSING,
                f"this call needs the scope '{scope}', which the key '{call.caller.key}' does not hold; ask an admin",
                metadata={"scope": scope},
            )

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Nothing is held."""
