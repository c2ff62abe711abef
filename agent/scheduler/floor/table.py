"""Who may speak: a pure table ``(state, input) -> (state, actions)``.

``machine`` turns scores, words and media time into the inputs; ``seat`` carries the actions out. A pair that is
not in the table is ignored and counted. ``docs/reference/floor.md`` is printed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class FloorState(StrEnum):
    OPEN = "open"
    """Nobody speaks; either may begin."""
    CALLER = "caller"
    """The caller's turn runs (pauses included)."""
    AGENT = "agent"
    """Our voice plays."""
    OVERLAP = "overlap"
    """Our voice plays turned down: the caller speaks into it, and we do not know yet what it is."""
    YIELDING = "yielding"
    """Our voice was cut; what has left is being played out. The caller's turn runs."""


class FloorInput(StrEnum):
    CALLER_STARTED = "caller_started"
    """Speech for ``start_after_ms`` (we are silent) or ``duck_after_ms`` (we speak)."""
    CALLER_PAUSED = "caller_paused"
    """Silence of ``pause_after_ms`` inside an open turn."""
    CALLER_WENT_ON = "caller_went_on"
    """Speech again after such a pause."""
    CALLER_STOPPED = "caller_stopped"
    """Silence of ``restore_after_ms`` after an overlap."""
    BACKCHANNEL = "backchannel"
    """The ears say that the overlap is none: an "uh-huh", a cough, side talk, noise."""
    FLOOR_TAKEN = "floor_taken"
    """The overlap is an interruption, by score (words) or by duration."""
    FLOOR_CLAIMED = "floor_claimed"
    """The same, but what we say may not be cut."""
    TURN_ENDED = "turn_ended"
    """By score, by a met expectation, by silence or by its length."""
    TURN_REOPENED = "turn_reopened"
    """The caller goes on right after the end that we called."""
    KEY_PRESSED = "key_pressed"
    """A key, while nothing plays that may not be cut."""
    AGENT_INTERRUPTS = "agent_interrupts"
    """The brain says that what the caller is saying cannot be right: more of it would help nobody."""
    AGENT_STARTED = "agent_started"
    """Our voice has something to say and begins."""
    PLAYED_OUT = "played_out"
    """All of it was played out; no turn of the caller is open."""
    PLAYED_OUT_IN_TURN = "played_out_in_turn"
    """All of it was played out, under an open turn of the caller."""
    CLEARED = "cleared"
    """The first frame after the cut was played out (or the deadline for that has passed)."""
    SILENCE_LIMIT = "silence_limit"
    """Nobody has spoken for one of ``silence_limits_ms``."""


class FloorAction(StrEnum):
    OPEN_TURN = "open_turn"
    END_TURN = "end_turn"
    REOPEN_TURN = "reopen_turn"
    PREPARE = "prepare"
    """Tell the brain what was said so far: it may prepare the answer."""
    DROP_PREPARED = "drop_prepared"
    DUCK = "duck"
    RESTORE = "restore"
    CUT = "cut"
    """Bump the epoch, empty the speech buffer, zero the output of this very step, fix the heard text."""
    CLOSE_OVERLAP = "close_overlap"
    """Say what the overlap was."""
    ASK_ABOUT_SILENCE = "ask_about_silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRow:
    """One row of the table."""

    state: FloorState
    cause: FloorInput
    then: FloorState
    actions: tuple[FloorAction, ...]
    why: str


S, I, A = FloorState, FloorInput, FloorAction  # noqa: E741  short names for a table that is read as one


def _row(
    state: FloorState, cause: FloorInput, then: FloorState, actions: tuple[FloorAction, ...], why: str
) -> FloorRow:
    return FloorRow(state=state, cause=cause, then=then, actions=actions, why=why)


ROWS: Final = (
    _row(S.OPEN, I.CALLER_STARTED, S.CALLER, (A.OPEN_TURN,), "somebody speaks into silence: it is their turn"),
    _row(S.OPEN, I.TURN_REOPENED, S.CALLER, (A.REOPEN_TURN,), "the end was called too early and nothing was said yet"),
    _row(S.OPEN, I.AGENT_STARTED, S.AGENT, (), "the floor is free"),
    _row(S.OPEN, I.SILENCE_LIMIT, S.OPEN, (A.ASK_ABOUT_SILENCE,), "the brain decides what silence means"),
    _row(
        S.CALLER, I.CALLER_PAUSED, S.CALLER, (A.PREPARE,), "it may be the end: a false start in private costs nothing"
    ),
    _row(S.CALLER, I.CALLER_WENT_ON, S.CALLER, (A.DROP_PREPARED,), "what was prepared answers half a sentence"),
    _row(S.CALLER, I.TURN_ENDED, S.OPEN, (A.END_TURN,), "the floor is ours if we want it"),
    _row(S.CALLER, I.KEY_PRESSED, S.OPEN, (A.END_TURN,), "keys replace words"),
    _row(S.CALLER, I.AGENT_INTERRUPTS, S.OPEN, (A.END_TURN,), "what cannot be right is not waited for: we say so now"),
    _row(S.CALLER, I.AGENT_STARTED, S.CALLER, (), "a speaking model may murmur under a turn; it does not take it"),
    _row(S.AGENT, I.CALLER_STARTED, S.OVERLAP, (A.DUCK,), "at its onset every overlap looks the same: turn down, wait"),
    _row(S.AGENT, I.FLOOR_TAKEN, S.YIELDING, (A.CLOSE_OVERLAP, A.CUT, A.OPEN_TURN), "the words say it at once"),
    _row(
        S.AGENT,
        I.FLOOR_CLAIMED,
        S.OVERLAP,
        (A.CLOSE_OVERLAP, A.DUCK, A.OPEN_TURN),
        "what may not be cut goes on, turned down",
    ),
    _row(S.AGENT, I.TURN_REOPENED, S.YIELDING, (A.CUT, A.REOPEN_TURN), "our answer came into a pause: take it back"),
    _row(S.AGENT, I.CALLER_PAUSED, S.AGENT, (A.PREPARE,), "a turn that was spoken under what may not be cut"),
    _row(S.AGENT, I.CALLER_WENT_ON, S.AGENT, (A.DROP_PREPARED,), "same"),
    _row(S.AGENT, I.TURN_ENDED, S.AGENT, (A.END_TURN,), "it counts; the answer follows what is being said"),
    _row(S.AGENT, I.KEY_PRESSED, S.OPEN, (A.CUT,), "who presses a key has heard enough"),
    _row(S.AGENT, I.PLAYED_OUT, S.OPEN, (), "said"),
    _row(S.AGENT, I.PLAYED_OUT_IN_TURN, S.CALLER, (), "said; the caller's turn was open all the time"),
    _row(S.OVERLAP, I.BACKCHANNEL, S.AGENT, (A.CLOSE_OVERLAP, A.RESTORE), "they listen; go on"),
    _row(S.OVERLAP, I.CALLER_STOPPED, S.AGENT, (A.CLOSE_OVERLAP, A.RESTORE), "too short to be an interruption; go on"),
    _row(S.OVERLAP, I.FLOOR_TAKEN, S.YIELDING, (A.CLOSE_OVERLAP, A.CUT, A.OPEN_TURN), "an interruption"),
    _row(S.OVERLAP, I.FLOOR_CLAIMED, S.OVERLAP, (A.CLOSE_OVERLAP, A.OPEN_TURN), "one that must wait, but counts"),
    _row(S.OVERLAP, I.CALLER_PAUSED, S.OVERLAP, (A.PREPARE,), "a turn that was spoken under what may not be cut"),
    _row(S.OVERLAP, I.CALLER_WENT_ON, S.OVERLAP, (A.DROP_PREPARED,), "same"),
    _row(S.OVERLAP, I.TURN_ENDED, S.AGENT, (A.RESTORE, A.END_TURN), "it counts; the answer follows"),
    _row(S.OVERLAP, I.KEY_PRESSED, S.OPEN, (A.CLOSE_OVERLAP, A.CUT), "who presses a key has heard enough"),
    _row(S.OVERLAP, I.PLAYED_OUT, S.CALLER, (A.RESTORE, A.OPEN_TURN), "they speak on, we are done"),
    _row(S.OVERLAP, I.PLAYED_OUT_IN_TURN, S.CALLER, (A.RESTORE,), "same, with the turn open already"),
    _row(S.YIELDING, I.CLEARED, S.CALLER, (), "the line is silent from our side"),
    _row(S.YIELDING, I.CALLER_PAUSED, S.YIELDING, (A.PREPARE,), "a very short interruption"),
    _row(S.YIELDING, I.CALLER_WENT_ON, S.YIELDING, (A.DROP_PREPARED,), "same"),
    _row(S.YIELDING, I.TURN_ENDED, S.OPEN, (A.END_TURN,), "a very short interruption"),
    _row(S.YIELDING, I.KEY_PRESSED, S.OPEN, (A.END_TURN,), "keys replace words"),
)

TABLE: Final[Mapping[tuple[FloorState, FloorInput], FloorRow]] = MappingProxyType(
    {(row.state, row.cause): row for row in ROWS}
)


def render_markdown() -> str:
    """The table as the text of ``docs/reference/floor.md``."""
    lines = [
        "# The floor",
        "",
        "Printed from `agent/scheduler/floor/table.py`; a test compares them. Inputs come from",
        "`agent/scheduler/floor/machine.py`, thresholds from the agent's `floor` profile. A pair that is not listed is",
        "ignored and counted.",
        "",
        "| state | input | next | actions | why |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        then = "same" if row.then is row.state else row.then.name
        actions = ", ".join(action.value for action in row.actions) or "none"
        lines.append(f"| {row.state.name} | {row.cause.value} | {then} | {actions} | {row.why} |")
    return "\n".join(lines) + "\n"
