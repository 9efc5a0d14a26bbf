"""The client without async, against a server on a loop of its own."""

import signal
import subprocess
import sys
import threading

import grpc
import pytest
from google.rpc import error_details_pb2

from maestro.v1 import chat_pb2
from maestro_client import BlockingClient, Cancelled, NotFound, text_of


@pytest.fixture
def client(playing, key):
    with BlockingClient(playing.address, key, timeout=5) as client:
        yield client


def test_an_answer_is_waited_for(client, playing, hello):
    playing.says = hello
    assert text_of(client.chat.complete("Hi")) == "Hello, wörld"
    assert client.chat.get("chats/1").chat == "chats/1"
    assert client.capabilities.server_info().tenant == "default"


def test_a_stream_is_a_plain_iterator(client, playing, hello):
    playing.says = hello
    with client.chat.stream("Hi") as stream:
        assert list(stream) == hello
        assert text_of(stream.response) == "Hello, wörld"
    with client.chat.stream("Hi") as stream:
        assert list(stream.text()) == ["Hello, ", "wörld"]
        assert stream.final().state == chat_pb2.ChatResponse.STATE_SUCCEEDED


def test_lists_are_plain_iterators(client):
    assert len(list(client.capabilities.list_models())) == 6
    assert next(client.capabilities.list_providers()).name == "providers/scripted"


def test_failures_are_the_same(client, playing, fails):
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_MODEL_NOT_FOUND")
    playing.says = [fails(grpc.StatusCode.NOT_FOUND, "no such model", (info,))]
    with pytest.raises(NotFound, match="MODEL_NOT_FOUND"):
        client.chat.complete("Hi")
    with pytest.raises(NotFound, match="MODEL_NOT_FOUND"), client.chat.stream("Hi") as stream:
        stream.final()


def test_leaving_a_stream_cancels_it(client, playing, playground, script, stalls):
    playing.says = [*script().started().text("one ").events, stalls]
    with client.chat.stream("Hi") as stream:
        assert next(stream.text()) == "one "
    playground.run(playing.hung_up.wait())
    with pytest.raises(Cancelled):
        stream.final()


@pytest.mark.parametrize("ask", [lambda client: client.chat.complete("Hi"), lambda client: stream_whole(client)])
def test_ctrl_c_cancels_the_call(client, playing, playground, script, stalls, ask):
    playing.says = [*script().started().events, stalls]
    main = threading.get_ident()

    def interrupt():
        playground.run(playing.stalled.wait())
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        ask(client)
    interrupter.join(5)
    playground.run(playing.hung_up.wait())
    playing.says = []
    assert client.capabilities.server_info().tenant == "default"


def stream_whole(client):
    with client.chat.stream("Hi") as stream:
        return stream.final()


def test_threads_share_a_client(client, playing, hello):
    playing.says = hello
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.chat.complete("Hi"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert [text_of(answer) for answer in answers] == ["Hello, wörld"] * 8


def test_closing_twice_is_nothing_and_ends_the_thread(playing, key):
    before = threading.active_count()
    client = BlockingClient(playing.address, key)
    client.capabilities.server_info()
    assert threading.active_count() > before
    client.close()
    client.close()
    assert [thread.name for thread in threading.enumerate()].count("maestro-client") == 1  # the server's own


def test_a_script_that_forgets_to_close_ends_all_the_same(playing, key):
    script = "import sys; from maestro_client import BlockingClient as B; "
    script += "print(B(*sys.argv[1:]).capabilities.server_info().tenant)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, playing.address, key], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "default", "")
