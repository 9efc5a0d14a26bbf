"""The same steps about every call; hands handlers their Call."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import Message

from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock
from maestro_gateway.base.ids import Ids
from maestro_gateway.services.rules import Rules
from maestro_gateway.services.status import pushback, status
from maestro_gateway.transport.deliver import OPENED, hung_up
from maestro_spi.errors import MaestroError, Reason

LOG = logging.getLogger("maestro.envelope")
CODES = {code.value[0]: code for code in grpc.StatusCode}
REQUEST_ID_BYTES = 128


class Step(Protocol):
    """Something that happens about every call: before the handler on the way in, after it on the way out.

    What `enter` lets in is left exactly once. To leave is no coroutine: nobody can cut it short.
    """

    async def enter(self, call: Call) -> None:
        """On the way in; whatever it raises ends the call, and this step is not left."""
        ...

    def leave(self, call: Call, error: BaseException | None) -> None:
        """On the way out, with what the call ended with."""
        ...


class _Inside:
    """All steps about one call: entered from the outermost on, left from the innermost that was entered."""

    __slots__ = ("_call", "_entered", "_steps")

    def __init__(self, steps: Sequence[Step], call: Call) -> None:
        self._steps = steps
        self._call = call
        self._entered: list[Step] = []

    async def __aenter__(self) -> None:
        try:
            for step in self._steps:
                await step.enter(self._call)
                self._entered.append(step)
        except BaseException as error:
            self._leave(error)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._entered:
            try:
                self._entered.pop().leave(self._call, error)
            finally:  # one that fails keeps no other from leaving
                self._leave(error)


class Envelope:
    """Every RPC and every door goes through it: there is no second way in.

    Steps know neither gRPC nor HTTP. The request is parsed and validated only once the caller is known and allowed.
    What leaves here is an answer or a status from the error table, whatever was raised.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        rules: Rules,
        clock: Clock,
        ids: Ids,
        default_deadline: Callable[[str], float | None],
    ) -> None:
        self._steps = steps
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._default_deadline = default_deadline
        self._open = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def open(self) -> int:
        """Calls inside, now."""
        return self._open

    async def empty(self) -> None:
        """Wait until every call has left its last step. gRPC's own stop returns earlier than that."""
        await self._empty.wait()

    def unary(self, method: str, handler: Callable[[Any, Call], Awaitable[Message]]) -> Callable[[bytes, Any], Any]:
        """The handler of a unary method, wrapped for gRPC."""

        async def answer(data: bytes, context: Any) -> Message:
            call = self._call(method, context)
            self._enter()
            try:
                async with _Inside(self._steps, call):
                    reply = await handler(self._rules.read(method, data), call)
                # With the status, not before the answer: they arrive together, and need no write of their own.
                context.set_trailing_metadata(_headers(call))
                return reply
            except MaestroError as error:
                await _abort(context, call, error)
            except Exception as error:
                if context.done():
                    raise  # aborted below us, or the caller has gone: gRPC knows
                await _abort(context, call, _fault(call, error))
            finally:
                self._leave()

        return answer

    def stream(
        self, method: str, handler: Callable[[Any, Call], AsyncGenerator[Message]]
    ) -> Callable[[bytes, Any], AsyncGenerator[Message]]:
        """The handler of a method that streams its answer, wrapped for gRPC; Deliver writes what it yields."""

        async def messages(data: bytes, context: Any) -> AsyncGenerator[Message]:
            call = self._call(method, context)
            self._enter()
            try:
                async with (
                    _Inside(self._steps, call),
                    aclosing(handler(self._rules.read(method, data), call)) as answer,
                ):
                    first = True
                    async for message in answer:
                        if first:
                            # Headers go out with the first message: until then a client's own retry is still safe.
                            await _send_headers(context, call)
                            first = False
                        yield message
            except MaestroError as error:
                await _abort(context, call, error)
            except Exception as error:
                if context.done():
                    raise
                await _abort(context, call, _fault(call, error))
            finally:
                self._leave()

        def opened(data: bytes, context: Any) -> AsyncGenerator[Message]:
            generator = messages(data, context)
            OPENED.get([]).append(generator)
            return generator

        return opened

    def missing(self, method: str) -> Callable[[bytes, Any], Any]:
        """The answer to a method of one of our services that this server does not have."""

        async def answer(data: bytes, context: Any) -> NoReturn:
            await self.turn_away(
                context,
                MaestroError(
                    Reason.FEATURE_DISABLED,
                    f"this server has no method {method}; GetServerInfo tells its version and features",
                    metadata={"feature": method},
                ),
            )

        return answer

    async def turn_away(self, context: Any, error: MaestroError) -> NoReturn:
        """End a call that is none of our handlers' with a status of the table."""
        await _abort(context, self._call("", context), error)

    def _call(self, method: str, context: Any) -> Call:
        metadata = text_metadata(context)
        now = self._clock.monotonic()
        remaining = context.time_remaining()
        default = self._default_deadline(method)
        ours = remaining is None and default is not None
        deadline = remaining if remaining is not None else default
        call = Call(
            method=method,
            request_id=_request_id(metadata) or self._ids.new(),
            metadata=metadata,
            started=now,
            deadline=None if deadline is None else now + deadline,
            deadline_is_ours=ours,
        )
        if ours:
            call.answer_metadata["x-maestro-deadline"] = f"{default:g}s"
        return call

    def _enter(self) -> None:
        self._open += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._open -= 1
        if not self._open:
            self._empty.set()


def text_metadata(context: Any) -> Mapping[str, str]:
    """Text metadata; a binary value is nobody's business here. What is said twice is a list, so two keys are none."""
    said: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            said[key] = f"{said[key]}, {value}" if key in said else value
    return said


def _request_id(metadata: Mapping[str, str]) -> str:
    """The caller's own, where it is fit for log lines and headers."""
    given = metadata.get("x-request-id", "")
    return given if given.isascii() and given.isprintable() and len(given) <= REQUEST_ID_BYTES else ""


def _headers(call: Call) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", call.request_id), *call.answer_metadata.items())


async def _send_headers(context: Any, call: Call) -> None:
    try:
        await context.send_initial_metadata(_headers(call))
    except grpc.aio.InternalError:
        await hung_up()
        raise MaestroError(Reason.CALLER_CANCELLED, "the caller has hung up") from None


def _fault(call: Call, fault: Exception) -> MaestroError:
    """What a caller may know of a fault of ours: nothing but the id under which the log has it all."""
    error = MaestroError(
        Reason.INTERNAL,
        f"a fault of the gateway; tell its operator the request id {call.request_id}",
        metadata={"requestId": call.request_id},
    )
    error.__cause__ = fault
    return error


async def _abort(context: Any, call: Call, error: MaestroError) -> NoReturn:
    if error.reason is Reason.INTERNAL and error.__cause__ is not None:
        LOG.error(
            "a fault of the gateway in %s", call.method, exc_info=error.__cause__, extra={"request_id": call.request_id}
        )
    told = status(error, call.request_id)
    trailers: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", told.SerializeToString()),
        ("x-request-id", call.request_id),
        *call.answer_metadata.items(),
    ]
    if (delay := pushback(error)) is not None:
        trailers.append(("grpc-retry-pushback-ms", str(delay)))
    try:
        await context.abort(CODES[told.code], told.message, tuple(trailers))
    except grpc.aio.InternalError:
        # The call was over before its status: its deadline passed, mostly. gRPC may then never say so to this task,
        # and takes this for what it would have said.
        raise asyncio.CancelledError("the caller has gone") from None
    raise AssertionError("abort raises")
