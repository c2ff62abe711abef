"""The pages about dialogues say what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from agent.brain.flow import load
from agent.brain.flow.spec import Repairs
from tests.unit.agent.brain.talk import Talk, brain_of

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_dialogue_of_the_howto_works() -> None:
    page = (DOCS / "howto" / "write-a-dialogue.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    talk = Talk(brain_of(text))
    assert "blue lid" in talk.say("where do I find my meter").text
    assert (
        talk.say("one two three four no five five").text == "Your meter shows one two three five five. Is that right?"
    )
    tool = talk.say("yes").tools[0]
    assert "I have noted one two three five five. Goodbye." in talk.result(tool, {"ok": True}).text


@pytest.mark.parametrize("keys", [load._DIALOGUE, load._SLOT, load._INTENT, load._TOOL, load._ALL_STATE_KEYS])
def test_every_key_is_in_the_reference(keys: tuple[str, ...]) -> None:
    page = (DOCS / "reference" / "dialogue.md").read_text()
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_every_repair_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "dialogue.md").read_text()
    assert [item.name for item in fields(Repairs) if f"`{item.name}`" not in page] == []
