"""Interrupting politely: when the caller's words cannot become an answer, the floor is asked for before they end.

The conversation says what cannot be right; here it is watched for how long the words have said so. Whether the floor
is taken is decided by the worker, from the words that stand there: it answers by ending the turn.
"""

from __future__ import annotations

from agent.behaviour import Behaviour
from agent.brain.protocol import FollowingConversation, Turn
from agent.pool.messages import SAMPLES_PER_MS, InterruptTurn, TurnWords


class Interrupting:
    """Owner of: since when the words of the running turn cannot be right."""

    def __init__(self, conversation: FollowingConversation, behaviour: Behaviour) -> None:
        self._conversation = conversation
        self._least_sure = behaviour.interrupt_confidence
        self._after = behaviour.interrupt_after_ms * SAMPLES_PER_MS
        self._turn = 0
        self._since: int | None = None
        self.why = ""
        """Of the latest order."""

    def hear(self, event: TurnWords, turn: Turn) -> InterruptTurn | None:
        """The order to take the floor from ``turn``, whose words ``event`` told; ``None`` while it may be right."""
        if event.turn != self._turn:
            self._turn, self._since = event.turn, None
        why = self._conversation.impossible(turn) if turn.confidence >= self._least_sure else ""
        if not why:
            self._since = None
            return None
        if self._since is None:
            self._since = event.at
        self.why = why
        return InterruptTurn(
            call_id=event.call_id,
            turn=event.turn,
            revision=event.revision,
            at=self._since + self._after,
            reason=why,
        )
