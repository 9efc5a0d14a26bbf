"""What a translation could not say in the provider's words: a warning each, or an error in strict mode."""

from maestro.v1 import chat_pb2, common_pb2
from maestro_spi.errors import MaestroError, Reason, Violation


class Notes:
    """The notes on one request. Where the caller wants native support alone, a parameter left out is its end."""

    def __init__(self, provider: str, request: chat_pb2.ChatRequest) -> None:
        self._provider = provider
        self._model = request.model
        self._strict = request.routing.native_only
        self.warnings: list[common_pb2.Warning] = []

    def warn(self, code: str, field: str, message: str) -> None:
        """Something changed on the way, and the answer is much the same."""
        self.warnings.append(common_pb2.Warning(code=code, message=message, field=field))

    def drop(self, field: str, why: str) -> None:
        """A parameter is left out."""
        if self._strict:
            raise MaestroError(
                Reason.PARAMETER_UNSUPPORTED,
                f"{self._provider}/{self._model} does not honour {field}: {why}; drop it, or allow warnings",
                metadata={"model": f"{self._provider}/{self._model}", "parameters": field},
                violations=[Violation(field, "unsupported", why)],
                phase="route",
                provider=self._provider,
                model=self._model,
            )
        self.warn("PARAMETER_DROPPED", field, why)
