"""What a model's words ask for, and what it says of the result."""

from __future__ import annotations

import pytest

from agent.brain.triggers import MOST_CHARACTERS, parse_triggers
from agent.errors import ConfigError

ONE = "- {tool: weather, when: 'weather in (?P<town>\\w+)', say: 'In {town} it is {sky}.', failed: 'I do not know.'}"


def test_groups_of_what_was_heard_are_the_arguments() -> None:
    (trigger,) = parse_triggers(ONE, "t")
    assert trigger.arguments("I check the WEATHER in Bern for you") == {"town": "Bern"}
    assert trigger.arguments("nice weather today") is None


def test_fields_of_the_result_fill_the_text() -> None:
    (trigger,) = parse_triggers(ONE, "t")
    assert trigger.answer({"town": "Bern", "sky": "clear"}, ok=True) == "In Bern it is clear."
    assert trigger.answer("x", ok=False) == "I do not know."
    (plain,) = parse_triggers("- {tool: t, when: x, say: 'It is {result}.'}", "t")
    assert plain.answer(21, ok=True) == "It is 21."
    assert plain.answer({"a": {"b": 1}}, ok=True) == "It is ."
    assert len(plain.answer("very long " * 100, ok=True)) <= MOST_CHARACTERS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b", "t: must be a list"),
        ("- x", r"t\[0\]: must be a table"),
        ("- {tool: t, when: x, say: y, extra: 1}", r"t\[0\]: unknown key extra"),
        ("- {tool: '', when: x, say: y}", r"t\[0\]\.tool"),
        ("- {tool: t, when: '(', say: y}", r"t\[0\]\.when: is no regular expression"),
        ("- {tool: t, when: 'x*', say: y}", r"t\[0\]\.when: must not fit an empty text"),
        ("- {tool: t, when: x}", r"t\[0\]\.say: is needed"),
        ("[", "t: is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_triggers(text, "t")
