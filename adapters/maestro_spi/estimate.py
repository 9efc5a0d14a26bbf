"""How many tokens a text may hold, when nobody has counted them."""

from collections.abc import Iterable

from maestro.v1 import chat_pb2, content_pb2

BYTES_PER_TOKEN = 4  # of UTF-8; about right for English, high for most other scripts
TOKENS_PER_MESSAGE = 4  # role and separators
TOKENS_PER_MEDIA = 1_000


def text_tokens(text: str) -> int:
    """Tokens of a text, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def part_tokens(part: content_pb2.Part) -> int:
    """Tokens of one piece of content."""
    match part.WhichOneof("kind"):
        case "text":
            return text_tokens(part.text)
        case "refusal":
            return text_tokens(part.refusal)
        case "reasoning":
            return text_tokens(part.reasoning.text)
        case "tool_call":
            return text_tokens(part.tool_call.name + part.tool_call.arguments_json)
        case "tool_result":
            return parts_tokens(part.tool_result.content) + text_tokens(part.tool_result.structured_json)
        case "media":
            return TOKENS_PER_MEDIA
        case "opaque":
            return text_tokens(part.opaque.json)
        case "compaction":
            return text_tokens(part.compaction.summary)
        case _:
            return 0


def parts_tokens(parts: Iterable[content_pb2.Part]) -> int:
    """Tokens of several pieces."""
    return sum(part_tokens(part) for part in parts)


def input_tokens(request: chat_pb2.ChatRequest) -> int:
    """Tokens of all that a request sends to the model."""
    tools = sum(
        text_tokens(tool.function.name + tool.function.description + tool.function.input_schema_json)
        for tool in request.tools
    )
    messages = sum(TOKENS_PER_MESSAGE + parts_tokens(message.parts) for message in request.messages)
    return parts_tokens(request.system) + messages + tools
