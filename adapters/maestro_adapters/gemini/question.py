"""Ours -> theirs: a request, as the body of generateContent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.gemini.conversation import Conversation, Json
from maestro_adapters.wire.body import merge_options, parse, short

CHOICES: Mapping[chat_pb2.ToolMode.ValueType, str] = {
    chat_pb2.TOOL_MODE_AUTO: "AUTO",
    chat_pb2.TOOL_MODE_NONE: "NONE",
    chat_pb2.TOOL_MODE_REQUIRED: "ANY",
}
# Neutral names of the tools that Google runs.
PROVIDER_TOOLS: Mapping[str, str] = {
    "web_search": "googleSearch",
    "web_fetch": "urlContext",
    "code_execution": "codeExecution",
    "file_search": "fileSearch",
    "computer_use": "computerUse",
    "google_maps": "googleMaps",
    "enterprise_web_search": "enterpriseWebSearch",
    "retrieval": "retrieval",
}
MODALITIES: Mapping[common_pb2.Modality.ValueType, str] = {
    common_pb2.MODALITY_TEXT: "TEXT",
    common_pb2.MODALITY_IMAGE: "IMAGE",
    common_pb2.MODALITY_AUDIO: "AUDIO",
    common_pb2.MODALITY_VIDEO: "VIDEO",
}

# How hard to think: models up to 2.5 take a budget of tokens, later ones a level.
BUDGETS: Mapping[chat_pb2.ReasoningEffort.ValueType, int] = {
    chat_pb2.REASONING_EFFORT_NONE: 0,
    chat_pb2.REASONING_EFFORT_MINIMAL: 512,
    chat_pb2.REASONING_EFFORT_LOW: 1_024,
    chat_pb2.REASONING_EFFORT_MEDIUM: 8_192,
    chat_pb2.REASONING_EFFORT_HIGH: 24_576,
    chat_pb2.REASONING_EFFORT_MAX: -1,  # as much as the model finds good
}
LEVELS: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_NONE: "MINIMAL",
    chat_pb2.REASONING_EFFORT_MINIMAL: "MINIMAL",
    chat_pb2.REASONING_EFFORT_LOW: "LOW",
    chat_pb2.REASONING_EFFORT_MEDIUM: "MEDIUM",
    chat_pb2.REASONING_EFFORT_HIGH: "HIGH",
    chat_pb2.REASONING_EFFORT_MAX: "HIGH",
}
LEAST_OF_PRO = {"budget": 128, "level": "LOW"}  # the large models cannot be kept from thinking
TIERS = {"default": "standard"}

# The request fields that are honoured, by path.
PARAMETERS = frozenset(
    {
        "generation.temperature",
        "generation.top_p",
        "generation.top_k",
        "generation.max_output_tokens",
        "generation.stop_sequences",
        "generation.seed",
        "generation.presence_penalty",
        "generation.frequency_penalty",
        "generation.top_logprobs",
        "generation.service_tier",
        "reasoning.effort",
        "reasoning.max_tokens",
        "reasoning.summary",
        "reasoning.return_encrypted",
        "cache.prompt_cache_key",
        "audio",
    }
)

Thinking = Literal["budget", "level"]

_BY_BUDGET = re.compile(r"gemini-(?:robotics-er-)?[12](?:\.\d)?-")
_CACHED = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?cachedContents/[^/]+\Z")


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent, and what has to be said about it."""

    body: Json
    warnings: list[common_pb2.Warning]


def ask(request: chat_pb2.ChatRequest, provider: str, adapter: str, thinking: Thinking | None = None) -> Question:
    """The request in Gemini's words. `thinking` says how the model takes efforts, where its name does not."""
    style: Thinking = thinking or ("budget" if _BY_BUDGET.search(request.model) else "level")
    conversation = Conversation(request, provider, signs_calls=style == "level")
    asking = _Asking(request, style, conversation.warnings, vertex=adapter == "vertex")
    body: Json = {"contents": conversation.contents}
    if conversation.system:
        body["systemInstruction"] = {"parts": conversation.system}
    asking.tools(body)
    asking.choice(body)
    generation = {**asking.sampling(), **asking.format(), **asking.thinking()}
    if generation:
        body["generationConfig"] = generation
    asking.beside(body)
    merge_options(body, request, (adapter, provider))
    return Question(body, conversation.warnings)


class _Asking:
    """Everything but the conversation."""

    def __init__(
        self, request: chat_pb2.ChatRequest, style: Thinking, warnings: list[common_pb2.Warning], *, vertex: bool
    ) -> None:
        self._request = request
        self._vertex = vertex
        self._style: Thinking = style
        self._warnings = warnings

    def tools(self, body: Json) -> None:
        """Functions in one tool, and one for each that Google runs."""
        functions: list[Json] = []
        others: list[Json] = []
        for number, tool in enumerate(self._request.tools):
            where = f"tools[{number}]"
            if tool.WhichOneof("kind") == "function":
                functions.append(_declaration(tool.function, where))
            elif tool.provider.name in PROVIDER_TOOLS:
                config = parse(tool.provider.config_json or "{}", f"{where}.provider.config_json")
                others.append({PROVIDER_TOOLS[tool.provider.name]: config})
            else:
                self._warn("TOOL_DROPPED", where, f"Google runs no {tool.provider.name!r}")
        tools = [{"functionDeclarations": functions}, *others] if functions else others
        if tools:
            body["tools"] = tools
        if functions and others and self._style == "level" and not self._vertex:
            body["toolConfig"] = {"includeServerSideToolInvocations": True}  # it takes both together only so

    def choice(self, body: Json) -> None:
        """Whether a function must be called, and which. To name some, where none must be, takes a mode of its own."""
        choice = self._request.tool_choice
        mode = CHOICES.get(choice.mode, "")
        strict = any(tool.function.strict for tool in self._request.tools)
        if mode in ("", "AUTO") and (choice.allowed_tools or strict):
            mode = "VALIDATED"
        if mode:
            calling: Json = {"mode": mode}
            if choice.allowed_tools and mode != "NONE":
                calling["allowedFunctionNames"] = list(choice.allowed_tools)
            body.setdefault("toolConfig", {})["functionCallingConfig"] = calling

    def sampling(self) -> Json:
        """The knobs."""
        told: Json = {}
        generation = self._request.generation
        for ours, theirs in (
            ("temperature", "temperature"),
            ("top_p", "topP"),
            ("top_k", "topK"),
            ("max_output_tokens", "maxOutputTokens"),
            ("presence_penalty", "presencePenalty"),
            ("frequency_penalty", "frequencyPenalty"),
            ("seed", "seed"),
            ("top_logprobs", "logprobs"),
        ):
            if generation.HasField(ours):  # type: ignore[arg-type]  # the names above are the message's
                told[theirs] = short(getattr(generation, ours))
        if generation.stop_sequences:
            told["stopSequences"] = list(generation.stop_sequences)
        if "logprobs" in told or chat_pb2.CHAT_INCLUDE_LOGPROBS in self._request.include:
            told["responseLogprobs"] = True
        return told

    def format(self) -> Json:
        """Kinds of output, and its shape."""
        told: Json = {}
        request = self._request
        if request.output_modalities:
            told["responseModalities"] = [MODALITIES.get(each, "TEXT") for each in request.output_modalities]
        if request.audio.voice:
            told["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": request.audio.voice}}}
        if request.audio.format not in ("", "pcm16"):
            self._warn("PARAMETER_DROPPED", "audio.format", "Gemini speaks in pcm16 only")
        kind = request.response_format.WhichOneof("format")
        if kind in ("json_object", "json_schema"):
            told["responseMimeType"] = "application/json"
        if kind == "json_schema":
            schema = request.response_format.json_schema.schema_json
            told["responseJsonSchema"] = parse(schema, "response_format.json_schema.schema_json")
        return told

    def thinking(self) -> Json:
        """How hard to think, and whether to tell."""
        told: Json = {}
        reasoning = self._request.reasoning
        if reasoning.HasField("max_tokens"):
            told["thinkingBudget"] = reasoning.max_tokens
        elif reasoning.effort:
            told.update(self._effort(reasoning.effort))
        if reasoning.summary or chat_pb2.CHAT_INCLUDE_REASONING in self._request.include:
            told["includeThoughts"] = True
        return {"thinkingConfig": told} if told else {}

    def _effort(self, effort: chat_pb2.ReasoningEffort.ValueType) -> Json:
        large = "-pro" in self._request.model
        if effort == chat_pb2.REASONING_EFFORT_NONE and (large or self._style == "level"):
            self._warn("PARAMETER_CHANGED", "reasoning.effort", "the model always thinks; it is asked for the least")
        if self._style == "budget":
            budget = BUDGETS[effort]
            return {"thinkingBudget": LEAST_OF_PRO["budget"] if large and budget == 0 else budget}
        level = LEVELS[effort]
        return {"thinkingLevel": LEAST_OF_PRO["level"] if large and level == "MINIMAL" else level}

    def beside(self, body: Json) -> None:
        """What stands beside the generation's own configuration."""
        if tier := self._request.generation.service_tier:
            body["serviceTier"] = TIERS.get(tier, tier)
        if cached := self._request.cache.prompt_cache_key:
            if _CACHED.match(cached):
                body["cachedContent"] = cached
            else:
                self._warn(
                    "PARAMETER_DROPPED", "cache.prompt_cache_key", "Gemini caches by itself, or by cachedContents/…"
                )

    def _warn(self, code: str, field: str, message: str) -> None:
        self._warnings.append(common_pb2.Warning(code=code, message=message, field=field))


def _declaration(function: chat_pb2.FunctionTool, where: str) -> Json:
    told: dict[str, Any] = {"name": function.name, "description": function.description}
    if function.input_schema_json:
        told["parametersJsonSchema"] = parse(function.input_schema_json, f"{where}.function.input_schema_json")
    if function.output_schema_json:
        told["responseJsonSchema"] = parse(function.output_schema_json, f"{where}.function.output_schema_json")
    return told
