"""What a call and a message cost the gateway, beside a bare echo of the same messages in the same run."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import echo
import uvloop
from load import COMPLETE, STREAM, STREAMED, WHOLE, Load, Work, gateway_yaml, question
from process import CORES, LOAD_CORE, Process, pinned

from maestro.v1 import chat_pb2

KEY = "key-of-the-bench"
CALLS, STREAMS = 2_000, 24  # of one round, for each server
SHORT, LONG = question(f"scripted/{WHOLE}"), question(f"scripted/{STREAMED}")
BARS = {"call": 2.5, "message": 1.6}


@dataclass(slots=True)
class Figures:
    """What one kind of work cost each server, in µs of CPU, round by round."""

    gateway: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Round by round, since neighbours in time share the weather."""
        return [ours / floor for ours, floor in zip(self.gateway, self.echo, strict=True)]


@dataclass(frozen=True, slots=True)
class Server:
    """A process and the load on it."""

    process: Process
    load: Load

    async def cost(self, work: Work) -> float:
        """µs of the server's CPU for each message."""
        before = self.process.cpu()
        await self.load.run(work)
        return (self.process.cpu() - before) / (work.calls * work.messages) * 1e6


async def bench(folder: Path, rounds: int) -> dict[str, object]:
    """Everything measured, by name."""
    gateway = started_gateway(folder / "gateway")
    try:
        answer, events = await answers(gateway.load)
        floor = started_echo(folder / "echo", answer, events)
        try:
            figures = await compare(gateway, floor, rounds, len(events))
            return {
                "rounds": rounds,
                "messages_a_stream": len(events),
                "bytes_a_message": round(statistics.mean(event.ByteSize() for event in events)),
                "rss_mib": {"gateway": round(gateway.process.rss()), "echo": round(floor.process.rss())},
                "cpu_us": {name: summary(each) for name, each in figures.items()},
            }
        finally:
            await floor.load.close()
            floor.process.stop()
    finally:
        await gateway.load.close()
        gateway.process.stop()


def started_gateway(folder: Path) -> Server:
    """`maestro serve`, as it comes, with a key and two scripted models; its log goes to a file."""
    folder.mkdir()
    (folder / "gateway.yaml").write_text(gateway_yaml())  # JSON is YAML
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAESTRO_ADDRESS": "127.0.0.1:0",
        "MAESTRO_KEY": KEY,
        "PYTHONUNBUFFERED": "1",
    }
    process = Process([Path(sys.executable).parent / "maestro", "serve"], environ, folder)
    return Server(process, Load(process.address, KEY))


def started_echo(folder: Path, answer: chat_pb2.ChatResponse, events: list[chat_pb2.ChatEvent]) -> Server:
    """The echo, with the gateway's own answers to say."""
    folder.mkdir()
    echo.keep(folder, answer, events)
    process = Process([sys.executable, echo.__file__, folder], {"PATH": os.environ["PATH"]}, folder)
    return Server(process, Load(process.address, KEY))


async def answers(load: Load) -> tuple[chat_pb2.ChatResponse, list[chat_pb2.ChatEvent]]:
    """What the gateway says to both questions; nothing of it merged, or a message would be more than an event."""
    answer, events = await load.whole(SHORT), await load.events(LONG)
    if any(event.merged for event in events) or not events[-1].HasField("completed"):
        raise RuntimeError("the stream is not one event a message, to its end: the script does not fit the adapter")
    return answer, events


async def compare(gateway: Server, floor: Server, rounds: int, messages: int) -> Mapping[str, Figures]:
    """Round by round, each server first in every second one."""
    works = {
        "call": Work(COMPLETE, SHORT.SerializeToString(), CALLS, 1),
        "message": Work(STREAM, LONG.SerializeToString(), STREAMS, messages),
    }
    figures = {name: Figures() for name in works}
    for turn in range(-1, rounds):  # the first only warms up
        for name, work in works.items():
            costs = {}
            for server in (gateway, floor) if turn % 2 else (floor, gateway):
                costs[server] = await server.cost(work)
            if turn >= 0:
                figures[name].gateway.append(costs[gateway])
                figures[name].echo.append(costs[floor])
    return figures


def summary(figures: Figures) -> dict[str, dict[str, float]]:
    """Medians, and how far the rounds lie apart."""
    rows = {"gateway": figures.gateway, "echo": figures.echo, "ratio": figures.ratios()}
    return {
        name: {"median": round(statistics.median(row), 2), "low": round(min(row), 2), "high": round(max(row), 2)}
        for name, row in rows.items()
    }


def table(measured: dict[str, object]) -> str:
    """The same for eyes."""
    costs = measured["cpu_us"]
    lines = [f"{'CPU µs':>12}  {'gateway':>22}  {'echo':>22}  {'ratio':>22}  bar"]
    assert isinstance(costs, dict)
    for name, row in costs.items():
        cells = [f"{cell['median']:>8} ({cell['low']} … {cell['high']})" for cell in row.values()]
        lines.append(f"{'a ' + name:>12}  " + "  ".join(f"{cell:>22}" for cell in cells) + f"  {BARS[name]}")
    memory = measured["rss_mib"]
    assert isinstance(memory, dict)
    lines.append(f"{'MiB':>12}  {memory['gateway']:>22}  {memory['echo']:>22}")
    lines.append(
        f"medians (lowest … highest) of {measured['rounds']} rounds; "
        f"{measured['messages_a_stream']} messages a stream, {measured['bytes_a_message']} bytes each"
    )
    if len(CORES) == 1:
        lines.append("one core: the load and the servers share it")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds to measure, each with both servers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, pinned(LOAD_CORE):
        measured = uvloop.run(bench(Path(folder), wanted.rounds))
    print(json.dumps(measured, indent=2) if wanted.json else table(measured))


if __name__ == "__main__":
    main(sys.argv[1:])
