"""`maestro serve` in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.gateway import KEY, RunningGateway


@contextmanager
def serving(folder: Path, **environ: str) -> Generator[RunningGateway]:
    """A gateway on a free port, with an empty home; it is told to leave at the end, and has to."""
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "maestro"), "serve"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MAESTRO_ADDRESS": "127.0.0.1:0",
            "MAESTRO_KEY": KEY,
            "PYTHONUNBUFFERED": "1",
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        address = next(
            (line.removeprefix("listening on ").strip() for line in process.stdout if line.startswith("listening on ")),
            "",
        )
        assert address, "the gateway did not start"
        yield RunningGateway(address, KEY, process)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)
