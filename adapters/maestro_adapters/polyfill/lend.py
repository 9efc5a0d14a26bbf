"""Which capabilities can be lent to a model that lacks them, and the adapters that lend them."""

from collections.abc import Callable, Collection, Mapping

from maestro.v1 import common_pb2
from maestro_adapters.polyfill.paced import Paced
from maestro_adapters.polyfill.prompted_tools import PromptedTools
from maestro_adapters.polyfill.structured import Structured
from maestro_adapters.polyfill.system import FoldedSystem
from maestro_spi.chat import ChatAdapter

Around = Callable[[ChatAdapter, str], ChatAdapter]

# From the inside out: whoever speaks by instructions stands outside of whoever folds them away.
LENT: Mapping[common_pb2.Capability.ValueType, Around] = {
    common_pb2.CAPABILITY_SYSTEM_PROMPT: FoldedSystem,
    common_pb2.CAPABILITY_TOOLS: PromptedTools,
    common_pb2.CAPABILITY_TOOL_CHOICE: PromptedTools,
    common_pb2.CAPABILITY_PARALLEL_TOOLS: PromptedTools,
    common_pb2.CAPABILITY_JSON_OBJECT: Structured,
    common_pb2.CAPABILITY_JSON_SCHEMA: Structured,
    common_pb2.CAPABILITY_STREAMING: Paced,
}


def lend(adapter: ChatAdapter, provider: str, missing: Collection[common_pb2.Capability.ValueType]) -> ChatAdapter:
    """The adapter, and around it what lends the capabilities that are missing."""
    for around in dict.fromkeys(LENT[capability] for capability in LENT if capability in missing):
        adapter = around(adapter, provider)
    return adapter
