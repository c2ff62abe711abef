"""A caller without a script: says what it is given while the call runs, and listens until then.

``post`` and ``hang_up`` may be called from another thread than the one that asks for frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from agent.simulator.ear import Ear
from agent.simulator.performer import HANG_UP, SILENT, Frame, Performer
from agent.simulator.render import Cue
from agent.simulator.script import HangUp


class Improviser(Performer):
    """A performer whose cues come one by one."""

    def __init__(self, call: str, *, opening: Sequence[Cue] = (), max_s: float = 300.0) -> None:
        """``opening``: cues of the first moment (a noisy room)."""
        super().__init__(call, opening, max_s=max_s)
        self._posted: deque[Cue] = deque()
        self._limit_s = max_s
        self.agent_silent_s = float("inf")
        """Seconds since the agent's last sound, at the last frame."""

    @property
    def is_busy(self) -> bool:
        """Something is being said or pressed, or waits to be."""
        return bool(self._posted) or not self.done

    def post(self, cue: Cue) -> None:
        """Do this after what is being done."""
        self._posted.append(cue)

    def hang_up(self) -> None:
        self.post(Cue(step=HangUp(line=0), item="hangup"))

    def frame(self, now: float, ear: Ear) -> Frame:
        self.agent_silent_s = ear.silent_for(now)
        while self._posted:
            self._cues.append(self._posted.popleft())
        if self.done:
            return HANG_UP if now >= self._limit_s else SILENT
        return super().frame(now, ear)

    def _next(self) -> Frame | None:
        """After the last cue the caller listens: a frame of silence, where a script would have hung up."""
        super()._next()
        return SILENT if self.done else None
