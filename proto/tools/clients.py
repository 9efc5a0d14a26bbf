"""The generated code of the clients in other languages, made by buf with the generators that each client pins.

`clients.py` replaces what is committed; `clients.py --check` compares and names what has drifted. A language limits it.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from generate import BUF, CODEGEN, ROOT, drift, run
from google.rpc import error_details_pb2

TYPESCRIPT = ROOT / "clients/typescript"


@dataclass(frozen=True, slots=True)
class Language:
    """One client: what its generators run on, how its code is made in a scratch folder, and where it is kept."""

    needs: str
    make: Callable[[], Path]
    kept: Path


def scratch(name: str) -> Path:
    out = CODEGEN / "clients" / name
    shutil.rmtree(out, ignore_errors=True)
    return out


def go() -> Path:
    """The generators are tools of the client's go.mod, verified by its go.sum."""
    out = scratch("go")
    run(BUF, "generate", "--template", "proto/templates/buf.gen.go.yaml", "-o", out)
    return out / "maestro"


def typescript() -> Path:
    """The generator is a development dependency of the client, verified by its package-lock.json."""
    install()
    out = scratch("typescript")
    template = ("--template", "proto/templates/buf.gen.ts.yaml", "-o", out)
    run(BUF, "generate", *template)
    run(BUF, "generate", error_details(scratch("error_details")), *template)
    return out


def install() -> None:
    """Once for each lock; no package of it needs to run anything while it is installed."""
    lock, stamp = TYPESCRIPT / "package-lock.json", CODEGEN / "typescript.lock"
    installed = (TYPESCRIPT / "node_modules/.bin/protoc-gen-es").exists() and stamp.exists()
    if installed and stamp.read_bytes() == lock.read_bytes():
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=TYPESCRIPT, check=True, stdout=subprocess.DEVNULL)
    CODEGEN.mkdir(exist_ok=True)
    stamp.write_bytes(lock.read_bytes())


def error_details(folder: Path) -> Path:
    """Go and Python have these in packages of their own, npm has none: they come from the .proto in Python's wheel."""
    target = folder / "google/rpc"
    target.mkdir(parents=True)
    shutil.copy(Path(error_details_pb2.__file__).with_name("error_details.proto"), target)
    return folder


LANGUAGES = {
    "go": Language("go", go, ROOT / "clients/go/maestro"),
    "typescript": Language("npm", typescript, TYPESCRIPT / "gen"),
}


def check(language: Language) -> list[str]:
    return drift(language.make(), language.kept)


def replace(language: Language) -> None:
    made = language.make()
    shutil.rmtree(language.kept, ignore_errors=True)
    shutil.copytree(made, language.kept)


def main(arguments: list[str]) -> int:
    checking = arguments[:1] == ["--check"]
    named = arguments[checking:]
    if not set(named) <= LANGUAGES.keys():
        print(f"usage: clients.py [--check] [{' | '.join(LANGUAGES)}]")
        return 2
    changed: list[str] = []
    for name in named or LANGUAGES:
        language = LANGUAGES[name]
        if shutil.which(language.needs) is None:
            print(f"the {name} client is left as it is: {language.needs} is not on the PATH")
            if named:
                return 1
        elif checking:
            changed += check(language)
        else:
            replace(language)
    if changed:
        print("generated files have drifted from proto/ (run: make proto):", *changed, sep="\n  ")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
