"""Seats of calls: a seed for each, and what the model of another seat is told of the call."""

from __future__ import annotations

from typing import Any, cast

from agent.model.protocol import TOLD_WORDS, Persona
from agent.placement import Placement
from agent.pool.client import SeatHandle
from agent.pool.messages import UtteranceEnded
from agent.scheduler.floor.profile import FloorProfile


class Registry:
    """Gives seats and keeps the personas that were asked for."""

    def __init__(self) -> None:
        self.personas: list[Persona] = []

    async def open_seat(self, call_id: str, *, persona: Persona, **rest: Any) -> SeatHandle:
        self.personas.append(persona)
        return SeatHandle(cast(Any, None), call_id)

    async def reseat(self, lost: SeatHandle, *, persona: Persona, **rest: Any) -> SeatHandle:
        return await self.open_seat(lost.call_id, persona=persona)


def placement(seed: int = -1) -> tuple[Placement, Registry]:
    registry = Registry()
    persona = Persona(text="You sell tea.", voice="NATF2", seed=seed)
    return Placement(cast(Any, registry), persona=persona, transfer_targets=()), registry


def said(seat: SeatHandle, heard: str) -> None:
    seat.deliver(
        UtteranceEnded(
            call_id=seat.call_id,
            at=0,
            utterance=0,
            heard_words=0,
            heard=heard,
            unheard="more",
            complete=False,
            reason="",
        )
    )


async def test_each_call_draws_its_own_tokens_and_the_same_on_another_worker() -> None:
    place, registry = placement()
    first = await place.open_seat("a", FloorProfile(), "")
    await place.open_seat("b", FloorProfile(), "")
    await place.reseat(first, FloorProfile(), "")
    one, other, again = (persona.seed for persona in registry.personas)
    assert one == again != other
    assert one >= 0
    place, registry = placement(seed=7)
    await place.open_seat("a", FloorProfile(), "")
    assert registry.personas == [Persona(text="You sell tea.", voice="NATF2", seed=7)]


async def test_model_of_another_seat_is_told_what_was_heard_of_the_last_ones() -> None:
    place, registry = placement()
    seat = await place.open_seat("a", FloorProfile(), "")
    said(seat, "good morning")
    seat = cast(SeatHandle, await place.reseat(seat, FloorProfile(), ""))
    said(seat, "we have green tea")
    await place.reseat(seat, FloorProfile(), "")
    told = "You sell tea. You are in the middle of a call. You have just said: "
    assert [persona.text for persona in registry.personas] == [
        "You sell tea.",
        f"{told}good morning",
        f"{told}good morning we have green tea",
    ]


async def test_what_it_is_told_is_bounded() -> None:
    place, registry = placement()
    seat = await place.open_seat("a", FloorProfile(), "")
    for number in range(300):
        said(seat, f"w{number}")
    await place.reseat(seat, FloorProfile(), "")
    words = registry.personas[-1].text.split(": ")[1].split()
    assert words == [f"w{n}" for n in range(300 - TOLD_WORDS, 300)]
