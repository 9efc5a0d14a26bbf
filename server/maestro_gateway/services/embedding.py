"""maestro.v1.EmbeddingService"""

from maestro.v1 import embedding_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.engine.embed import EmbedEngine


class EmbeddingService:
    """Vectors from text and media."""

    name = "maestro.v1.EmbeddingService"

    def __init__(self, engine: EmbedEngine) -> None:
        self._engine = engine

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Call) -> embedding_pb2.EmbedResponse:
        return await self._engine.embed(context, request)
