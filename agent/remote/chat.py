"""ChatBrain: any endpoint with streamed chat completions (OpenAI's form) answers the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from agent.brain.chat_history import ChatHistory
from agent.brain.protocol import CallFacts, Conversation
from agent.brain.tool_specs import ToolSpec
from agent.config import ChatConfig
from agent.events.names import LogEvent
from agent.logging import Log
from agent.remote.chat_conversation import ChatConversation
from agent.remote.stream import AnswerStream, ChatEndpoint, Endpoints
from agent.tasks import Tasks
from telephony.clock import Clock

MANNERS: Final = (
    "You are speaking with a caller on the telephone. Answer in one to three short spoken sentences, without lists, "
    "markup, emojis or web addresses. The caller may interrupt you; only what they have heard is in this conversation."
)
END_CALL: Final = ToolSpec(
    name="end_call", description="End the call, once the caller has what they wanted and you have said goodbye."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a caller may be transferred to."""

    name: str
    uri: str


class ChatBrain:
    """An async context manager: calls can be answered inside the block."""

    def __init__(
        self,
        config: ChatConfig,
        *,
        prompt: str,
        disclosure: str,
        phrases: tuple[str, ...] = (),
        extra: dict[str, Any],
        tools: Callable[[], Sequence[ToolSpec]],
        clock: Clock,
        log: Log,
        endpoints: Endpoints | None = None,
    ) -> None:
        """``prompt`` may hold ``{from}``, ``{to}`` and the variables of ``call.incoming`` in braces.

        ``endpoints``: who answers, where it is not the endpoint of ``config``.

        ``phrases``: what callers may say, for ears that need a grammar.
        """
        self._config = config
        self._phrases = phrases
        self._prompt = prompt
        self._disclosure = disclosure
        self._tools = tools
        self._clock = clock
        self._log = log
        self._targets = tuple(Target(name=n, uri=u) for n, _, u in (t.partition("=") for t in config.transfers))
        self._tasks = Tasks()
        self._endpoints: Endpoints = endpoints or ChatEndpoint(
            config.url,
            model=config.model,
            api_key=config.api_key,
            answer_s=config.answer_budget_s,
            most_words=config.most_words,
            extra=extra,
        )

    @property
    def name(self) -> str:
        return "chat"

    async def __aenter__(self) -> ChatBrain:
        await self._endpoints.__aenter__()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        finally:
            await self._endpoints.__aexit__()

    def open(self, call: CallFacts) -> Conversation:
        tools = [*self._tools(), *self._own_tools()]
        log = self._log.bind(call_id=call.call_id)
        endpoint = self._endpoints.of_call(call.call_id)
        history = ChatHistory(self._system(call), most_characters=self._config.history_characters)
        return ChatConversation(
            self._config,
            history,
            call_id=call.call_id,
            disclosure=self._disclosure,
            phrases=self._phrases,
            tools={tool.name: tool for tool in tools},
            targets={target.name: target.uri for target in self._targets},
            ask=lambda messages: self._ask(endpoint, messages, tools),
            clock=self._clock,
            on_failure=lambda failure, detail: log.warning(LogEvent.BRAIN_FAILED, why=failure, detail=detail),
            on_close=lambda: self._endpoints.forget(call.call_id),
        )

    def fixed_phrases(self) -> Sequence[str]:
        config = self._config
        texts = (self._disclosure, config.greeting, config.filler, config.not_understood, config.fallback)
        return [text for text in (*texts, config.still_there, config.give_up) if text]

    def _ask(self, endpoint: ChatEndpoint, messages: list[dict[str, Any]], tools: Sequence[ToolSpec]) -> AnswerStream:
        stream = AnswerStream(endpoint, messages, [tool.to_chat() for tool in tools])
        stream.start(self._tasks)
        return stream

    def _own_tools(self) -> list[ToolSpec]:
        own = [END_CALL] if self._config.can_hang_up else []
        if self._targets:
            names = [target.name for target in self._targets]
            target = {"type": "string", "enum": names}
            own.append(
                ToolSpec(
                    name="transfer_call",
                    description="Connect the caller with somebody else. Say so before.",
                    parameters={"type": "object", "properties": {"target": target}, "required": ["target"]},
                )
            )
        return own

    def _system(self, call: CallFacts) -> str:
        values = {"from": call.from_uri, "to": call.to_uri, "language": call.language, **call.variables}
        text = self._prompt
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return f"{text.strip()}\n\n{MANNERS}".strip()
