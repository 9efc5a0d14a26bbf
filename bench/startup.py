"""How long the gateway takes to start and what memory it holds then: with no provider, with each one, with all."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from process import LOAD_CORE, Process, pinned

NOBODY, EVERYBODY = "none", "all"
ONE = {"api_key": "env:PROVIDER_KEY"}
AZURE = {"base_url": "https://acme.openai.azure.example"}
# Nobody is asked anything, so no address and no key need to be real.
PROVIDERS: Mapping[str, Mapping[str, object]] = {
    "openai_chat": ONE,
    "openai_responses": ONE,
    "azure": ONE | AZURE,
    "anthropic": ONE,
    "gemini": ONE,
    "bedrock": {"options": {"region": "eu-central-1"}},
    "cohere": ONE,
    "ollama": {},
}


@dataclass(slots=True)
class Figures:
    """Of each start: seconds until it listens, seconds of CPU for that, MiB in memory."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """What stands in the table."""
        return {
            "seconds": round(statistics.median(self.seconds), 2),
            "low": round(min(self.seconds), 2),
            "high": round(max(self.seconds), 2),
            "cpu_seconds": round(statistics.median(self.cpu), 2),
            "rss_mib": round(statistics.median(self.rss)),
        }


def cases() -> dict[str, dict[str, Mapping[str, object]]]:
    """Which providers are configured, by the name of the case. None means that the scripted adapter answers."""
    rows = {name: {"adapter": name, **settings} for name, settings in PROVIDERS.items()}
    return {NOBODY: {}, **{name: {name: row} for name, row in rows.items()}, EVERYBODY: dict(rows)}


def start(folder: Path, providers: Mapping[str, object], figures: Figures) -> None:
    """Start it once, note what it took, end it."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        (Path(home) / "gateway.yaml").write_text(json.dumps({"providers": providers}))  # JSON is YAML
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "MAESTRO_ADDRESS": "127.0.0.1:0",
            "MAESTRO_KEY": "key-of-the-bench",
            "PROVIDER_KEY": "key-of-the-bench",
            "PYTHONUNBUFFERED": "1",
        }
        began = time.perf_counter()
        process = Process([Path(sys.executable).parent / "maestro", "serve"], environ, Path(home))
        figures.seconds.append(time.perf_counter() - began)
        figures.cpu.append(process.cpu())
        figures.rss.append(process.rss())
        process.stop()


def bench(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Every case in turn, again and again; the first round only warms the files."""
    measured = {name: Figures() for name in cases()}
    for turn in range(-1, rounds):
        for name, providers in cases().items():
            start(folder, providers, measured[name] if turn >= 0 else Figures())
    return {name: figures.medians() for name, figures in measured.items()}


def table(measured: Mapping[str, Mapping[str, float]]) -> str:
    """The same for eyes."""
    lines = [f"{'providers':>18}  {'seconds to listen':>22}  {'CPU seconds':>11}  {'MiB':>5}"]
    for name, row in measured.items():
        seconds = f"{row['seconds']} ({row['low']} … {row['high']})"
        lines.append(f"{name:>18}  {seconds:>22}  {row['cpu_seconds']:>11}  {row['rss_mib']:>5}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="starts to measure of each case")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, pinned(LOAD_CORE):
        measured = bench(Path(folder), wanted.rounds)
    print(json.dumps(measured, indent=2) if wanted.json else table(measured))


if __name__ == "__main__":
    main(sys.argv[1:])
