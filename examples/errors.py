"""What failures look like: an exception for each kind, a reason for each case, and where to look."""

import asyncio
import json

from maestro.v1 import chat_pb2
from maestro_client import Client, InvalidRequest, MaestroError, NotFound, text_of, user


async def main() -> None:
    async with Client(timeout=30) as client:
        try:
            await client.chat.complete("Hello", model="scripted/no-such-model")
        except NotFound as error:
            print(f"{error.reason}: {error.message} (request {error.request_id})")

        too_hot = chat_pb2.ChatRequest(messages=[user("Hello")], generation=chat_pb2.GenerationConfig(temperature=9))
        try:
            await client.chat.complete(too_hot)
        except InvalidRequest as error:
            for violation in error.violations:
                print(f"{error.reason}: {violation.field} {violation.description} [{violation.rule}]")

        # A provider that fails in the middle of its answer: what came before is not lost.
        script = json.dumps([{"text": "Half an answer"}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}])
        broken = chat_pb2.ChatRequest(messages=[user("Hello")], provider_options_json={"scripted": script})
        try:
            async with client.chat.stream(broken) as stream:
                await stream.final()
        except MaestroError as error:
            so_far = text_of(error.partial) if error.partial else ""
            print(f"{error.reason}: {error.message} (so far: {so_far!r}; send again: {error.retryable})")


if __name__ == "__main__":
    asyncio.run(main())
