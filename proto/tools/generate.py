"""Everything that is generated from proto/: Python code, the server's descriptor file, the clients' code.

`generate.py` replaces what is committed; `generate.py --check` compares and names what has drifted.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODEGEN = ROOT / ".codegen"
PYTHON = ROOT / "proto/gen/maestro"
DESCRIPTORS = ROOT / "server/maestro_gateway/api.binpb"
BUF = Path(sys.executable).parent / "buf"


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True)


def environment(name: str) -> None:
    """One virtual environment per generator: their protobuf versions exclude each other."""
    lock = ROOT / f"proto/tools/{name}.lock"
    home = CODEGEN / name
    stamp = home / "lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    run(home / "bin/pip", "install", "--quiet", "--require-hashes", "-r", lock)
    stamp.write_bytes(lock.read_bytes())


def python() -> Path:
    """The messages and stubs, in a scratch folder."""
    for name in ("old", "new"):
        environment(name)
    out = CODEGEN / "out"
    shutil.rmtree(out, ignore_errors=True)
    path = f"{CODEGEN / 'new/bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([BUF, "generate"], cwd=ROOT, check=True, env={**os.environ, "PATH": path})
    for package in {file.parent for file in (out / "maestro").rglob("*.py")}:
        (package / "py.typed").touch()
    return out / "maestro"


def descriptors(folder: Path) -> Path:
    """What the server reads rules, routes and rights from."""
    image = folder / "api.binpb"
    run(BUF, "build", "--exclude-source-info", "-o", image)
    return image


def client_descriptors(folder: Path) -> Path:
    """The stripped contract, with comments, for teams without buf."""
    image, stripped = folder / "full.binpb", folder / "maestro-client.binpb"
    run(BUF, "build", "-o", image)
    run(sys.executable, ROOT / "proto/tools/strip.py", image, stripped)
    return stripped


def drift(made: Path, kept: Path) -> list[str]:
    """Files that differ, are missing, or are left over."""
    names = {file.relative_to(folder) for folder in (made, kept) for file in folder.rglob("*") if file.is_file()}
    names = {name for name in names if "__pycache__" not in name.parts}
    return sorted(
        str((kept / name).relative_to(ROOT))
        for name in names
        if not (
            (made / name).exists() and (kept / name).exists() and filecmp.cmp(made / name, kept / name, shallow=False)
        )
    )


def check() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        changed = drift(python(), PYTHON)
        if descriptors(Path(folder)).read_bytes() != DESCRIPTORS.read_bytes():
            changed.append(str(DESCRIPTORS.relative_to(ROOT)))
    return changed


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--client-descriptors"]:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(client_descriptors(Path(folder)), arguments[1])
    elif arguments == ["--check"]:
        if changed := check():
            print("generated files have drifted from proto/ (run: make proto):", *changed, sep="\n  ")
            return 1
    elif arguments:
        print("usage: generate.py [--check | --client-descriptors FILE]")
        return 2
    else:
        made = python()
        shutil.rmtree(PYTHON, ignore_errors=True)
        shutil.copytree(made, PYTHON)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(descriptors(Path(folder)), DESCRIPTORS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
