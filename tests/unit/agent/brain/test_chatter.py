from __future__ import annotations

from agent.brain.chatter import SENTENCES, ChatterBrain
from agent.brain.protocol import CallFacts, Say, SetExpect, Turn
from agent.expectation import ExpectKind
from tests.unit.agent.brain.talk import drain


def opened(call_id: str) -> list[str]:
    conversation = ChatterBrain().open(CallFacts(call_id=call_id, from_uri="", to_uri=""))
    said = [drain(conversation.opening())]
    said += [drain(conversation.turn(Turn(turn=n, words=(), confidence=0.0))) for n in (1, 2, 3)]
    expects = [action.expect.kind for actions in said for action in actions if isinstance(action, SetExpect)]
    assert set(expects) == {ExpectKind.FREE}
    return [action.text for actions in said for action in actions if isinstance(action, Say)]


def test_every_turn_is_answered_also_without_words() -> None:
    said = opened("call1")
    assert len(said) == 4
    assert set(said[1:]) <= set(SENTENCES)


def test_a_call_hears_the_same_again_and_calls_differ() -> None:
    assert opened("call1") == opened("call1")
    assert len({tuple(opened(f"call{n}")) for n in range(20)}) > 1


def test_a_preview_is_what_the_turn_says() -> None:
    conversation = ChatterBrain().open(CallFacts(call_id="c", from_uri="", to_uri=""))
    turn = Turn(turn=4, words=("hm",), confidence=0.5)
    assert tuple(conversation.preview(turn) or ()) == drain(conversation.turn(turn))


def test_the_unheard_rest_is_said_once() -> None:
    conversation = ChatterBrain().open(CallFacts(call_id="c", from_uri="", to_uri=""))
    conversation.interrupted("Good", "point.")
    assert conversation.resume() == (Say(text="point."),)
    assert conversation.resume() == ()
