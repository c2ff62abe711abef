"""The questions that a call waits for: ``call.incoming`` and ``tool.call``, each inside its budget."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import ToolFailed
from agent.events.bodies import body
from agent.events.decision_rules import ACTIONS, parse_decision, parse_tool_result
from agent.events.errors import WebhookFailed
from agent.events.http import Answer, HttpClient
from agent.events.names import LogEvent, WebhookEvent
from agent.events.signing import Signer
from agent.logging import Log
from agent.ports import Decision
from telephony.clock import Clock
from telephony.events import LegInfo

BUDGET_LIMIT_S = 4.0
"""A caller hears nothing while we ask: no budget of ``call.incoming`` is longer."""
RETRY_PAUSE_S = 0.1


class DecisionClient:
    """Implements ``agent.ports.Decisions`` over an ``HttpClient`` that is open."""

    def __init__(
        self,
        http: HttpClient,
        *,
        signer: Signer,
        wall: Callable[[], float],
        clock: Clock,
        log: Log,
        decision_url: str = "",
        tool_url: str = "",
        fallback: str = "accept",
        decision_budget_s: float = 1.5,
        tool_budget_s: float = 8.0,
        tool_budgets_s: Mapping[str, float] | None = None,
    ) -> None:
        """Empty URLs: every call is accepted, every tool fails. ``tool_budgets_s``: tool name to its own budget."""
        if fallback not in ACTIONS:
            raise ValueError(f"fallback must be one of {', '.join(ACTIONS)}, not {fallback}")
        self._http = http
        self._signer = signer
        self._wall = wall
        self._clock = clock
        self._log = log
        self._decision_url = decision_url
        self._tool_url = tool_url
        self._fallback = fallback
        self._decision_budget_s = min(decision_budget_s, BUDGET_LIMIT_S)
        self._tool_budget_s = tool_budget_s
        self._tool_budgets_s = dict(tool_budgets_s or {})

    async def incoming(self, call_id: str, leg: LegInfo) -> Decision:
        """What to do with a call. Never raises: without a usable answer in time it is the configured fallback."""
        if not self._decision_url:
            return Decision()
        data = {
            "call_id": call_id,
            "from": leg.from_uri,
            "to": leg.to_uri,
            "transport": leg.transport,
            "headers": dict(leg.headers),
        }
        try:
            answer = await self._ask(
                self._decision_url, WebhookEvent.CALL_INCOMING, data, f"in_{call_id}", budget_s=self._decision_budget_s
            )
            if not 200 <= answer.status < 300:
                raise ValueError(f"status {answer.status}")
            return parse_decision(answer.body)
        except (WebhookFailed, ValueError) as error:
            reason = str(error)
        except Exception as error:  # a call must not die of its customer's server, whatever it does
            reason = f"internal: {error!r}"
        self._log.warning(LogEvent.DECISION_FAILED, call_id=call_id, error=reason, fallback=self._fallback)
        return Decision(action=self._fallback, fallback=True)

    async def tool(self, call_id: str, name: str, arguments: dict[str, Any], request_id: str) -> Any:
        """A tool's result. Raises ``ToolFailed`` with the reason.

        Asked again inside the budget only when the connection failed; the same ``Idempotency-Key`` makes that safe.
        """
        if not self._tool_url:
            raise ToolFailed(f"{name}: no agent.tool_url is configured")
        data = {"call_id": call_id, "name": name, "arguments": arguments, "request_id": request_id}
        key = f"{call_id}:{request_id}"
        budget_s = self._tool_budgets_s.get(name, self._tool_budget_s)
        try:
            answer = await self._ask(
                self._tool_url, WebhookEvent.TOOL_CALL, data, f"tool_{uuid.uuid4().hex}", budget_s=budget_s, key=key
            )
            return parse_tool_result(name, answer.status, answer.body)
        except (WebhookFailed, ValueError, TypeError) as error:
            raise ToolFailed(f"{name}: {error}") from error

    async def _ask(
        self, url: str, kind: WebhookEvent, data: dict[str, Any], message_id: str, *, budget_s: float, key: str = ""
    ) -> Answer:
        """One answer inside the budget. Raises ``WebhookFailed``."""
        deadline = self._clock.now() + budget_s
        text = body(kind, self._wall(), data)
        while True:
            headers = self._signer.headers(message_id, self._wall(), text)
            if key:
                headers["Idempotency-Key"] = key
            left_s = deadline - self._clock.now()
            if left_s <= 0:
                raise WebhookFailed("timeout", f"no answer within {budget_s:g} s")
            try:
                answer = await self._http.post(url, text, headers, timeout_s=left_s)
            except WebhookFailed as error:
                if error.kind != "connection" or deadline - self._clock.now() <= RETRY_PAUSE_S:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            if answer.is_cut:
                raise WebhookFailed("too_long", "the answer is longer than 64 kB")
            return answer
