"""What only some models of Bedrock take, by vendor: top_k, reasoning, and what Claude does not take while it thinks."""

import re
from collections.abc import Mapping
from typing import Any

from maestro.v1 import chat_pb2
from maestro_adapters.anthropic.models import STRANGER, family
from maestro_adapters.wire.body import merge
from maestro_spi.answer import Answer

TOP_K: Mapping[str, tuple[str, ...]] = {  # vendor -> where
    "anthropic": ("top_k",),
    "amazon": ("inferenceConfig", "topK"),
    "cohere": ("k",),
    "mistral": ("top_k",),
    "qwen": ("top_k",),
}
EFFORTS: Mapping[chat_pb2.ReasoningEffort.ValueType, str] = {
    chat_pb2.REASONING_EFFORT_MINIMAL: "low",
    chat_pb2.REASONING_EFFORT_LOW: "low",
    chat_pb2.REASONING_EFFORT_MEDIUM: "medium",
    chat_pb2.REASONING_EFFORT_HIGH: "high",
    chat_pb2.REASONING_EFFORT_MAX: "high",
}
BUDGETS: Mapping[chat_pb2.ReasoningEffort.ValueType, int] = {
    chat_pb2.REASONING_EFFORT_MINIMAL: 1_024,
    chat_pb2.REASONING_EFFORT_LOW: 2_048,
    chat_pb2.REASONING_EFFORT_MEDIUM: 8_192,
    chat_pb2.REASONING_EFFORT_HIGH: 16_384,
    chat_pb2.REASONING_EFFORT_MAX: 32_000,
}
SMALLEST_BUDGET, ROOM_TO_ANSWER = 1_024, 1_024  # tokens

_VENDOR = re.compile(r"(?:^|[./:])(ai21|amazon|anthropic|cohere|deepseek|meta|mistral|moonshot|openai|qwen|writer)\.")
_ARN = re.compile(r"^arn:[^/]*/")


class Steering:
    """Adds to a body what the model's vendor takes beside what all take, and removes what this model does not."""

    def __init__(self, request: chat_pb2.ChatRequest, answer: Answer, body: dict[str, Any]) -> None:
        self._request = request
        self._answer = answer
        self._body = body
        self._extra: dict[str, Any] = {}
        named = _VENDOR.search(request.model)
        self._vendor = named[1] if named else ""
        self._kind = family(_ARN.sub("", request.model)) if self._vendor == "anthropic" else STRANGER
        self._top_k()
        self._reason()
        self._limit()
        if self._extra:
            merge(body.setdefault("additionalModelRequestFields", {}), self._extra)

    def _drop(self, field: str, why: str) -> None:
        self._answer.warning("PARAMETER_DROPPED", why, field)

    def _top_k(self) -> None:
        if not self._request.generation.HasField("top_k"):
            return
        nested: Any = self._request.generation.top_k
        place = TOP_K.get(self._vendor)
        if place is None:
            self._drop("generation.top_k", "this model does not take it")
            return
        for name in reversed(place):
            nested = {name: nested}
        merge(self._extra, nested)

    def _reason(self) -> None:
        reasoning = self._request.reasoning
        asked = bool(reasoning.effort) or reasoning.HasField("max_tokens")
        off = reasoning.effort == chat_pb2.REASONING_EFFORT_NONE
        effort = EFFORTS.get(reasoning.effort, "medium")
        match self._vendor:
            case "anthropic":
                if asked or reasoning.summary:
                    self._think(reasoning, off, asked)
            case _ if not asked:
                pass
            case "amazon":
                on = {"type": "enabled", "maxReasoningEffort": effort}
                self._extra["reasoningConfig"] = {"type": "disabled"} if off else on
            case "openai" if not off:
                self._extra["reasoning_effort"] = effort
            case "deepseek" | "moonshot" | "qwen" if not off:
                self._extra["reasoning_config"] = effort
            case _:
                self._drop("reasoning", "the reasoning of this model cannot be steered")

    def _think(self, reasoning: chat_pb2.ReasoningConfig, off: bool, asked: bool) -> None:
        """Claude's thinking: by a budget of tokens, or by effort for those that think as they see fit."""
        kind = self._kind.thinking
        if off and kind != "always":
            self._extra["thinking"] = {"type": "disabled"}
        elif kind == "none" or off:
            self._drop("reasoning", "the reasoning of this model cannot be steered")
        elif kind == "budget" or (kind == "both" and reasoning.HasField("max_tokens")):
            if asked:
                self._budget(reasoning)
        else:
            self._extra["thinking"] = {"type": "adaptive"}
            if reasoning.summary or chat_pb2.CHAT_INCLUDE_REASONING in self._request.include:
                self._extra["thinking"]["display"] = "summarized"
            if reasoning.effort:
                highest = reasoning.effort == chat_pb2.REASONING_EFFORT_MAX
                self._extra["output_config"] = {"effort": "max" if highest else EFFORTS[reasoning.effort]}

    def _budget(self, reasoning: chat_pb2.ReasoningConfig) -> None:
        asked = reasoning.HasField("max_tokens")
        budget = reasoning.max_tokens if asked else BUDGETS[reasoning.effort]
        limit = self._body.get("inferenceConfig", {}).get("maxTokens")
        if limit is not None and budget >= limit:
            budget = limit - ROOM_TO_ANSWER
        budget = max(budget, SMALLEST_BUDGET)
        if limit is not None and budget >= limit:
            self._drop("reasoning", f"to think takes {SMALLEST_BUDGET} tokens below generation.max_output_tokens")
            return
        if asked and budget != reasoning.max_tokens:
            self._answer.warning("PARAMETER_CHANGED", f"{budget} tokens fit into the limit", "reasoning.max_tokens")
        self._extra["thinking"] = {"type": "enabled", "budget_tokens": budget}

    def _limit(self) -> None:
        """Converse knows no temperature above 1; some models of Claude none at all, or none while they think."""
        inference = self._body.get("inferenceConfig", {})
        if inference.get("temperature", 0) > 1:
            self._answer.warning("PARAMETER_CHANGED", "the highest there is 1", "generation.temperature")
            inference["temperature"] = 1
        if self._vendor == "anthropic":
            self._limit_sampling(inference)
        if not inference:
            self._body.pop("inferenceConfig", None)

    def _limit_sampling(self, inference: dict[str, Any]) -> None:
        thinking = self._extra.get("thinking", {}).get("type") in ("enabled", "adaptive")
        none = self._kind.sampling == "none"
        why = "the model takes no sampling" if none else "the model does not take it while it thinks"
        if "temperature" in inference and (none or (thinking and inference["temperature"] != 1)):
            del inference["temperature"]
            self._drop("generation.temperature", why)
        if "topP" in inference and (none or (self._kind.sampling == "one" and "temperature" in inference)):
            del inference["topP"]
            self._drop("generation.top_p", why if none else "the model takes it or a temperature, not both")
        if "top_k" in self._extra and (none or thinking):
            del self._extra["top_k"]
            self._drop("generation.top_k", why)
        chosen = self._body.get("toolConfig", {}).get("toolChoice", {})
        if thinking and ("any" in chosen or "tool" in chosen):
            self._body["toolConfig"]["toolChoice"] = {"auto": {}}
            self._drop("tool_choice.mode", "the model cannot be forced to use a tool while it thinks")
