from __future__ import annotations

from pathlib import Path

from agent.scheduler.floor.machine import FloorMachine
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.floor.table import ROWS, TABLE, FloorAction, FloorInput, FloorState, render_markdown

PAGE = Path(__file__).parents[5] / "docs" / "reference" / "floor.md"


def test_the_page_is_printed_from_the_table() -> None:
    assert PAGE.read_text() == render_markdown()


def test_no_pair_is_listed_twice_and_each_row_says_why() -> None:
    assert len(TABLE) == len(ROWS)
    assert all(row.why for row in ROWS)


def test_every_state_can_be_left_and_reached() -> None:
    assert {row.state for row in ROWS} == set(FloorState)
    assert {row.then for row in ROWS if row.then is not row.state} == set(FloorState)


def test_every_input_and_action_is_used() -> None:
    assert {row.cause for row in ROWS} == set(FloorInput)
    assert {action for row in ROWS for action in row.actions} == set(FloorAction)


def test_our_voice_is_cut_wherever_it_loses_the_floor() -> None:
    ours = (FloorState.AGENT, FloorState.OVERLAP)
    for row in ROWS:
        loses = row.state in ours and row.then not in ours
        played_out = row.cause in (FloorInput.PLAYED_OUT, FloorInput.PLAYED_OUT_IN_TURN)
        assert (FloorAction.CUT in row.actions) == (loses and not played_out), row


def test_a_pair_that_is_not_listed_is_ignored_and_counted() -> None:
    floor = FloorMachine(FloorProfile())
    assert floor.apply(FloorInput.CLEARED) == ()
    assert (floor.state, floor.ignored) == (FloorState.OPEN, 1)
