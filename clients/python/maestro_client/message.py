"""Messages made from what Python has at hand, and what answers say."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2

# What a chat may be asked with: a request, the conversation, or what the user says.
Prompt = chat_pb2.ChatRequest | Sequence[content_pb2.Message] | str
Content = content_pb2.Part | str


def user(*content: Content) -> content_pb2.Message:
    """What the user says."""
    return _message(content_pb2.ROLE_USER, content)


def system(*content: Content) -> content_pb2.Message:
    """Instructions of the operator."""
    return _message(content_pb2.ROLE_SYSTEM, content)


def assistant(*content: Content) -> content_pb2.Message:
    """What the model has said."""
    return _message(content_pb2.ROLE_ASSISTANT, content)


def tool_result(tool_call_id: str, *content: Content, name: str = "", is_error: bool = False) -> content_pb2.Message:
    """What a tool answered, or, with `is_error`, why it could not: the model may mend it."""
    result = content_pb2.ToolResult(
        tool_call_id=tool_call_id, name=name, content=[_part(one) for one in content], is_error=is_error
    )
    return content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=[content_pb2.Part(tool_result=result)])


def image(source: bytes | str, mime_type: str = "", *, detail: str = "") -> content_pb2.Part:
    """A picture: its bytes, of which `mime_type` says what they are, or its URI."""
    media = content_pb2.Media(modality=common_pb2.MODALITY_IMAGE, mime_type=mime_type, detail=detail)
    if isinstance(source, bytes):
        if not mime_type:
            raise ValueError("say what the bytes are: mime_type='image/png'")
        media.data = source
    else:
        media.uri = source
    return content_pb2.Part(media=media)


def function(name: str, description: str, schema: Mapping[str, Any] | str) -> chat_pb2.ToolSpec:
    """A tool that the caller runs; `schema` is the JSON Schema of its arguments."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name, description=description, input_schema_json=text))


def text_of(answer: chat_pb2.ChatResponse) -> str:
    """All text that the model has said."""
    return "".join(
        part.text
        for message in answer.messages
        if message.role == content_pb2.ROLE_ASSISTANT
        for part in message.parts
        if part.WhichOneof("kind") == "text"
    )


def tool_calls_of(answer: chat_pb2.ChatResponse) -> list[content_pb2.ToolCall]:
    """The tool calls that wait for the caller."""
    return [
        part.tool_call
        for message in answer.messages
        for part in message.parts
        if part.WhichOneof("kind") == "tool_call"
        and part.tool_call.executor in (content_pb2.TOOL_EXECUTOR_UNSPECIFIED, content_pb2.TOOL_EXECUTOR_CLIENT)
    ]


def request_of(prompt: Prompt, model: str) -> chat_pb2.ChatRequest:
    """The request that a prompt means. A request is never changed: with a model beside it, a copy goes out."""
    if isinstance(prompt, chat_pb2.ChatRequest):
        if not model:
            return prompt
        request = chat_pb2.ChatRequest()
        request.CopyFrom(prompt)
        request.model = model
        return request
    messages = [user(prompt)] if isinstance(prompt, str) else prompt
    return chat_pb2.ChatRequest(model=model, messages=messages)


def _message(role: content_pb2.Role.ValueType, content: Sequence[Content]) -> content_pb2.Message:
    return content_pb2.Message(role=role, parts=[_part(one) for one in content])


def _part(content: Content) -> content_pb2.Part:
    return content_pb2.Part(text=content) if isinstance(content, str) else content
