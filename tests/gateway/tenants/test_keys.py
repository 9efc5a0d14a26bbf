"""Keys: identified by digest, and made once where there is none."""

import os
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from maestro_gateway.base.call import Caller
from maestro_gateway.tenants.keys import KeyFileError, Keys, local_key, new_pepper
from maestro_gateway.tenants.settings import KeySettings

ROWS = (
    KeySettings(name="backend", secret=SecretStr("canary-one"), tenant="acme", scopes=("chat", "usage.read")),
    KeySettings(name="gone", secret=SecretStr("canary-two"), disabled=True),
)


async def test_a_key_tells_who_calls() -> None:
    keys = Keys(ROWS, new_pepper())
    caller = await keys.identify("canary-one")
    assert caller == Caller(tenant="acme", key="backend", scopes=frozenset({"chat", "usage.read"}))


async def test_a_disabled_key_is_known_and_suspended() -> None:
    caller = await Keys(ROWS, new_pepper()).identify("canary-two")
    assert caller is not None
    assert caller.suspended


@pytest.mark.parametrize("secret", ["", "canary", "canary-one ", "Canary-One", "\udcff", "ü", "x" * 100_000, "\0"])
async def test_any_other_text_is_nobody(secret: str) -> None:
    assert await Keys(ROWS, new_pepper()).identify(secret) is None


async def test_no_keys_know_nobody() -> None:
    assert await Keys((), new_pepper()).identify("") is None


def test_secrets_are_not_kept() -> None:
    keys = Keys(ROWS, new_pepper())
    assert "canary" not in f"{keys!r} {vars(keys)!r} {ROWS!r}"


def test_every_process_has_a_pepper_of_its_own() -> None:
    assert new_pepper() != new_pepper()


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    key, made = local_key(home)
    assert made
    assert key.startswith("mk_")
    assert len(key) == 46
    assert (home / "key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert os.listdir(home) == ["key"]
    assert local_key(home) == (key, False)
    assert local_key(tmp_path / "other")[0] != key


def test_gateways_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    found: list[tuple[str, bool]] = []
    threads = [threading.Thread(target=lambda: found.append(local_key(tmp_path / "home"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(found) == 16
    assert len({key for key, _ in found}) == 1
    assert sum(made for _, made in found) == 1
    assert os.listdir(tmp_path / "home") == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "key").write_text("canary")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyFileError) as failure:
        local_key(tmp_path)
    assert str(failure.value) == f"others can read {tmp_path}/key; run: chmod 600 {tmp_path}/key"


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(KeyFileError, match="chmod 700"):
        local_key(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"canary\ncanary", b"\xff\xfe"])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(KeyFileError, match="holds no key; delete it") as failure:
        local_key(tmp_path)
    assert "canary" not in str(failure.value)


def test_a_home_that_cannot_be_one_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="set MAESTRO_HOME to a folder of yours, or MAESTRO_KEY"):
        local_key(tmp_path / "file")
