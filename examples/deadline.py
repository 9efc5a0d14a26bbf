"""A deadline travels with the call: when it has passed, nobody works for it any more."""

import asyncio
import json

from maestro.v1 import chat_pb2
from maestro_client import Client, DeadlineExceeded, text_of, user

SILENCE = json.dumps([{"text": "Let me think"}, {"stall": True}])


async def main() -> None:
    request = chat_pb2.ChatRequest(messages=[user("What is the answer?")], provider_options_json={"scripted": SILENCE})
    async with Client() as client:
        try:
            async with client.chat.stream(request, timeout=0.5) as stream:
                await stream.final()
        except DeadlineExceeded as error:
            heard = text_of(error.partial) if error.partial else ""
            print(f"too late; heard so far: {heard!r}")


if __name__ == "__main__":
    asyncio.run(main())
