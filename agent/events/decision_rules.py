"""What a customer's server may answer to ``call.incoming`` and ``tool.call``. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from agent.errors import ToolFailed
from agent.ports import Decision

ACTIONS: Final = ("accept", "reject", "busy")
AGENT_LIMIT: Final = 100
REASON_LIMIT: Final = 200


def parse_decision(body: bytes) -> Decision:
    """``{"action", "agent"?, "variables"?, "record"?}``; other fields are ignored. Raises ``ValueError`` naming it."""
    answer = _json_object(body)
    action = answer.get("action")
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
    agent = answer.get("agent")
    if agent is not None and not (isinstance(agent, str) and len(agent) <= AGENT_LIMIT):
        raise ValueError(f"agent must be text of at most {AGENT_LIMIT} characters")
    variables = answer.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise ValueError("variables must be an object")
    record = answer.get("record")
    if record is not None and not isinstance(record, bool):
        raise ValueError("record must be true or false")
    return Decision(action=str(action), agent=agent or "", variables=variables or {}, record=record)


def parse_tool_result(name: str, status: int, body: bytes) -> Any:
    """``result`` of ``{"result": …}``. Raises ``ToolFailed`` with the reason."""
    try:
        answer = _json_object(body)
    except ValueError as error:
        reason = f"status {status}" if not 200 <= status < 300 else str(error)
        raise ToolFailed(f"{name}: {reason}") from error
    if "error" in answer:
        raise ToolFailed(f"{name}: {str(answer['error'])[:REASON_LIMIT]}")
    if not 200 <= status < 300:
        raise ToolFailed(f"{name}: status {status}")
    if "result" not in answer:
        raise ToolFailed(f"{name}: the answer has neither result nor error")
    return answer["result"]


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a JSON object")
    return answer
