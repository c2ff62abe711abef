"""One call of a FlowBrain: the pure machine, and the truth about what the caller has heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from agent.brain.flow.flow import Flow, expectation
from agent.brain.flow.impossible import why_impossible
from agent.brain.flow.inputs import Input, Key, Opened, Said, Silent, ToolDone, TransferFailed, World
from agent.brain.flow.machine import step
from agent.brain.flow.speech import Speech
from agent.brain.flow.state import State
from agent.brain.protocol import Action, Hangup, Say, SetExpect, Tool, ToolResult, Transfer, Turn


class FlowConversation:
    """Implements ``Conversation``. An answer's state is taken over when its first action is asked for."""

    def __init__(self, flow: Flow, world: World) -> None:
        self._flow = flow
        self._world = world
        self._state = State(at=flow.spec.start)
        self._answers = 0
        self._undo: tuple[int, State] | None = None

    @property
    def state(self) -> State:
        """For tests and the console."""
        return self._state

    # --- what happened ---

    def opening(self) -> AsyncGenerator[Action, None]:
        return self._answer(Opened())

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        if not turn.words:
            return None  # perhaps the words are still to come
        return step(
            self._flow, self._world, self._state, Said(turn=turn.turn, words=turn.words, confidence=turn.confidence)
        )[1]

    def impossible(self, turn: Turn) -> str:
        return why_impossible(self._flow, self._state, turn.words)

    def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        return self._answer(Said(turn=turn.turn, words=turn.words, confidence=turn.confidence))

    def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        return self._answer(Key(digit=digit))

    def silence(self, seconds: float) -> AsyncGenerator[Action, None]:
        return self._answer(Silent(seconds=seconds))

    def tool_result(self, result: ToolResult) -> AsyncGenerator[Action, None]:
        return self._answer(ToolDone(result=result))

    def transfer_failed(self, status: int, reason: str) -> AsyncGenerator[Action, None]:
        return self._answer(TransferFailed(status=status, reason=reason))

    async def _answer(self, given: Input) -> AsyncGenerator[Action, None]:
        before = self._state
        self._state, actions = step(self._flow, self._world, before, given)
        self._answers += 1
        answer = self._answers
        if isinstance(given, Said):
            self._undo = (given.turn, before)
        given_out = 0
        try:
            for action in actions:
                given_out += 1
                yield action
        finally:
            if answer == self._answers:
                self._cut_short(before, actions[given_out:])

    def _cut_short(self, before: State, dropped: Sequence[Action]) -> None:
        """Nobody took the rest of an answer. What it would have done is not done: the dialogue stays where it was."""
        if any(isinstance(action, Tool | Transfer | Hangup) for action in dropped):
            never = {action.request_id for action in dropped if isinstance(action, Tool)}
            asked = {name: asked for name, asked in self._state.asked.items() if name not in never}
            self._state = replace(before, asked=asked, speech=self._state.speech)
        elif any(isinstance(action, Say) for action in dropped) and not self._state.rest:
            self._remember_rest()

    # --- what was heard ---

    def heard(self, text: str, *, complete: bool) -> None:
        self._hear(text, "")

    def interrupted(self, heard: str, unheard: str) -> None:
        if self._hear(heard, unheard):
            self._remember_rest()

    def _hear(self, heard: str, unheard: str) -> bool:
        """Whether the text belongs to the answer that stands (fillers and answers taken back do not)."""
        speech = self._state.speech.hear(heard, unheard)
        if speech is None:
            return False
        self._state = replace(self._state, speech=speech, value_heard=self._state.value_heard or speech.value_is_heard)
        return True

    def _remember_rest(self) -> None:
        self._state = replace(self._state, rest=self._state.speech.rest(), rest_age=0)

    def resume(self) -> Sequence[Action]:
        rest = self._state.rest
        if not rest:
            return ()
        self._state = replace(self._state, rest=(), speech=Speech(lines=rest))
        expect = SetExpect(expect=expectation(self._flow, self._state))
        ending = () if self._state.ending is None else (self._state.ending,)
        return (expect, *(Say(text=line.text, interruptible=line.interruptible) for line in rest), *ending)

    def reopened(self, turn: int) -> None:
        if self._undo is None or self._undo[0] != turn:
            return
        # Tools that were asked stay asked: their results are kept under the same request ids.
        self._state = replace(self._undo[1], asked=self._state.asked, kept=self._state.kept)
        self._undo = None
        self._answers += 1
