"""Stop listening, and the gateway stops asking: leaving the stream cancels the call, down to the provider."""

import asyncio
import json

from maestro.v1 import chat_pb2
from maestro_client import Client, text_of, user

# A model that says two words and then falls silent for ever.
SILENCE = json.dumps([{"text": ["Well, ", "you see "]}, {"stall": True}])


async def main() -> None:
    request = chat_pb2.ChatRequest(messages=[user("Tell me everything.")], provider_options_json={"scripted": SILENCE})
    async with Client() as client:
        async with client.chat.stream(request) as stream:
            async for piece in stream.text():
                print(piece)
                if "see" in piece:
                    break
        print(f"heard so far: {text_of(stream.response)!r}")


if __name__ == "__main__":
    asyncio.run(main())
