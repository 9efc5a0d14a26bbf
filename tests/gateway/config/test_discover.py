"""Without a word of configuration: the usual variables switch vendors on, and what is off is said."""

import asyncio
from pathlib import Path

import pytest

from maestro_gateway.app import sold
from maestro_gateway.config.discover import found, listens, missing
from maestro_gateway.config.load import Loaded, load
from maestro_gateway.config.problems import ConfigError
from maestro_spi.vendor import Vendor

ACME = Vendor(
    name="acme",
    title="Acme",
    adapter="openai_chat",
    key=("ACME_KEY", "ACME_TOKEN"),
    url=("ACME_URL",),
    base_url="https://acme.example/v1",
    settings={"organization": ("ACME_ORG",)},
    docs="https://acme.example",
)
CLOUD = Vendor(
    name="cloud",
    title="Cloud",
    adapter="vertex",
    needs=(("CLOUD_ID", "CLOUD_FILE"), ("CLOUD_REGION",)),
    settings={"location": ("CLOUD_REGION",)},
    docs="https://cloud.example",
)
HOME = Vendor(
    name="home", title="Home", adapter="ollama", url=("HOME_HOST",), local="127.0.0.1:1", docs="https://h.example"
)
VENDORS = (ACME, CLOUD, HOME)


def read(folder: Path, text: str = "", **environ: str) -> Loaded:
    folder.mkdir(exist_ok=True)
    if text:
        (folder / "gateway.yaml").write_text(text)
    return load(None, environ, folder, vendors=VENDORS)


def test_nothing_set_is_nobody(tmp_path):
    loaded = read(tmp_path)
    assert list(loaded.settings.providers) == ["scripted", "local"]
    assert loaded.found == ()
    assert not loaded.configured


def test_a_key_switches_its_vendor_on(tmp_path):
    loaded = read(tmp_path, ACME_TOKEN="s3cret", ACME_ORG="org", ACME_KEY=" ")
    acme = loaded.settings.providers["acme"]
    assert list(loaded.settings.providers) == ["acme", "local"]
    assert acme.adapter == "acme"
    assert acme.api_key is not None
    assert acme.api_key.get_secret_value() == "s3cret"
    assert acme.base_url is None
    assert acme.options == {"organization": "org"}
    assert loaded.settings.default_model == ""
    assert [(each.vendor.name, each.by) for each in loaded.found] == [("acme", "ACME_TOKEN")]
    assert "s3cret" not in repr(loaded)


def test_an_address_of_ones_own_is_taken(tmp_path):
    loaded = read(tmp_path, ACME_KEY="k", ACME_URL="https://proxy.example/v1")
    assert loaded.settings.providers["acme"].base_url == "https://proxy.example/v1"


def test_all_groups_of_variables_are_needed_and_one_of_each_is_enough(tmp_path):
    assert not read(tmp_path, CLOUD_ID="x").found
    loaded = read(tmp_path, CLOUD_FILE="x", CLOUD_REGION="eu")
    assert loaded.settings.providers["cloud"].options == {"location": "eu"}


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("box", "http://box:1"),
        ("box:99", "http://box:99"),
        (":99", "http://127.0.0.1:99"),
        ("[::1]:99", "http://[::1]:99"),
        ("[::]", "http://127.0.0.1:1"),
        ("http://box:99/", "http://box:99"),
        ("https://box.example/ollama", "https://box.example/ollama"),
    ],
)
def test_the_host_of_a_local_server_is_read_as_its_own_tools_do(tmp_path, said, address):
    assert read(tmp_path, HOME_HOST=said).settings.providers["home"].base_url == address


async def test_what_listens_on_this_machine_is_on():
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        here = HOME.model_copy(update={"local": f"127.0.0.1:{port}"})
        assert [each.by for each in found([here], {})] == [f"127.0.0.1:{port}"]
    assert not listens(f"127.0.0.1:{port}")


def test_what_is_configured_is_not_added_to(tmp_path):
    loaded = read(tmp_path, "providers: {scripted: {adapter: scripted}}", ACME_KEY="k")
    assert list(loaded.settings.providers) == ["scripted"]
    assert loaded.configured
    assert loaded.found == ()


def test_one_of_those_that_were_found_can_be_pinned(tmp_path):
    loaded = read(tmp_path, ACME_KEY="k", CLOUD_ID="x", CLOUD_REGION="eu", MAESTRO_PROVIDER="cloud")
    assert list(loaded.settings.providers) == ["cloud"]


def test_pinning_the_scripted_adapter_switches_nobody_on(tmp_path):
    loaded = read(tmp_path, ACME_KEY="k", MAESTRO_PROVIDER="scripted")
    assert "acme" not in loaded.settings.providers
    assert loaded.settings.default_model == "scripted/hello"


def test_pinning_somebody_without_a_key_says_who_is_there(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no provider 'acme'; configured are: scripted, local"):
        read(tmp_path, MAESTRO_PROVIDER="acme")


def test_a_key_that_no_header_can_carry_is_named_by_its_variable(tmp_path):
    with pytest.raises(ConfigError, match=r"ACME_KEY") as refused:
        read(tmp_path, ACME_KEY="tw\x07")
    assert "tw\x07" not in str(refused.value)


def test_models_may_be_written_about_of_those_that_were_found(tmp_path):
    text = 'models: {acme/x: {aliases: [fast], price: {input: 0.15, output: "0.60"}}}'
    loaded = read(tmp_path, text, ACME_KEY="k")
    price = loaded.settings.models["acme/x"].price
    assert price is not None
    assert str(price.input), str(price.output) == ("0.15", "0.60")
    assert loaded.settings.default_model == "acme/x"


def test_what_is_off_says_what_would_switch_it_on():
    assert missing(VENDORS, ["acme"]) == [
        "cloud (CLOUD_ID or CLOUD_FILE and CLOUD_REGION)",
        "home (start it here, or HOME_HOST)",
    ]
    assert missing(VENDORS, ["cloud", "home"]) == ["acme (ACME_KEY or ACME_TOKEN)"]


USUAL = {
    "openai": {"OPENAI_API_KEY": "k"},
    "anthropic": {"ANTHROPIC_API_KEY": "k"},
    "gemini": {"GOOGLE_API_KEY": "k"},
    "azure": {"AZURE_OPENAI_ENDPOINT": "https://a.example", "AZURE_OPENAI_API_KEY": "k"},
    "bedrock": {"AWS_ACCESS_KEY_ID": "k", "AWS_REGION": "eu-west-1"},
    "cohere": {"CO_API_KEY": "k"},
    "mistral": {"MISTRAL_API_KEY": "k"},
    "groq": {"GROQ_API_KEY": "k"},
    "deepseek": {"DEEPSEEK_API_KEY": "k"},
    "xai": {"XAI_API_KEY": "k"},
    "openrouter": {"OPENROUTER_API_KEY": "k"},
    "together": {"TOGETHER_API_KEY": "k"},
    "fireworks": {"FIREWORKS_API_KEY": "k"},
    "ollama": {"OLLAMA_HOST": "box"},
}


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_variables_switch_the_vendor_on(name):
    assert [each.vendor.name for each in found(sold(), USUAL[name], lambda address: False)] == [name]
