"""A call that a model leads: what it says is booked as heard, tools are asked for by its words, others' texts woven in."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.brain.native import NativeBrain
from agent.brain.protocol import CallFacts, SpokenConversation
from agent.brain.triggers import parse_triggers
from agent.events.names import WebhookEvent
from agent.pool.messages import BeginUtterance, TurnPaused, TurnStarted, UtteranceEnded, UtteranceStarted, WeaveText
from agent.scheduler.own_speech import OWN
from tests.unit.agent.call_fakes import CALL
from tests.unit.agent.test_session import Rig, running

TRIGGERS = """
- tool: order_status
  when: 'look up (?:your )?order (?P<order>\\w+)'
  say: 'Found it: {ok}.'
  failed: I could not find it.
"""


class SpokenRig(Rig):
    def __init__(self, *, disclosure: str = "") -> None:
        super().__init__()
        brain = NativeBrain(disclosure=disclosure, triggers=parse_triggers(TRIGGERS, "triggers"))
        self.conversation = brain.open(CallFacts(call_id=CALL, from_uri="", to_uri=""))  # type: ignore[assignment]
        self.services.brain.conversation = self.conversation  # type: ignore[attr-defined]

    async def model_said(self, heard: str, unheard: str = "", *, reason: str = "played", at: int = 20_000) -> None:
        self.seat.emit(UtteranceStarted(call_id=CALL, at=at, utterance=OWN))
        self.seat.emit(
            UtteranceEnded(
                call_id=CALL,
                at=at + 8000,
                utterance=OWN,
                heard_words=len(heard.split()),
                heard=heard,
                unheard=unheard,
                complete=not unheard,
                reason=reason,
            )
        )
        await self.settle()

    def woven(self) -> list[str]:
        return [message.text for message in self.seat.of(WeaveText)]

    def timeline(self, kind: str) -> list[dict[str, Any]]:
        return [entry.data for entry in self.store.timeline if entry.kind == kind]


async def test_conversation_of_a_model_is_recognised_by_its_methods() -> None:
    assert isinstance(SpokenRig().conversation, SpokenConversation)
    assert not isinstance(Rig().conversation, SpokenConversation)


async def test_model_that_speaks_shows_by_itself_that_it_listens() -> None:
    rig = SpokenRig()
    async with running(rig):
        rig.seat.emit(TurnStarted(call_id=CALL, at=0, turn=1))
        rig.seat.emit(TurnPaused(call_id=CALL, at=80_000, turn=1, revision=1, words=("so",), confidence=0.9))
        await rig.settle()
        assert rig.seat.of(BeginUtterance) == []


async def test_nothing_is_said_beside_the_model() -> None:
    rig = SpokenRig()
    async with running(rig):
        await rig.answered()
        await rig.turn("hello")
        await rig.model_said("Hi there, how can I help?")
        assert not rig.seat.of(BeginUtterance)
        assert not rig.woven()


async def test_disclosure_is_said_by_a_voice_and_may_not_be_cut() -> None:
    rig = SpokenRig(disclosure="You are talking to a machine.")
    async with running(rig):
        await rig.answered()
        assert rig.said() == ["You are talking to a machine."]
        assert not rig.seat.of(BeginUtterance)[0].interruptible


async def test_what_was_heard_of_the_model_and_its_latency_are_booked() -> None:
    rig = SpokenRig()
    async with running(rig):
        await rig.answered()
        await rig.turn("where is it", at=10_000)
        await rig.model_said("It is on", "its way", reason="yielded", at=14_000)
        assert rig.session._books.tally.interruptions == 1
        assert rig.session._books.tally.latencies_ms == [(14_000 - 9_200) / 8]
    assert WebhookEvent.CALL_INTERRUPTED in [event.name for event in rig.store.events]


async def test_tool_is_asked_for_by_what_was_heard_and_its_result_woven_in() -> None:
    rig = SpokenRig()
    async with running(rig):
        await rig.answered()
        await rig.model_said("Let me", "look up order A7", reason="yielded")
        assert not rig.woven(), "the caller has not heard that"
        await rig.model_said("Sure, I look up your order A7 now.")
        await asyncio.sleep(0.01)
        await rig.settle()
        assert rig.decisions.tools == [("order_status", {"order": "A7"}, "tool-1")]
        assert rig.woven() == ["Found it: True."]


async def test_text_of_others_is_woven_in_and_one_that_must_be_heard_is_said_by_a_voice() -> None:
    rig = SpokenRig()
    async with running(rig):
        await rig.answered()
        rig.session.order_say("The road is closed.", interruptible=True, by="op")
        rig.session.order_say("This call is recorded.", interruptible=False, by="op")
        await rig.settle()
        assert rig.woven() == ["The road is closed."]
        assert rig.said() == ["This call is recorded."]
