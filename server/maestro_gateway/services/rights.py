"""Method -> the scope it needs, read from api.binpb."""

from collections.abc import Mapping

from maestro_gateway.services.descriptors import Descriptors


class RightMissingError(Exception):
    """A method without a right: the server does not start."""


def read(descriptors: Descriptors) -> Mapping[str, str]:
    """The whole table."""
    rights = {name: descriptors.needs(method) for name, method in descriptors.methods()}
    if bare := sorted(name for name, scope in rights.items() if not scope):
        raise RightMissingError(f"no `option (needs)` in the proto for: {', '.join(bare)}")
    return rights
