"""The how-to on Pipecat's services and the shipped example name what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agent.errors import DialogueError
from agent.model.parts.ears import LATE_WAIT_MS
from agent.pipecat import agent_file
from agent.pipecat.agent_file import read_parts
from agent.pipecat.heard import FINAL_S
from agent.pipecat.spec import RATES_HZ
from agent.voice.fallback import MOST_FAILURES

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/howto/pipecat-services.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "deploy/examples/pipecat/agent.yaml").read_text(encoding="utf-8")
KEYS = {"STT_KEY": "a", "LLM_KEY": "b", "TTS_KEY": "c", "OPENAI_API_KEY": "d"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_file, "version", lambda name: "1.14.0")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", [*blocks("yaml"), EXAMPLE])
def test_the_agents_shown_name_three_parts(text: str) -> None:
    parts = read_parts(text, "agent.yaml", KEYS)
    assert [spec.part for spec in parts.named()] == ["voice", "recogniser", "brain"]
    assert parts.greeting == "How can I help you?"
    assert parts.prompt


def test_the_keys_of_the_page_are_those_that_are_read() -> None:
    table = PAGE.split("| key | |")[1].split("\n\n")[0]
    shown = {
        name for cell in re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert shown == {*agent_file._KEYS, *agent_file._BRAIN_KEYS}
    for rate in RATES_HZ:
        assert str(rate) in table
    assert tomllib.loads(blocks("toml")[0]) == {"agent": {"dialogue": "agent.yaml"}}


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert f"at most {LATE_WAIT_MS / 1000:.1f} s" in PAGE
    assert f"says nothing for {FINAL_S:.0f} s" in PAGE
    assert MOST_FAILURES == 2
    assert "Twice in a row" in PAGE


def test_the_error_of_the_page_is_what_is_said() -> None:
    with pytest.raises(DialogueError) as caught:
        read_parts(blocks("yaml")[0], "agent.yaml", {})
    assert str(caught.value) in PAGE
