"""A tool loop without any state in the gateway: ask, run what was asked for, send the whole conversation again."""

import asyncio
import json

from maestro.v1 import chat_pb2
from maestro_client import Client, function, text_of, tool_calls_of, tool_result, user

WEATHER = function(
    "weather",
    "The weather in a city, now.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
# What the scripted model shall do in place of thinking; other providers never see it.
ASK_FOR_THE_WEATHER = json.dumps(
    [{"tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}]}],
)
MAX_ROUNDS = 8


def weather(city: str) -> str:
    return f"12 degrees and rain in {city}"


async def main() -> None:
    request = chat_pb2.ChatRequest(
        messages=[user("Do I need an umbrella in Oslo?")],
        tools=[WEATHER],
        provider_options_json={"scripted": ASK_FOR_THE_WEATHER},
    )
    async with Client(timeout=30) as client:
        for _ in range(MAX_ROUNDS):
            answer = await client.chat.complete(request)
            calls = tool_calls_of(answer)
            if not calls:
                break
            request.messages.extend(answer.messages)
            for call in calls:
                print(f"{call.name}({call.arguments_json})")
                result = weather(**json.loads(call.arguments_json))
                request.messages.append(tool_result(call.id, result, name=call.name))
            request.provider_options_json.clear()
        print(text_of(answer))


if __name__ == "__main__":
    asyncio.run(main())
