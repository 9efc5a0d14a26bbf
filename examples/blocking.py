"""The same without async, as scripts and notebooks like it."""

from maestro_client import BlockingClient, text_of


def main() -> None:
    with BlockingClient(timeout=30) as client:
        print([model.name for model in client.capabilities.list_models()])
        print(text_of(client.chat.complete("What is a fugue?")))

        with client.chat.stream("And a canon?") as stream:
            for piece in stream.text():
                print(piece, end="", flush=True)
        print(f"\n({stream.response.usage.total_tokens} tokens)")


if __name__ == "__main__":
    main()
