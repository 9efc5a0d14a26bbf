"""The gateway's certificate is there, is readable by its owner alone, and belongs to its key."""

from pathlib import Path

import pytest
import trustme

from maestro_gateway.config.load import load
from maestro_gateway.config.problems import ConfigError

TEXT = """
listen:
  address: 0.0.0.0:7070
  tls: {certificate: gateway.pem, key: gateway.key, client_ca: ca.pem}
keys: [{name: a, secret: env:A}]
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    certificate = authority.issue_cert("localhost")
    (tmp_path / "gateway.yaml").write_text(TEXT)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "gateway.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "gateway.key")
    (tmp_path / "gateway.key").chmod(0o600)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as failure:
        load(None, {"A": "secret"}, folder)
    return [str(problem).replace(f"{folder}/", "") for problem in failure.value.problems]


def test_with_a_certificate_it_may_listen_anywhere(folder: Path) -> None:
    tls = load(None, {"A": "secret"}, folder).settings.listen.tls
    assert tls is not None
    assert tls.certificate == folder / "gateway.pem"


def test_a_private_key_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "gateway.key").chmod(0o644)
    assert mistakes(folder) == [
        "gateway.yaml:4:35: listen.tls.key: others can read gateway.key; run: chmod 600 gateway.key"
    ]


@pytest.mark.parametrize("name", ["gateway.pem", "gateway.key", "ca.pem"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (found,) = mistakes(folder)
    assert f"{name} cannot be read: No such file or directory; make the file, or name another" in found
    assert found.startswith("gateway.yaml:4:")


@pytest.mark.parametrize("name", ["gateway.pem", "gateway.key", "ca.pem"])
def test_a_file_that_is_no_pem_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("canary")
    (found,) = mistakes(folder)
    assert found.startswith("gateway.yaml:4:")
    assert "canary" not in found


def test_a_key_of_another_certificate_is_refused(folder: Path, authority: trustme.CA) -> None:
    authority.issue_cert("localhost").private_key_pem.write_to_path(folder / "gateway.key")
    (found,) = mistakes(folder)
    assert "listen.tls: certificate and key do not belong together" in found
