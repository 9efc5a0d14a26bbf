"""What the tools that the provider ran have given: items -> tool results."""

from collections.abc import Callable, Mapping
from typing import Any

from maestro.v1 import common_pb2, content_pb2
from maestro_adapters.openai_responses.items import Item, text, text_of


def result_of(item: Item, call_id: str) -> content_pb2.ToolResult | None:
    """The result inside an item; None where there is none."""
    read = _RESULTS.get(text(item.get("type")))
    result = content_pb2.ToolResult(tool_call_id=call_id)
    if read is None or not read(item, result):
        return None
    return result


def _mcp(item: Item, result: content_pb2.ToolResult) -> bool:
    error = item.get("error")
    if error:
        result.is_error = True
        result.content.add(text=error if isinstance(error, str) else text_of(error))
    elif isinstance(item.get("output"), str):
        result.content.add(text=item["output"])
    return bool(result.content)


def _code(item: Item, result: content_pb2.ToolResult) -> bool:
    for output in _objects(item.get("outputs")):
        if output.get("type") == "image":
            media = content_pb2.Media(modality=common_pb2.MODALITY_IMAGE, uri=text(output.get("url")))
            result.content.add(media=media)
        else:
            result.content.add(text=text(output.get("logs")))
    return bool(result.content)


def _files(item: Item, result: content_pb2.ToolResult) -> bool:
    found = _objects(item.get("results"))
    if found:
        result.structured_json = text_of(found)
        for each in found:
            result.content.add(text=text(each.get("text")))
    return bool(found)


def _web(item: Item, result: content_pb2.ToolResult) -> bool:
    action = item.get("action")
    sources = item.get("results") or (action.get("sources") if isinstance(action, dict) else None)
    if sources:
        result.structured_json = text_of(sources)
    return bool(sources)


def _objects(value: Any) -> list[Item]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_RESULTS: Mapping[str, Callable[[Item, content_pb2.ToolResult], bool]] = {
    "mcp_call": _mcp,
    "code_interpreter_call": _code,
    "file_search_call": _files,
    "web_search_call": _web,
}
