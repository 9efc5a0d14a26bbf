"""ChatRequest -> the body of a Messages request: sampling, thinking, tools, format, and the conversation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anthropic import transform_schema

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.anthropic.conversation import Block, Conversation
from maestro_adapters.anthropic.models import UNKNOWN_OUTPUT_TOKENS, family
from maestro_adapters.anthropic.notes import Notes
from maestro_adapters.wire.body import invalid, merge, parse, short

# How hard to think, for models that take an effort and for those that take a budget of tokens.
EFFORTS: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_MINIMAL: "low",
    chat_pb2.REASONING_EFFORT_LOW: "low",
    chat_pb2.REASONING_EFFORT_MEDIUM: "medium",
    chat_pb2.REASONING_EFFORT_HIGH: "high",
    chat_pb2.REASONING_EFFORT_MAX: "max",
}
BUDGETS: Mapping[chat_pb2.ReasoningEffort.ValueType, int] = {
    chat_pb2.REASONING_EFFORT_MINIMAL: 1_024,
    chat_pb2.REASONING_EFFORT_LOW: 2_048,
    chat_pb2.REASONING_EFFORT_MEDIUM: 8_192,
    chat_pb2.REASONING_EFFORT_HIGH: 16_384,
    chat_pb2.REASONING_EFFORT_MAX: 32_000,
}
SMALLEST_BUDGET = 1_024  # the API takes no smaller one
ROOM_TO_ANSWER = 1_024  # tokens that a budget for thinking leaves below the limit

CHOICES: Mapping[chat_pb2.ToolMode.ValueType, str] = {
    chat_pb2.TOOL_MODE_AUTO: "auto",
    chat_pb2.TOOL_MODE_NONE: "none",
    chat_pb2.TOOL_MODE_REQUIRED: "any",
}
TIERS: Mapping[str, str] = {
    "auto": "auto",
    "priority": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}

# Neutral names of the tools that it defines: type and name there, and the beta that one needs.
PROVIDER_TOOLS: Mapping[str, tuple[str, str, str]] = {
    "web_search": ("web_search_20250305", "web_search", ""),
    "web_fetch": ("web_fetch_20250910", "web_fetch", ""),
    "code_execution": ("code_execution_20250825", "code_execution", ""),
    "computer_use": ("computer_20250124", "computer", "computer-use-2025-01-24"),
    "text_editor": ("text_editor_20250728", "str_replace_based_edit_tool", ""),
    "bash": ("bash_20250124", "bash", ""),
    "memory": ("memory_20250818", "memory", ""),
    "tool_search": ("tool_search_tool_bm25_20251119", "tool_search_tool_bm25", ""),
}

ADAPTER = "anthropic"  # options may stand under this name too, whatever the provider is called
ANSWER_TOOL = "answer"  # what a model without a JSON mode is made to call, with the answer as arguments
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_STRANGE_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_GATEWAYS = ("model", "stream")  # a caller's own options may not change which model answers, or how


@dataclass(slots=True)
class Question:
    """What is sent, and what its answer must be read with."""

    body: dict[str, Any] = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    warnings: list[common_pb2.Warning] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # tools, theirs -> ours, where they differ
    answer_tool: str = ""  # the tool whose arguments are the answer


def ask(request: chat_pb2.ChatRequest, provider: str, *, stream: bool = True, most: int = 0) -> Question:
    """The request in Anthropic's words; `most` tokens of output are asked for where it does not say."""
    return _Asking(request, provider, stream, most).question


class _Asking:
    """One translation, top to bottom."""

    def __init__(self, request: chat_pb2.ChatRequest, provider: str, stream: bool, most: int) -> None:
        self._request = request
        self._kind = family(request.model)
        self._notes = Notes(provider, request)
        self._wants_reasoning = chat_pb2.CHAT_INCLUDE_REASONING in request.include
        self._spelt: dict[str, str] = {}  # names of tools, ours -> theirs
        self.question = Question(warnings=self._notes.warnings)
        self.question.body = body = {"model": request.model, "stream": stream}
        self._limit(most)
        self._tools()
        conversation = Conversation(provider, request, self._kind, self._spell, self._notes)
        if conversation.system:
            body["system"] = conversation.system
        body["messages"] = conversation.messages
        self._format()
        self._think()
        self._choose()
        self._sample()
        if request.end_user:
            body["metadata"] = {"user_id": request.end_user}
        for name in dict.fromkeys((ADAPTER, provider)):
            if name in request.provider_options_json:
                self._merge(request.provider_options_json[name], f'provider_options_json["{name}"]')
        self.question.names = {theirs: ours for ours, theirs in self._spelt.items() if ours != theirs}

    def _limit(self, most: int) -> None:
        generation = self._request.generation
        most = most or self._kind.max_output_tokens or UNKNOWN_OUTPUT_TOKENS
        asked = generation.HasField("max_output_tokens")
        self.question.body["max_tokens"] = generation.max_output_tokens if asked else most

    def _sample(self) -> None:
        generation, body = self._request.generation, self.question.body
        thinking = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
        if self._kind.sampling != "none":
            if generation.HasField("temperature"):
                self._temperature(generation.temperature, thinking)
            if generation.HasField("top_p"):
                if "temperature" in body and self._kind.sampling == "one":
                    self._notes.drop("generation.top_p", "the model takes it or a temperature, not both")
                else:
                    body["top_p"] = short(generation.top_p)
            if generation.HasField("top_k"):
                if thinking:
                    self._notes.drop("generation.top_k", "the model does not take it while it thinks")
                else:
                    body["top_k"] = generation.top_k
        if generation.stop_sequences:
            body["stop_sequences"] = list(generation.stop_sequences)
        if generation.service_tier:
            if tier := TIERS.get(generation.service_tier):
                body["service_tier"] = tier
            else:
                self._notes.drop("generation.service_tier", f"there are: {', '.join(TIERS)}")

    def _temperature(self, temperature: float, thinking: bool) -> None:
        if thinking and temperature != 1:
            self._notes.drop("generation.temperature", "the model does not take it while it thinks")
            return
        if temperature > 1:
            self._notes.warn("PARAMETER_CHANGED", "generation.temperature", "the model's highest is 1")
        self.question.body["temperature"] = short(min(temperature, 1.0))

    def _think(self) -> None:
        reasoning, body = self._request.reasoning, self.question.body
        asked = reasoning.effort or reasoning.HasField("max_tokens")
        shown = reasoning.summary or (self._kind.thinking == "always" and self._wants_reasoning)
        if not (asked or shown) or self._kind.thinking == "none":
            return
        if reasoning.effort == chat_pb2.REASONING_EFFORT_NONE:
            if self._kind.thinking == "always":
                self._notes.drop("reasoning.effort", "the model always thinks")
            else:
                body["thinking"] = {"type": "disabled"}
        elif self._kind.thinking == "budget" or (self._kind.thinking == "both" and reasoning.HasField("max_tokens")):
            if asked:
                self._budget(reasoning)
        else:
            self._adapt(reasoning)

    def _adapt(self, reasoning: chat_pb2.ReasoningConfig) -> None:
        body = self.question.body
        body["thinking"] = {"type": "adaptive"}
        if reasoning.summary or self._wants_reasoning:
            body["thinking"]["display"] = "summarized"
        if effort := EFFORTS.get(reasoning.effort):
            body.setdefault("output_config", {})["effort"] = effort

    def _budget(self, reasoning: chat_pb2.ReasoningConfig) -> None:
        limit = self.question.body["max_tokens"]
        asked = reasoning.HasField("max_tokens")
        wanted = reasoning.max_tokens if asked else BUDGETS.get(reasoning.effort, 0)
        budget = wanted if asked and wanted < limit else min(wanted, limit - ROOM_TO_ANSWER)
        budget = max(budget, SMALLEST_BUDGET)
        if budget >= limit:
            self._notes.drop("reasoning", f"to think takes {SMALLEST_BUDGET} tokens below generation.max_output_tokens")
            return
        if asked and budget != wanted:
            self._notes.warn("PARAMETER_CHANGED", "reasoning.max_tokens", f"{budget} tokens fit into the limit")
        self.question.body["thinking"] = {"type": "enabled", "budget_tokens": budget}

    def _spell(self, name: str) -> str:
        """A tool's name in the letters that the API takes, no two alike."""
        if name not in self._spelt:
            theirs = _STRANGE_IN_NAME.sub("_", name)
            while theirs in self._spelt.values():
                theirs += "_"
            self._spelt[name] = theirs
        return self._spelt[name]

    def _tools(self) -> None:
        tools: list[Block] = []
        for number, tool in enumerate(self._request.tools):
            match tool.WhichOneof("kind"):
                case "function":
                    tools.append(self._function(tool.function, f"tools[{number}].function"))
                case "provider":
                    if defined := self._provider_tool(tool.provider, f"tools[{number}].provider"):
                        tools.append(defined)
                case other:
                    self._notes.drop(f"tools[{number}].{other or 'kind'}", "it is not for the provider to run")
        if tools:
            self.question.body["tools"] = tools

    def _function(self, tool: chat_pb2.FunctionTool, where: str) -> Block:
        schema = {**_ANY_OBJECT, "properties": {}}
        if tool.input_schema_json:
            schema = _object(tool.input_schema_json, f"{where}.input_schema_json")
        defined: Block = {"name": self._spell(tool.name), "input_schema": schema}
        if tool.description:
            defined["description"] = tool.description
        if tool.strict and self._kind.schema:
            defined["strict"] = True
        return defined

    def _provider_tool(self, tool: chat_pb2.ProviderTool, where: str) -> Block | None:
        config = _object(tool.config_json, f"{where}.config_json") if tool.config_json else {}
        kind, name, beta = PROVIDER_TOOLS.get(tool.name, ("", tool.name, ""))
        if not kind and "type" not in config:
            self._notes.drop(where, f"it has no tool {tool.name!r}; there are: {', '.join(PROVIDER_TOOLS)}")
            return None
        if beta and "type" not in config:
            self.question.betas.append(beta)
        return {"type": kind, "name": name} | config

    def _choose(self) -> None:
        choice, body = self._request.tool_choice, self.question.body
        if not body.get("tools"):
            return
        allowed = [self._spell(name) for name in choice.allowed_tools]
        if allowed:
            body["tools"] = [tool for tool in body["tools"] if tool["name"] in (*allowed, self.question.answer_tool)]
        chosen: Block = {"type": CHOICES.get(choice.mode, "auto")}
        if self.question.answer_tool:
            chosen = self._choose_answer(chosen)
        elif chosen["type"] == "any" and len(allowed) == 1:
            chosen = {"type": "tool", "name": allowed[0]}
        if choice.disable_parallel and chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
        if chosen["type"] in ("any", "tool") and body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
            self._notes.drop("tool_choice.mode", "the model cannot be forced to use a tool while it thinks")
            chosen["type"] = "auto"
            chosen.pop("name", None)
        if chosen != {"type": "auto"}:
            body["tool_choice"] = chosen

    def _choose_answer(self, chosen: Block) -> Block:
        """It must call something: the tool that answers, or one of the caller's."""
        body, answer = self.question.body, self.question.answer_tool
        if chosen["type"] == "none":
            body["tools"] = [tool for tool in body["tools"] if tool["name"] == answer]
        return {"type": "tool", "name": answer} if len(body["tools"]) == 1 else {"type": "any"}

    def _format(self) -> None:
        wanted = self._request.response_format
        which = wanted.WhichOneof("format")
        if which == "json_schema":
            schema = _object(wanted.json_schema.schema_json, "response_format.json_schema.schema_json")
            if self._kind.schema:
                made = {"type": "json_schema", "schema": self._transformed(schema)}
                self.question.body.setdefault("output_config", {})["format"] = made
            else:
                self._answer_by_tool(schema, wanted.json_schema.description)
        elif which == "json_object":
            self._answer_by_tool(dict(_ANY_OBJECT), "")

    def _transformed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema as far as its constraints are known there; the rest becomes words."""
        try:
            return transform_schema(schema)
        except (ValueError, TypeError, AttributeError, AssertionError):
            return schema  # the provider may know better, or says what is wrong

    def _answer_by_tool(self, schema: dict[str, Any], description: str) -> None:
        name = ANSWER_TOOL
        while name in self._spelt.values():
            name += "_"
        self.question.answer_tool = name
        tool = {"name": name, "description": description or "Give the answer.", "input_schema": schema}
        self.question.body.setdefault("tools", []).append(tool)

    def _merge(self, text: str, where: str) -> None:
        options = _object(text, where)
        betas = options.pop("betas", [])
        self.question.betas += [str(beta) for beta in betas] if isinstance(betas, list) else [str(betas)]
        for name in _GATEWAYS:
            if options.pop(name, None) is not None:
                self._notes.drop(f"{where}.{name}", "the gateway decides it")
        merge(self.question.body, options)


def _object(text: str, field: str) -> dict[str, Any]:
    read = parse(text, field)
    if not isinstance(read, dict):
        raise invalid(field, "an object is needed")
    return read
