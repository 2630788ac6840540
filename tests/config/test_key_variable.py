"""A key that is given in place of its variable's name is refused, and never shown or kept."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rl.cli import app
from rl.config.key_variable import check_key_variable, is_key_variable
from rl.pipelines.pipeline_file import load_pipeline
from rl.rollout.endpoint import Endpoint, EndpointSettings

# Made up, in the forms of real ones.
KEYS = [
    "sk-abcdefghijklmnopqrstuvwx",
    "sk-proj-Ab1_cdEf2-ghIj3",
    "sk-ant-api03-xxxxxxxxxxxx",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
    "gsk_abcdefghijklmnop1234",
    "AIzaSyA1234567890abcdefghijk",
    "xai-0123456789abcdef",
    "r8_abcdefghijklmnopqrstuvwxyz",
    "pplx-0123456789abcdef",
    "nvapi-0123456789",
    "ghp_0123456789abcdefghij",
    "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "DEADBEEF0123456789ABCDEF01234567",
    "Bearer abc",
    "my key",
    "",
    "1KEY",
    "KEY=abc",
    "$OPENAI_API_KEY",
    "key\n",
    "ключ",
]
NAMES = ["OPENAI_API_KEY", "KEY", "_K2", "my_key", "AZURE_OPENAI_API_KEY_2", "TEAM7_PROJECT_GPT4_KEY_EU_1", "PENNY_KEY"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_variables_are_taken(name: str) -> None:
    assert is_key_variable(name)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(BadInput, match="takes the name of an environment variable") as said:
        check_key_variable(key, "--api-key-env")
    assert not key or key not in str(said.value).replace("OPENAI_API_KEY", "")
    with pytest.raises(BadInput, match="takes the name of an environment variable"):
        Endpoint(EndpointSettings("http://localhost:1/v1", "m", api_key_env=key))


def test_a_variable_that_is_set_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "hf_token_of_the_group_one"
    assert not is_key_variable(odd)
    monkeypatch.setenv(odd, "x")
    assert is_key_variable(odd)


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "--endpoint", "http://localhost:1", "--model", "m", "--benchmark", "gsm8k", "--api-key-env"],
        ["serve", "tiny", "--api-key-env"],
    ],
)
@pytest.mark.parametrize("key", [KEYS[0], KEYS[3]])
def test_commands_refuse_a_key_before_anything_is_written(
    command: list[str], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command, key])
    assert result.exit_code == 2
    assert "--api-key-env takes the name" in result.output and key not in result.output
    assert not list(tmp_path.rglob("*"))


def test_a_key_in_the_place_of_a_url_is_not_shown() -> None:
    with pytest.raises(BadInput, match="looks like a key") as said:
        Endpoint(EndpointSettings(KEYS[0], "m"))
    assert KEYS[0] not in str(said.value)


PIPELINE = """
name: x
defaults:
  model: {name: tiny}
  problems: {source: arithmetic}
  rewards: {functions: {exact_number: 1.0}}
stages:
  traces:
    kind: distill
    teacher: {source: endpoint, name: m, url: "http://localhost:1/v1", api_key_env: KEY}
"""


@pytest.mark.parametrize("key", ["sk-abcdefghijklmnopqrstuvwx", "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"])
def test_a_pipeline_with_a_key_is_refused_in_its_file_and_on_the_command_line(key: str, tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(PIPELINE.replace("KEY", key))
    with pytest.raises(BadInput, match="api_key_env takes the name") as said:
        load_pipeline(str(path))
    assert key not in str(said.value)
    path.write_text(PIPELINE.replace("KEY", "MY_KEY"))
    with pytest.raises(BadInput, match="api_key_env takes the name") as said:
        load_pipeline(str(path), [f"traces.teacher.api_key_env={key}"])
    assert key not in str(said.value)
