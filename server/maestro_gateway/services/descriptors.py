"""api.binpb: the contract with its rules, routes and rights, in a pool of the server's own."""

from collections.abc import Iterator
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from google.protobuf.descriptor import MethodDescriptor


class Descriptors:
    """The contract as the server sees it.

    Generated client code has neither rules nor rights, so they are read here, apart from the process-wide pool.
    """

    def __init__(self) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(
            resources.files("maestro_gateway").joinpath("api.binpb").read_bytes()
        )
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self.services = {
            f"{file.package}.{service.name}": self._pool.FindServiceByName(f"{file.package}.{service.name}")
            for file in files.file
            for service in file.service
        }

    def methods(self) -> Iterator[tuple[str, MethodDescriptor]]:
        """Every method there is, by its full name: "maestro.v1.ChatService/StreamChat"."""
        for name, service in self.services.items():
            for method in service.methods:
                yield f"{name}/{method.name}", method

    def needs(self, method: MethodDescriptor) -> str:
        """The scope written beside the method; empty when somebody forgot."""
        options = self.message("google.protobuf.MethodOptions").FromString(method.GetOptions().SerializeToString())
        scope: str = options.Extensions[self._pool.FindExtensionByName("maestro.v1.needs")]  # type: ignore[index]
        return scope

    def message(self, name: str) -> type[message.Message]:
        """The class of a message, with its rules."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))
