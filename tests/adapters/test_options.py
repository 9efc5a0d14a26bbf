"""A misspelt option of a provider is a mistake that is named, for every adapter of ours."""

import pytest

from maestro_adapters.registry import ADAPTERS, load
from maestro_spi import AdapterSettings


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_option_that_no_adapter_has_is_refused(adapter: str) -> None:
    settings = AdapterSettings(
        name="acme", adapter=adapter, base_url="https://acme.example", options={"strem": False, "models": ["m"]}
    )
    with pytest.raises(ValueError, match=r"strem|none"):
        load(settings)


def test_the_nearest_option_is_named() -> None:
    settings = AdapterSettings(name="acme", adapter="openai_chat", options={"conections": 2})
    with pytest.raises(ValueError, match="did you mean 'connections'"):
        load(settings)
