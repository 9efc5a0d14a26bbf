"""The items of the Responses API: which of them are calls, and what of an item travels with its part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from maestro.v1 import content_pb2

CLIENT = content_pb2.TOOL_EXECUTOR_CLIENT
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER

Item = dict[str, Any]

# Kinds of provider_state. An item goes back whole: what its parts hold, and what their state holds.
ITEM = "item"
COVERED = "covered"  # the item of this part goes back with another one


@dataclass(frozen=True, slots=True)
class Call:
    """How an item that is a call reads as a tool call."""

    arguments: tuple[str, ...]  # fields that hold them; the first that is there counts
    tool: str = ""  # its neutral name, where the item has no name of its own
    executor: content_pb2.ToolExecutor.ValueType = CLIENT
    id: str = "call_id"
    carried: tuple[str, ...] = ()  # fields that the part holds, so that the state need not


_WRITTEN = ("name", "call_id")

CALLS: Mapping[str, Call] = {
    "function_call": Call(("arguments",), carried=(*_WRITTEN, "arguments")),
    "custom_tool_call": Call(("input",), carried=(*_WRITTEN, "input")),
    "computer_call": Call(("actions", "action"), tool="computer_use"),
    "local_shell_call": Call(("action",), tool="local_shell"),
    "shell_call": Call(("action",), tool="shell"),
    "apply_patch_call": Call(("operation",), tool="apply_patch"),
    "web_search_call": Call(("action",), tool="web_search", executor=PROVIDER, id="id"),
    "file_search_call": Call(("queries",), tool="file_search", executor=PROVIDER, id="id"),
    "code_interpreter_call": Call(("code",), tool="code_execution", executor=PROVIDER, id="id"),
    "image_generation_call": Call(
        ("revised_prompt",), tool="image_generation", executor=PROVIDER, id="id", carried=("result",)
    ),
    "mcp_call": Call(("arguments",), executor=PROVIDER, id="id"),
    "mcp_approval_request": Call(("arguments",), executor=PROVIDER, id="id"),
}

# The item that answers each kind of call that is the caller's to run.
OUTPUTS: Mapping[str, str] = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "mcp_approval_request": "mcp_approval_response",
}

# Tools that the provider knows by another name than ours.
TOOL_TYPES: Mapping[str, str] = {"code_execution": "code_interpreter", "computer_use": "computer"}

# Texts that a call's argument may be written in, rather than an object around them.
_TEXTS = ("arguments", "input")


def read(raw: msgspec.Raw) -> Item:
    """An item; what is none is empty."""
    item = msgspec.json.decode(raw)
    return item if isinstance(item, dict) else {}


def arguments(item: Item, call: Call) -> str:
    """The arguments of a call as JSON text; those that the model wrote as text stay as they are."""
    field = next((field for field in call.arguments if item.get(field) is not None), None)
    if field is None:
        return ""
    value = item[field]
    if field in _TEXTS and isinstance(value, str):
        return value
    if isinstance(value, dict):
        commands = {key: value[key] for key in ("commands",) if key in value}
        return text_of({**commands, **{key: each for key, each in value.items() if each is not None}})
    return text_of(value if field in _TEXTS else {field: value})


def executor(item: Item, call: Call) -> content_pb2.ToolExecutor.ValueType:
    """Who runs a call: a shell in a container of the provider's is the provider's."""
    environment = item.get("environment")
    hosted = isinstance(environment, dict) and environment.get("type") == "container_reference"
    return PROVIDER if hosted else call.executor


def call_id(item: Item, call: Call) -> str:
    """The id by which a call is answered."""
    return text(item.get(call.id) or item.get("id"))


def without(item: Item, *fields: str) -> str:
    """What is left of an item when its parts hold these fields."""
    return text_of({key: value for key, value in item.items() if key not in fields})


def text(value: Any) -> str:
    """The text that a value should be."""
    return value if isinstance(value, str) else ""


def text_of(value: Any) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def config_of(json: str) -> Item:
    """The settings of a tool that the provider runs; empty where they are none."""
    try:
        settings = msgspec.json.decode(json) if json else {}
    except msgspec.DecodeError:
        return {}
    return settings if isinstance(settings, dict) else {}
