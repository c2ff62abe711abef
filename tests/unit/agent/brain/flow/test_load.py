from __future__ import annotations

from pathlib import Path

import pytest

from agent.brain.flow.load import load_dialogue, parse_dialogue
from agent.errors import DialogueError

GOOD = """\
dialogue: test
disclosure: I am a computer.
start: menu
slots:
  number:
    kind: digits
    length: 8
    groups: [4, 4]
    prompt: Which number?
    confirm: I have {number}?
intents:
  track:
    phrases: [ where is it ]
    go: ask
  bye:
    phrases: [ bye ]
    go: end
everywhere: [ bye ]
states:
  menu:
    say: How can I help?
    intents: [ track ]
  ask:
    ask: number
    then: look
  look:
    tool:
      name: status
      arguments: { number: "{number}" }
      answers:
        - say: It is {result.status}.
    then: menu
  end:
    say: Bye.
    hangup: done
"""


def test_a_good_dialogue_is_read() -> None:
    spec = parse_dialogue(GOOD)
    assert spec.states["look"].tool is not None
    assert spec.live_intents("menu") == ("track", "bye")


WRONG = [
    # what is replaced, by what, line of the complaint, what it says
    ("dialogue: test", "dialog: test", 1, "unknown key; known here: dialogue, disclosure"),
    ("start: menu\n", "", 1, "'start' is missing"),
    ("start: menu", "start: home", 3, "there is no state 'home'; there are: menu, ask, look, end"),
    ("    prompt: Which number?\n", "", 5, "'prompt' is missing"),
    ("    kind: digits", "    kind: digit", 6, "'digit' is unknown; known: digits, date"),
    ("    length: 8", "    length: eight", 7, "must be a whole number"),
    ("    length: 8", "    interrupt: true", 7, "needs a length"),
    ("    length: 8", "    length: 8\n    interrupt: often", 8, "must be true or false"),
    ("    length: 8", "    not_on: [sunday]", 7, "means nothing for a slot of kind digits"),
    ("    groups: [4, 4]", "    groups: [4, 3]", 8, "add up to 7, the length is 8"),
    ("    prompt: Which number?", "    prompt: Which {numbr}?", 9, "'numbr' is neither a slot nor a variable"),
    ("    prompt: Which number?", "    prompt: Which {number:roman}?", 9, "unknown format 'roman'"),
    ("    prompt: Which number?", "    prompt: Which } number?", 9, "brace"),
    ("    confirm: I have {number}?", "    confirm: Right?", 10, "must read the value back: use {number}"),
    ("[ where is it ]", "[ where ( is ]", 13, "pattern 'where ( is': '(' is not closed by ')'"),
    ("[ where is it ]", "[ 'where is {place}' ]", 13, "there is no slot 'place'"),
    ("    go: ask", "    go: asking", 14, "there is no state 'asking'"),
    ("    go: ask", "    go: ask\n    say: Well.", 12, "needs exactly one of: say"),
    ("    go: ask", "    does: nothing", 14, "'nothing' is unknown; known: repeat, resume"),
    ("    intents: [ track ]", "    intents: [ trak ]", 22, "there is no intent 'trak'"),
    ("    intents: [ track ]", "    help: Say something.", 12, "can not be reached: list it in 'everywhere'"),
    ("    ask: number", "    ask: name", 24, "there is no slot 'name'"),
    ("    then: look", "    then: looking", 25, "there is no state 'looking'"),
    ("    then: look\n", "", 23, "'then' is missing: a state of kind ask needs it"),
    ("    ask: number", "    ask: number\n    hangup: done", 23, "a state does one thing, not: ask and hangup"),
    ("    say: How can I help?", "    say: How {result.a}?", 21, "known only in the answers of a tool"),
    ("    say: How can I help?", "    say: How?\n    failed: { say: No. }", 22, "means nothing in a state of kind listen"),
    ("    then: menu\n", "", 31, "leads nowhere"),
    ("  end:\n    say: Bye.", "  end:\n    say: Bye.\n    say: Bye.", 35, "written twice"),
    ("  end:\n", "  other:\n    say: Hm.\n  end:\n", 33, "can not be reached from the start"),
    ("    hangup: done", "    then: end", 35, "goes in a circle without listening"),
    ("    phrases: [ bye ]", "    phrases: [ bye ]\n    key: 77", 17, "must be one key of"),
    ("    phrases: [ bye ]", "    phrases: [ bye ]\n    words: [ see you ]", 17, "must be one word"),
    ("    phrases: [ bye ]", "    phrases: [ bye ]\n    words: [ the ]", 17, "must be one word"),
    ("    phrases: [ bye ]", "    phrases: [ bye ]\n    confirm: \"Is it {what}?\"", 17, "neither a slot nor a variable"),
    ("  end:\n", "  End:\n", 33, "'End' is not a name"),
    ("states:\n", "states: [\n", 21, "not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "reason"), WRONG)
def test_a_wrong_dialogue_is_refused_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    assert GOOD.count(old) == 1, old
    with pytest.raises(DialogueError) as caught:
        parse_dialogue(GOOD.replace(old, new), file="mine.yaml")
    assert caught.value.where == f"mine.yaml:{line}"
    assert reason in caught.value.reason


def test_one_key_for_two_live_intents_is_refused() -> None:
    text = GOOD.replace("[ where is it ]", '[ where is it ]\n    key: "1"').replace(
        "[ bye ]\n    go", '[ bye ]\n    key: "1"\n    go'
    )
    with pytest.raises(DialogueError, match="key 1 also means 'track'"):
        parse_dialogue(text)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "dialogue: [", "\t", "? [a]\n: b\n", "a: *b"])
def test_what_is_no_dialogue_at_all_is_refused_with_a_line(text: str) -> None:
    with pytest.raises(DialogueError, match=r"mine\.yaml:\d+"):
        parse_dialogue(text, file="mine.yaml")


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match=r"none\.yaml"):
        load_dialogue(tmp_path / "none.yaml")
