"""The page of parity: capability by adapter, from what adapters declare and what exchanges prove."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from maestro.v1 import common_pb2
from maestro_adapters import vendors
from maestro_adapters.polyfill.lend import LENT
from maestro_adapters.registry import ADAPTERS, load
from maestro_spi import AdapterSettings, ChatProvider
from maestro_spi.capability import EMULATED, NATIVE, NONE

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
Proven = Mapping[str, Mapping[str, int]]

WORDS = {NATIVE: "native", EMULATED: "emulated"}
NO_CONVERSATION = {"LONG_CONTEXT", "BATCH", "TOKEN_COUNTING"}
SHARED = {"azure", "vertex"}  # proven by those whose code they are
CAPABILITIES = [name.removeprefix("CAPABILITY_") for name, number in common_pb2.Capability.items() if number]
NO_FEATURES = {"exchanges", "STREAMING", "whole answer", "failure", "failure in a stream"}  # counts of their own

HEAD = """\
# Parity

<!-- Made by docs/tools/parity.py from the adapters' facts and a run of tests/exchanges; not edited by hand. -->

What each adapter can do, and how many exchanges in [`tests/exchanges`](../tests/exchanges) prove it. An exchange counts
if it passes: the answer is understood as it was meant, and the request is what the provider documents.

## Adapters

Each is pinned to an SDK and to a version of the provider's API. *Failures* are exchanges that end in an error, before
the answer or in the middle of it. `azure` speaks through `openai_chat` and `openai_responses`, `vertex` is `gemini`
behind another door: their own exchanges prove what is different.

| adapter | pinned to | exchanges | streams | whole answers | failures |
| --- | --- | --- | --- | --- | --- |
"""
CAPABLE = """
## Capabilities

*native*: at least one of its models has it by the provider's own means; which ones, `maestro models` says. *emulated*:
lent by the gateway, and declared as such in the answer. *understood*: no model is declared to have it; where one has,
nothing is lost. –: no; a request that needs it goes to another model or is refused. The number is that of the exchanges
that prove it.

"""
BESIDE = """
## Beside capabilities

What the contract has no capability for, by the number of exchanges that prove it.

"""
OWED = """
## Declared, and proven by no exchange of ours

"""
FOOT = """
Capabilities of whole models (a long window) and those that are not a conversation (batches, counting of tokens) have no
exchanges. The scripted adapter is held to the contract by scripts, `local_embedding` by tests of its own.
"""


def page() -> str:
    """The whole page."""
    adapters = {name: _made(name) for name in ADAPTERS}
    declared = {name: _levels(plugs) for name, plugs in adapters.items()}
    proven = _proven()
    beside = sorted({name for counts in proven.values() for name in counts} - {*CAPABILITIES, *NO_FEATURES})
    return "".join(
        [
            HEAD,
            *(_adapter(name, plugs[0].version, proven.get(name, {})) for name, plugs in adapters.items()),
            CAPABLE,
            *_table(list(adapters), CAPABILITIES, lambda row, name: _cell(row, declared[name], proven.get(name, {}))),
            BESIDE,
            *_table([*proven], beside, lambda row, name: str(proven[name].get(row, "–"))),
            OWED,
            *_owed(declared, proven),
            FOOT,
        ]
    )


def _proven() -> Proven:
    """In a process of its own: a run of tests has no place in this one."""
    command = [sys.executable, "-m", "tests.conformance.features"]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    counts: Proven = json.loads(ran.stdout)
    return counts


def _made(adapter: str) -> Sequence[ChatProvider]:
    """The adapter for each vendor that it speaks to, with the catalogue's models."""
    rows = [row for row in vendors.read().rows if adapter in (row.adapter, *row.also)]
    settings = [AdapterSettings(name=row.name, adapter=adapter, base_url=row.base_url) for row in rows]
    settings = settings or [AdapterSettings(name=adapter, adapter=adapter)]
    return [load(_complete(each)) for each in settings]


def _complete(settings: AdapterSettings) -> AdapterSettings:
    keyed = vendors.read().completed(settings.model_copy(update={"api_key": "none"}))
    return AdapterSettings.model_validate({**keyed.model_dump(), "base_url": keyed.base_url or NOWHERE})


def _levels(plugs: Sequence[ChatProvider]) -> Mapping[str, common_pb2.SupportLevel.ValueType]:
    """The best that any of its models declares; what a polyfill lends to those that talk."""
    best: dict[str, common_pb2.SupportLevel.ValueType] = {}
    models = [model for plug in plugs for model in plug.models()]
    for model in models:
        for capability, support in model.capabilities.items():
            name = common_pb2.Capability.Name(capability).removeprefix("CAPABILITY_")
            best[name] = max(best.get(name, support.level), support.level)
    if "STREAMING" in best:
        for capability in LENT:
            best.setdefault(common_pb2.Capability.Name(capability).removeprefix("CAPABILITY_"), EMULATED)
    return best


def _adapter(name: str, version: str, counts: Mapping[str, int]) -> str:
    _, _, pinned = version.partition(" (")
    failures = counts.get("failure", 0) + counts.get("failure in a stream", 0)
    numbers = (counts.get("exchanges", 0), counts.get("STREAMING", 0), counts.get("whole answer", 0), failures)
    return f"| `{name}` | {pinned.removesuffix(')') or 'nothing outside'} | {' | '.join(map(str, numbers))} |\n"


def _table(columns: Sequence[str], rows: Sequence[str], cell: Callable[[str, str], str]) -> Iterator[str]:
    yield f"| | {' | '.join(f'`{name}`' for name in columns)} |\n"
    yield f"| --- |{' --- |' * len(columns)}\n"
    for row in rows:
        yield f"| {row} | {' | '.join(cell(row, name) for name in columns)} |\n"


def _cell(capability: str, declared: Mapping[str, common_pb2.SupportLevel.ValueType], counts: Mapping[str, int]) -> str:
    proofs = counts.get(capability, 0)
    word = WORDS.get(declared.get(capability, NONE), "")
    if proofs:
        return f"{word or 'understood'} {proofs}"
    return word or "–"


def _owed(declared: Mapping[str, Mapping[str, common_pb2.SupportLevel.ValueType]], proven: Proven) -> Iterator[str]:
    """The gaps, so that nobody has to look for them."""
    for name, counts in proven.items():
        if name in SHARED:
            continue
        gaps = [row for row in CAPABILITIES if declared[name].get(row) == NATIVE and not counts.get(row)]
        gaps = [row for row in gaps if row not in NO_CONVERSATION]
        if gaps:
            yield f"- `{name}`: {', '.join(gaps)}\n"
