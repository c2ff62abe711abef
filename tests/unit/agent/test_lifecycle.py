"""The lifecycle table: every state is reached, every state can end, ending happens once."""

from __future__ import annotations

from pathlib import Path

from agent.lifecycle import TABLE, LifeAction, LifeInput, render_markdown, step
from agent.store.interface import CallState


def test_every_state_is_reached_from_offered() -> None:
    reached, todo = {CallState.OFFERED}, [CallState.OFFERED]
    while todo:
        state = todo.pop()
        for (before, _), (after, _) in TABLE.items():
            if before is state and after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(CallState)


def test_every_live_state_ends_when_the_leg_ends_or_we_fail() -> None:
    for state in CallState:
        if state is not CallState.ENDED:
            assert step(state, LifeInput.LEG_ENDED)[0] is CallState.ENDED
            assert step(state, LifeInput.FAILED)[0] is CallState.ENDED


def test_finish_stands_exactly_on_the_rows_that_end() -> None:
    for after, actions in TABLE.values():
        assert (LifeAction.FINISH in actions) == (after is CallState.ENDED)


def test_nothing_happens_after_the_end() -> None:
    for happened in LifeInput:
        assert step(CallState.ENDED, happened) == (CallState.ENDED, ())


def test_the_page_is_printed_from_the_table() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "lifecycle.md"
    assert page.read_text(encoding="utf-8").endswith("\n\n" + render_markdown())
