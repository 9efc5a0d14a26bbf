"""Bytes -> message, or the rules of the proto that it breaks."""

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Protocol

from google.protobuf import message, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default

from maestro_gateway.services.bounds import Bounds
from maestro_gateway.services.descriptors import Descriptors
from maestro_spi.errors import MaestroError, Reason, Violation

LIMIT_BYTES = 64 * 1024 * 1024  # the transport's own limit stands above it, so that this one can explain itself


class Judge(Protocol):
    """Names the rules that a message breaks."""

    def violations(self, request: message.Message) -> list[Violation]:
        """All of them."""
        ...


class Protovalidate:
    """The rules as protovalidate sees them: every one, in microseconds.

    It gets messages of the kind it is built for, as bytes: those it walks in half the time, without a step in Python.
    """

    def __init__(self) -> None:
        import protovalidate  # native code, not built for every platform
        from protobuf.wkt import FileDescriptorSet

        contract = resources.files("maestro_gateway").joinpath("api.binpb").read_bytes()
        self._kinds = FileDescriptorSet.from_binary(contract).to_registry()
        self._validator = protovalidate.Validator()

    def violations(self, request: message.Message) -> list[Violation]:
        kind = self._kinds.message(request.DESCRIPTOR.full_name)
        assert kind is not None, "the contract holds every request"
        # Written anew, not as it came, so that both readers see the same message whatever the caller's bytes were.
        try:
            ours = kind.type.from_binary(request.SerializeToString())
        except ValueError as strange:  # it is stricter about bytes that neither reader knows
            raise message.DecodeError(str(strange)) from None
        return [
            Violation(path(found.proto.field), found.proto.rule_id, found.proto.message)
            for found in self._validator.collect_violations(ours)
        ]


def judge(descriptors: Descriptors) -> Judge:
    """The full rules, or, where protovalidate is not to be had, those that guard memory and time."""
    try:
        return Protovalidate()
    except ImportError:
        return Bounds(descriptors)


class Rules:
    """Reads requests: what comes out obeys every rule of the proto."""

    def __init__(self, descriptors: Descriptors, judge: Judge) -> None:
        self._judge = judge
        self._readers: Mapping[str, tuple[type[message.Message], type[message.Message]]] = {
            name: (_plain(method), descriptors.message(method.input_type.full_name))
            for name, method in descriptors.methods()
        }

    def warm_up(self) -> None:
        """Compile the rules of every request now; the first use costs milliseconds."""
        for _, ruled in self._readers.values():
            self._judge.violations(ruled())

    def read(self, method: str, data: bytes) -> message.Message:
        """The request, valid; otherwise INVALID_FIELD or MESSAGE_TOO_LARGE."""
        if len(data) > LIMIT_BYTES:
            raise MaestroError(
                Reason.MESSAGE_TOO_LARGE,
                f"the request has {len(data)} bytes, at most {LIMIT_BYTES} are accepted; refer to large content",
                metadata={"limitBytes": str(LIMIT_BYTES), "bytes": str(len(data))},
                phase="validate",
            )
        plain, ruled = self._readers[method]
        try:
            request = plain.FromString(data)
            broken = self._judge.violations(ruled.FromString(data))
        except message.DecodeError:
            raise MaestroError(
                Reason.INVALID_FIELD,
                f"the bytes are no {plain.DESCRIPTOR.full_name}: is the client generated from this contract, "
                "and is every string valid UTF-8?",
                violations=[Violation("", "parse", f"not a readable {plain.DESCRIPTOR.full_name}")],
                phase="validate",
            ) from None
        if broken:
            raise invalid(broken)
        return request


def invalid(broken: list[Violation]) -> MaestroError:
    """INVALID_FIELD, with the first violation in its sentence."""
    first = broken[0]
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return MaestroError(
        Reason.INVALID_FIELD,
        f"{first.field}: {first.description}{more}",
        metadata={"field": first.field},
        violations=broken,
        phase="validate",
    )


def _plain(method: MethodDescriptor) -> type[message.Message]:
    """The class that services and engine know: generated, without rules."""
    return message_factory.GetMessageClass(Default().FindMessageTypeByName(method.input_type.full_name))


def path(field: Any) -> str:
    """`messages[3].role`, from the elements protovalidate gives."""
    return "".join(_steps(field.elements)).lstrip(".") if field else ""


def _steps(elements: Iterable[Any]) -> Iterable[str]:
    for element in elements:
        yield f".{element.field_name}"
        if (subscript := element.subscript) is not None:
            value = subscript.value
            yield f'["{value}"]' if isinstance(value, str) else f"[{value}]"
