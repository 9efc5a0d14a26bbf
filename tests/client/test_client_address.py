"""Which addresses there are, and which of them are this machine."""

import pytest

from maestro_client import ConnectionSettingsError
from maestro_client.address import parse

HERE = {
    "127.0.0.1:7070": "127.0.0.1:7070",
    "127.8.8.8:1": "127.8.8.8:1",
    "localhost:7070": "localhost:7070",
    "localhost": "localhost:7070",
    "[::1]:7070": "[::1]:7070",
    "0.0.0.0:7070": "127.0.0.1:7070",
    "[::]:7070": "[::1]:7070",
    "http://localhost:80": "localhost:80",
    "unix:/run/maestro.sock": "unix:/run/maestro.sock",
    "unix-abstract:maestro": "unix-abstract:maestro",
}
ELSEWHERE = {
    "10.0.0.1:7070": "10.0.0.1:7070",
    "gateway.example": "gateway.example:7070",
    "https://gateway.example": "gateway.example:443",
    "https://gateway.example:7070/": "gateway.example:7070",
    "http://gateway.example": "gateway.example:7070",
    "[2001:db8::1]:7070": "[2001:db8::1]:7070",
    "localhost.example:1": "localhost.example:1",
    "127.0.0.1.example:1": "127.0.0.1.example:1",
    "dns:///localhost:7070": "dns:///localhost:7070",
}


@pytest.mark.parametrize(("text", "target"), HERE.items())
def test_this_machine_is_known(text, target):
    address = parse(text)
    assert (address.target, address.local) == (target, True)


@pytest.mark.parametrize(("text", "target"), ELSEWHERE.items())
def test_other_machines_are_known(text, target):
    address = parse(text)
    assert (address.target, address.local, address.tls) == (target, False, text.startswith("https://"))


@pytest.mark.parametrize("text", ["host:port", "host:70000", ":7070", "host/path", "[::1", "https://", "http://h?q=1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConnectionSettingsError, match="is no address"):
        parse(text)


def test_a_secret_in_an_address_is_not_repeated():
    with pytest.raises(ConnectionSettingsError) as caught:
        parse("https://user:mk_canary@gateway.example")
    assert "canary" not in str(caught.value)
