"""A server in a process of its own, on a core of its own: its address, its CPU time, its memory."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HELLO = "listening on "
TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE, SERVER_CORE = CORES[0], CORES[-1]  # the same one, where there is only one


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """Running, once made; `stop` ends it."""

    def __init__(self, command: Sequence[str | Path], environ: Mapping[str, str], folder: Path) -> None:
        """What it logs goes to a file in `folder`, as it would where it is deployed."""
        with (folder / "log").open("wb") as log, pinned(SERVER_CORE):
            self._process = subprocess.Popen(
                command, cwd=folder, env=dict(environ), stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.address = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(HELLO):
                self.address = line.removeprefix(HELLO).strip()
                return
        raise RuntimeError(f"{command} did not start:\n{(folder / 'log').read_text()}")

    def cpu(self) -> float:
        """Seconds of CPU until now, of all its threads, in the kernel and out of it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self) -> float:
        """Memory, in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
