"""env:NAME, file:PATH -> the secret itself."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

OTHERS = 0o077  # what the group and the rest of the world may do with a file


class SecretError(Exception):
    """A secret cannot be had: why, and what to do. It never holds the secret, nor what was written in its place."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def resolve(reference: object, environ: Mapping[str, str], folder: Path, *, in_a_file: bool = True) -> SecretStr:
    """The secret that `reference` names; a relative path starts at `folder`. Only a file must not hold it itself."""
    kind, separator, name = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if kind == "env" and separator and name:
        return usable(_from_environment(name, environ), f"the variable {name}")
    if kind == "file" and separator and name:
        return usable(read_private(folder / name), str(folder / name))
    if isinstance(reference, str) and not in_a_file:
        return usable(reference, "the variable")
    raise SecretError(
        "a secret is not written here", "put it in the environment or in a file, and write env:NAME or file:PATH"
    )


def read_private(path: Path) -> str:
    """The text of a file that nobody but its owner can read."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & OTHERS:  # of the file that is open: no time to swap it
                raise SecretError(f"others can read {path}", f"run: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}", "make the file, or name another") from None
    except UnicodeDecodeError:
        raise SecretError(f"{path} holds no text", "write the secret into it, in UTF-8") from None


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise SecretError(f"the variable {name} is not set", f"set it: export {name}=…, or in .env")
    return environ[name]


def usable(secret: str, where: str) -> SecretStr:
    """Secrets travel in headers: what no header can carry is refused. The line's end is none of the secret's."""
    secret = secret.strip()
    if not secret:
        raise SecretError(f"{where} is empty", "put the secret into it")
    if not secret.isascii() or not secret.isprintable():
        raise SecretError(f"{where} holds what no header can carry", "use printable ASCII, on one line")
    return SecretStr(secret)
