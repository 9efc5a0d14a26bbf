"""HTTP as adapters use it: one client for a provider, what each read brought, and its failures in our words."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager

import httpx2
import msgspec
from pydantic import BaseModel, ConfigDict, Field

from maestro.v1 import capability_pb2
from maestro_adapters.wire import proxies
from maestro_adapters.wire.bounds import BODY, Unreadable
from maestro_adapters.wire.errors import Dialect, failure, read_complaint
from maestro_adapters.wire.transport import BODY_EXTENSION, Body, Transport
from maestro_spi.answer import Answer
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

# Headers of an answer worth keeping: limits of rates, regions, times.
KEPT_HEADERS = ("ratelimit", "processing-ms", "region", "retry-after", "envoy-upstream-service-time", "inference-time")

USAGE_GRACE = 1.0  # seconds that late usage and a closing frame are waited for, once the provider has said why it ended
CLOSING_GRACE = 0.05  # seconds for the end of the body behind a closing frame; the connection can then serve again


class HttpOptions(BaseModel):
    """How an adapter speaks HTTP: the part of a provider's options that every adapter over HTTP understands."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    connections: int = Field(default=1000, ge=1, description="most connections at once")
    connect_timeout: float = Field(default=10.0, gt=0, description="seconds for a connection, TLS included")
    read_timeout: float = Field(default=600.0, gt=0, description="seconds of silence, before the headers and after")
    proxy: str | None = Field(default=None, description="address of a proxy; else as the system says")
    ca_file: str | None = Field(default=None, description="certificates to trust instead of the system's")
    headers: dict[str, str] = Field(default_factory=dict, description="headers to send with every request")


def options_of(settings: AdapterSettings) -> HttpOptions:
    """The part of the settings that is about HTTP."""
    return HttpOptions.model_validate(settings.options)


def client(options: HttpOptions) -> httpx2.AsyncClient:
    """A client for one provider and one credential, shared by all its calls. Hand it to the SDK; close it once."""
    tls = None
    if options.ca_file is not None:
        tls = ssl.create_default_context(cafile=options.ca_file)
        tls.set_alpn_protocols(["http/1.1"])
    transport: httpx2.AsyncBaseTransport = Transport(connections=options.connections, tls=tls)
    through = {"all": options.proxy} if options.proxy else proxies.of_system()
    if through:
        limits = httpx2.Limits(max_connections=options.connections, max_keepalive_connections=options.connections)
        transport = proxies.Proxies(
            transport,
            through,
            lambda proxy: httpx2.AsyncHTTPTransport(proxy=proxy, limits=limits, verify=tls or True, trust_env=False),
        )
    return httpx2.AsyncClient(
        transport=transport,
        timeout=timeout(options),
        headers={"accept-encoding": "identity", **options.headers},
        follow_redirects=False,  # a provider that sends us elsewhere would get our key there
        trust_env=False,
    )


def timeout(options: HttpOptions) -> httpx2.Timeout:
    """The limits that an SDK must be told too, or it sets its own."""
    return httpx2.Timeout(
        options.read_timeout, connect=options.connect_timeout, pool=options.connect_timeout, read=options.read_timeout
    )


async def reads(
    response: httpx2.Response, *, patience: Callable[[], float | None] | None = None
) -> AsyncGenerator[bytes]:
    """What each read of the body brought, whole: no HTTP chunk is handed over alone. Iterate it in `aclosing`.

    `patience` is asked before each read. None waits as ever; seconds mean that all that matters has come, and what does
    not come within them, or cannot, is not missed.
    """
    body = response.extensions.get(BODY_EXTENSION)
    read: Callable[[], Awaitable[bytes]]
    if isinstance(body, Body) and "content-encoding" not in response.headers:
        read = body.read
    else:
        pieces = response.aiter_bytes()

        def read() -> Awaitable[bytes]:
            return anext(pieces, b"")

    while True:
        seconds = patience() if patience is not None else None
        data = await read() if seconds is None else await _briefly(read, seconds)
        if not data:
            return
        yield data


async def _briefly(read: Callable[[], Awaitable[bytes]], seconds: float) -> bytes:
    """What comes within seconds; nothing where nothing does, or can."""
    try:
        async with asyncio.timeout(seconds):
            return await read()
    except (TimeoutError, httpx2.TransportError):
        return b""


async def whole(response: httpx2.Response, limit: int = BODY) -> bytes:
    """The whole body, up to a limit."""
    parts: list[bytes] = []
    size = 0
    async with aclosing(reads(response)) as pieces:
        async for piece in pieces:
            size += len(piece)
            if size > limit:
                raise Unreadable(f"a body of more than {limit} bytes")
            parts.append(piece)
    return b"".join(parts)


@asynccontextmanager
async def closing(response: httpx2.Response) -> AsyncGenerator[httpx2.Response]:
    """The response, closed at the end, its connection with it unless it was read to its end."""
    try:
        yield response
    finally:
        await response.aclose()


def media_type(response: httpx2.Response) -> str:
    """The type of the body, without parameters, in lower case."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers worth telling the caller of, at most 32."""
    lower = ((name.lower(), value) for name, value in headers.items())
    told = [(name, value[:256]) for name, value in lower if any(word in name for word in KEPT_HEADERS)]
    return dict(told[:32])


class Failures:
    """Turns whatever goes wrong with one provider into a MaestroError. One for each adapter; holds its key to hide it.

    `sdk` are the exceptions that the SDK raises about an answer (with `response`) or around a fault of the transport
    (as its cause); the rest is known here.
    """

    def __init__(
        self, dialect: Dialect, provider: str, *, secret: str = "", sdk: tuple[type[Exception], ...] = ()
    ) -> None:
        self.dialect = dialect
        self.provider = provider
        self._secret = secret
        self._caught: tuple[type[Exception], ...] = (
            *sdk,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            httpx2.StreamError,
            Unreadable,
            msgspec.MsgspecError,
        )

    def __repr__(self) -> str:
        return f"Failures({self.provider!r})"

    @contextmanager
    def in_our_words(self, answer: Answer, model: str) -> Generator[None]:
        """About the whole conversation of a call: what is raised inside leaves as a MaestroError."""
        try:
            yield
        except self._caught as error:
            raise self.translate(error, model, answer) from error

    def translate(self, error: Exception, model: str, answer: Answer | None = None) -> MaestroError:
        """The error that an exception amounts to."""
        spoken = answer is not None and answer.spoken
        response = getattr(error, "response", None)
        if isinstance(response, httpx2.Response):
            return self.of_response(response, model)
        cause: BaseException = error if isinstance(error, httpx2.HTTPError) else error.__cause__ or error
        if isinstance(cause, httpx2.TimeoutException):
            phase = "connect" if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout) else "first_token"
            return self._plain(
                Reason.PROVIDER_TIMEOUT,
                f"{self.provider} was silent for too long; give it more time or take another model",
                model,
                retryable=not spoken,
                phase="stream" if spoken else phase,
            )
        if isinstance(cause, httpx2.TransportError):
            if answer is not None and spoken:
                return answer.broken()
            return self._plain(
                Reason.PROVIDER_UNAVAILABLE, f"{self.provider} cannot be reached, or hung up; try again", model
            )
        return self._plain(
            Reason.PROVIDER_PROTOCOL_ERROR,
            f"{self.provider} said something that cannot be read; tell its operator",
            model,
        )

    def of_response(self, response: httpx2.Response, model: str) -> MaestroError:
        """The error of an answer that has been read whole."""
        complaint = (
            read_complaint(response.content)
            if response.is_closed or response.is_stream_consumed
            else read_complaint("")
        )
        return failure(
            self.dialect,
            response.status_code,
            complaint,
            provider=self.provider,
            model=model,
            headers=response.headers,
            secret=self._secret,
            phase="connect",
        )

    def of_event(
        self, said: bytes | str, model: str, *, spoken: bool, headers: Mapping[str, str] | None = None
    ) -> MaestroError:
        """The error that an error object inside a good answer amounts to."""
        return failure(
            self.dialect,
            200,
            read_complaint(said),
            provider=self.provider,
            model=model,
            headers=headers,
            secret=self._secret,
            spoken=spoken,
            phase="stream",
        )

    def unreadable(self, what: str, model: str) -> MaestroError:
        """The provider speaks another language."""
        return self._plain(
            Reason.PROVIDER_PROTOCOL_ERROR,
            f"{self.provider} said something that cannot be read ({what}); tell its operator",
            model,
        )

    def _plain(
        self, reason: Reason, message: str, model: str, *, retryable: bool | None = None, phase: str = ""
    ) -> MaestroError:
        return MaestroError(
            reason,
            message,
            retryable=retryable,
            metadata={"provider": self.provider, "model": model},
            phase=phase,
            provider=self.provider,
            model=model,
        )


async def checkup(failures: Failures, ask: Callable[[], Awaitable[object]]) -> Checkup:
    """Ask the provider something that costs nothing, and say what that tells of its health."""
    try:
        with failures.in_our_words(Answer(failures.provider), ""):
            await ask()
    except MaestroError as error:
        if error.reason is Reason.PROVIDER_AUTH_FAILED:
            return Checkup(capability_pb2.PROVIDER_HEALTH_KEY_REFUSED, error.message)
        if 400 <= error.word.http_status < 500:  # not every vendor has what was asked for, but it answers
            return Checkup(capability_pb2.PROVIDER_HEALTH_SERVING, error.message)
        return Checkup(capability_pb2.PROVIDER_HEALTH_UNREACHABLE, error.message)
    return Checkup(capability_pb2.PROVIDER_HEALTH_SERVING)
