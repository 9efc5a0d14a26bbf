"""Ask once, and then again word by word."""

import asyncio

from maestro_client import Client, system, text_of, user


async def main() -> None:
    async with Client() as client:
        answer = await client.chat.complete("What is a fugue?", timeout=30)
        print(text_of(answer))

        conversation = [system("Answer in one sentence."), user("And a canon?")]
        async with client.chat.stream(conversation, timeout=30) as stream:
            async for piece in stream.text():
                print(piece, end="", flush=True)
        answer = stream.response
        print(f"\n({answer.model}, {answer.usage.input_tokens} tokens in, {answer.usage.output_tokens} out)")


if __name__ == "__main__":
    asyncio.run(main())
