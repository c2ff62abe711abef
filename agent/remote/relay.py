"""RelayBrain: a customer's own server that speaks ConversationRelay answers the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType

import aiohttp

from agent.backchannels import only_backchannels
from agent.brain import relay_messages as wire
from agent.brain.protocol import Action, CallFacts, Conversation, Note, Say, SetExpect, ToolResult, Turn
from agent.brain.relay_talk import Outcome, RelayRules, RelayTalk
from agent.config import RelayConfig
from agent.events.names import LogEvent
from agent.expectation import Expect, ExpectKind
from agent.logging import Log
from agent.remote.relay_socket import Connected, GaveUp, Lost, Received, RelaySocket, Woken, signature
from agent.tasks import Tasks
from telephony.clock import Clock


class RelayBrain:
    """An async context manager: calls can be answered inside the block."""

    def __init__(
        self, config: RelayConfig, *, disclosure: str, phrases: tuple[str, ...] = (), clock: Clock, log: Log
    ) -> None:
        """``phrases``: what callers may say, for ears that need a grammar."""
        self._config = config
        self._expect = SetExpect(expect=Expect(kind=ExpectKind.FREE, phrases=phrases))
        self._disclosure = disclosure
        self._clock = clock
        self._log = log
        self._tasks = Tasks()
        self._http: aiohttp.ClientSession | None = None
        self._headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in config.headers)}
        if config.signing_token:
            self._headers["X-Twilio-Signature"] = signature(config.signing_token, config.url)
        self._rules = RelayRules(
            filler=config.filler,
            filler_after_s=config.filler_after_ms / 1000,
            fallback=config.fallback,
            first_token_s=config.first_token_budget_s,
            most_words=config.most_words,
            give_up=config.give_up,
            give_up_target=config.give_up_target,
            handoff_target=config.handoff_target,
        )

    @property
    def name(self) -> str:
        return "relay"

    async def __aenter__(self) -> RelayBrain:
        self._http = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        finally:
            if self._http is not None:
                await self._http.close()

    def open(self, call: CallFacts) -> Conversation:
        assert self._http is not None, "the brain is open while calls are answered"
        socket = RelaySocket(
            self._http,
            self._config.url,
            self._headers,
            setup=lambda resumed: wire.setup(
                session_id=f"VX{call.call_id}",
                call_id=call.call_id,
                from_uri=call.from_uri,
                to_uri=call.to_uri,
                parameters=call.variables,
                resumed=resumed,
            ),
            connect_s=self._config.connect_budget_s,
        )
        log = self._log.bind(call_id=call.call_id)
        return RelayConversation(
            RelayTalk(self._rules, language=call.language),
            socket,
            running=self._tasks.start(socket.run()),
            opening=(
                self._expect,
                Say(text=self._disclosure, interruptible=False),
                *([Say(text=self._config.greeting)] if self._config.greeting else []),
            ),
            fallback=self._config.fallback,
            tells_partials=self._config.partial_prompts,
            clock=self._clock,
            on_failure=lambda why, detail: log.warning(LogEvent.BRAIN_FAILED, why=why, detail=detail),
        )

    def fixed_phrases(self) -> Sequence[str]:
        config = self._config
        texts = (self._disclosure, config.greeting, config.filler, config.fallback, config.give_up)
        return [text for text in texts if text]


class RelayConversation:
    """Implements ``RemoteConversation``: everything that the server wants done comes by ``unprompted``."""

    def __init__(
        self,
        talk: RelayTalk,
        socket: RelaySocket,
        *,
        running: asyncio.Task[None],
        opening: Sequence[Action],
        fallback: str,
        tells_partials: bool,
        clock: Clock,
        on_failure: Callable[[str, str], None],
    ) -> None:
        self._talk = talk
        self._socket = socket
        self._running = running
        self._opening = opening
        self._fallback = fallback
        self._own = [action.text for action in opening if isinstance(action, Say)]
        self._tells_partials = tells_partials
        self._clock = clock
        self._on_failure = on_failure

    async def opening(self) -> AsyncGenerator[Action, None]:
        for action in self._opening:
            yield action

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        return None

    def turn(self, turn: Turn) -> AsyncGenerator[Action, None]:
        if not turn.words:  # a server is told words; that there were none is ours to say
            self._do(self._talk.took_floor())
            return _listed(*([Say(text=self._fallback)] if self._fallback else []))
        self._do(self._talk.prompt(turn.text, now=self._clock.now()))
        return _listed()

    def dtmf(self, digit: str) -> AsyncGenerator[Action, None]:
        self._do(self._talk.key(digit, now=self._clock.now()))
        return _listed()

    def silence(self, seconds: float) -> AsyncGenerator[Action, None]:
        return _listed()

    def tool_result(self, result: ToolResult) -> AsyncGenerator[Action, None]:
        return _listed()

    def transfer_failed(self, status: int, reason: str) -> AsyncGenerator[Action, None]:
        """The server has handed the call over and is gone."""
        return _listed(*self._talk.failed(f"transfer {status}", again=True).actions)

    def heard(self, text: str, *, complete: bool) -> None:
        if text in self._own:  # the disclosure and the greeting are ours, not the server's
            self._own.remove(text)
        else:
            self._talk.heard(text)

    def interrupted(self, heard: str, unheard: str) -> None:
        self._talk.interrupted(heard, now=self._clock.now())

    def resume(self) -> Sequence[Action]:
        return ()

    def reopened(self, turn: int) -> None:
        """The server has had the words; it gets them again with more behind them."""

    def partial(self, turn: Turn) -> None:
        if only_backchannels(turn.words):
            return
        self._do(self._talk.partial(turn.text) if self._tells_partials else self._talk.took_floor())

    def speaking(self, text: str) -> None:
        if text not in self._own:
            self._talk.speaking(now=self._clock.now())

    def prepare(self, turn: Turn) -> AsyncGenerator[Action, None]:
        return _listed()

    def forget_prepared(self) -> None:
        pass

    async def go_on(self) -> AsyncGenerator[Action, None]:
        for action in self._talk.go_on():
            yield action

    async def unprompted(self) -> AsyncGenerator[Action, None]:
        while True:
            for action in await self._next():
                if isinstance(action, Note) and action.key.startswith(("brain_failed", "relay_")):
                    self._on_failure(action.key, str(action.value))
                yield action

    def close(self) -> None:
        self._running.cancel()

    # --- inside ---

    async def _next(self) -> list[Action]:
        """Wait for the server or for time to pass; what is to be done."""
        due = self._talk.deadline()
        timeout_s = None if due is None else max(0.0, due - self._clock.now())
        try:
            async with asyncio.timeout(timeout_s):
                news = await self._socket.news.get()
        except TimeoutError:
            return self._talk.timer(now=self._clock.now())
        match news:
            case Received():
                outcome = self._talk.receive(news.text, now=self._clock.now())
                self._send(outcome.send)
                return outcome.actions
            case Connected():
                self._send(self._talk.connected(now=self._clock.now()))
            case Lost():
                self._talk.disconnected()
            case GaveUp():
                return self._talk.failed(news.why).actions
            case Woken():
                pass  # there is another deadline
        return []

    def _do(self, outcome: Outcome) -> None:
        self._send(outcome.send)
        if not self._socket.news.full():  # where it is full, it is being read anyway
            self._socket.news.put_nowait(Woken())

    def _send(self, messages: Sequence[str]) -> None:
        for message in messages:
            self._socket.send(message)


async def _listed(*actions: Action) -> AsyncGenerator[Action, None]:
    for action in actions:
        yield action
