from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from agent import parts as composition
from agent.brain.flow.load import load_dialogue, parse_dialogue
from agent.config import Config
from agent.errors import ConfigError, DialogueError
from agent.pipecat import agent_file
from agent.pipecat.agent_file import parts_of, read_parts, with_parts
from agent.pipecat.spawn import host_environment
from agent.pipecat.spec import PartSpec

VOICE = """
voice:
  pipecat: pipecat.services.openai.tts.OpenAITTSService
  settings: {voice: nova}
  arguments: {base_url: http://127.0.0.1:1/v1}
  api_key_env: TTS_KEY
"""
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_file, "version", lambda name: "1.14.0")


def test_a_part_is_read_with_its_key_and_never_shows_it() -> None:
    spec = read_parts(VOICE, "agent.yaml", {"TTS_KEY": KEY}).voice
    assert spec is not None
    assert (spec.service, spec.rate_hz) == ("pipecat.services.openai.tts.OpenAITTSService", 24000)
    assert spec.secrets == {"api_key": KEY}
    assert KEY not in repr(spec)
    assert spec.hide(f"401: bad key\n{KEY}") == "401: bad key ********"
    assert PartSpec.from_json(spec.to_json()) == spec
    careless = PartSpec(part="voice", service="a.B", arguments={"api_token": KEY, "base_url": "u"}, rate_hz=8000)
    assert careless.hide(f"u: {KEY}") == "u: ********"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (VOICE, "agent.yaml:6", "voice.api_key_env: the environment has no TTS_KEY"),
        ("voice: {settings: {}}", "agent.yaml:1", "voice: 'pipecat' is missing"),
        ("voice: {pipecat: OpenAI}", "agent.yaml:1", "voice.pipecat: 'OpenAI' is no path of a class"),
        ("voice: {pipecat: a.B, sample_rate: 22050}", "agent.yaml:1", "voice.sample_rate: must be one of 8000"),
        ("voice: {pipecat: a.B, speed: 1}", "agent.yaml:1", "voice.speed: unknown key; known here: api_key_env"),
        ("voice: {pipecat: a.B, prompt: x}", "agent.yaml:1", "voice.prompt: unknown key"),
        ("voice: {pipecat: a.B, api_key_env: sk-123}", "agent.yaml:1", "must be the name of an environment variable"),
        ("recogniser: {pipecat: a.B, processes: 0}", "agent.yaml:1", "recogniser.processes: must be a whole number"),
        ("brain: {pipecat: a.B, settings: [1]}", "agent.yaml:1", "brain.settings: must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_field(text: str, where: str, what: str) -> None:
    with pytest.raises(DialogueError) as caught:
        read_parts(text, "agent.yaml", {})
    assert caught.value.where == where
    assert what in caught.value.reason
    assert KEY not in str(caught.value)


def test_a_pipecat_of_another_major_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_file, "version", lambda name: "2.0.1")
    with pytest.raises(ConfigError, match=r"pipecat-ai 2.0.1 is installed; >= 1.14, < 2 is wanted"):
        read_parts(VOICE, "agent.yaml", {"TTS_KEY": KEY})


def test_without_pipecat_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(agent_file, "version", absent)
    with pytest.raises(
        DialogueError, match=r"voice: pipecat is not installed: pip install 'crosstalk-voice\[pipecat\]'"
    ):
        read_parts(VOICE, "agent.yaml", {"TTS_KEY": KEY})


def test_parts_stand_beside_a_dialogue_in_the_operator_s_file_only(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    text = "dialogue: d\ndisclosure: Hello.\nstart: s\nstates: {s: {say: Bye., hangup: true}}\n" + VOICE
    path.write_text(text)
    assert load_dialogue(path).name == "d"
    with pytest.raises(DialogueError, match=r"voice: a service may be named in the file of agent.dialogue only"):
        parse_dialogue(text)
    config = replace(Config(), agent=replace(Config().agent, dialogue=str(path)))
    parts = parts_of(config, {"TTS_KEY": KEY})
    assert with_parts(config, parts) == config, "our own voice stays configured: it speaks when the service fails"


def test_recogniser_and_brain_take_the_place_of_ours() -> None:
    parts = read_parts("recogniser: {pipecat: a.B}\nbrain: {pipecat: a.C, prompt: Be kind.}", "agent.yaml", {})
    config = with_parts(Config(), parts)
    assert (config.ears.recogniser, config.agent.brain) == ("pipecat", "pipecat")
    assert (parts.prompt, parts.greeting) == ("Be kind.", None)


def test_a_host_sees_no_key_that_was_not_named_for_it() -> None:
    ours = {"PATH": "/bin", "OPENAI_API_KEY": KEY, "CROSSTALK_WEBHOOKS__SECRET": KEY, "HOME": "/root"}
    assert KEY not in str(host_environment(ours))
    assert host_environment(ours)["PATH"] == "/bin"


def test_what_the_services_themselves_refuse_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("voice: {pipecat: a.B}\nbrain: {pipecat: a.C}")
    config = replace(Config(), agent=replace(Config().agent, dialogue=str(path)))
    wrong = [("voice.settings.speeed", "unknown setting"), ("brain.pipecat", "a cannot be imported")]
    monkeypatch.setattr(composition, "check", lambda specs: wrong)
    with pytest.raises(ConfigError) as caught:
        composition.with_agent_file(config)
    assert str(caught.value) == (
        f"{path}: voice.settings.speeed: unknown setting\n{path}: brain.pipecat: a cannot be imported"
    )


def test_ears_that_are_to_be_pipecat_s_must_be_named() -> None:
    config = replace(Config(), ears=replace(Config().ears, recogniser="pipecat"))
    with pytest.raises(
        ConfigError, match=r"agent.dialogue: names no recogniser, which ears.recogniser = pipecat wants"
    ):
        composition.with_agent_file(config)
