"""The contract without rules, routes and rights, for teams that use plain protoc: image in, descriptor set out."""

import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

SERVER_ONLY = ("buf/", "google/api/", "maestro/v1/option.proto")


def strip(image: bytes) -> bytes:
    """Must run in a process that does not know the server's extensions: they are then unknown fields, and go."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image)
    files.DiscardUnknownFields()  # type: ignore[attr-defined]
    kept = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        if file.name.startswith(SERVER_ONLY):
            continue
        dependencies = [name for name in file.dependency if not name.startswith(SERVER_ONLY)]
        del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
        file.dependency.extend(dependencies)
        for service in file.service:
            for method in service.method:
                _clear_if_empty(method)
        for message in file.message_type:
            _clear_fields(message)
        kept.file.append(file)
    return kept.SerializeToString(deterministic=True)


def _clear_fields(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        _clear_if_empty(field)
    for nested in message.nested_type:
        _clear_fields(nested)


def _clear_if_empty(described: descriptor_pb2.MethodDescriptorProto | descriptor_pb2.FieldDescriptorProto) -> None:
    """Options of which nothing is left are no options."""
    if described.HasField("options") and not described.options.ByteSize():
        described.ClearField("options")


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(strip(Path(sys.argv[1]).read_bytes()))
