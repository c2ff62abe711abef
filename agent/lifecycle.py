"""A call's life as a table: ``(state, input) -> (state, actions)``. Pure; the session carries the actions out.

An input that a state does not list is ignored and counted by the caller: late news of a call that is over, mostly.
"""

from __future__ import annotations

from enum import StrEnum

from agent.store.interface import CallState


class LifeInput(StrEnum):
    """What can happen to a call as a whole."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    TRANSFER_ASKED = "transfer_asked"
    TRANSFER_DONE = "transfer_done"
    TRANSFER_FAILED = "transfer_failed"
    HANGUP_ASKED = "hangup_asked"
    """By the brain or an operator."""
    LEG_ENDED = "leg_ended"
    """The far end, the network or the edge ended the leg."""
    MEDIA_LOST = "media_lost"
    TIME_UP = "time_up"
    DRAINED = "drained"
    """Played out, or the deadline for it passed."""
    FAILED = "failed"
    """A bug or a lost part of ours."""


class LifeAction(StrEnum):
    """What the session must do."""

    START_MEDIA = "start_media"
    START_DIALOGUE = "start_dialogue"
    REFUSE_LEG = "refuse_leg"
    HOLD_ROW = "hold_row"
    RESUME_ROW = "resume_row"
    SEND_TRANSFER = "send_transfer"
    TELL_BRAIN_FAILED = "tell_brain_failed"
    PLAY_OUT = "play_out"
    HANG_UP_LEG = "hang_up_leg"
    FINISH = "finish"
    """Free the seat and write ``call.ended``, once."""


_S, _I, _A = CallState, LifeInput, LifeAction

TABLE: dict[tuple[CallState, LifeInput], tuple[CallState, tuple[LifeAction, ...]]] = {
    (_S.OFFERED, _I.ADMITTED): (_S.RINGING, (_A.START_MEDIA,)),
    (_S.OFFERED, _I.REFUSED): (_S.ENDED, (_A.REFUSE_LEG, _A.FINISH)),
    (_S.OFFERED, _I.CANCELLED): (_S.ENDED, (_A.FINISH,)),
    (_S.OFFERED, _I.HANGUP_ASKED): (_S.ENDED, (_A.REFUSE_LEG, _A.FINISH)),
    (_S.OFFERED, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.OFFERED, _I.FAILED): (_S.ENDED, (_A.REFUSE_LEG, _A.FINISH)),
    (_S.RINGING, _I.ANSWERED): (_S.ACTIVE, (_A.START_DIALOGUE,)),
    (_S.RINGING, _I.CANCELLED): (_S.ENDED, (_A.FINISH,)),
    (_S.RINGING, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.RINGING, _I.HANGUP_ASKED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.RINGING, _I.MEDIA_LOST): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.RINGING, _I.TIME_UP): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.RINGING, _I.FAILED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.ACTIVE, _I.HELD): (_S.HELD, (_A.HOLD_ROW,)),
    (_S.ACTIVE, _I.TRANSFER_ASKED): (_S.TRANSFERRING, (_A.SEND_TRANSFER,)),
    (_S.ACTIVE, _I.HANGUP_ASKED): (_S.DRAINING, (_A.PLAY_OUT,)),
    (_S.ACTIVE, _I.TIME_UP): (_S.DRAINING, (_A.PLAY_OUT,)),
    (_S.ACTIVE, _I.MEDIA_LOST): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.ACTIVE, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.ACTIVE, _I.FAILED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.HELD, _I.RESUMED): (_S.ACTIVE, (_A.RESUME_ROW,)),
    (_S.HELD, _I.HANGUP_ASKED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.HELD, _I.TIME_UP): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.HELD, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.HELD, _I.FAILED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.TRANSFERRING, _I.TRANSFER_DONE): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.TRANSFERRING, _I.TRANSFER_FAILED): (_S.ACTIVE, (_A.TELL_BRAIN_FAILED,)),
    (_S.TRANSFERRING, _I.HANGUP_ASKED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.TRANSFERRING, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.TRANSFERRING, _I.TIME_UP): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.TRANSFERRING, _I.FAILED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.DRAINING, _I.DRAINED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.DRAINING, _I.LEG_ENDED): (_S.ENDED, (_A.FINISH,)),
    (_S.DRAINING, _I.MEDIA_LOST): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
    (_S.DRAINING, _I.FAILED): (_S.ENDED, (_A.HANG_UP_LEG, _A.FINISH)),
}


def step(state: CallState, happened: LifeInput) -> tuple[CallState, tuple[LifeAction, ...]]:
    """Next state and what to do; the same state and nothing for an input that does not apply."""
    return TABLE.get((state, happened), (state, ()))


def render_markdown() -> str:
    """The table for ``docs/reference/lifecycle.md``."""
    lines = ["| state | input | next | actions |", "|---|---|---|---|"]
    for (state, happened), (after, actions) in TABLE.items():
        lines.append(f"| {state} | {happened} | {after} | {', '.join(actions) or '–'} |")
    return "\n".join(lines) + "\n"
