"""Showing that we listen: when a caller speaks long, a backchannel of ours fits into one of their pauses.

Only free speech gets one: a number that is said in parts, or a yes, is not something to agree to. The worker decides
whether the pause still is one when the word is there.
"""

from __future__ import annotations

from agent.behaviour import Behaviour
from agent.brain.protocol import Say
from agent.expectation import Expect, ExpectKind
from agent.pool.messages import SAMPLES_PER_MS, TurnPaused


class Listening:
    """Owner of: when the last of our backchannels was, and which word it was."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._phrases = behaviour.asides
        self._apart = behaviour.backchannel_after_ms * SAMPLES_PER_MS
        self._quiet_since = 0
        """Where the turn began, or our last backchannel."""
        self._said = 0

    def turn_started(self, at: int) -> None:
        self._quiet_since = at

    def said(self, at: int) -> None:
        """One of ours was heard."""
        self._quiet_since = at
        self._said += 1

    def word_for(self, paused: TurnPaused, expect: Expect) -> Say | None:
        """What to put into this pause; ``None``: nothing."""
        if not self._phrases or expect.kind is not ExpectKind.FREE or not paused.words:
            return None
        if paused.at - self._quiet_since < self._apart:
            return None
        return Say(text=self._phrases[self._said % len(self._phrases)], aside=True)
