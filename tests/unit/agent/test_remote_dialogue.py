"""A dialogue with a conversation that is made somewhere else: early answers, answers that take time, what comes unasked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from agent.brain.protocol import Action, RemoteConversation, Say, Turn
from agent.pool.messages import BeginUtterance, DropUtterance, TurnContinued, TurnPaused, TurnWords, UtteranceStarted
from tests.unit.agent.call_fakes import CALL, ListedConversation, yielded
from tests.unit.agent.test_session import Rig, running, turn_ended


class Remote(ListedConversation):
    """Answers as the test says, when the test says."""

    def __init__(self) -> None:
        super().__init__({}, [Say(text="hello there")])
        self.answer: asyncio.Queue[Action | None] = asyncio.Queue()
        self.early: asyncio.Queue[Action] = asyncio.Queue()
        self.own: asyncio.Queue[Action] = asyncio.Queue()

    async def _from(self, queue: asyncio.Queue[Any]) -> AsyncGenerator[Action, None]:
        while (action := await queue.get()) is not None:
            yield action

    def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        self.told.append(("turn", turn.text))
        return self._from(self.answer)

    def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        self.told.append(("dtmf", digit))
        return self._from(self.answer)

    def partial(self, turn: Turn) -> None:
        self.told.append(("partial", turn.text))

    def speaking(self, text: str) -> None:
        self.told.append(("speaking", text))

    def prepare(self, turn: Turn) -> AsyncGenerator[Action, None]:
        self.told.append(("prepare", turn.text))
        return self._from(self.early)

    def forget_prepared(self) -> None:
        self.told.append(("forget_prepared",))

    def go_on(self) -> AsyncGenerator[Action, None]:
        self.told.append(("go_on",))
        return self._listed([Say(text="the rest")])

    def unprompted(self) -> AsyncGenerator[Action, None]:
        return self._from(self.own)

    def close(self) -> None:
        self.told.append(("close",))


class RemoteRig(Rig):
    def __init__(self) -> None:
        super().__init__()
        self.remote = self.conversation = self.services.brain.conversation = Remote()  # type: ignore[attr-defined]


def paused(text: str, revision: int = 1) -> TurnPaused:
    return TurnPaused(call_id=CALL, at=9000, turn=1, revision=revision, words=tuple(text.split()), confidence=0.9)


def held(rig: Rig) -> list[tuple[int, int]]:
    return [(m.on_turn, m.on_revision) for m in rig.seat.of(BeginUtterance) if m.on_turn]


async def test_remote_conversation_is_recognised_by_its_methods() -> None:
    assert isinstance(Remote(), RemoteConversation)
    assert not isinstance(ListedConversation({}), RemoteConversation)


async def test_early_answer_is_rendered_as_it_comes_and_used_when_the_turn_ends_with_the_same_words() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        rig.seat.emit(paused("my parcel"))
        await rig.settle()
        rig.remote.early.put_nowait(Say(text="It is here."))
        await rig.settle()
        assert held(rig) == [(1, 1)]
        rig.remote.answer.put_nowait(Say(text="It is here."))
        rig.remote.answer.put_nowait(Say(text="Come and get it."))
        rig.remote.answer.put_nowait(None)
        rig.seat.emit(turn_ended("my parcel", released=2))
        await rig.settle()
        assert rig.said() == ["hello there", "It is here.", "Come and get it."]
        assert ("forget_prepared",) not in rig.remote.told


async def test_early_answer_is_forgotten_when_the_turn_goes_on() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        rig.seat.emit(paused("my"))
        rig.remote.early.put_nowait(Say(text="Your what?"))
        await rig.settle()
        rig.seat.emit(TurnContinued(call_id=CALL, at=9100, turn=1))
        await rig.settle()
        rig.remote.early.put_nowait(Say(text="Never said."))
        await rig.settle()
        assert rig.said() == ["hello there"]
        assert ("forget_prepared",) in rig.remote.told


async def test_new_turn_stops_an_answer_that_is_still_being_made_and_takes_back_what_has_not_started() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        await rig.turn("first", 1)
        rig.remote.answer.put_nowait(Say(text="To the first"))
        await rig.settle()
        await rig.turn("second", 2)
        rig.remote.answer.put_nowait(Say(text="To the second"))
        await rig.settle()
        assert rig.said() == ["hello there", "To the second"]
        assert rig.remote.told.count(("turn", "second")) == 1


async def test_backchannel_while_an_answer_is_being_made_asks_for_no_other_one() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        await rig.turn("first", 1)
        await rig.turn("mhm", 2)
        rig.remote.answer.put_nowait(Say(text="To the first"))
        await rig.settle()
        assert rig.said() == ["hello there", "To the first"]
        assert ("turn", "mhm") not in rig.remote.told


async def test_false_alarm_goes_on_with_what_is_still_to_come() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        rig.seat.emit(yielded(1, "hello", "there"))
        await rig.turn("", 1)
        assert ("go_on",) in rig.remote.told
        assert rig.said()[-1] == "the rest"


async def test_answer_to_a_key_survives_the_cut_that_the_key_has_made() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        rig.session._dialogue.key("1")  # type: ignore[union-attr]
        rig.remote.answer.put_nowait(Say(text="You pressed one"))
        await rig.settle()
        rig.seat.emit(yielded(1, "hello", "there"))
        await rig.settle()
        rig.remote.answer.put_nowait(Say(text="and more"))
        await rig.settle()
        assert rig.said() == ["hello there", "You pressed one", "and more"]
        assert ("interrupted", "hello", "there") in rig.remote.told


async def test_what_comes_unasked_is_said_and_words_are_told_as_they_come() -> None:
    rig = RemoteRig()
    async with running(rig):
        await rig.answered()
        rig.remote.own.put_nowait(Say(text="By the way"))
        rig.seat.emit(TurnWords(call_id=CALL, at=1, turn=1, revision=1, words=("so",), confidence=0.5, final=False))
        rig.seat.emit(UtteranceStarted(call_id=CALL, at=2, utterance=1))
        await rig.settle()
        assert rig.said() == ["hello there", "By the way"]
        assert ("partial", "so") in rig.remote.told
        assert ("speaking", "hello there") in rig.remote.told
    assert rig.remote.told[-1] == ("close",)


async def test_flow_answer_to_a_key_survives_the_cut_that_the_key_has_made() -> None:
    rig = Rig({"1": [Say(text="You pressed one")]})
    async with running(rig):
        await rig.answered()
        rig.session._dialogue.key("1")  # type: ignore[union-attr]
        await rig.settle()
        rig.seat.emit(yielded(1, "hello", "there"))
        await rig.settle()
        assert rig.said() == ["hello there", "You pressed one"]
        assert not rig.seat.of(DropUtterance)
