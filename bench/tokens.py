"""What a streamed token costs the whole gateway, beside the SDK's own iteration of the same stream in the same run."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc
import relay
import sdk
import upstream
import uvloop
from load import CHANNELS, STREAM, TIMEOUT
from process import CORES, LOAD_CORE, Process, pinned
from upstream import ANTHROPIC, BURST, DIALECTS, GEMINI, OPENAI, PACED, PACES, TOKENS

from maestro.v1 import chat_pb2, content_pb2

KEY = "key-of-the-bench"
AT_ONCE = {BURST: 16, PACED: 64}
GATEWAY_STREAMS = {BURST: 320, PACED: 64}  # of one round; enough that the kernel's ticks of 10 ms do not matter
SDK_STREAMS = {BURST: 64, PACED: 64}
ADAPTERS = {OPENAI: "openai_chat", ANTHROPIC: "anthropic", GEMINI: "gemini"}
BASES = {OPENAI: "/v1", ANTHROPIC: "", GEMINI: ""}
BARS = {
    (OPENAI, BURST): 8, (OPENAI, PACED): 3, (ANTHROPIC, BURST): 5, (ANTHROPIC, PACED): 2, (GEMINI, BURST): 8,
    (GEMINI, PACED): 3,
}  # fmt: skip


@dataclass(slots=True)
class Figures:
    """What a token of one dialect at one pace cost, in µs of CPU, round by round."""

    gateway: list[float] = field(default_factory=list)
    sdk: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    messages: list[float] = field(default_factory=list)  # of the gateway, for each token

    def times(self) -> list[float]:
        """How many times the gateway's cost the SDK's is, round by round."""
        return [theirs / ours for ours, theirs in zip(self.gateway, self.sdk, strict=True)]

    def add(self, costs: Mapping[str, float], messages: float) -> None:
        """A round."""
        self.gateway.append(costs["gateway"])
        self.sdk.append(costs["sdk"])
        self.floor += [costs["floor"]] if "floor" in costs else []
        self.messages.append(messages)

    def summary(self) -> dict[str, dict[str, float]]:
        """What stands in the table."""
        rows = {"gateway": self.gateway, "sdk": self.sdk, "times": self.times(), "messages": self.messages}
        return {name: spread(row) for name, row in rows.items()}


class Side(Protocol):
    """A process, and what makes it read answers."""

    process: Process

    async def play(self, dialect: str, pace: str) -> int:
        """Read a round's answers, and say how many tokens that were."""
        ...


class Server:
    """A server of chats, and callers of it who look at every word."""

    def __init__(self, process: Process) -> None:
        self.process = process
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each channel
        self._channels = [grpc.aio.insecure_channel(self.process.address, options=options) for _ in range(CHANNELS)]
        self._texts = upstream.texts()
        self.messages = 0

    async def play(self, dialect: str, pace: str) -> int:
        """Each caller asks again when it has its answer."""
        asked = content_pb2.Part(text=sdk.QUESTION)
        request = chat_pb2.ChatRequest(
            model=f"{dialect}/{pace}", messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[asked])]
        )
        self.messages = 0
        left = iter(range(GATEWAY_STREAMS[pace]))
        callers = (self._ask(number, request, left) for number in range(AT_ONCE[pace]))
        return sum(await asyncio.gather(*callers))

    async def close(self) -> None:
        """Hang up, and end it."""
        for channel in self._channels:
            await channel.close()
        self.process.stop()

    async def _ask(self, number: int, request: chat_pb2.ChatRequest, left: Iterator[int]) -> int:
        stream = self._channels[number % CHANNELS].unary_stream(
            STREAM, chat_pb2.ChatRequest.SerializeToString, chat_pb2.ChatEvent.FromString
        )
        tokens = 0
        for _ in left:
            words: list[str] = []
            async for event in stream(request, metadata=(("authorization", f"Bearer {KEY}"),), timeout=TIMEOUT):
                self.messages += 1
                words.append(event.text_delta)
            if "".join(words) not in self._texts:
                raise RuntimeError(f"{request.model}: the answer is not what was sent")
            tokens += event.completed.usage.output_tokens
        return tokens


class Sdk:
    """The comparison: a process that reads with the SDKs alone."""

    def __init__(self, folder: Path, provider: str) -> None:
        folder.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.process = Process([sys.executable, sdk.__file__, provider], environ, folder)

    async def play(self, dialect: str, pace: str) -> int:
        """Tell it to, and wait."""
        host, _, port = self.process.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        wanted = {"dialect": dialect, "model": pace, "streams": SDK_STREAMS[pace], "at_once": AT_ONCE[pace]}
        writer.write(json.dumps(wanted).encode() + b"\n")
        answer = await reader.readline()
        writer.close()
        if not answer:
            raise RuntimeError(f"{dialect}, {pace}: the SDK did not read what was sent; its log says why")
        return int(answer)


def started_gateway(folder: Path, provider: str) -> Server:
    """`maestro serve` with the three providers and a key; its log goes to a file."""
    folder.mkdir()
    (folder / "gateway.yaml").write_text(gateway_yaml(provider))  # JSON is YAML
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAESTRO_ADDRESS": "127.0.0.1:0",
        "MAESTRO_KEY": KEY,
        "PROVIDER_KEY": KEY,
        "PYTHONUNBUFFERED": "1",
    }
    return Server(Process([Path(sys.executable).parent / "maestro", "serve"], environ, folder))


def started_relay(folder: Path, provider: str) -> Server:
    """The floor."""
    folder.mkdir()
    command = [sys.executable, relay.__file__, provider]
    return Server(Process(command, {"PATH": os.environ["PATH"]}, folder))


def gateway_yaml(provider: str) -> str:
    """The three providers, all at one address."""
    rows = {
        name: {"adapter": ADAPTERS[name], "base_url": f"http://{provider}{BASES[name]}", "api_key": "env:PROVIDER_KEY"}
        for name in DIALECTS
    }
    return json.dumps({"providers": rows})


async def cost(side: Side, dialect: str, pace: str, streams: int) -> float:
    """µs of CPU for each token; a token more or less, and the figures would compare two different things."""
    before = side.process.cpu()
    tokens = await side.play(dialect, pace)
    if tokens != streams * TOKENS:
        raise RuntimeError(f"{dialect}, {pace}: {tokens} tokens came, not {streams * TOKENS}")
    return (side.process.cpu() - before) / tokens * 1e6


async def compare(gateway: Server, floor: Server, sdks: Sdk, rounds: int) -> dict[tuple[str, str], Figures]:
    """Round by round, the gateway first in every second one. The floor has one dialect, and one pace."""
    works = [(dialect, pace) for dialect in DIALECTS for pace in PACES]
    figures = {work: Figures() for work in works}
    for turn in range(-1, rounds):  # the first only warms up
        for work in works:
            sides: list[tuple[Side, int, str]] = [
                (gateway, GATEWAY_STREAMS[work[1]], "gateway"),
                (sdks, SDK_STREAMS[work[1]], "sdk"),
            ]
            if work == (OPENAI, PACED):
                sides.insert(1, (floor, GATEWAY_STREAMS[PACED], "floor"))
            costs = {name: await cost(side, *work, streams) for side, streams, name in sides[:: 1 if turn % 2 else -1]}
            if turn >= 0:
                figures[work].add(costs, gateway.messages / GATEWAY_STREAMS[work[1]] / TOKENS)
    return figures


async def bench(folder: Path, rounds: int) -> dict[str, object]:
    """Everything measured, by name."""
    async with AsyncExitStack() as stack:
        (folder / "provider").mkdir()
        command = [sys.executable, upstream.__file__, str(LOAD_CORE)]
        provider = Process(command, {"PATH": os.environ["PATH"]}, folder / "provider")
        stack.callback(provider.stop)
        gateway = started_gateway(folder / "gateway", provider.address)
        stack.push_async_callback(gateway.close)
        floor = started_relay(folder / "relay", provider.address)
        stack.push_async_callback(floor.close)
        sdks = Sdk(folder / "sdk", provider.address)
        stack.callback(sdks.process.stop)
        figures = await compare(gateway, floor, sdks, rounds)
        return {
            "rounds": rounds,
            "rss_mib": {"gateway": round(gateway.process.rss()), "sdk": round(sdks.process.rss())},
            "floor": spread(figures[OPENAI, PACED].floor),
            "cpu_us": {f"{dialect} {pace}": each.summary() for (dialect, pace), each in figures.items()},
        }


def spread(row: Sequence[float]) -> dict[str, float]:
    """The median, and how far the rounds lie apart."""
    return {"median": round(statistics.median(row), 2), "low": round(min(row), 2), "high": round(max(row), 2)}


def table(measured: dict[str, object]) -> str:
    """The same for eyes."""
    costs = measured["cpu_us"]
    lines = [f"{'CPU µs a token':>16}  {'gateway':>22}  {'SDK alone':>24}  {'less, times':>22}  bar  messages a token"]
    assert isinstance(costs, dict)
    for (dialect, pace), bar in BARS.items():
        row = costs[f"{dialect} {pace}"]
        cells = [
            f"{row[name]['median']} ({row[name]['low']} … {row[name]['high']})" for name in ("gateway", "sdk", "times")
        ]
        widths = zip(cells, (22, 24, 22), strict=True)
        figures = "  ".join(f"{cell:>{width}}" for cell, width in widths)
        lines.append(f"{dialect + ' ' + pace:>16}  {figures}  {bar:>3}  {row['messages']['median']:>16}")
    floor = measured["floor"]
    assert isinstance(floor, dict)
    lines.append(f"{'grpcio, paced':>16}  {floor['median']:>10} ({floor['low']} … {floor['high']})")
    memory = measured["rss_mib"]
    assert isinstance(memory, dict)
    lines.append(f"{'MiB':>16}  {memory['gateway']:>22}  {memory['sdk']:>24}")
    lines.append(f"medians (lowest … highest) of {measured['rounds']} rounds; {TOKENS} tokens an answer")
    if len(CORES) == 1:
        lines.append("one core: the load, the provider and the servers share it")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds to measure, each with both sides")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, pinned(LOAD_CORE):
        measured = uvloop.run(bench(Path(folder), wanted.rounds))
    print(json.dumps(measured, indent=2) if wanted.json else table(measured))


if __name__ == "__main__":
    main(sys.argv[1:])
