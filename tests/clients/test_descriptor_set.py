"""The stripped descriptor set, for teams without buf: plain protoc makes working code from it."""

import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.clients.tool import ROOT, run

TOOLS = ROOT / "proto/tools"

CALL = """
import sys
from maestro.v1 import capability_pb2_grpc, chat_pb2, chat_pb2_grpc
assert chat_pb2.__file__.startswith(sys.argv[1]), chat_pb2.__file__
request = chat_pb2.ChatRequest(model="auto", generation=chat_pb2.GenerationConfig(temperature=9))
assert chat_pb2.ChatRequest.FromString(request.SerializeToString()) == request
assert {"StreamChat", "CompleteChat"} <= set(vars(chat_pb2_grpc.ChatServiceServicer))
print("works")
"""


@pytest.fixture(scope="module")
def descriptor_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("descriptors") / "maestro-client.binpb"
    run(sys.executable, TOOLS / "generate.py", "--client-descriptors", file)
    return file


def test_the_descriptor_set_holds_comments_but_nothing_that_only_the_server_reads(descriptor_set: Path) -> None:
    data = descriptor_set.read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    names = [file.name for file in files]
    assert "maestro/v1/chat.proto" in names
    assert not [name for name in names if name.startswith(("buf/", "google/api/")) or name.endswith("option.proto")]
    assert {name for file in files for name in file.dependency} <= set(names)
    assert "Chat with any model." in data.decode("utf-8", "ignore")


def test_plain_protoc_makes_working_code_from_it(descriptor_set: Path, tmp_path: Path) -> None:
    run(sys.executable, "-c", "import generate; generate.environment('old')", folder=TOOLS)
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()).file
    ours = [file.name for file in files if file.name.startswith("maestro/")]
    protoc = (ROOT / ".codegen/old/bin/python", "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptor_set}")
    run(*protoc, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", *ours)
    said = run(sys.executable, "-c", CALL, tmp_path, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert said == "works\n"
