"""One call of a ChatBrain: requests, fillers and fallbacks in time, and a history of heard words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.backchannels import only_backchannels
from agent.brain.chat_delta import Fragment
from agent.brain.chat_history import Answer, Call, ChatHistory
from agent.brain.protocol import Action, Hangup, Note, Say, SetExpect, Tool, ToolResult, Transfer, Turn, nothing
from agent.brain.tool_specs import ToolSpec, parse_arguments
from agent.config import ChatConfig
from agent.expectation import Expect, ExpectKind
from agent.remote.stream import AnswerStream, Asked, Clause, Over
from telephony.clock import Clock

MOST_ROUNDS: Final = 6
"""Requests for one turn: a model that goes on asking tools is stopped."""
LAST_KEY_S: Final = 0.1
"""After ``#`` no key is waited for; what the key has cut off is told meanwhile."""
MOST_SILENCES: Final = 3

Ask = Callable[[list[dict[str, Any]]], AnswerStream]


@dataclass(slots=True)
class _Progress:
    """How far an answer has been given out."""

    stream: AnswerStream
    answer: Answer
    asked_at: float
    at: int = 0
    is_cut: bool = False
    has_filler: bool = False


class ChatConversation:
    """Implements ``RemoteConversation``."""

    def __init__(
        self,
        config: ChatConfig,
        history: ChatHistory,
        *,
        call_id: str,
        disclosure: str,
        phrases: tuple[str, ...],
        tools: Mapping[str, ToolSpec],
        targets: Mapping[str, str],
        ask: Ask,
        clock: Clock,
        on_failure: Callable[[str, str], None],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._history = history
        self._call_id = call_id
        self._disclosure = disclosure
        self._expect = SetExpect(expect=Expect(kind=ExpectKind.FREE, phrases=phrases))
        self._tools = tools
        self._targets = targets
        self._ask = ask
        self._clock = clock
        self._on_failure = on_failure
        self._on_close = on_close
        self._now: _Progress | None = None
        """The answer that is being given, or was when the caller cut it."""
        self._early: tuple[Turn, AnswerStream] | None = None
        self._keys = ""
        self._asked = 0
        self._rounds = 0
        self._failures = 0
        self._silences = 0

    # --- what happened ---

    async def opening(self) -> AsyncGenerator[Action, None]:
        yield self._expect
        for text, interruptible in ((self._disclosure, False), (self._config.greeting, True)):
            if text:
                self._history.new_answer().give(text)
                yield Say(text=text, interruptible=interruptible)

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        return None

    def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        self._happened()
        self._silences = 0
        early, self._early = self._early, None
        if not turn.words:
            if early is not None:
                early[1].close()
            return self._say(self._config.not_understood)
        self._history.said(turn.text, turn=turn.turn)
        stream: AnswerStream | None = None
        if early is not None:
            if early[0].words == turn.words and early[1].messages == self._history.messages():
                stream = early[1]
            else:
                early[1].close()
        return self._answer(self._begin(stream))

    def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        self._happened()
        self._silences = 0
        self.forget_prepared()
        self._keys += digit
        return self._pressed()

    async def _pressed(self) -> AsyncGenerator[Action, None]:
        """Keys come one by one and mean something together; a later key cancels the wait of an earlier one."""
        await asyncio.sleep(LAST_KEY_S if self._keys.endswith("#") else self._config.keys_gap_ms / 1000)
        keys, self._keys = self._keys, ""
        self._history.said(f"(The caller pressed {' '.join(keys)} on the telephone.)")
        async for action in self._answer(self._begin(None)):
            yield action

    def silence(self, seconds: float) -> AsyncGenerator[Action, None]:
        if self._history.waits_for_results or (self._now is not None and not self._now.is_cut):
            return nothing()  # it is we who keep the caller waiting
        self._silences += 1
        return self._say(self._config.still_there) if self._silences < MOST_SILENCES else _hang_up("silence")

    def tool_result(self, result: ToolResult) -> AsyncGenerator[Action, None]:
        self._history.result(result.request_id, result.value, ok=result.ok)
        return self._told()

    async def _told(self) -> AsyncGenerator[Action, None]:
        if self._history.waits_for_results or not self._history.has_untold_results:
            return  # more are to come, or a later answer has told of it
        async for action in self._answer(self._begin(None, follows=True)):
            yield action

    async def transfer_failed(self, status: int, reason: str) -> AsyncGenerator[Action, None]:
        self._history.said(f"(The transfer failed: {status} {reason}. Tell the caller, and help another way.)")
        async for action in self._answer(self._begin(None)):
            yield action

    def heard(self, text: str, *, complete: bool) -> None:
        self._history.heard(text)

    def interrupted(self, heard: str, unheard: str) -> None:
        self._history.interrupted(heard, unheard)
        if self._now is not None:
            self._now.is_cut = True

    def resume(self) -> Sequence[Action]:
        return ()

    def reopened(self, turn: int) -> None:
        self._happened()
        self._history.reopened(turn)

    # --- RemoteConversation ---

    def partial(self, turn: Turn) -> None:
        """An answer that was cut by more than a "mhm" is not wanted any more."""
        if self._now is not None and self._now.is_cut and not only_backchannels(turn.words):
            self._now.stream.close()

    def speaking(self, text: str) -> None:
        pass

    def prepare(self, turn: Turn) -> AsyncGenerator[Action, None]:
        if not self._config.prepare or not turn.words:
            return nothing()
        if self._early is None or self._early[0].words != turn.words:
            self.forget_prepared()
            self._early = (turn, self._ask(self._history.messages(also=turn.text)))
        return self._preview(self._early[1])

    def forget_prepared(self) -> None:
        if self._early is not None:
            self._early[1].close()
            self._early = None

    async def go_on(self) -> AsyncGenerator[Action, None]:
        rest, now = self._history.take_rest(), self._now
        answer = now.answer if now is not None else self._history.new_answer()
        for text in rest:
            answer.give(text)
            yield Say(text=text)
        if now is not None:
            now.is_cut = False
            now.asked_at = self._clock.now()
            async for action in self._answer(now):
                yield action

    def unprompted(self) -> AsyncGenerator[Action, None]:
        return nothing()

    def close(self) -> None:
        self.forget_prepared()
        self._happened()
        self._on_close()

    # --- answers ---

    def _happened(self) -> None:
        """The caller has done something: what was being answered is not wanted any more."""
        if self._now is not None:
            self._now.stream.close()
            self._now = None
        self._history.forget_rest()
        self._rounds = 0

    def _begin(self, stream: AnswerStream | None, *, follows: bool = False) -> _Progress:
        """``follows``: the answer is said behind what is on its way, and may count on that."""
        if self._now is not None:
            self._now.stream.close()
        if stream is None:
            stream = self._ask(self._history.messages(in_flight=follows))
        self._history.results_told()
        self._rounds += 1
        self._now = _Progress(stream, self._history.new_answer(), self._clock.now())
        return self._now

    async def _preview(self, stream: AnswerStream) -> AsyncGenerator[Action, None]:
        at = 0
        while isinstance(item := await stream.item(at, self._config.answer_budget_s), Clause):
            yield Say(text=item.text)
            at += 1

    async def _answer(self, now: _Progress) -> AsyncGenerator[Action, None]:
        while True:
            item = await now.stream.item(now.at, self._patience_s(now))
            if item is None and self._wants_filler(now):
                now.has_filler = True
                if self._config.filler:
                    yield Say(text=self._config.filler, filler=True)
                continue
            if item is None:
                now.stream.close()
                item = Over("timeout", "the endpoint is too slow")
            now.at += 1
            match item:
                case Clause():
                    if now.at == 1:
                        yield Note(key="first_token_ms", value=round((self._clock.now() - now.asked_at) * 1000))
                    now.answer.give(item.text)
                    yield Say(text=item.text)
                case Asked():
                    for action in self._asks(now.answer, item.calls):
                        yield action
                case Over():
                    break
        self._now = None
        async for action in self._over(now, item):
            yield action

    def _wants_filler(self, now: _Progress) -> bool:
        return now.at == 0 and not now.has_filler

    def _patience_s(self, now: _Progress) -> float:
        """How long the next item is waited for: until the filler is due, then until the budget is spent."""
        waited_s = self._clock.now() - now.asked_at
        if now.at:
            return self._config.stall_s
        if not now.has_filler:
            return self._config.filler_after_ms / 1000 - waited_s
        return self._config.first_token_budget_s - waited_s

    async def _over(self, now: _Progress, over: Over) -> AsyncGenerator[Action, None]:
        answer = now.answer
        if over.failure or not (answer.lines or answer.calls):
            for action in self._fail(over):
                yield action
            return
        self._failures = 0
        if not answer.lines and not any(call.result is None for call in answer.calls) and self._has_news(answer):
            if self._rounds >= MOST_ROUNDS:
                for action in self._fail(Over("endless", "asks tools and never answers")):
                    yield action
                return
            async for action in self._answer(self._begin(None, follows=True)):
                yield action

    @staticmethod
    def _has_news(answer: Answer) -> bool:
        """A call that was refused at once: the model must hear of it."""
        return any(call.result is not None and not call.is_told for call in answer.calls)

    def _fail(self, over: Over) -> list[Action]:
        """Say that it did not work; too often in a row, and the call goes to somebody else."""
        failure = over.failure or "empty"
        self._on_failure(failure, over.detail)
        self._failures += 1
        actions: list[Action] = [Note(key="brain_failed", value=failure)]
        if self._failures < self._config.most_failures:
            return [*actions, *self._say_now(self._config.fallback)]
        actions += self._say_now(self._config.give_up)
        target = self._config.give_up_target
        return [*actions, Transfer(target=target) if target else Hangup(reason="brain_failed")]

    def _say_now(self, text: str) -> list[Action]:
        if not text:
            return []
        self._history.new_answer().give(text)
        return [Say(text=text)]

    async def _say(self, text: str) -> AsyncGenerator[Action, None]:
        for action in self._say_now(text):
            yield action

    # --- tools ---

    def _asks(self, answer: Answer, fragments: Sequence[Fragment]) -> list[Action]:
        actions: list[Action] = []
        for fragment in fragments:
            self._asked += 1
            request_id = f"t{self._asked}"
            call = Call(fragment.call_id or request_id, request_id, fragment.name, fragment.arguments or "{}")
            answer.calls.append(call)
            try:
                actions.append(self._action(call))
            except ValueError as wrong:
                call.result = f"Error: {wrong}"
                if "JSON" in str(wrong):
                    call.arguments = "{}"  # some endpoints refuse a history that does not parse
        return actions

    def _action(self, call: Call) -> Action:
        """Raises ``ValueError`` with what the model did wrong."""
        spec = self._tools.get(call.name)
        if spec is None:
            raise ValueError(f"there is no tool {call.name}")
        arguments = parse_arguments(call.arguments)
        if call.name == "end_call":
            call.result, call.is_told = "The call ends.", True
            return Hangup(reason="end_call")
        if call.name == "transfer_call":
            target = self._targets.get(str(arguments.get("target")))
            if target is None:
                raise ValueError(f"target must be one of {', '.join(self._targets)}")
            call.result, call.is_told = "The caller is being connected.", True
            return Transfer(target=target)
        return Tool(
            name=call.name,
            arguments=arguments,
            request_id=call.request_id,
            filler=spec.filler or self._config.filler,
        )


async def _hang_up(reason: str) -> AsyncGenerator[Action, None]:
    yield Hangup(reason=reason)
