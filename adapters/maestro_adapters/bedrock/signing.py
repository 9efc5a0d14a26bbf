"""Requests to AWS, built and signed by its own SDK, and where its credentials come from."""

import re
from collections.abc import Mapping
from typing import Any

import httpx2
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from botocore.tokens import ScopedEnvTokenProvider  # type: ignore[import-untyped]

from maestro_spi.errors import MaestroError, Reason
from maestro_spi.settings import AdapterSettings

SERVICE = "bedrock"
DEFAULT_REGION = "us-east-1"

_ACCESS_KEY = re.compile(r"(A[A-Z]{3}[A-Z0-9]{12,}):([^:]+)(?::(.+))?")


class Signer:
    """Signs requests for Bedrock in one region.

    `api_key` is a key of Bedrock's own, sent as it is, or `ACCESS_KEY_ID:SECRET[:SESSION_TOKEN]`. Without one, AWS's
    chain is asked: its environment, its files (`options.profile`), the role of the machine. What expires is renewed.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        options = settings.options
        self._provider = settings.name
        self._session: Any = AioSession(profile=options.get("profile"))
        self.region = str(options.get("region") or self._configured("region") or DEFAULT_REGION)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        pair = _ACCESS_KEY.fullmatch(key)
        self._fixed = ReadOnlyCredentials(pair[1], pair[2], pair[3]) if pair else None
        self._token = "" if pair else key or self._told_token()
        self.secret = (pair[2] if pair else self._token) or ""  # what must never be shown

    def __repr__(self) -> str:
        return f"Signer({self._provider!r}, {self.region!r})"

    def host(self, service: str) -> str:
        """The address of a service of AWS in this region."""
        return f"https://{service}.{self.region}.amazonaws.com" + (".cn" if self.region.startswith("cn-") else "")

    async def sign(
        self, client: httpx2.AsyncClient, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> httpx2.Request:
        """The request, ready to send."""
        request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        else:
            SigV4Auth(await self._credentials(), SERVICE, self.region).add_auth(request)
        return client.build_request(method, url, content=body, headers=dict(request.headers.items()))

    async def _credentials(self) -> ReadOnlyCredentials:
        if self._fixed is not None:
            return self._fixed
        try:
            credentials = await self._session.get_credentials()
            frozen = None if credentials is None else await credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise self._refused(f"AWS's chain of credentials fails: {type(error).__name__}") from error
        if frozen is None:
            raise self._refused("AWS's chain of credentials has none")
        return frozen

    def _refused(self, why: str) -> MaestroError:
        return MaestroError(
            Reason.PROVIDER_NOT_CONFIGURED,
            f"{self._provider} has no credentials here; an admin must give some ({why})",
            metadata={"provider": self._provider},
            phase="connect",
            provider=self._provider,
        )

    def _configured(self, name: str) -> Any:
        try:
            return self._session.get_config_variable(name)
        except BotoCoreError:  # a profile that is not there; the credentials will say so
            return None

    def _told_token(self) -> str:
        """A key of Bedrock's own in AWS's environment."""
        told = ScopedEnvTokenProvider(self._session).load_token(signing_name=SERVICE)
        return "" if told is None else str(told.token)
