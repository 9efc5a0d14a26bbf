"""OpenAI's SDK, over an HTTP client of ours: the same for both of its APIs."""

import openai

from maestro_adapters.wire import http
from maestro_spi.settings import AdapterSettings

HOME = "https://api.openai.com/v1"


def connect(settings: AdapterSettings) -> openai.AsyncOpenAI:
    """A client that signs and sends to whatever host the settings name."""
    options = http.options_of(settings)
    return openai.AsyncOpenAI(
        api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
        base_url=settings.base_url or HOME,
        organization=settings.options.get("organization"),
        project=settings.options.get("project"),
        http_client=http.client(options),
        timeout=http.timeout(options),
        max_retries=0,  # routing decides what to try again, and where
    )
