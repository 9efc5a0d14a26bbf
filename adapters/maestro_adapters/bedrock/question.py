"""Our question in their words: ChatRequest -> the body of a Converse request."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maestro.v1 import chat_pb2
from maestro_adapters.bedrock.conversation import Conversation
from maestro_adapters.bedrock.steering import Steering
from maestro_adapters.wire.body import invalid, merge_options, parse, short
from maestro_spi.answer import Answer

ADAPTER = "bedrock"  # options may stand under this name too, whatever the provider is called

# The sampling that every model takes; what only some take goes beside it, by the vendor's own name.
INFERENCE: Mapping[str, str] = {
    "max_output_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
}
# Tools that the provider runs, by neutral name.
SYSTEM_TOOLS: Mapping[str, str] = {"code_execution": "nova_code_interpreter", "web_search": "nova_grounding"}
OWN_WORDS = ("toolSpec", "systemTool", "cachePoint")  # a tool written in theirs

PARAMETERS = frozenset(
    {
        "generation.temperature",
        "generation.top_p",
        "generation.top_k",
        "generation.max_output_tokens",
        "generation.stop_sequences",
        "generation.service_tier",
        "reasoning.effort",
        "reasoning.max_tokens",
        "reasoning.summary",
        "reasoning.return_encrypted",
    }
)

_STRANGE_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(slots=True)
class Question:
    """What is sent, and the names that its answer must be read with."""

    body: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # tools, theirs -> ours, where they differ


def question(
    request: chat_pb2.ChatRequest, provider: str, answer: Answer, usual: Mapping[str, Any] | None = None
) -> Question:
    """The request in the words of Converse. What it has to leave out, the answer warns of. `usual` stands below it."""
    return _Asking(request, provider, answer, usual or {}).question


class _Asking:
    """One translation, top to bottom."""

    def __init__(self, request: chat_pb2.ChatRequest, provider: str, answer: Answer, usual: Mapping[str, Any]) -> None:
        self._request = request
        self._answer = answer
        self._spelt: dict[str, str] = {}  # names of tools, ours -> theirs
        body: dict[str, Any] = json.loads(json.dumps(usual))
        tools = self._tools()
        conversation = Conversation(request, provider, self._spell, answer)
        body["messages"] = conversation.messages
        if conversation.system:
            body["system"] = conversation.system
        if tools:
            body["toolConfig"] = self._choose(tools)
        self._sample(body)
        self._format(body)
        Steering(request, answer, body)
        merge_options(body, request, (ADAPTER, provider))
        names = {theirs: ours for ours, theirs in self._spelt.items() if ours != theirs}
        self.question = Question(body, names)

    def _spell(self, name: str) -> str:
        """A tool's name in the letters that Converse takes, no two alike."""
        if name not in self._spelt:
            theirs = _STRANGE_IN_NAME.sub("_", name)
            while theirs in self._spelt.values():
                theirs += "_"
            self._spelt[name] = theirs
        return self._spelt[name]

    def _tools(self) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = []
        for number, tool in enumerate(self._request.tools):
            match tool.WhichOneof("kind"):
                case "function":
                    tools.append({"toolSpec": self._function(tool.function, f"tools[{number}].function")})
                case "provider":
                    if defined := self._provider_tool(tool.provider, f"tools[{number}].provider"):
                        tools.append(defined)
                case _:
                    pass  # the gateway's own; it has turned them into functions
        return tools

    def _function(self, tool: chat_pb2.FunctionTool, where: str) -> dict[str, Any]:
        schema: Any = {"type": "object", "properties": {}}
        if tool.input_schema_json:
            schema = parse(tool.input_schema_json, f"{where}.input_schema_json")
        defined: dict[str, Any] = {"name": self._spell(tool.name), "inputSchema": {"json": schema}}
        if tool.description:
            defined["description"] = tool.description
        if tool.strict:
            defined["strict"] = True
        return defined

    def _provider_tool(self, tool: chat_pb2.ProviderTool, where: str) -> dict[str, Any] | None:
        config = parse(tool.config_json, f"{where}.config_json") if tool.config_json else {}
        if not isinstance(config, dict):
            raise invalid(f"{where}.config_json", "an object is needed")
        if any(word in config for word in OWN_WORDS):
            return config
        if tool.name not in SYSTEM_TOOLS:
            message = f"there is no tool {tool.name!r}; there are: {', '.join(SYSTEM_TOOLS)}"
            self._answer.warning("TOOL_DROPPED", message, where)
            return None
        return {"systemTool": {"name": SYSTEM_TOOLS[tool.name], **config}}

    def _choose(self, tools: list[dict[str, Any]]) -> dict[str, Any]:
        choice = self._request.tool_choice
        allowed = {self._spell(name) for name in choice.allowed_tools}
        named = len(allowed) == 1 and choice.mode == chat_pb2.TOOL_MODE_REQUIRED
        if allowed and not named:
            kept = [tool for tool in tools if tool.get("toolSpec", {}).get("name", "") in allowed]
            tools = kept or tools
        config: dict[str, Any] = {"tools": tools}
        match choice.mode:
            case chat_pb2.TOOL_MODE_REQUIRED if named:
                config["toolChoice"] = {"tool": {"name": next(iter(allowed))}}
            case chat_pb2.TOOL_MODE_REQUIRED:
                config["toolChoice"] = {"any": {}}
            case chat_pb2.TOOL_MODE_AUTO:
                config["toolChoice"] = {"auto": {}}
            case chat_pb2.TOOL_MODE_NONE:
                message = "Converse cannot forbid the tools it is told of; the model may call one"
                self._answer.warning("PARAMETER_DROPPED", message, "tool_choice.mode")
            case _:
                pass
        return config

    def _sample(self, body: dict[str, Any]) -> None:
        generation = self._request.generation
        inference = body.setdefault("inferenceConfig", {})
        for said, value in generation.ListFields():
            if said.name in INFERENCE:
                inference[INFERENCE[said.name]] = short(value) if isinstance(value, float) else value
        if generation.stop_sequences:
            inference["stopSequences"] = list(generation.stop_sequences)
        if generation.service_tier:
            body["serviceTier"] = {"type": generation.service_tier}

    def _format(self, body: dict[str, Any]) -> None:
        wanted = self._request.response_format
        match wanted.WhichOneof("format"):
            case "json_schema":
                schema = wanted.json_schema
                parse(schema.schema_json, "response_format.json_schema.schema_json")
                told = {"schema": schema.schema_json}
                if schema.name:
                    told["name"] = schema.name
                if schema.description:
                    told["description"] = schema.description
                body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}
            case "json_object":
                message = "Converse has no format of any object; ask for a schema"
                self._answer.warning("PARAMETER_DROPPED", message, "response_format.json_object")
            case _:
                pass
